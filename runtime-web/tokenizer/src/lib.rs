//! The tokenizer as WebAssembly, a module of its own: pages without a language model never load it.
//!
//! Memory and answers cross the border as in `drift-web`: bytes in by pointer and length, bytes out
//! through [`answer_ptr`] and [`answer_len`]; a negative status means that the answer is
//! `code: message`.
//!
//! What Unicode is, the page tells ([`page`]): its regular expressions and normal forms are there
//! already, and would be four fifths of this module.

#[cfg(target_family = "wasm")]
mod page;
pub mod pattern;

use drift_tokenizer::{Error, Stream, Tokenizer};
use std::cell::RefCell;

thread_local! {
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn answer(bytes: Vec<u8>) -> i32 {
    ANSWER.with(|a| *a.borrow_mut() = bytes);
    0
}

fn fail(e: &Error) -> i32 {
    answer(e.to_string().into_bytes());
    -1
}

fn words(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
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
/// `at` points to `len` initialized bytes that nobody changes meanwhile.
unsafe fn bytes<'a>(at: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(at, len) }
}

/// The caller's token ids.
///
/// # Safety
/// `at` points to `count` ids, at a multiple of 4.
unsafe fn ids<'a>(at: *const u32, count: usize) -> &'a [u32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(at, count) }
}

/// Reads a `tokenizer.json`; null if it is none that is known.
///
/// # Safety
/// `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn open(at: *const u8, len: usize) -> *mut Tokenizer {
    #[cfg(target_family = "wasm")]
    page::provide();
    // SAFETY: the caller's.
    match Tokenizer::from_json(unsafe { bytes(at, len) }) {
        Ok(tokenizer) => Box::into_raw(Box::new(tokenizer)),
        Err(e) => {
            fail(&e);
            std::ptr::null_mut()
        }
    }
}

/// Forgets a tokenizer.
///
/// # Safety
/// `tokenizer` comes from [`open`] and is used no more.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn close(tokenizer: *mut Tokenizer) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(tokenizer) });
}

/// Ids of a text; with `special`, those that every text begins or ends with, too.
///
/// # Safety
/// `tokenizer` is open; `at` and `len` are UTF-8 text.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn encode(
    tokenizer: &Tokenizer,
    at: *const u8,
    len: usize,
    special: i32,
) -> i32 {
    // SAFETY: the caller's.
    let text = String::from_utf8_lossy(unsafe { bytes(at, len) });
    match tokenizer.encode(&text, special != 0) {
        Ok(ids) => answer(words(&ids)),
        Err(e) => fail(&e),
    }
}

/// Ids that every text begins with.
///
/// # Safety
/// `tokenizer` is open.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn prefix(tokenizer: &Tokenizer) -> i32 {
    answer(words(tokenizer.prefix()))
}

/// Text of ids; with `special`, special tokens are shown.
///
/// # Safety
/// `tokenizer` is open; `at` points to `count` ids.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn decode(
    tokenizer: &Tokenizer,
    at: *const u32,
    count: usize,
    special: i32,
) -> i32 {
    // SAFETY: the caller's.
    let ids = unsafe { ids(at, count) };
    answer(tokenizer.decode(ids, special == 0).into_bytes())
}

/// Starts to turn ids into text one by one, behind those of a prompt.
///
/// # Safety
/// `tokenizer` is open, and stays so until the stream is closed; `at` points to `count` ids.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn stream_open(
    tokenizer: &'static Tokenizer,
    at: *const u32,
    count: usize,
) -> *mut Stream<'static> {
    // SAFETY: the caller's.
    Box::into_raw(Box::new(tokenizer.stream(unsafe { ids(at, count) })))
}

/// The text that one more id completes.
///
/// # Safety
/// `stream` is open.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn stream_push(stream: &mut Stream<'static>, id: u32) -> i32 {
    answer(stream.push(id).into_bytes())
}

/// The text that was held back.
///
/// # Safety
/// `stream` is open.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn stream_finish(stream: &mut Stream<'static>) -> i32 {
    answer(stream.finish().into_bytes())
}

/// Forgets a stream.
///
/// # Safety
/// `stream` comes from [`stream_open`] and is used no more.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn stream_close(stream: *mut Stream<'static>) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(stream) });
}
