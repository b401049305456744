//! Sessions: a bundle's variant, loaded on a device.

use crate::bundle::Bundle;
use crate::device::Device;
use crate::error::{Failure, Result, Status, call};
use crate::pointer::{array, array_mut, copy, exclusive, give, put, shared, take, text};
use crate::tensor::{Tensor, TensorInfo, type_of};
use drift_runtime::{DriverCache, SessionOptions, TensorRef};
use std::collections::BTreeSet;
use std::ffi::c_char;

/// A bundle's variant, loaded on a device. One thread at a time may use it.
pub struct Session {
    session: drift_runtime::Session,
    entries: Vec<Entry>,
    /// Position in `entries`.
    entry: usize,
    states: Vec<Tensor>,
}

struct Entry {
    name: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// Names of the inputs that have contents.
    set: BTreeSet<String>,
}

/// How a session is made. All zeros is the default.
#[repr(C)]
pub struct LoadOptions {
    /// Target id of the variant to run; null = the best one.
    variant: *const c_char,
    /// Folder for compiled pipelines; null = the user's cache folder.
    cache_dir: *const c_char,
    /// Keep no compiled pipelines.
    no_cache: bool,
}

/// Null is the default.
pub unsafe fn options_of(options: *const LoadOptions) -> Result<SessionOptions> {
    let mut out = SessionOptions::default();
    if options.is_null() {
        return Ok(out);
    }
    // SAFETY: as the header demands.
    let options = unsafe { shared(options, "options")? };
    if !options.variant.is_null() {
        // SAFETY: as the header demands.
        out.variant = Some(unsafe { text(options.variant, "options.variant")? }.to_owned());
    }
    if !options.cache_dir.is_null() {
        // SAFETY: as the header demands.
        let folder = unsafe { text(options.cache_dir, "options.cache_dir")? };
        out.cache = DriverCache::Dir(folder.into());
    }
    if options.no_cache {
        out.cache = DriverCache::Off;
    }
    Ok(out)
}

impl Session {
    fn new(device: &Device, bundle: &Bundle, options: &SessionOptions) -> Result<Session> {
        let (device, bundle) = (&device.device, &bundle.bundle);
        let session = drift_runtime::Session::with_options(device, bundle, options)?;
        let plan = session.plan();
        let states = plan.states.iter().map(Tensor::of_state).collect();
        let entry = |e: &drift_runtime::plan::EntryPoint| Entry {
            name: e.name.clone(),
            inputs: e.inputs.iter().map(Tensor::of).collect(),
            outputs: e.outputs.iter().map(Tensor::of).collect(),
            set: BTreeSet::new(),
        };
        let entries = plan.entry_points.iter().map(entry).collect();
        Ok(Session { session, entries, entry: 0, states })
    }

    fn entry(&self) -> &Entry {
        &self.entries[self.entry]
    }
}

/// Loads a bundle on a device: creates objects, uploads weights, compiles pipelines, records
/// commands. The bundle's shaders run as they are; run bundles from people whose programs you would
/// run. Options may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_create(
    device: *const Device,
    bundle: *const Bundle,
    options: *const LoadOptions,
    session: *mut *mut Session,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (device, bundle) = unsafe { (shared(device, "device")?, shared(bundle, "bundle")?) };
        // SAFETY: as the header demands.
        let options = unsafe { options_of(options)? };
        // SAFETY: as the header demands.
        unsafe { give(session, || Session::new(device, bundle, &options), "session") }
    })
}

/// Chooses the entry point that the other functions mean; the first one at the start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_set_entry(
    session: *mut Session,
    name: *const c_char,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (s, name) = unsafe { (exclusive(session, "session")?, text(name, "name")?) };
        s.session.set_entry(name)?;
        s.entry = s.entries.iter().position(|e| e.name == name).unwrap_or(0);
        Ok(())
    })
}

/// Which tensors are meant.
#[derive(Clone, Copy)]
enum List {
    Inputs,
    Outputs,
    States,
}

impl List {
    fn of(self, s: &Session) -> &[Tensor] {
        match self {
            List::Inputs => &s.entry().inputs,
            List::Outputs => &s.entry().outputs,
            List::States => &s.states,
        }
    }
}

unsafe fn info(list: List, s: *const Session, index: usize, out: *mut TensorInfo) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let tensors = list.of(unsafe { shared(s, "session")? });
        let tensor = tensors.get(index).ok_or_else(|| {
            Failure::argument(format!("index {index}, but there are {}", tensors.len()))
        })?;
        // SAFETY: as the header demands.
        unsafe { put(out, tensor.info(), "info") }
    })
}

