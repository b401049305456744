//! Devices.

use crate::bundle::Bundle;
use crate::error::{Failure, Result, Status, call};
use crate::pointer::{copy, field, give, put, shared, take};
use drift_runtime::{Choice, Verdict, caps};
use std::ffi::c_char;
use std::fmt::Write;

/// A GPU interface.
#[repr(u32)]
pub enum Api {
    Vulkan = 0,
    Metal = 1,
    Opencl = 2,
    Webgpu = 3,
}

fn api_of(number: u32) -> Result<caps::Api> {
    [caps::Api::Vulkan, caps::Api::Metal, caps::Api::OpenCl, caps::Api::WebGpu]
        .into_iter()
        .find(|api| *api as u32 == number)
        .ok_or_else(|| Failure::argument(format!("there is no API {number}")))
}

/// Kinds of devices, best first.
#[repr(u32)]
pub enum DeviceKind {
    Discrete = 0,
    Integrated = 1,
    Virtual = 2,
    /// A software implementation.
    Cpu = 3,
    Other = 4,
}

/// What is known of a device without opening it. Texts are UTF-8, end in 0 and are cut where they do
/// not fit.
#[repr(C)]
pub struct DeviceInfo {
    /// DRIFT_API_...
    api: u32,
    /// Number of the device among those of its API, for drift_device_open.
    index: u32,
    /// DRIFT_DEVICE_KIND_...
    kind: u32,
    /// Bytes of the largest device-local heap; 0 where the driver does not tell.
    memory_bytes: u64,
    name: [c_char; 256],
    /// Name and version of the driver.
    driver: [c_char; 256],
    /// Version of the API.
    api_version: [c_char; 64],
}

/// An open device. It may be used by several threads at once.
pub struct Device {
    pub(crate) device: drift_runtime::Device,
}

/// Lists the devices, best first in each API: writes up to `capacity` of them, and in `count` how
/// many there are. With devices null and capacity 0, only their number is told. No device at all is
/// DRIFT_STATUS_NO_DEVICE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_list(
    devices: *mut DeviceInfo,
    capacity: usize,
    count: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        unsafe { put(count, 0, "count")? };
        let list = drift_runtime::Device::list()?;
        // SAFETY: as the header demands.
        unsafe { put(count, list.len(), "count")? };
        let mut before = Vec::new();
        for (i, info) in list.iter().take(capacity).enumerate() {
            let api = info.capabilities.api;
            let index = before.iter().filter(|a| **a == api).count() as u32;
            before.push(api);
            let info = DeviceInfo {
                api: api as u32,
                index,
                kind: info.kind as u32,
                memory_bytes: info.memory_bytes,
                name: field(&info.capabilities.device_name),
                driver: field(&info.driver),
                api_version: field(&info.api_version),
            };
            // SAFETY: `i` is below the capacity, so there is room: the header demands it.
            unsafe { put(devices.wrapping_add(i), info, "devices")? };
        }
        Ok(())
    })
}

/// Opens a device by the number that it has in its API (DRIFT_API_...).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_open(
    api: u32,
    index: u32,
    device: *mut *mut Device,
) -> Status {
    call(|| {
        let make = || {
            let device = drift_runtime::Device::open_of(api_of(api)?, index as usize)?;
            Ok(Device { device })
        };
        // SAFETY: as the header demands.
        unsafe { give(device, make, "device") }
    })
}

/// Opens the best device that runs some variant of the bundle. The environment variable DRIFT_DEVICE
/// (a number, a part of the name, or "opencl:...") overrides the choice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_best(
    bundle: *const Bundle,
    device: *mut *mut Device,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let bundle = unsafe { shared(bundle, "bundle")? };
        let make = || Ok(Device { device: drift_runtime::Device::best(&bundle.bundle)? });
        // SAFETY: as the header demands.
        unsafe { give(device, make, "device") }
    })
}

/// Says which variant of the bundle the device runs and why not the others, as UTF-8 without a 0, to
/// memory of `capacity` bytes, and in `size` how long that is. With text null and capacity 0, only
/// the size is told. A line per variant ("vulkan-modern: chosen", "...: fits", "...: rejected"), and
/// below a rejected one an indented line for each requirement that is not met.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_explain(
    device: *const Device,
    bundle: *const Bundle,
    explanation: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let (device, bundle) = unsafe { (shared(device, "device")?, shared(bundle, "bundle")?) };
        let lines = explain(&device.device.explain(&bundle.bundle));
        // SAFETY: as the header demands.
        unsafe { copy(lines.as_bytes(), explanation, capacity, size) }
    })
}

fn explain(choices: &[Choice]) -> String {
    let mut out = String::new();
    for c in choices {
        let (verdict, unmet) = match &c.verdict {
            Verdict::Chosen => ("chosen", &[][..]),
            Verdict::Fits => ("fits", &[][..]),
            Verdict::Rejected(unmet) => ("rejected", &unmet[..]),
        };
        // writing to a string does not fail
        let _ = writeln!(out, "{}: {verdict}", c.target);
        for u in unmet {
            let _ = writeln!(out, "  {u}");
        }
    }
    out
}

/// Copies the device's name (UTF-8, without a 0) to memory of `capacity` bytes and says in `size` how
/// long it is. With name null and capacity 0, only the size is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_name(
    device: *const Device,
    name: *mut u8,
    capacity: usize,
    size: *mut usize,
) -> Status {
    call(|| {
        // SAFETY: as the header demands.
        let device = unsafe { shared(device, "device")? };
        let text = device.device.capabilities().device_name.as_bytes();
        // SAFETY: as the header demands.
        unsafe { copy(text, name, capacity, size) }
    })
}

/// Frees a device; null is nothing. Sessions on it keep it open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drift_device_free(device: *mut Device) {
    call(|| {
        // SAFETY: as the header demands.
        unsafe { take(device) };
        Ok(())
    });
}
