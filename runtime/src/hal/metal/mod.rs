//! Metal on Apple's and other GPUs, from macOS 13 and iOS 16 on.
//!
//! One queue per session. Resources are not tracked by Metal: inside of an encoder the plan's barriers
//! say what waits for what, and one fence orders the encoders. Commands are encoded anew for each
//! submit, into command buffers that keep no references; what they use is leaked if the device does
//! not answer.
//!
//! No Mac runs the tests of this repository: they check that this compiles, and run the kernels' text
//! on the CPU (`tests/msl-cpu`).

mod encode;
mod error;
mod flight;
mod objects;
mod physical;
mod pipelines;
mod program;

pub(crate) use program::MetalProgram;

use crate::{
    device::DeviceInfo,
    error::{Result, RuntimeError},
    hal::{Hal, LoadRequest},
};
use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_metal::{MTLBuffer, MTLCommandBuffer, MTLCommandQueue, MTLDevice, MTLFence, MTLTexture};
use physical::Physical;
use std::{ops::Deref, sync::Arc};

pub(crate) type Device = Retained<ProtocolObject<dyn MTLDevice>>;
pub(crate) type Queue = Retained<ProtocolObject<dyn MTLCommandQueue>>;
pub(crate) type Fence = Retained<ProtocolObject<dyn MTLFence>>;
pub(crate) type Buffer = Retained<ProtocolObject<dyn MTLBuffer>>;
pub(crate) type Texture = Retained<ProtocolObject<dyn MTLTexture>>;
pub(crate) type Commands = Retained<ProtocolObject<dyn MTLCommandBuffer>>;

/// An open device.
#[derive(Clone)]
pub(crate) struct MetalDevice(Arc<Physical>);

impl Deref for MetalDevice {
    type Target = Physical;
    fn deref(&self) -> &Physical {
        &self.0
    }
}

/// All devices of the system.
pub(crate) fn list() -> Result<Vec<DeviceInfo>> {
    let devices = physical::enumerate();
    if devices.is_empty() {
        return Err(RuntimeError::NoDevice { reason: "the system has no Metal device".into() });
    }
    Ok(devices.into_iter().map(|p| p.info).collect())
}

impl MetalDevice {
    pub(crate) fn open(index: usize) -> Result<MetalDevice> {
        let mut devices = physical::enumerate();
        if index >= devices.len() {
            let reason = format!("device {index} does not exist, there are {}", devices.len());
            return Err(RuntimeError::NoDevice { reason });
        }
        Ok(MetalDevice(Arc::new(devices.swap_remove(index))))
    }
}

impl Hal for MetalDevice {
    type Program = MetalProgram;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }
    fn load(&self, request: &LoadRequest<'_>) -> Result<MetalProgram> {
        objc2::rc::autoreleasepool(|_| MetalProgram::load(self, request))
    }
    fn validation_messages(&self) -> Vec<String> {
        Vec::new()
    }
}
