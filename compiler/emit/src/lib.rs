//! drift-emit
