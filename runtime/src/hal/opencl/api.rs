//! The calls of OpenCL 1.2 that replaying needs, and owners of its objects.
//!
//! The library is looked for at run time ([`super::library`]); `opencl-sys` declares what is in it.

use super::error::{ClResultExt, driver};
use super::library::{self, Functions};
use crate::error::{Result, RuntimeError};
use opencl_sys::{
    CL_INVALID_VALUE, CL_SUCCESS, cl_command_queue, cl_context, cl_device_id, cl_event,
    cl_image_desc, cl_image_format, cl_int, cl_kernel, cl_mem, cl_platform_id, cl_program, cl_uint,
    cl_ulong,
};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

/// A call could not be made, for there is no library.
const NO_LIBRARY: cl_int = cl_int::MIN;

fn library() -> Result<&'static Functions, cl_int> {
    library::loaded().as_ref().map_err(|_| NO_LIBRARY)
}

/// Whether there is an OpenCL library at all.
pub(crate) fn available() -> Result<()> {
    match library::loaded() {
        Ok(_) => Ok(()),
        Err(why) => {
            let reason = format!("no OpenCL library ({why}); {}", library::HELP);
            Err(RuntimeError::NoDevice { reason })
        }
    }
}

/// Calls a function that returns an error code.
macro_rules! status {
    ($name:ident($($arg:expr),* $(,)?)) => {
        // SAFETY: the functions of OpenCL take what their declarations say; handles come from owners,
        // and pointers from references that are alive during the call, or are null where that is
        // allowed.
        match library().map(|l| unsafe { (l.$name)($($arg),*) }) {
            Ok(CL_SUCCESS) => Ok(()),
            Ok(code) | Err(code) => Err(code),
        }
    };
}

/// Calls a function that returns an object and writes an error code through its last argument.
macro_rules! create {
    ($name:ident($($arg:expr),* $(,)?)) => {{
        let mut code = CL_INVALID_VALUE;
        let library = library()?;
        // SAFETY: as in `status`.
        let object = unsafe { (library.$name)($($arg,)* &raw mut code) };
        match (code, object.is_null()) {
            (CL_SUCCESS, false) => Ok(object),
            (CL_SUCCESS, true) => Err(CL_INVALID_VALUE),
            (code, _) => Err(code),
        }
    }};
}

