//! Vulkan 1.1 and newer.
//!
//! One instance per process, one logical device and queue per open device, one command pool,
//! descriptor pool and set of objects per session. A session's commands are recorded once per entry
//! point and replayed; a submit takes the queue's lock for the time of the call only.

mod cache;
mod error;
mod flight;
mod instance;
mod memory;
mod objects;
mod physical;
mod pipelines;
mod program;
mod record;
mod stager;
mod timing;
mod upload;

pub(crate) use program::VulkanProgram;

use crate::{
    device::DeviceInfo,
    error::{Result, RuntimeError},
    hal::{Hal, LoadRequest},
};
use ash::vk;
use error::VkResultExt;
use instance::{Instance, lock};
use physical::Physical;
use std::{
    ops::Deref,
    sync::{Arc, Mutex, Weak},
};

/// An open device.
#[derive(Clone)]
pub(crate) struct VulkanDevice(Arc<DeviceInner>);

pub(crate) struct DeviceInner {
    pub raw: ash::Device,
    pub physical: Physical,
    queue: Mutex<vk::Queue>,
    // Dropped after the device.
    instance: Arc<Instance>,
}

impl Deref for VulkanDevice {
    type Target = DeviceInner;
    fn deref(&self) -> &DeviceInner {
        &self.0
    }
}

/// Devices that are open, one per physical device: opening one again gives the same. The lock is
/// also held while a logical device is made or destroyed; a widespread driver hangs when that
/// happens on several threads at once.
static OPEN: Mutex<Vec<(vk::PhysicalDevice, Weak<DeviceInner>)>> = Mutex::new(Vec::new());

pub(crate) fn list() -> Result<Vec<DeviceInfo>> {
    let instance = Instance::shared()?;
    Ok(physical::enumerate(&instance)?.into_iter().map(|p| p.info).collect())
}

impl VulkanDevice {
    pub(crate) fn open(index: usize) -> Result<VulkanDevice> {
        let instance = Instance::shared()?;
        let mut devices = physical::enumerate(&instance)?;
        if index >= devices.len() {
            let reason = format!("device {index} does not exist, there are {}", devices.len());
            return Err(RuntimeError::NoDevice { reason });
        }
        let physical = devices.swap_remove(index);
        let mut open = lock(&OPEN);
        open.retain(|(_, device)| device.strong_count() > 0);
        let mut same = open.iter().filter(|(handle, _)| *handle == physical.handle);
        if let Some(device) = same.find_map(|(_, device)| device.upgrade()) {
            return Ok(VulkanDevice(device));
        }
        let priorities = [1.0];
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(physical.queue_family)
            .queue_priorities(&priorities)];
        let extensions: Vec<_> = physical.extensions.iter().map(|e| e.as_ptr()).collect();
        let mut info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions);
        // Everything that shaders of the vocabulary may use and the device has: a device serves many
        // bundles, and none of these features costs anything while it is not used.
        info.p_next = (&raw const physical.features.core).cast();
        // SAFETY: the feature chain holds structures that the device knows, with the values that
        // it reported or false; extensions were reported; all of it outlives the call.
        let raw = unsafe { instance.raw.create_device(physical.handle, &info, None) }
            .check("vkCreateDevice")?;
        // SAFETY: the queue was asked for above.
        let queue = unsafe { raw.get_device_queue(physical.queue_family, 0) };
        let handle = physical.handle;
        let device = Arc::new(DeviceInner { raw, physical, queue: Mutex::new(queue), instance });
        open.push((handle, Arc::downgrade(&device)));
        Ok(VulkanDevice(device))
    }

    pub(crate) fn validation_enabled(&self) -> bool {
        self.instance.validation_enabled()
    }
}

impl DeviceInner {
    /// Submits command buffers; `fence` is signalled when they have finished.
    pub(crate) fn submit(&self, commands: &[vk::CommandBuffer], fence: vk::Fence) -> Result<()> {
        let submit = vk::SubmitInfo::default().command_buffers(commands);
        let queue = lock(&self.queue);
        // SAFETY: the queue is locked; the callers own command buffers and fence, and have waited
        // for their previous use.
        unsafe { self.raw.queue_submit(*queue, &[submit], fence) }.check("vkQueueSubmit")
    }

    /// Waits for a fence and unsignals it.
    pub(crate) fn wait(&self, fence: vk::Fence, timeout: std::time::Duration) -> Result<()> {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the fence belongs to this device and its owner calls this.
        match unsafe { self.raw.wait_for_fences(&[fence], true, nanos) } {
            Ok(()) => {}
            Err(vk::Result::TIMEOUT) => {
                return Err(RuntimeError::Timeout { seconds: timeout.as_secs() });
            }
            Err(code) => return Err(error::driver("vkWaitForFences", code)),
        }
        // SAFETY: signalled just now, so no submit uses it.
        unsafe { self.raw.reset_fences(&[fence]) }.check("vkResetFences")
    }
}

impl Drop for DeviceInner {
    fn drop(&mut self) {
        let _open = lock(&OPEN);
        // SAFETY: every session holds the device, so none of its objects is left.
        unsafe { self.raw.destroy_device(None) };
    }
}

impl Hal for VulkanDevice {
    type Program = VulkanProgram;

    fn info(&self) -> &DeviceInfo {
        &self.physical.info
    }
    fn load(&self, request: &LoadRequest<'_>) -> Result<VulkanProgram> {
        VulkanProgram::load(self, request)
    }
    fn validation_messages(&self) -> Vec<String> {
        self.instance.validation_messages()
    }
}
