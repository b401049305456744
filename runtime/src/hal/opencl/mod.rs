//! OpenCL 1.2 and newer, full profile.
//!
//! One context per open device, one queue per session. The queue runs commands in their order, so a
//! plan's barriers are no commands; a replay enqueues the kernels of an entry point one after the
//! other, with arguments that were set when the session was made, or all of them with one call where
//! the driver can record commands.

mod api;
mod error;
mod flight;
mod library;
mod objects;
mod physical;
mod program;
mod programs;
mod recorded;
mod timing;

pub(crate) use program::OpenClProgram;

use crate::{
    device::DeviceInfo,
    error::{Result, RuntimeError},
    hal::{Hal, LoadRequest},
};
use api::Context;
use error::ClResultExt;
use physical::Physical;
use std::{ops::Deref, sync::Arc};

/// An open device.
#[derive(Clone)]
pub(crate) struct OpenClDevice(Arc<DeviceInner>);

pub(crate) struct DeviceInner {
    pub context: Context,
    pub physical: Physical,
}

impl Deref for OpenClDevice {
    type Target = DeviceInner;
    fn deref(&self) -> &DeviceInner {
        &self.0
    }
}

/// All devices of all platforms.
pub(crate) fn list() -> Result<Vec<DeviceInfo>> {
    let devices = physical::enumerate()?;
    if devices.is_empty() {
        return Err(error::no_platform());
    }
    Ok(devices.into_iter().map(|p| p.info).collect())
}

impl OpenClDevice {
    pub(crate) fn open(index: usize) -> Result<OpenClDevice> {
        let mut devices = physical::enumerate()?;
        if index >= devices.len() {
            let reason = format!("device {index} does not exist, there are {}", devices.len());
            return Err(RuntimeError::NoDevice { reason });
        }
        let physical = devices.swap_remove(index);
        let context = Context::new(physical.id).check("clCreateContext")?;
        Ok(OpenClDevice(Arc::new(DeviceInner { context, physical })))
    }
}

impl Hal for OpenClDevice {
    type Program = OpenClProgram;

    fn info(&self) -> &DeviceInfo {
        &self.physical.info
    }
    fn load(&self, request: &LoadRequest<'_>) -> Result<OpenClProgram> {
        OpenClProgram::load(self, request)
    }
    fn validation_messages(&self) -> Vec<String> {
        Vec::new()
    }
}
