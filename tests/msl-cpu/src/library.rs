//! Libraries of kernels and the engine, opened.

use crate::compile::Compiler;
use libloading::os::unix::{Library as Open, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;

/// `drift::Slot` of `include/msl/engine.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub at: *mut c_void,
    pub bytes: u64,
    pub extent: [u32; 3],
    pub is_half: u32,
}

/// `drift::Kernel`.
#[repr(C)]
struct Kernel {
    name: *const c_char,
    invoke: *const c_void,
    workgroup_bytes: u64,
    meets: bool,
}

/// `drift::Dispatch`.
#[repr(C)]
struct Dispatch {
    workgroups: [u32; 3],
    size: [u32; 3],
    slots: *const Slot,
    slot_count: u32,
}

type Run = unsafe extern "C" fn(*const Kernel, *const Dispatch) -> *const c_char;

/// The engine is opened once and stays: libraries of kernels refer to it.
fn engine(compiler: &Compiler) -> Result<Run, String> {
    static ENGINE: OnceLock<Result<(Open, Run), String>> = OnceLock::new();
    let open = || {
        // SAFETY: our own library, made from `engine.cpp`; its start-up code does nothing.
        let library = unsafe { Open::open(Some(compiler.engine()), RTLD_NOW | RTLD_GLOBAL) };
        let library = library.map_err(|e| e.to_string())?;
        // SAFETY: `engine.cpp` defines the function with this signature.
        let run = *unsafe { library.get::<Run>(b"drift_dispatch\0") }.map_err(|e| e.to_string())?;
        Ok((library, run))
    };
    ENGINE.get_or_init(open).as_ref().map(|(_, run)| *run).map_err(Clone::clone)
}

/// Kernels that can be run.
pub struct Library {
    run: Run,
    /// Of the open library below.
    kernels: *const Kernel,
    count: usize,
    _open: Open,
}

// SAFETY: the table is constant, and the engine keeps what it needs for each thread.
unsafe impl Send for Library {}

impl Library {
    /// Compiles kernels (texts and entry points), or opens what was made of them before.
    pub fn new(compiler: &Compiler, kernels: &[(&str, &str)]) -> Result<Library, String> {
        let run = engine(compiler)?;
        let path = compiler.library(kernels)?;
        // SAFETY: made by `Compiler::library` from emitted kernels; it has no start-up code.
        let open = unsafe { Open::open(Some(path), RTLD_NOW) }.map_err(|e| e.to_string())?;
        // SAFETY: `source::batch` writes this table, with an entry for each kernel.
        let table = unsafe { open.get::<*const Kernel>(b"drift_kernels\0") };
        let kernels_at = table.map_err(|e| e.to_string())?.as_raw_ptr().cast::<Kernel>();
        Ok(Library { run, kernels: kernels_at, count: kernels.len(), _open: open })
    }

    /// Runs all workgroups of a dispatch.
    ///
    /// # Errors
    /// What the engine has found wrong.
    ///
    /// # Safety
    /// Each slot is an object of at least as many bytes as it says, which nobody else uses meanwhile.
    pub unsafe fn dispatch(
        &self,
        kernel: usize,
        workgroups: [u32; 3],
        size: [u32; 3],
        slots: &[Slot],
    ) -> Result<(), String> {
        assert!(kernel < self.count);
        let slot_count = slots.len() as u32;
        let dispatch = Dispatch { workgroups, size, slots: slots.as_ptr(), slot_count };
        // SAFETY: the index is inside of the table; the caller's promise.
        let error = unsafe { (self.run)(self.kernels.add(kernel), &dispatch) };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the engine's text ends with a zero and stays until this thread's next dispatch.
        Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned())
    }
}
