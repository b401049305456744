//! drift-driver
