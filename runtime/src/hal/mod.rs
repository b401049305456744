//! What an API back end provides. Static dispatch inside (`Hal` and its `Program`), one `match`
//! outside (`AnyDevice`, `AnyProgram`): adding an API is one module, one feature and one variant.
#![allow(unsafe_code)]

#[cfg(any(
    feature = "vulkan",
    feature = "opencl",
    feature = "webgpu",
    all(feature = "metal", target_vendor = "apple"),
))]
// Metal writes its archives itself
#[cfg_attr(not(any(feature = "vulkan", feature = "opencl", feature = "webgpu")), allow(dead_code))]
mod cache;
#[cfg(feature = "external")]
pub mod external;
#[cfg(all(feature = "metal", target_vendor = "apple"))]
pub(crate) mod metal;
#[cfg(feature = "opencl")]
pub(crate) mod opencl;
#[cfg(feature = "vulkan")]
pub(crate) mod vulkan;
#[cfg(feature = "webgpu")]
pub(crate) mod webgpu;

use crate::{
    bundle::Bundle,
    device::DeviceInfo,
    error::{Result, RuntimeError},
    session::DriverCache,
};
use drift_bundle::caps::Api;
use std::time::Duration;

/// Everything a back end needs to turn a variant into GPU objects.
pub(crate) struct LoadRequest<'a> {
    pub bundle: &'a Bundle,
    /// Index of a variant whose requirements the device meets.
    pub variant: usize,
    pub cache: &'a DriverCache,
}

/// GPU time of one replay, in nanoseconds.
pub type Nanos = u64;

/// Most bytes that one submit can bring back ([`Fetch`]).
pub const FETCH_BYTES: u64 = 64 << 10;

/// Bytes of a buffer object that a submit brings back to the host; at most [`FETCH_BYTES`].
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    pub object: u32,
    pub offset: u64,
    pub bytes: u64,
}

/// Number of a submit, ascending.
pub type SubmitNumber = u64;

/// An open device of one API. Cheap to clone; all clones are the same device.
pub(crate) trait Hal: Clone + Send + Sync + Sized + 'static {
    type Program: Program;

    fn info(&self) -> &DeviceInfo;
    /// Creates objects, uploads weights, creates pipelines and records every entry point.
    fn load(&self, request: &LoadRequest<'_>) -> Result<Self::Program>;
    /// What the API's validation said so far (empty when it is off).
    fn validation_messages(&self) -> Vec<String>;
}

/// A loaded variant: objects, pipelines and recorded commands. Everything that a program is asked to
/// do happens in the order of the calls, also while several submits are in flight.
pub trait Program: Send {
    /// Lets `fill` write `bytes` bytes of a buffer object, starting at `offset`, for the submits that
    /// follow. Those in flight do not see it (a back end may wait for them).
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()>;
    /// Reads a part of a buffer object as the submits so far leave it; waits for them.
    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()>;
    /// Starts `times` replays of an entry point, each after everything before it, and then `fetch`.
    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber>;
    /// Waits for all submits in flight.
    fn wait(&mut self) -> Result<()>;
    /// Waits for this submit and all before it.
    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()>;
    /// What a finished submit fetched; `None` when later ones have taken its place.
    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]>;
    /// Device bytes of an output as of the entry point's last finished replay.
    fn output(&self, entry: usize, output: usize) -> &[u8];
    /// Zero-fills the state objects.
    fn reset_state(&mut self) -> Result<()>;
    /// One replay with a time stamp around each dispatch: (label index, time), in step order.
    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>>;
    /// `n` replays back to back, GPU time of each.
    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>>;
    fn set_timeout(&mut self, timeout: Duration);
}

/// The APIs of this build, in the order in which their devices are listed and tried.
pub(crate) const APIS: &[Api] = &[
    #[cfg(all(feature = "metal", target_vendor = "apple"))]
    Api::Metal,
    #[cfg(feature = "vulkan")]
    Api::Vulkan,
    #[cfg(feature = "opencl")]
    Api::OpenCl,
    #[cfg(feature = "webgpu")]
    Api::WebGpu,
];

/// Calls the same method on whichever back end is inside.
macro_rules! dispatch {
    ($value:expr, $any:ident, $inner:ident => $body:expr) => {
        match $value {
            #[cfg(feature = "vulkan")]
            $any::Vulkan($inner) => $body,
            #[cfg(all(feature = "metal", target_vendor = "apple"))]
            $any::Metal($inner) => $body,
            #[cfg(feature = "opencl")]
            $any::OpenCl($inner) => $body,
            #[cfg(feature = "webgpu")]
            $any::WebGpu($inner) => $body,
            #[cfg(feature = "external")]
            $any::External($inner) => $body,
            #[cfg(not(any(
                feature = "vulkan",
                feature = "opencl",
                feature = "webgpu",
                feature = "external",
                all(feature = "metal", target_vendor = "apple"),
            )))]
            $any::None(never) => match *never {},
        }
    };
}

#[derive(Clone)]
pub(crate) enum AnyDevice {
    #[cfg(feature = "vulkan")]
    Vulkan(vulkan::VulkanDevice),
    #[cfg(all(feature = "metal", target_vendor = "apple"))]
    Metal(metal::MetalDevice),
    #[cfg(feature = "opencl")]
    OpenCl(opencl::OpenClDevice),
    #[cfg(feature = "webgpu")]
    WebGpu(webgpu::WebGpuDevice),
    #[cfg(feature = "external")]
    External(std::sync::Arc<dyn external::ExternalDevice>),
    #[cfg(not(any(
        feature = "vulkan",
        feature = "opencl",
        feature = "webgpu",
        feature = "external",
        all(feature = "metal", target_vendor = "apple"),
    )))]
    None(std::convert::Infallible),
}

