//! drift-driver

pub mod memory;
