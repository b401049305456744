//! The driver cache: compiled pipelines of one variant on one driver, kept outside the bundle.
//!
//! What the driver gave starts with a header of its own, which names driver and device.

use super::DeviceInner;
use crate::{hal::cache, session::DriverCache};
use ash::vk;
use cache::hex;
use std::path::{Path, PathBuf};

const MAGIC: cache::Magic = *b"DRFTPC01";

/// The file for this device, driver version and set of shaders; `None` when caching is off.
pub(crate) fn path(device: &DeviceInner, policy: &DriverCache, shaders: u64) -> Option<PathBuf> {
    let dir = cache::folder(policy)?;
    let p = &device.physical.properties;
    let mut name = String::new();
    for byte in p.pipeline_cache_uuid {
        name.push_str(&hex(u64::from(byte), 2));
    }
    for (value, digits) in [(u64::from(p.driver_version), 8), (shaders, 16)] {
        name.push('-');
        name.push_str(&hex(value, digits));
    }
    name.push_str(".bin");
    Some(dir.join(name))
}

/// The driver's part of a cache file, if the file is whole and made by this driver.
pub(crate) fn read(path: &Path, properties: &vk::PhysicalDeviceProperties) -> Option<Vec<u8>> {
    let data = cache::read(path, MAGIC)?;
    driver_header_matches(&data, properties).then_some(data)
}

/// Vulkan's own header: length, version 1, vendor, device, UUID.
fn driver_header_matches(data: &[u8], p: &vk::PhysicalDeviceProperties) -> bool {
    let word =
        |i: usize| data.get(i * 4..i * 4 + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    word(0).is_some_and(|n| n >= 32 && n as usize <= data.len())
        && word(1) == Some(vk::PipelineCacheHeaderVersion::ONE.as_raw() as u32)
        && word(2) == Some(p.vendor_id)
        && word(3) == Some(p.device_id)
        && data.get(16..32) == Some(&p.pipeline_cache_uuid[..])
}

pub(crate) fn write(path: &Path, data: &[u8]) {
    cache::write(path, MAGIC, data);
}