unsafe fn count(list: List, s: *const Session) -> usize {
    let mut count = 0;
    call(|| {
        // SAFETY: as the header demands.
        count = list.of(unsafe { shared(s, "session")? }).len();
        Ok(())
    });
    count
}

/// Number of inputs of the entry point; 0 for a null session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_input_count(session: *const Session) -> usize {
    // SAFETY: as the header demands.
    unsafe { count(List::Inputs, session) }
}

/// Number of outputs of the entry point; 0 for a null session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_output_count(session: *const Session) -> usize {
    // SAFETY: as the header demands.
    unsafe { count(List::Outputs, session) }
}

/// Number of states (tensors that persist between runs); 0 for a null session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_state_count(session: *const Session) -> usize {
    // SAFETY: as the header demands.
    unsafe { count(List::States, session) }
}

/// Describes an input of the entry point.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_input(
    session: *const Session,
    index: usize,
    info: *mut TensorInfo,
) -> Status {
    // SAFETY: as the header demands.
    unsafe { self::info(List::Inputs, session, index, info) }
}

/// Describes an output of the entry point.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_output(
    session: *const Session,
    index: usize,
    info: *mut TensorInfo,
) -> Status {
    // SAFETY: as the header demands.
    unsafe { self::info(List::Outputs, session, index, info) }
}

/// Describes a state, in the types that it has on the device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_state(
    session: *const Session,
    index: usize,
    info: *mut TensorInfo,
) -> Status {
    // SAFETY: as the header demands.
    unsafe { self::info(List::States, session, index, info) }
}

/// Sets an input, which keeps its contents over later runs. Type (DRIFT_TYPE_...; another one of the
/// same kind is converted), shape and size must be the model's; with rank 0 and shape null the shape
/// of a tensor is not compared. The data is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_set_input(
    session: *mut Session,
    name: *const c_char,
    elem_type: u32,
    shape: *const u64,
    rank: usize,
    data: *const u8,
    size: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (s, name) = unsafe { (exclusive(session, "session")?, text(name, "name")?) };
        // SAFETY: as the header demands.
        let (shape, data) = unsafe { (array(shape, rank, "shape")?, array(data, size, "data")?) };
        let mut tensor = TensorRef::from_bytes(type_of(elem_type)?, data, shape);
        if rank == 0 {
            tensor.shape = None;
        }
        s.session.set_input(name, tensor)?;
        let entry = s.entry;
        s.entries[entry].set.insert(name.to_owned());
        Ok(())
    })
}

/// Runs once and waits. Every input must have been set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_run(session: *mut Session) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let s = unsafe { exclusive(session, "session")? };
        let entry = s.entry();
        if let Some(input) = entry.inputs.iter().find(|i| !entry.set.contains(&i.name)) {
            return Err(Failure::input(format!("input {:?} was never set", input.name)));
        }
        s.session.submit()?;
        s.session.wait()?;
        Ok(())
    })
}

/// Copies an output of the last run to memory of `capacity` bytes and says in `size` (may be null)
/// how many there are. With data null and capacity 0, only the size is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_get_output(
    session: *mut Session,
    name: *const c_char,
    data: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (s, name) = unsafe { (exclusive(session, "session")?, text(name, "name")?) };
        let output = s.session.output(name)?;
        // SAFETY: as the header demands.
        unsafe { copy(&output.bytes, data, capacity, size) }
    })
}

/// Reads `size` bytes of a state, from a byte offset on, as the runs so far leave them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_read_state(
    session: *mut Session,
    name: *const c_char,
    offset: u64,
    data: *mut u8,
    size: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (s, name) = unsafe { (exclusive(session, "session")?, text(name, "name")?) };
        // SAFETY: as the header demands.
        let data = unsafe { array_mut(data, size, "data")? };
        Ok(s.session.read_state(name, offset, data)?)
    })
}

/// Overwrites `size` bytes of a state, from a byte offset on, for the runs that follow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_write_state(
    session: *mut Session,
    name: *const c_char,
    offset: u64,
    data: *const u8,
    size: usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (s, name) = unsafe { (exclusive(session, "session")?, text(name, "name")?) };
        // SAFETY: as the header demands.
        let data = unsafe { array(data, size, "data")? };
        Ok(s.session.write_state(name, offset, data)?)
    })
}

/// Fills all states with zeros, as at the start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_reset_states(session: *mut Session) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        Ok(unsafe { exclusive(session, "session")? }.session.reset_state()?)
    })
}

/// Frees a session; null is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_session_free(session: *mut Session) {
    call(|| {
        // SAFETY: as the header demands.
        unsafe { take(session) };
        Ok(())
    });
}
