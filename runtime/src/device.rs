//! Finding and opening devices.

use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
    explain::choose_variant,
    hal::{APIS, AnyDevice},
};
use drift_bundle::caps::{Api, Capabilities};

/// Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    Discrete,
    Integrated,
    Virtual,
    /// A software implementation such as lavapipe.
    Cpu,
    Other,
}

/// What is known of a device without opening it.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Position in the list it comes from: [`Device::list`] or, for one API, [`Device::list_of`].
    pub index: usize,
    pub kind: DeviceKind,
    /// Driver name and version, as the driver gives them.
    pub driver: String,
    /// API version, `1.3.230` for example.
    pub api_version: String,
    /// Bytes of the largest device-local heap; 0 where the API does not tell (WebGPU).
    pub memory_bytes: u64,
    /// Answers of the driver itself, `device_name` among them.
    pub capabilities: Capabilities,
}

/// An open device. Clones are the same device; it may serve many sessions on many threads.
#[derive(Clone)]
pub struct Device {
    pub(crate) hal: AnyDevice,
}

impl Device {
    /// All devices: API by API (Metal first where there is one, then Vulkan), in each the best kind
    /// first. An API without a driver has none; without any device at all, the error says why of each
    /// API.
    pub fn list() -> Result<Vec<DeviceInfo>> {
        let mut all: Vec<DeviceInfo> = Vec::new();
        let mut reasons = Vec::new();
        for &api in APIS {
            match AnyDevice::list(api) {
                Ok(list) => all.extend(list),
                Err(RuntimeError::NoDevice { reason }) => reasons.push(reason),
                Err(e) => return Err(e),
            }
        }
        if all.is_empty() {
            let reason = match reasons.is_empty() {
                true => {
                    "this build has no GPU API (features `vulkan`, `opencl`, `metal`, `webgpu`)"
                        .to_owned()
                }
                false => reasons.join("; "),
            };
            return Err(RuntimeError::NoDevice { reason });
        }
        all.iter_mut().enumerate().for_each(|(index, info)| info.index = index);
        Ok(all)
    }

    /// The devices of one API, numbered from 0.
    pub fn list_of(api: Api) -> Result<Vec<DeviceInfo>> {
        AnyDevice::list(api)
    }

    /// Opens the device at this position of [`Device::list`].
    pub fn open(index: usize) -> Result<Device> {
        let mut before = 0;
        for &api in APIS {
            // without a driver, an API has no devices to count
            let count = AnyDevice::list(api).map_or(0, |list| list.len());
            if index < before + count {
                return Device::open_of(api, index - before);
            }
            before += count;
        }
        let reason = format!("device {index} does not exist, there are {before}");
        Err(RuntimeError::NoDevice { reason })
    }

    /// Opens the device at this position of [`Device::list_of`].
    pub fn open_of(api: Api, index: usize) -> Result<Device> {
        Ok(Device { hal: AnyDevice::open(api, index)? })
    }

    /// Opens the first device whose name contains `filter` (in any ASCII case), or the device with
    /// this number. `opencl`, `opencl:1` and `opencl:name` look at the devices of one API only.
    pub fn find(filter: &str) -> Result<Device> {
        let (first, rest) = filter.split_once(':').unwrap_or((filter, ""));
        let api = APIS.iter().find(|api| api.to_string().eq_ignore_ascii_case(first));
        let (devices, filter) = match api {
            Some(api) => (Device::list_of(*api)?, rest),
            None => (Device::list()?, filter),
        };
        let wanted = filter.to_ascii_lowercase();
        let matches =
            |d: &&DeviceInfo| d.capabilities.device_name.to_ascii_lowercase().contains(&wanted);
        let found = match filter.parse::<usize>() {
            Ok(index) => devices.get(index),
            Err(_) => devices.iter().find(matches),
        };
        match (found, api) {
            (Some(info), Some(api)) => Device::open_of(*api, info.index),
            (Some(info), None) => Device::open(info.index),
            (None, _) => {
                let names: Vec<&str> =
                    devices.iter().map(|d| d.capabilities.device_name.as_str()).collect();
                let reason = format!("none matches {filter:?}; there are: {}", names.join(", "));
                Err(RuntimeError::NoDevice { reason })
            }
        }
    }

    /// Opens the best device that satisfies some variant of the bundle: of the first API that has
    /// one. The environment variable `DRIFT_DEVICE` (as for [`Device::find`]) overrides the choice.
    pub fn best(bundle: &Bundle) -> Result<Device> {
        if let Ok(filter) = std::env::var("DRIFT_DEVICE")
            && !filter.is_empty()
        {
            return Device::find(&filter);
        }
        // A driver that is not needed is not loaded: some take a second to start.
        let has_variant = |api: &Api| bundle.requirements().any(|r| r.api == *api);
        let with_variants: Vec<Api> = APIS.iter().copied().filter(has_variant).collect();
        let apis = if with_variants.is_empty() { APIS } else { &with_variants };
        let (mut variants, mut reasons) = (Vec::new(), Vec::new());
        for &api in apis {
            match best_of(api, bundle) {
                Ok(device) => return Ok(device),
                Err(RuntimeError::Unmet { variants: more }) => variants.extend(more),
                Err(RuntimeError::NoDevice { reason }) => reasons.push(reason),
                Err(e) => return Err(e),
            }
        }
        match variants.is_empty() {
            true => Err(RuntimeError::NoDevice { reason: reasons.join("; ") }),
            false => Err(RuntimeError::Unmet { variants }),
        }
    }

    /// Opens the best device of one API that satisfies some variant of the bundle. `DRIFT_DEVICE`
    /// overrides the choice if it means a device of this API.
    pub fn best_of(api: Api, bundle: &Bundle) -> Result<Device> {
        if let Ok(filter) = std::env::var("DRIFT_DEVICE")
            && !filter.is_empty()
            && let Ok(device) = Device::find(&filter)
            && device.capabilities().api == api
        {
            return Ok(device);
        }
        best_of(api, bundle)
    }

    pub fn info(&self) -> &DeviceInfo {
        self.hal.info()
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.info().capabilities
    }

    /// Messages of the API's validation layer, which the environment variable `DRIFT_VALIDATION=1`
    /// switches on. Empty without it. See [`Device::validation_enabled`].
    pub fn validation_messages(&self) -> Vec<String> {
        self.hal.validation_messages()
    }

    /// Whether a validation layer was asked for and is installed.
    pub fn validation_enabled(&self) -> bool {
        match &self.hal {
            #[cfg(feature = "vulkan")]
            AnyDevice::Vulkan(d) => d.validation_enabled(),
            // no other API has such a layer
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }
}

fn best_of(api: Api, bundle: &Bundle) -> Result<Device> {
    let devices = AnyDevice::list(api)?;
    if devices.is_empty() {
        let reason = format!("the {api} loader works, but reports no device");
        return Err(RuntimeError::NoDevice { reason });
    }
    let mut variants = Vec::new();
    for info in &devices {
        match choose_variant(bundle, &info.capabilities) {
            Ok(_) => return Device::open_of(api, info.index),
            Err(unmet) => variants.extend(unmet),
        }
    }
    Err(RuntimeError::Unmet { variants })
}
