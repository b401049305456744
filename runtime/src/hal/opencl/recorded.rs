//! Entry points recorded once, where the driver offers `cl_khr_command_buffer`: a replay then is one
//! call. Wherever anything of it fails, the commands are enqueued one by one.

use super::api::{DeviceId, Kernel, PlatformId, Queue};
use super::programs::{Command, Dispatches};
use opencl_sys::{cl_command_queue, cl_int, cl_kernel, cl_uint};
use std::ffi::c_void;
use std::ptr::{null, null_mut};

type Raw = *mut c_void;

// Numbers and functions of the extension, which are no exports of the loader: they are the
// driver's own, and have to be asked for.
const CAPABILITIES: cl_uint = 0x12A9;
const REQUIRED_QUEUE_PROPERTIES: cl_uint = 0x12AA;
const CAN_REPLAY_SEVERAL_TIMES: u64 = 1 << 2;
const FLAGS: u64 = 0x1293;
const SIMULTANEOUS_USE: u64 = 1;

type Create =
    unsafe extern "C" fn(cl_uint, *const cl_command_queue, *const u64, *mut cl_int) -> Raw;
type Add = unsafe extern "C" fn(
    Raw,
    cl_command_queue,
    *const u64,
    cl_kernel,
    cl_uint,
    *const usize,
    *const usize,
    *const usize,
    cl_uint,
    *const cl_uint,
    *mut cl_uint,
    *mut c_void,
) -> cl_int;
type Plain = unsafe extern "C" fn(Raw) -> cl_int;
type Enqueue = unsafe extern "C" fn(
    cl_uint,
    *mut cl_command_queue,
    Raw,
    cl_uint,
    *const Raw,
    *mut Raw,
) -> cl_int;

/// The extension's functions.
#[derive(Clone, Copy)]
struct Functions {
    create: Create,
    add: Add,
    finalize: Plain,
    release: Plain,
    enqueue: Enqueue,
}

impl Functions {
    fn of(platform: PlatformId) -> Option<Functions> {
        // SAFETY: the driver gives its function of this name, which the extension declares so since
        // its first version.
        unsafe {
            Some(Functions {
                create: std::mem::transmute::<Raw, Create>(
                    platform.function(c"clCreateCommandBufferKHR")?,
                ),
                add: std::mem::transmute::<Raw, Add>(
                    platform.function(c"clCommandNDRangeKernelKHR")?,
                ),
                finalize: std::mem::transmute::<Raw, Plain>(
                    platform.function(c"clFinalizeCommandBufferKHR")?,
                ),
                release: std::mem::transmute::<Raw, Plain>(
                    platform.function(c"clReleaseCommandBufferKHR")?,
                ),
                enqueue: std::mem::transmute::<Raw, Enqueue>(
                    platform.function(c"clEnqueueCommandBufferKHR")?,
                ),
            })
        }
    }
}

/// The commands of one entry point.
pub(crate) struct Recorded {
    raw: Raw,
    functions: Functions,
}

// SAFETY: an OpenCL object, which may be used on any thread.
unsafe impl Send for Recorded {}

impl Recorded {
    /// Enqueues all of it.
    pub fn replay(&self) -> Result<(), cl_int> {
        // SAFETY: finalized, for the queue it was made for, and allowed to be in flight many times.
        let code =
            unsafe { (self.functions.enqueue)(0, null_mut(), self.raw, 0, null(), null_mut()) };
        if code == 0 { Ok(()) } else { Err(code) }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // SAFETY: made by the same driver, released once.
        unsafe { (self.functions.release)(self.raw) };
    }
}

/// Records the entry points of dispatches alone; `None` for others, and where it does not work.
pub(crate) fn record(
    platform: PlatformId,
    device: DeviceId,
    queue: &Queue,
    dispatches: &Dispatches,
) -> Vec<Option<Recorded>> {
    let able = device.text(opencl_sys::CL_DEVICE_EXTENSIONS);
    let able = able.split(' ').any(|e| e == "cl_khr_command_buffer")
        && device.number(CAPABILITIES) & CAN_REPLAY_SEVERAL_TIMES != 0
        && device.number(REQUIRED_QUEUE_PROPERTIES) == 0;
    let functions = if able { Functions::of(platform) } else { None };
    let one = |commands: &Vec<Command>| entry(functions?, queue, commands, &dispatches.kernels);
    dispatches.entries.iter().map(one).collect()
}

fn entry(
    functions: Functions,
    queue: &Queue,
    commands: &[Command],
    kernels: &[Kernel],
) -> Option<Recorded> {
    if commands.len() < 2 {
        return None;
    }
    let queue = queue.raw();
    let properties = [FLAGS, SIMULTANEOUS_USE, 0];
    let mut code = 0;
    // SAFETY: one queue, a list of properties that ends in 0.
    let raw = unsafe { (functions.create)(1, &raw const queue, properties.as_ptr(), &mut code) };
    if code != 0 || raw.is_null() {
        return None;
    }
    let recorded = Recorded { raw, functions };
    for command in commands {
        let Command::Dispatch(d) = command else { return None };
        // SAFETY: the command buffer is being recorded; the kernel has all its arguments.
        let code = unsafe {
            (functions.add)(
                raw,
                null_mut(),
                null(),
                kernels[d.kernel].raw(),
                3,
                null(),
                d.global.as_ptr(),
                d.local.as_ptr(),
                0,
                null(),
                null_mut(),
                null_mut(),
            )
        };
        if code != 0 {
            return None;
        }
    }
    // SAFETY: recorded to its end.
    let code = unsafe { (functions.finalize)(raw) };
    (code == 0).then_some(recorded)
}