/// Objects that are released when their owner goes.
macro_rules! owners {
    ($($(#[$doc:meta])* $owner:ident($raw:ty) $release:ident)*) => {$(
        $(#[$doc])*
        pub(crate) struct $owner($raw);
        // SAFETY: OpenCL objects may be used and released on any thread; the one exception, the
        // arguments of a kernel, are set by `&mut` methods.
        unsafe impl Send for $owner {}
        // SAFETY: as above.
        unsafe impl Sync for $owner {}
        impl Drop for $owner {
            fn drop(&mut self) {
                let _: Result<(), cl_int> = status!($release(self.0));
            }
        }
    )*};
}
owners! {
    Context(cl_context) clReleaseContext
    Queue(cl_command_queue) clReleaseCommandQueue
    /// A buffer or an image.
    Mem(cl_mem) clReleaseMemObject
    Program(cl_program) clReleaseProgram
    Kernel(cl_kernel) clReleaseKernel
    Event(cl_event) clReleaseEvent
}

/// A device; never released, for platforms own theirs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceId(cl_device_id);
// SAFETY: a name, valid for the life of the process.
unsafe impl Send for DeviceId {}
// SAFETY: as above.
unsafe impl Sync for DeviceId {}

#[derive(Clone, Copy)]
pub(crate) struct PlatformId(cl_platform_id);
// SAFETY: a name, valid for the life of the process.
unsafe impl Send for PlatformId {}
// SAFETY: as above.
unsafe impl Sync for PlatformId {}

/// Asks for a value twice: for its size, and for its bytes.
fn bytes_of(
    mut ask: impl FnMut(usize, *mut c_void, *mut usize) -> Result<(), cl_int>,
) -> Result<Vec<u8>, cl_int> {
    let mut size = 0;
    ask(0, null_mut(), &raw mut size)?;
    let mut bytes = vec![0u8; size];
    if size > 0 {
        ask(size, bytes.as_mut_ptr().cast(), null_mut())?;
    }
    Ok(bytes)
}

fn text_of(bytes: Vec<u8>) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// A little-endian number of 4 or 8 bytes.
fn number_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(word)
}

impl PlatformId {
    /// All platforms; none is no error.
    pub fn all() -> Result<Vec<PlatformId>> {
        available()?;
        let mut count: cl_uint = 0;
        let counted: Result<(), cl_int> = status!(clGetPlatformIDs(0, null_mut(), &raw mut count));
        // the loader's own code for "there are none"
        if counted.is_err() || count == 0 {
            return Ok(Vec::new());
        }
        let mut ids = vec![null_mut(); count as usize];
        status!(clGetPlatformIDs(count, ids.as_mut_ptr(), null_mut())).check("clGetPlatformIDs")?;
        Ok(ids.into_iter().map(PlatformId).collect())
    }

    pub fn text(self, what: cl_uint) -> String {
        let asked = bytes_of(|n, at, size| status!(clGetPlatformInfo(self.0, what, n, at, size)));
        asked.map_or_else(|_| String::new(), text_of)
    }

    /// A function of one of its extensions.
    pub fn function(self, name: &CStr) -> Option<*mut c_void> {
        let ask = library().ok()?.clGetExtensionFunctionAddressForPlatform;
        // SAFETY: a platform, and the name of a function.
        let function = unsafe { ask(self.0, name.as_ptr()) };
        (!function.is_null()).then_some(function)
    }

    /// Its devices of any kind.
    pub fn devices(self) -> Result<Vec<DeviceId>> {
        let all = opencl_sys::CL_DEVICE_TYPE_ALL;
        let mut count: cl_uint = 0;
        let counted: Result<(), cl_int> =
            status!(clGetDeviceIDs(self.0, all, 0, null_mut(), &raw mut count));
        if counted.is_err() || count == 0 {
            return Ok(Vec::new());
        }
        let mut ids = vec![null_mut(); count as usize];
        status!(clGetDeviceIDs(self.0, all, count, ids.as_mut_ptr(), null_mut()))
            .check("clGetDeviceIDs")?;
        Ok(ids.into_iter().map(DeviceId).collect())
    }
}

impl DeviceId {
    fn bytes(self, what: cl_uint) -> Vec<u8> {
        bytes_of(|n, at, size| status!(clGetDeviceInfo(self.0, what, n, at, size)))
            .unwrap_or_default()
    }

    /// Empty where the device does not know the question.
    pub fn text(self, what: cl_uint) -> String {
        text_of(self.bytes(what))
    }

    /// 0 where the device does not know the question.
    pub fn number(self, what: cl_uint) -> u64 {
        number_of(&self.bytes(what))
    }

    pub fn numbers(self, what: cl_uint) -> Vec<u64> {
        self.bytes(what).chunks_exact(size_of::<usize>()).map(number_of).collect()
    }
}

impl Context {
    pub fn new(device: DeviceId) -> Result<Context, cl_int> {
        let create = || create!(clCreateContext(null(), 1, &raw const device.0, None, null_mut()));
        create().map(Context)
    }

    /// A queue that runs commands in their order.
    pub fn queue(&self, device: DeviceId, profiling: bool) -> Result<Queue, cl_int> {
        let properties = match profiling {
            true => opencl_sys::CL_QUEUE_PROFILING_ENABLE,
            false => 0,
        };
        create!(clCreateCommandQueue(self.0, device.0, properties)).map(Queue)
    }

    pub fn buffer(&self, flags: u64, bytes: u64) -> Result<Mem, cl_int> {
        create!(clCreateBuffer(self.0, flags, bytes as usize, null_mut())).map(Mem)
    }

    pub fn image(
        &self,
        flags: u64,
        format: &cl_image_format,
        description: &cl_image_desc,
    ) -> Result<Mem, cl_int> {
        create!(clCreateImage(self.0, flags, format, description, null_mut())).map(Mem)
    }

    pub fn program(&self, source: &[u8]) -> Result<Program, cl_int> {
        // the signature leaves out that the pointer is only read
        let mut text: *const c_char = source.as_ptr().cast();
        let bytes = source.len();
        create!(clCreateProgramWithSource(self.0, 1, &raw mut text, &raw const bytes)).map(Program)
    }

    /// A program from what [`Program::binary`] gave; the driver may refuse it.
    pub fn program_of_binary(&self, device: DeviceId, binary: &[u8]) -> Result<Program, cl_int> {
        let (mut data, bytes) = (binary.as_ptr(), binary.len());
        let mut taken: cl_int = CL_SUCCESS;
        let program = create!(clCreateProgramWithBinary(
            self.0,
            1,
            &raw const device.0,
            &raw const bytes,
            &raw mut data,
            &raw mut taken,
        ))
        .map(Program)?;
        if taken == CL_SUCCESS { Ok(program) } else { Err(taken) }
    }
}

impl Mem {
    pub fn raw(&self) -> cl_mem {
        self.0
    }
}

impl Program {
    /// Compiles it; what the compiler says is in [`Program::log`].
    pub fn build(&self, device: DeviceId, options: &CStr) -> Result<(), cl_int> {
        let options = options.as_ptr();
        status!(clBuildProgram(self.0, 1, &raw const device.0, options, None, null_mut()))
    }

    pub fn log(&self, device: DeviceId) -> String {
        let what = opencl_sys::CL_PROGRAM_BUILD_LOG;
        bytes_of(|n, at, size| status!(clGetProgramBuildInfo(self.0, device.0, what, n, at, size)))
            .map_or_else(|_| String::new(), text_of)
    }

    /// The driver's own form of the program, for the cache.
    pub fn binary(&self) -> Option<Vec<u8>> {
        let what = opencl_sys::CL_PROGRAM_BINARY_SIZES;
        let sizes =
            bytes_of(|n, at, size| status!(clGetProgramInfo(self.0, what, n, at, size))).ok()?;
        let mut binary = vec![0u8; number_of(&sizes) as usize];
        let mut place = binary.as_mut_ptr();
        let what = opencl_sys::CL_PROGRAM_BINARIES;
        // one device, so one place of that many bytes
        let asked: Result<(), cl_int> = status!(clGetProgramInfo(
            self.0,
            what,
            size_of::<*mut u8>(),
            (&raw mut place).cast(),
            null_mut(),
        ));
        asked.ok()?;
        (!binary.is_empty()).then_some(binary)
    }

    pub fn kernel(&self, name: &CStr) -> Result<Kernel, cl_int> {
        create!(clCreateKernel(self.0, name.as_ptr())).map(Kernel)
    }
}

impl Kernel {
    pub fn raw(&self) -> cl_kernel {
        self.0
    }

    pub fn set_mem(&mut self, index: u32, mem: &Mem) -> Result<(), cl_int> {
        let value = &raw const mem.0;
        status!(clSetKernelArg(self.0, index, size_of::<cl_mem>(), value.cast()))
    }

    pub fn set_u64(&mut self, index: u32, value: u64) -> Result<(), cl_int> {
        let value = &raw const value;
        status!(clSetKernelArg(self.0, index, size_of::<cl_ulong>(), value.cast()))
    }

    /// Most invocations of a workgroup of it; 0 when the driver does not say.
    pub fn most_invocations(&self, device: DeviceId) -> u64 {
        let what = opencl_sys::CL_KERNEL_WORK_GROUP_SIZE;
        bytes_of(|n, at, size| {
            status!(clGetKernelWorkGroupInfo(self.0, device.0, what, n, at, size))
        })
        .map_or(0, |bytes| number_of(&bytes))
    }
}

/// A place for an event, where one is wanted.
#[derive(Default)]
pub(crate) struct Wanted(Option<cl_event>);

impl Wanted {
    pub fn yes() -> Wanted {
        Wanted(Some(null_mut()))
    }
    fn place(&mut self) -> *mut cl_event {
        self.0.as_mut().map_or(null_mut(), |event| &raw mut *event)
    }
    pub fn take(self) -> Option<Event> {
        self.0.filter(|event| !event.is_null()).map(Event)
    }
}

/// Commands. Each is behind all before it on the same queue. What they refer to must stay alive until
/// they have run; OpenCL keeps its own objects alive itself, so that concerns host memory only.
impl Queue {
    pub fn raw(&self) -> cl_command_queue {
        self.0
    }

    pub fn dispatch(
        &self,
        kernel: &Kernel,
        global: &[usize; 3],
        local: &[usize; 3],
        event: &mut Wanted,
    ) -> Result<(), cl_int> {
        let (global, local) = (global.as_ptr(), local.as_ptr());
        let event = event.place();
        let (queue, kernel) = (self.0, kernel.0);
        status!(clEnqueueNDRangeKernel(queue, kernel, 3, null(), global, local, 0, null(), event))
    }

    pub fn copy(
        &self,
        (from, from_offset): (&Mem, u64),
        (to, to_offset): (&Mem, u64),
        bytes: u64,
    ) -> Result<(), cl_int> {
        let [a, b, n] = [from_offset, to_offset, bytes].map(|v| v as usize);
        status!(clEnqueueCopyBuffer(self.0, from.0, to.0, a, b, n, 0, null(), null_mut()))
    }

    /// Repeats a word over a buffer of whole words.
    pub fn fill(&self, mem: &Mem, word: u32, bytes: u64) -> Result<(), cl_int> {
        let pattern: *const c_void = (&raw const word).cast();
        let n = bytes as usize;
        status!(clEnqueueFillBuffer(self.0, mem.0, pattern, 4, 0, n, 0, null(), null_mut()))
    }

    pub fn fill_image(&self, mem: &Mem, value: f32, extent: &[usize; 3]) -> Result<(), cl_int> {
        let color = [value; 4];
        let origin = [0usize; 3];
        let (color, origin) = (color.as_ptr().cast(), origin.as_ptr());
        let region = extent.as_ptr();
        status!(clEnqueueFillImage(self.0, mem.0, color, origin, region, 0, null(), null_mut()))
    }

    /// Starts copying from the host.
    ///
    /// # Safety
    /// `data` stays where it is and unchanged until the command has run.
    pub unsafe fn write(
        &self,
        mem: &Mem,
        offset: u64,
        data: &[u8],
        event: &mut Wanted,
    ) -> Result<(), cl_int> {
        let (at, n, from) = (offset as usize, data.len(), data.as_ptr().cast());
        let event = event.place();
        status!(clEnqueueWriteBuffer(self.0, mem.0, 0, at, n, from, 0, null(), event))
    }

    /// Copies a whole image, tightly packed, from the host; returns when it is done.
    pub fn write_image(&self, mem: &Mem, extent: &[usize; 3], data: &[u8]) -> Result<(), cl_int> {
        let origin = [0usize; 3];
        let (origin, region) = (origin.as_ptr(), extent.as_ptr());
        let from = data.as_ptr().cast();
        let (queue, mem) = (self.0, mem.0);
        status!(clEnqueueWriteImage(
            queue,
            mem,
            1,
            origin,
            region,
            0,
            0,
            from,
            0,
            null(),
            null_mut()
        ))
    }

    /// Starts copying to the host.
    ///
    /// # Safety
    /// `to` is valid for `bytes` bytes, and nobody touches them until the command has run.
    pub unsafe fn read(
        &self,
        mem: &Mem,
        offset: u64,
        to: *mut u8,
        bytes: u64,
        event: &mut Wanted,
    ) -> Result<(), cl_int> {
        let (at, n, to) = (offset as usize, bytes as usize, to.cast());
        let event = event.place();
        status!(clEnqueueReadBuffer(self.0, mem.0, 0, at, n, to, 0, null(), event))
    }

    /// Where the host sees a buffer made with `CL_MEM_ALLOC_HOST_PTR`, until the buffer is released.
    pub fn map(&self, mem: &Mem, bytes: u64) -> Result<*mut u8, cl_int> {
        let flags = opencl_sys::CL_MAP_READ | opencl_sys::CL_MAP_WRITE;
        let n = bytes as usize;
        let (queue, mem) = (self.0, mem.0);
        let map = || -> Result<*mut c_void, cl_int> {
            create!(clEnqueueMapBuffer(queue, mem, 1, flags, 0, n, 0, null(), null_mut()))
        };
        map().map(<*mut c_void>::cast)
    }

    /// An event that is done when all commands so far are.
    pub fn marker(&self) -> Result<Event, cl_int> {
        let mut event = null_mut();
        status!(clEnqueueMarkerWithWaitList(self.0, 0, null(), &raw mut event))?;
        Ok(Event(event))
    }

    /// Hands the commands so far to the device.
    pub fn flush(&self) -> Result<(), cl_int> {
        status!(clFlush(self.0))
    }

    /// Waits for all commands, however long they take.
    pub fn finish(&self) -> Result<(), cl_int> {
        status!(clFinish(self.0))
    }
}

impl Event {
    /// Whether the command has run; an error when it has failed.
    pub fn is_done(&self) -> Result<bool> {
        let mut state: cl_int = 0;
        let what = opencl_sys::CL_EVENT_COMMAND_EXECUTION_STATUS;
        let place = (&raw mut state).cast();
        status!(clGetEventInfo(self.0, what, size_of::<cl_int>(), place, null_mut()))
            .check("clGetEventInfo")?;
        match state {
            opencl_sys::CL_COMPLETE => Ok(true),
            // a command that failed takes the device's context along
            code if code < 0 => Err(match driver("the commands in flight", code) {
                RuntimeError::OutOfMemory { what, bytes } => {
                    RuntimeError::OutOfMemory { what, bytes }
                }
                _ => RuntimeError::DeviceLost,
            }),
            _ => Ok(false),
        }
    }

    /// When the command started and ended, in nanoseconds since some moment.
    pub fn times(&self) -> Result<(u64, u64)> {
        let ask = |what: cl_uint| -> Result<u64> {
            let mut nanos: cl_ulong = 0;
            let place = (&raw mut nanos).cast();
            status!(clGetEventProfilingInfo(
                self.0,
                what,
                size_of::<cl_ulong>(),
                place,
                null_mut()
            ))
            .check("clGetEventProfilingInfo")?;
            Ok(nanos)
        };
        use opencl_sys::{CL_PROFILING_COMMAND_END, CL_PROFILING_COMMAND_START};
        Ok((ask(CL_PROFILING_COMMAND_START)?, ask(CL_PROFILING_COMMAND_END)?))
    }
}
