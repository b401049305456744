//! The `.drift` bundle: container, plan types, reader and (feature `write`) writer.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod caps;
pub mod plan;
