//! drift-ops
