//! Headless Chromium for tests.
//!
//! - [`browser`] starts it and drives one page over the DevTools protocol;
//! - [`lavapipe`] puts another Vulkan driver under it, for f16;
//! - [`server`] serves files to it, in ways that go wrong too, and carries what a page reports or
//!   is asked to do.
//!
//! `cargo xtask browser` tests the runtime for browsers with both; the conformance tests make a device
//! of a page (`DRIFT_BACKEND=chromium`).
#![forbid(unsafe_code)]

pub mod browser;
pub mod lavapipe;
pub mod server;

pub use browser::{Adapter, Chromium, program};
pub use server::Server;

use std::path::{Path, PathBuf};

/// The repository's folder of pages and scripts for tests.
pub fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser")
}
