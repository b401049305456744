//! Memory and answers: what crosses the border to JavaScript, and how.
//!
//! JavaScript asks for memory, writes into it, and hands over pointer and length. These are numbers
//! like others, so the functions here trust them; nobody else can call.

use crate::json::Json;
use drift_bundle::{BundleError, ErrorKind};
use std::cell::RefCell;

/// What functions return that failed.
pub const FAILED: i32 = -1;

thread_local! {
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Leaves an answer for the caller.
pub fn answer(bytes: Vec<u8>) {
    ANSWER.with(|a| *a.borrow_mut() = bytes);
}

/// Leaves an error for the caller.
pub fn fail(code: &str, message: &str) -> i32 {
    let mut json = Json::default();
    json.object(|j| {
        j.key("code").text(code);
        j.key("message").text(message);
    });
    answer(json.0.into_bytes());
    FAILED
}

/// The same, of a bundle.
pub fn fail_with(e: &BundleError) -> i32 {
    let code = match e.kind {
        ErrorKind::NotABundle => "not-a-bundle",
        ErrorKind::Truncated => "truncated",
        ErrorKind::Unsupported => "unsupported-bundle",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Malformed | ErrorKind::Inconsistent => "malformed",
    };
    fail(code, &e.to_string())
}

/// Address of the last answer.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn answer_ptr() -> *const u8 {
    ANSWER.with(|a| a.borrow().as_ptr())
}

/// Bytes of the last answer.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn answer_len() -> usize {
    ANSWER.with(|a| a.borrow().len())
}

/// `bytes` bytes at a multiple of 8, to be given back to [`release`].
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn reserve(bytes: usize) -> *mut u64 {
    let words: Box<[u64]> = vec![0; bytes.div_ceil(8)].into();
    Box::into_raw(words).cast()
}

/// Gives memory of [`reserve`] back.
///
/// # Safety
/// `at` comes from `reserve(bytes)` and was not given back.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn release(at: *mut u64, bytes: usize) {
    let words = std::ptr::slice_from_raw_parts_mut(at, bytes.div_ceil(8));
    // SAFETY: made by `reserve` as a box of as many words.
    drop(unsafe { Box::from_raw(words) });
}

/// The caller's bytes.
///
/// # Safety
/// `at` points to `bytes` initialized bytes that nobody changes meanwhile.
pub unsafe fn bytes<'a>(at: *const u8, bytes: usize) -> &'a [u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(at, bytes) }
}
