//! One bundle while it is loaded, hashes, and the conversion of elements.

use crate::abi::{answer, bytes, fail, fail_with};
use crate::caps::{CAPS, capabilities};
use crate::json::Json;
use crate::program::{elem, elem_name, program};
use drift_bundle::caps::Requirements;
use drift_bundle::plan::Io;
use drift_bundle::{BundleError, Hash, Parts, Section, hash64, select};
use drift_runtime::{RuntimeError, TensorData, TensorRef, read_output, write_input};

/// A bundle of which some parts have come.
pub struct Reader {
    parts: Parts,
    /// By variant, in order.
    requirements: Vec<Requirements>,
}

fn done(result: Result<String, BundleError>) -> i32 {
    match result {
        Ok(json) => {
            answer(json.into_bytes());
            0
        }
        Err(e) => fail_with(&e),
    }
}

/// Bytes of header and table, which the first 36 bytes of the file tell.
///
/// # Safety
/// `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn table_bytes(at: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's.
    match Parts::table_bytes(unsafe { bytes(at, len) }) {
        Ok(n) => i32::try_from(n).unwrap_or(i32::MAX),
        Err(e) => fail_with(&e),
    }
}

/// Opens a bundle by its header and table; null if they are wrong. The answer lists the sections.
///
/// # Safety
/// `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn open(at: *const u8, len: usize) -> *mut Reader {
    // SAFETY: the caller's.
    let head = unsafe { bytes(at, len) };
    let parts = match Parts::parse(head) {
        Ok(parts) => parts,
        Err(e) => {
            fail_with(&e);
            return std::ptr::null_mut();
        }
    };
    let mut json = Json::default();
    json.object(|j| {
        j.key("bytes").value(parts.file_bytes);
        // all that the file says about itself, hashes of all sections among it
        j.key("identity").text(&format!("{:016x}", hash64(head)));
        j.key("variants").value(parts.variants());
        j.key("sections").list(&parts.sections, |j, s| {
            j.object(|j| {
                j.key("kind").text(&s.section.to_string());
                match s.variant {
                    Some(v) => j.key("variant").value(v),
                    None => j.key("variant").value("null"),
                };
                j.key("offset").value(s.offset);
                j.key("bytes").value(s.bytes);
                j.key("hash").text(&format!("{:016x}", s.hash));
            });
        });
    });
    answer(json.0.into_bytes());
    Box::into_raw(Box::new(Reader { parts, requirements: Vec::new() }))
}

/// Forgets a bundle.
///
/// # Safety
/// `reader` comes from [`open`] and is used no more.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn close(reader: *mut Reader) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(reader) });
}

/// The answer is the facts of META.
///
/// # Safety
/// `reader` is open; `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn read_meta(reader: &Reader, at: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's.
    let meta = reader.parts.meta(unsafe { bytes(at, len) });
    done(meta.map(|meta| {
        let mut json = Json::default();
        json.object(|j| {
            for (key, value) in meta.iter() {
                j.key(key).text(value);
            }
        });
        json.0
    }))
}

/// Takes the requirements of the next variant.
///
/// # Safety
/// `reader` is open; `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn read_requirements(reader: &mut Reader, at: *const u8, len: usize) -> i32 {
    let number = reader.requirements.len() as u32;
    // SAFETY: the caller's.
    match reader.parts.requirements(number, unsafe { bytes(at, len) }) {
        Ok(requirements) => {
            reader.requirements.push(requirements);
            0
        }
        Err(e) => fail_with(&e),
    }
}

/// Chooses among the variants whose requirements were given. Returns its number, or -1 if none fits
/// (or the description has the wrong length); the answer lists what each other variant lacks.
///
/// # Safety
/// `reader` is open; `caps` points to as many numbers as `count` says, `name` and `name_len` are
/// UTF-8 text.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn choose(
    reader: &Reader,
    caps: *const u64,
    count: usize,
    name: *const u8,
    name_len: usize,
) -> i32 {
    // SAFETY: the caller's.
    let numbers = unsafe { std::slice::from_raw_parts(caps, count) };
    let Ok(numbers) = <&[u64; CAPS]>::try_from(numbers) else {
        return fail("internal", "the description of a device has another length");
    };
    // SAFETY: the caller's.
    let name = String::from_utf8_lossy(unsafe { bytes(name, name_len) });
    let selection = select(&reader.requirements, &capabilities(numbers, &name));
    let mut json = Json::default();
    json.list(&selection.rejected, |j, r| {
        j.object(|j| {
            j.key("variant").value(r.variant);
            j.key("target").text(&r.target);
            j.key("unmet").list(&r.unmet, |j, u| {
                j.text(&u.to_string());
            });
        });
    });
    answer(json.0.into_bytes());
    selection.best.map_or(-1, |best| best as i32)
}

