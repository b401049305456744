//! WebGPU outside of browsers, by wgpu: on Vulkan, Metal or Direct3D 12.
//!
//! A device has the features and limits that it was opened with and no others, so it is opened when
//! it is known what for: when a variant is loaded. Sessions that ask for the same share it.
//!
//! WebGPU records nothing for later: a replay encodes the commands of an entry point again, with
//! pipelines and bind groups that were made when the session was. It puts barriers itself, so a
//! plan's are no commands.

mod error;
mod flight;
mod objects;
mod physical;
mod pipelines;
mod program;
mod timing;

pub(crate) use program::WebGpuProgram;

use crate::{
    device::DeviceInfo,
    error::{Result, RuntimeError},
    hal::{Hal, LoadRequest},
};
use physical::{Needs, Physical};
use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// An open device: one adapter.
#[derive(Clone)]
pub(crate) struct WebGpuDevice(Arc<DeviceInner>);

pub(crate) struct DeviceInner {
    pub physical: Physical,
    /// Opened so far, by what they were opened with.
    opened: Mutex<Vec<(Needs, Opened)>>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Deref for WebGpuDevice {
    type Target = DeviceInner;
    fn deref(&self) -> &DeviceInner {
        &self.0
    }
}

/// A device with certain features and limits. Clones are the same.
#[derive(Clone)]
pub(crate) struct Opened {
    pub raw: wgpu::Device,
    pub queue: wgpu::Queue,
    lost: Arc<AtomicBool>,
}

impl Opened {
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// The error that a failure has caused: everything fails once the device is lost.
    pub fn check<T>(&self, outcome: Result<T>) -> Result<T> {
        if self.is_lost() { Err(RuntimeError::DeviceLost) } else { outcome }
    }

    /// Waits for a submission, and for what was asked to be mapped behind it; `None` = for all.
    pub fn wait(&self, submission: Option<wgpu::SubmissionIndex>, timeout: Duration) -> Result<()> {
        if self.is_lost() {
            return Err(RuntimeError::DeviceLost);
        }
        let wait = wgpu::PollType::Wait { submission_index: submission, timeout: Some(timeout) };
        // wgpu panics when it finds the device lost while it waits
        match catch_unwind(AssertUnwindSafe(|| self.raw.poll(wait))) {
            Ok(Ok(_)) => self.check(Ok(())),
            Ok(Err(wgpu::PollError::Timeout)) => {
                self.check(Err(RuntimeError::Timeout { seconds: timeout.as_secs() }))
            }
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) | Err(_) => {
                self.lost.store(true, Ordering::Relaxed);
                Err(RuntimeError::DeviceLost)
            }
        }
    }
}

/// All adapters.
pub(crate) fn list() -> Result<Vec<DeviceInfo>> {
    let adapters = physical::enumerate();
    if adapters.is_empty() {
        let reason = "WebGPU finds no adapter (it needs Vulkan, Metal or Direct3D 12)".into();
        return Err(RuntimeError::NoDevice { reason });
    }
    Ok(adapters.into_iter().map(|p| p.info).collect())
}

impl WebGpuDevice {
    pub(crate) fn open(index: usize) -> Result<WebGpuDevice> {
        let mut adapters = physical::enumerate();
        if index >= adapters.len() {
            let reason = format!("device {index} does not exist, there are {}", adapters.len());
            return Err(RuntimeError::NoDevice { reason });
        }
        let physical = adapters.swap_remove(index);
        let (opened, messages) = (Mutex::default(), Arc::default());
        Ok(WebGpuDevice(Arc::new(DeviceInner { physical, opened, messages })))
    }

    /// A device that has what is needed.
    pub(crate) fn opened_with(&self, needs: &Needs) -> Result<Opened> {
        let mut list = self.opened.lock().unwrap_or_else(|e| e.into_inner());
        list.retain(|(_, opened)| !opened.is_lost());
        if let Some((_, opened)) = list.iter().find(|(n, _)| n == needs) {
            return Ok(opened.clone());
        }
        // SAFETY: experimental features may lack validation; those that `needs` can have are no way to
        // do more than a shader can do anyway (see the crate's *Trust*).
        let experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
        let descriptor = wgpu::DeviceDescriptor {
            experimental_features: experimental,
            required_features: needs.features,
            required_limits: needs.limits.clone(),
            // objects of a plan are few and large: blocks for many small ones would waste memory
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (raw, queue) = error::ready(self.physical.adapter.request_device(&descriptor))
            .map_err(|e| RuntimeError::Refused { what: "a device", message: e.to_string() })?;
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        raw.set_device_lost_callback(move |_, _| flag.store(true, Ordering::Relaxed));
        let messages = self.messages.clone();
        raw.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            messages.lock().unwrap_or_else(|e| e.into_inner()).push(e.to_string());
        }));
        let opened = Opened { raw, queue, lost };
        list.push((needs.clone(), opened.clone()));
        Ok(opened)
    }
}

impl Hal for WebGpuDevice {
    type Program = WebGpuProgram;

    fn info(&self) -> &DeviceInfo {
        &self.physical.info
    }
    fn load(&self, request: &LoadRequest<'_>) -> Result<WebGpuProgram> {
        WebGpuProgram::load(self, request)
    }
    /// What failed without anybody to tell.
    fn validation_messages(&self) -> Vec<String> {
        self.messages.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}
