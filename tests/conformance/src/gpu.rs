//! The device that tests run on.

use crate::chromium;
use drift_bundle::caps::Api;
use drift_chromium::Adapter;
use drift_runtime::{Device, RuntimeErrorKind};
use std::sync::Once;

/// The API under test: what `DRIFT_BACKEND` names (`vulkan`, `opencl`, `webgpu`, ...), or Vulkan.
pub fn api() -> Api {
    match std::env::var("DRIFT_BACKEND").unwrap_or_default().as_str() {
        "" | "vulkan" => Api::Vulkan,
        "opencl" => Api::OpenCl,
        "webgpu" | WEBGPU_CORE | CHROMIUM | CHROMIUM_F16 => Api::WebGpu,
        // emitted MSL on the CPU: see drift-msl-cpu
        "metal-cpu" => Api::Metal,
        other => panic!(
            "DRIFT_BACKEND={other}: there are vulkan, opencl, webgpu, {WEBGPU_CORE}, {CHROMIUM}, {CHROMIUM_F16} and \
             metal-cpu"
        ),
    }
}

/// `DRIFT_BACKEND` for WebGPU without any extension: the device is opened without subgroups and
/// without f16, which validation then refuses.
const WEBGPU_CORE: &str = "webgpu-core";

/// `DRIFT_BACKEND` for WebGPU in a page of headless Chromium ([`crate::chromium`]).
const CHROMIUM: &str = "chromium";
/// The same on a driver with f16.
const CHROMIUM_F16: &str = "chromium-f16";

/// What Chromium is asked to run on, if it was asked for.
pub fn in_chromium() -> Option<Adapter> {
    match std::env::var("DRIFT_BACKEND").ok()?.as_str() {
        CHROMIUM => Some(Adapter::SwiftShader),
        CHROMIUM_F16 => Some(Adapter::Lavapipe),
        _ => None,
    }
}

/// Whether [`WEBGPU_CORE`] was asked for.
pub fn core_only() -> bool {
    std::env::var("DRIFT_BACKEND").is_ok_and(|v| v == WEBGPU_CORE)
}

/// The device to test on: the first one of the API, or `DRIFT_DEVICE`; with the validation layer
/// where it is installed, and with memory that does not start as zeros. `None`, and a visible line,
/// without a device, unless `DRIFT_REQUIRE_GPU=1`.
pub fn device() -> Option<Device> {
    device_of(api())
}

/// The device of an API; `DRIFT_DEVICE` counts if it means one of that API.
pub fn device_of(api: Api) -> Option<Device> {
    static ENVIRONMENT: Once = Once::new();
    ENVIRONMENT.call_once(|| {
        for (name, value) in [("DRIFT_VALIDATION", "1"), ("DRIFT_POISON", "1")] {
            if std::env::var_os(name).is_none() {
                // SAFETY: runs once, and every test opens its device through this function before
                // it does anything else, so no other thread reads the environment meanwhile.
                unsafe { std::env::set_var(name, value) };
            }
        }
    });
    if api == Api::Metal {
        // an error in our own headers is no reason to skip
        let missing = drift_msl_cpu::missing().filter(|e| e.contains("is installed"));
        return made(missing, drift_msl_cpu::device);
    }
    if let (Api::WebGpu, Some(adapter)) = (api, in_chromium()) {
        return made(chromium::missing(adapter), || chromium::device(adapter));
    }
    let opened = match std::env::var("DRIFT_DEVICE") {
        Ok(filter) if !filter.is_empty() && api == self::api() => Device::find(&filter),
        _ => Device::find(&api.to_string()),
    };
    match opened {
        Ok(device) => {
            if api == Api::Vulkan && !device.validation_enabled() {
                println!("skipped: validation (VK_LAYER_KHRONOS_validation is not installed)");
            }
            Some(device)
        }
        Err(e) if std::env::var("DRIFT_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("DRIFT_REQUIRE_GPU=1, but {e}")
        }
        Err(e) => {
            assert_eq!(e.kind(), RuntimeErrorKind::NoDevice, "{e}");
            println!("skipped: {e}");
            None
        }
    }
}

/// A device of the tests' own, if nothing is missing for it.
fn made(
    missing: Option<String>,
    device: impl FnOnce() -> Result<Device, String>,
) -> Option<Device> {
    match missing {
        Some(why) if std::env::var("DRIFT_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("DRIFT_REQUIRE_GPU=1, but {why}")
        }
        Some(why) => {
            println!("skipped: {why}");
            None
        }
        None => Some(device().unwrap_or_else(|e| panic!("{e}"))),
    }
}

/// Messages of the validation layer, if any.
pub fn check_validation(device: &Device) -> Result<(), String> {
    let messages = device.validation_messages();
    if messages.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = messages.iter().take(3).map(String::as_str).collect();
    Err(format!("{} messages of the validation layer:\n{}", messages.len(), shown.join("\n")))
}

/// Whether `DRIFT_FULL=1` asks for everything, however long it takes.
pub fn full() -> bool {
    std::env::var("DRIFT_FULL").is_ok_and(|v| v == "1")
}
