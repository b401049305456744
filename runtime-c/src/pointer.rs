//! Pointers of the caller, checked as far as C allows: against null, and sizes against overflow.
//!
//! The functions are unsafe because a pointer that is not null is believed, as the header demands:
//! it points to what its type says, nobody else changes that meanwhile, and an object that this
//! library gave has not been freed.

use crate::error::{Failure, Result};
use std::ffi::{CStr, c_char};

fn null(what: &str) -> Failure {
    Failure::argument(format!("{what} is null"))
}

/// What `pointer` points to.
pub unsafe fn shared<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: not null is checked by `as_ref`, the rest is the caller's promise (see above).
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

/// The same, to be changed.
pub unsafe fn exclusive<'a, T>(pointer: *mut T, what: &str) -> Result<&'a mut T> {
    // SAFETY: not null is checked by `as_mut`, the rest is the caller's promise (see above).
    unsafe { pointer.as_mut() }.ok_or_else(|| null(what))
}

/// Whether `count` elements at `address` can be a slice; null is one of no elements.
fn check_array<T>(address: usize, count: usize, what: &str) -> Result {
    if address == 0 {
        return Err(Failure::argument(format!("{what} is null, but has {count} elements")));
    }
    if !address.is_multiple_of(align_of::<T>()) {
        let message = format!("{what} is not aligned to {} bytes", align_of::<T>());
        return Err(Failure::argument(message));
    }
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize - address.min(isize::MAX as usize) => Ok(()),
        _ => Err(Failure::argument(format!("{what} cannot have {count} elements"))),
    }
}

/// `count` elements to read.
pub unsafe fn array<'a, T>(first: *const T, count: usize, what: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check_array::<T>(first.addr(), count, what)?;
    // SAFETY: not null, aligned and not larger than memory, as just checked; that there are `count`
    // elements is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// `count` elements to write.
pub unsafe fn array_mut<'a, T>(first: *mut T, count: usize, what: &str) -> Result<&'a mut [T]> {
    if count == 0 {
        return Ok(&mut []);
    }
    check_array::<T>(first.addr(), count, what)?;
    // SAFETY: as in `array`, and nobody else uses the elements meanwhile: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(first, count) })
}

/// Text that ends in 0.
pub unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(null(what));
    }
    // SAFETY: not null; that it ends in 0 is the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Failure::argument(format!("{what} is not UTF-8")))
}

/// Writes a result where the caller wants it.
pub unsafe fn put<T>(out: *mut T, value: T, what: &str) -> Result {
    if out.is_null() {
        return Err(null(what));
    }
    // SAFETY: not null; that there is room for a `T` is the caller's promise. What is there is not
    // dropped: it may never have been written.
    unsafe { out.write(value) };
    Ok(())
}

/// Makes an object and hands it to the caller; the place is checked first and is null after a
/// failure.
pub unsafe fn give<T>(out: *mut *mut T, make: impl FnOnce() -> Result<T>, what: &str) -> Result {
    // SAFETY: as the caller of this function promises.
    unsafe { put(out, std::ptr::null_mut(), what)? };
    let object = Box::into_raw(Box::new(make()?));
    // SAFETY: the same place again.
    unsafe { put(out, object, what) }
}

/// Takes an object back; null is nothing.
pub unsafe fn take<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: it came from `give`, and its owner frees it once: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// Copies `data` to the caller's memory of `capacity` bytes and says in `size` how many there are.
/// With no memory (null and 0) only the size is told.
pub unsafe fn copy(data: &[u8], to: *mut u8, capacity: usize, size: *mut usize) -> Result {
    if !size.is_null() {
        // SAFETY: not null.
        unsafe { put(size, data.len(), "the place of the size")? };
    }
    if to.is_null() && capacity == 0 {
        return match size.is_null() {
            true => Err(null("both the memory and the place of the size")),
            false => Ok(()),
        };
    }
    if capacity < data.len() {
        let message = format!("{} bytes do not fit into {capacity}", data.len());
        return Err(Failure::argument(message));
    }
    // SAFETY: as the caller of this function promises.
    unsafe { array_mut(to, data.len(), "the memory")? }.copy_from_slice(data);
    Ok(())
}

/// Text into a field of fixed size, cut at a character if need be; 0 at its end.
pub fn field<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in out.iter_mut().zip(text[..end].bytes()) {
        *to = from as c_char;
    }
    out
}
