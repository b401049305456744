//! drift-golden
