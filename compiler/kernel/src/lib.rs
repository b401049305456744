//! drift-kernel
