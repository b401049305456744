//! The part of the browser's runtime that is Rust, as WebAssembly without glue code.
//!
//! It reads bundles piece by piece, chooses a variant, checks hashes and converts elements. What
//! talks to the network and to `navigator.gpu` is JavaScript (the folder `npm` beside this one),
//! which gets lists to replay as JSON text.
//!
//! Calls take and give numbers; longer answers are bytes that [`abi::answer_ptr`] and [`abi::answer_len`]
//! point at until the next call. A function that can fail returns [`abi::FAILED`] and leaves
//! `{"code", "message"}` as its answer.
//!
//! - **Invariant:** weights pass through here once, for their hash, in pieces; nothing keeps them.
//! - **Invariant:** a plan that leaves this crate was checked ([`drift_bundle::check_variant`]), so
//!   JavaScript replays it without checks of its own.

pub mod abi;
pub mod caps;
mod json;
mod program;
pub mod reader;