/// Plan and shaders of a variant; the answer is the program ([`program`]).
///
/// # Safety
/// `reader` is open; the others are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn read_variant(
    reader: &Reader,
    variant: u32,
    plan: *const u8,
    plan_len: usize,
    shaders: *const u8,
    shaders_len: usize,
) -> i32 {
    let Some(requirements) = reader.requirements.get(variant as usize) else {
        return fail("internal", "no such variant");
    };
    // SAFETY: the caller's.
    let (plan, shaders) = unsafe { (bytes(plan, plan_len), bytes(shaders, shaders_len)) };
    let read = reader.parts.variant(variant, requirements, plan, shaders);
    done(read.map(|(plan, ranges)| program(requirements, &plan, &ranges)))
}

/// The answer is `[name, start, end]` of each asset, inside the section.
///
/// # Safety
/// `reader` is open; `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn read_assets(reader: &Reader, at: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's.
    let assets = reader.parts.assets(unsafe { bytes(at, len) });
    done(assets.map(|assets| {
        let mut json = Json::default();
        json.list(&assets, |j, (name, range)| {
            j.list([()], |j, ()| {
                j.text(name).value(range.start).value(range.end);
            });
        });
        json.0
    }))
}

/// Starts a hash.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn hash_new() -> *mut Hash {
    Box::into_raw(Box::default())
}

/// Adds bytes to a hash.
///
/// # Safety
/// `hash` is open; `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn hash_update(hash: &mut Hash, at: *const u8, len: usize) {
    // SAFETY: the caller's.
    hash.update(unsafe { bytes(at, len) });
}

/// Ends a hash and compares it with that of WEIGHTS.
///
/// # Safety
/// `reader` is open; `hash` comes from [`hash_new`] and is used no more.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn check_weights(reader: &Reader, hash: *mut Hash) -> i32 {
    // SAFETY: the caller's.
    let hash = unsafe { Box::from_raw(hash) };
    let info = reader.parts.find(Section::Weights, None);
    match info.and_then(|info| info.check(hash.bytes(), hash.finish())) {
        Ok(()) => 0,
        Err(e) => fail_with(&e),
    }
}

/// A tensor at the boundary without a place, for conversions.
fn boundary(model: u8, device: u8, elems: usize) -> Option<Io> {
    let (elem, device_elem) = (elem(model)?, elem(device)?);
    let shape = vec![elems as u64];
    Some(Io { name: String::new(), elem, device_elem, shape, object: 0, offset: 0 })
}

/// Converts `elems` elements of type `given` for an input of the model's type `model`, which lives on
/// the device as `device`. The answer is the device's bytes.
///
/// # Safety
/// `at` and `len` are bytes.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn to_device(
    given: u8,
    model: u8,
    device: u8,
    elems: usize,
    at: *const u8,
    len: usize,
) -> i32 {
    let (Some(io), Some(given)) = (boundary(model, device, elems), elem(given)) else {
        return fail("internal", "no such element type");
    };
    // SAFETY: the caller's.
    let data = TensorData::Bytes(given, unsafe { bytes(at, len) });
    let mut out = vec![0; elems * io.device_elem.bytes() as usize];
    match write_input(&io, &TensorRef { data, shape: None }, &mut out) {
        Ok(()) => {
            answer(out);
            0
        }
        Err(RuntimeError::Input { message, .. }) => fail("input", &message),
        Err(_) => fail("input", elem_name(io.elem)),
    }
}

/// Converts what an output has on the device to elements of type `model`.
///
/// # Safety
/// `at` and `len` are as many bytes as the output has on the device.
#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub unsafe extern "C" fn from_device(
    model: u8,
    device: u8,
    elems: usize,
    at: *const u8,
    len: usize,
) -> i32 {
    let Some(io) = boundary(model, device, elems) else {
        return fail("internal", "no such element type");
    };
    if io.device_bytes() != Some(len as u64) {
        return fail("internal", "an output of another size");
    }
    // SAFETY: the caller's.
    answer(read_output(&io, unsafe { bytes(at, len) }));
    0
}
