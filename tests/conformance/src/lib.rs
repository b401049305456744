//! drift-conformance
