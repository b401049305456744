//! drift-bundle
