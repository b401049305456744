//! drift-ir
