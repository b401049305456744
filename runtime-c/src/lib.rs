//! The C interface of `drift-runtime`. `include/drift.h` is written from these files by
//! `tests/header.rs` and says what a caller must know; its introduction is `tests/header.txt`.
//!
//! - Every function that can fail gives a [`Status`] and leaves a message for [`drift_last_error`].
//! - A null pointer where there must be one, a size that does not fit and text that is not UTF-8
//!   are errors. Pointers are otherwise believed: C gives no means to check them.
//! - **Invariant:** no panic leaves a function ([`error::call`]).
//! - **Invariant:** raw pointers become references, slices and text in `pointer` only.
// The contract of pointers is the same for all functions: the introduction of the header has it.
#![allow(clippy::missing_safety_doc)]

mod bundle;
mod device;
mod error;
mod generate;
mod pointer;
mod session;
mod tensor;

pub use device::{Api, DeviceKind};
pub use error::Status;
pub use tensor::Type;

/// Version of the library: major * 10000 + minor * 100 + patch.
#[unsafe(no_mangle)]
pub extern "C" fn drift_version() -> u32 {
    let number = |text: &str| text.bytes().fold(0, |n, b| 10 * n + u32::from(b - b'0'));
    10_000 * number(env!("CARGO_PKG_VERSION_MAJOR"))
        + 100 * number(env!("CARGO_PKG_VERSION_MINOR"))
        + number(env!("CARGO_PKG_VERSION_PATCH"))
}
