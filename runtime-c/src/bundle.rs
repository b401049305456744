//! Bundles.

use crate::error::{Failure, Status, call};
use crate::pointer::{array, copy, give, put, shared, take, text};
use std::ffi::c_char;

/// A checked bundle: a model, compiled for one or more targets. It may be used by several threads at
/// once.
pub struct Bundle {
    pub(crate) bundle: drift_runtime::Bundle,
}

/// Maps and checks a .drift file. The file must not be changed until everything made of the bundle is
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_open(
    path: *const c_char,
    bundle: *mut *mut Bundle,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let path = unsafe { text(path, "path")? };
        let make = || Ok(Bundle { bundle: drift_runtime::Bundle::open(path)? });
        // SAFETY: as the header demands.
        unsafe { give(bundle, make, "bundle") }
    })
}

/// Checks a bundle in memory, which is copied: it may be freed afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_from_memory(
    data: *const u8,
    size: usize,
    bundle: *mut *mut Bundle,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let data = unsafe { array(data, size, "data")? };
        let make = || Ok(Bundle { bundle: drift_runtime::Bundle::from_vec(data.to_vec())? });
        // SAFETY: as the header demands.
        unsafe { give(bundle, make, "bundle") }
    })
}

/// Reads the weights once and compares them with their checksum; `DRIFT_STATUS_BUNDLE` says that they
/// were damaged after they were written. Everything else is checked when a bundle is opened. Weights
/// may be many gigabytes, so it is for programs that cannot trust the file (a download, a memory card)
/// and is called before a session is made. Of a file little stays in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_verify(bundle: *const Bundle) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        Ok(unsafe { shared(bundle, "bundle")? }.bundle.verify()?)
    })
}

/// Copies the model's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
/// long it is. With memory null and capacity 0, only the size is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_model(
    bundle: *const Bundle,
    name: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        unsafe {
            copy(shared(bundle, "bundle")?.bundle.meta().model().as_bytes(), name, capacity, size)
        }
    })
}

/// Bytes that travel with the bundle ("tokenizer.json", say): a pointer into the bundle, valid until
/// it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_asset(
    bundle: *const Bundle,
    name: *const c_char,
    data: *mut *const u8,
    size: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (bundle, name) = unsafe { (&shared(bundle, "bundle")?.bundle, text(name, "name")?) };
        let asset = bundle.asset(name).ok_or_else(|| {
            let names: Vec<&str> = bundle.assets().collect();
            Failure::input(format!("no asset {name:?}; there are: {}", names.join(", ")))
        })?;
        // SAFETY: as the header demands.
        unsafe {
            put(size, asset.len(), "size")?;
            put(data, asset.as_ptr(), "data")
        }
    })
}

/// Frees a bundle; null is nothing. Sessions that were made of it keep what they need.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_bundle_free(bundle: *mut Bundle) {
    call(|| {
        // SAFETY: as the header demands.
        unsafe { take(bundle) };
        Ok(())
    });
}
