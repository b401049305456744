//! drift-weights
