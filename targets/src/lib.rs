//! drift-targets
