//! Metal without a Mac: the MSL of a bundle, compiled as C++ and run on the CPU.
//!
//! [`device`] is a device for [`drift_runtime::Session`] that takes the Metal variants of bundles. All
//! but the driver is what runs elsewhere: the compiler's MSL as it is in the bundle, the plan, and
//! the session with its states. clang compiles the text against `include/metal_stdlib`, our own
//! version of the part of Metal's standard library that kernels use; `src/engine.cpp` runs workgroups
//! with one fiber per invocation.
//!
//! What a run finds: text that is no C++ (most of what is no MSL), wrong results, elements outside of
//! arrays and texels outside of images, matrices outside of theirs, bindings smaller than declared,
//! barriers that some invocations do not reach, lanes of a simdgroup that part, memory read before it
//! was written (everything starts as garbage), barriers that are missing (when the order of
//! invocations shows it). What it cannot tell: whether Apple's compiler takes the text, how exact
//! Metal's functions are, and anything about speed.
#![allow(unsafe_code)]

mod compile;
mod device;
mod library;
mod objects;
mod program;
mod source;
#[cfg(test)]
mod tests;

pub use device::{device, missing};
