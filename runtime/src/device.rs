//! Finding and opening devices.

use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError, UnmetVariant},
    hal::AnyDevice,
};
use drift_bundle::{caps::Capabilities, select};

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
    /// Position in [`Device::list`].
    pub index: usize,
    pub kind: DeviceKind,
    /// Driver name and version, as the driver gives them.
    pub driver: String,
    /// API version, `1.3.230` for example.
    pub api_version: String,
    /// Bytes of the largest device-local heap.
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
    /// All devices, best kind first.
    pub fn list() -> Result<Vec<DeviceInfo>> {
        AnyDevice::list()
    }

    /// Opens the device at this position of [`Device::list`].
    pub fn open(index: usize) -> Result<Device> {
        Ok(Device { hal: AnyDevice::open(index)? })
    }

    /// Opens the first device whose name contains `filter` (in any ASCII case), or the device with
    /// this number.
    pub fn find(filter: &str) -> Result<Device> {
        let devices = Device::list()?;
        let wanted = filter.to_ascii_lowercase();
        let matches =
            |d: &&DeviceInfo| d.capabilities.device_name.to_ascii_lowercase().contains(&wanted);
        let found = match filter.parse::<usize>() {
            Ok(index) => devices.get(index),
            Err(_) => devices.iter().find(matches),
        };
        match found {
            Some(info) => Device::open(info.index),
            None => {
                let names: Vec<&str> =
                    devices.iter().map(|d| d.capabilities.device_name.as_str()).collect();
                let reason = format!("none matches {filter:?}; there are: {}", names.join(", "));
                Err(RuntimeError::NoDevice { reason })
            }
        }
    }

    /// Opens the best device that satisfies some variant of the bundle. The environment variable
    /// `DRIFT_DEVICE` (a number or part of a name, as for [`Device::find`]) overrides the choice.
    pub fn best(bundle: &Bundle) -> Result<Device> {
        if let Ok(filter) = std::env::var("DRIFT_DEVICE")
            && !filter.is_empty()
        {
            return Device::find(&filter);
        }
        let devices = Device::list()?;
        if devices.is_empty() {
            let reason = "the driver loader works, but reports no device".into();
            return Err(RuntimeError::NoDevice { reason });
        }
        let mut variants = Vec::new();
        for info in &devices {
            match choose_variant(bundle, &info.capabilities) {
                Ok(_) => return Device::open(info.index),
                Err(unmet) => variants.extend(unmet),
            }
        }
        Err(RuntimeError::Unmet { variants })
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
        #[cfg(feature = "vulkan")]
        return match &self.hal {
            AnyDevice::Vulkan(d) => d.validation_enabled(),
        };
        #[cfg(not(feature = "vulkan"))]
        return false;
    }
}

/// Index of the variant to run, or what every variant lacks.
pub(crate) fn choose_variant(
    bundle: &Bundle,
    caps: &Capabilities,
) -> std::result::Result<usize, Vec<UnmetVariant>> {
    let selection = select(bundle.requirements(), caps);
    selection.best.ok_or_else(|| {
        let describe = |r: drift_bundle::Rejected| UnmetVariant {
            device: caps.device_name.clone(),
            target: r.target,
            unmet: r.unmet,
        };
        selection.rejected.into_iter().map(describe).collect()
    })
}
