//! drift-runtime