pub(crate) enum AnyProgram {
    #[cfg(feature = "vulkan")]
    Vulkan(Box<vulkan::VulkanProgram>),
    #[cfg(all(feature = "metal", target_vendor = "apple"))]
    Metal(Box<metal::MetalProgram>),
    #[cfg(feature = "opencl")]
    OpenCl(Box<opencl::OpenClProgram>),
    #[cfg(feature = "webgpu")]
    WebGpu(Box<webgpu::WebGpuProgram>),
    #[cfg(feature = "external")]
    External(Box<dyn Program>),
    #[cfg(not(any(
        feature = "vulkan",
        feature = "opencl",
        feature = "webgpu",
        feature = "external",
        all(feature = "metal", target_vendor = "apple"),
    )))]
    None(std::convert::Infallible),
}

fn not_built(api: Api) -> RuntimeError {
    RuntimeError::NoDevice { reason: format!("this build is without {api} (feature `{api}`)") }
}

impl AnyDevice {
    /// The devices of one API, numbered from 0.
    pub fn list(api: Api) -> Result<Vec<DeviceInfo>> {
        match api {
            #[cfg(feature = "vulkan")]
            Api::Vulkan => vulkan::list(),
            #[cfg(all(feature = "metal", target_vendor = "apple"))]
            Api::Metal => metal::list(),
            #[cfg(feature = "opencl")]
            Api::OpenCl => opencl::list(),
            #[cfg(feature = "webgpu")]
            Api::WebGpu => webgpu::list(),
            other => Err(not_built(other)),
        }
    }

    /// Opens the device at this position of [`AnyDevice::list`].
    pub fn open(api: Api, index: usize) -> Result<AnyDevice> {
        let _ = index;
        match api {
            #[cfg(feature = "vulkan")]
            Api::Vulkan => vulkan::VulkanDevice::open(index).map(AnyDevice::Vulkan),
            #[cfg(all(feature = "metal", target_vendor = "apple"))]
            Api::Metal => metal::MetalDevice::open(index).map(AnyDevice::Metal),
            #[cfg(feature = "opencl")]
            Api::OpenCl => opencl::OpenClDevice::open(index).map(AnyDevice::OpenCl),
            #[cfg(feature = "webgpu")]
            Api::WebGpu => webgpu::WebGpuDevice::open(index).map(AnyDevice::WebGpu),
            other => Err(not_built(other)),
        }
    }

    pub fn info(&self) -> &DeviceInfo {
        dispatch!(self, AnyDevice, d => d.info())
    }
    pub fn load(&self, request: &LoadRequest<'_>) -> Result<AnyProgram> {
        match self {
            #[cfg(feature = "vulkan")]
            AnyDevice::Vulkan(d) => Ok(AnyProgram::Vulkan(Box::new(d.load(request)?))),
            #[cfg(all(feature = "metal", target_vendor = "apple"))]
            AnyDevice::Metal(d) => Ok(AnyProgram::Metal(Box::new(d.load(request)?))),
            #[cfg(feature = "opencl")]
            AnyDevice::OpenCl(d) => Ok(AnyProgram::OpenCl(Box::new(d.load(request)?))),
            #[cfg(feature = "webgpu")]
            AnyDevice::WebGpu(d) => Ok(AnyProgram::WebGpu(Box::new(d.load(request)?))),
            #[cfg(feature = "external")]
            AnyDevice::External(d) => {
                Ok(AnyProgram::External(d.load(&external::Variant::of(request))?))
            }
            #[cfg(not(any(
                feature = "vulkan",
                feature = "opencl",
                feature = "webgpu",
                feature = "external",
                all(feature = "metal", target_vendor = "apple"),
            )))]
            AnyDevice::None(never) => match *never {},
        }
    }
    pub fn validation_messages(&self) -> Vec<String> {
        dispatch!(self, AnyDevice, d => d.validation_messages())
    }
}

impl Program for AnyProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        dispatch!(self, AnyProgram, p => p.write(object, offset, bytes, fill))
    }
    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        dispatch!(self, AnyProgram, p => p.read(object, offset, out))
    }
    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        dispatch!(self, AnyProgram, p => p.submit(entry, times, fetch))
    }
    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()> {
        dispatch!(self, AnyProgram, p => p.wait_for(submit))
    }
    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        dispatch!(self, AnyProgram, p => p.fetched(submit))
    }
    fn wait(&mut self) -> Result<()> {
        dispatch!(self, AnyProgram, p => p.wait())
    }
    fn output(&self, entry: usize, output: usize) -> &[u8] {
        dispatch!(self, AnyProgram, p => p.output(entry, output))
    }
    fn reset_state(&mut self) -> Result<()> {
        dispatch!(self, AnyProgram, p => p.reset_state())
    }
    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>> {
        dispatch!(self, AnyProgram, p => p.profile(entry))
    }
    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        dispatch!(self, AnyProgram, p => p.bench(entry, n))
    }
    fn set_timeout(&mut self, timeout: Duration) {
        dispatch!(self, AnyProgram, p => p.set_timeout(timeout))
    }
}
