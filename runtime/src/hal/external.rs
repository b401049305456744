//! A back end from outside of this crate: for tests, which replay plans by other means than a GPU API
//! (emitted MSL on the CPU). No part of the API that programs may rely on.

use super::LoadRequest;
use crate::{
    bundle::Bundle,
    device::{Device, DeviceInfo},
    error::Result,
    hal::AnyDevice,
};
use drift_bundle::plan::Plan;
use std::sync::Arc;

pub use super::{FETCH_BYTES, Fetch, Nanos, Program, SubmitNumber};

/// A device that somebody else drives.
pub trait ExternalDevice: Send + Sync {
    fn info(&self) -> &DeviceInfo;
    /// Everything that [`Program`] promises.
    fn load(&self, variant: &Variant) -> Result<Box<dyn Program>>;
    fn validation_messages(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A variant of a bundle whose requirements the device meets. Clones share its bytes.
#[derive(Clone)]
pub struct Variant {
    bundle: Bundle,
    index: usize,
}

impl Variant {
    pub(crate) fn of(request: &LoadRequest<'_>) -> Variant {
        Variant { bundle: request.bundle.clone(), index: request.variant }
    }

    pub fn plan(&self) -> &Plan {
        &self.bundle.variant(self.index).plan
    }

    /// The whole bundle, for who takes variants out of it himself.
    pub fn bundle(&self) -> &[u8] {
        self.bundle.bytes()
    }

    /// Code of a shader, by the number that pipelines name.
    pub fn shader(&self, index: u32) -> &[u8] {
        self.bundle.shader(self.index, index)
    }

    /// The WEIGHTS section.
    pub fn weights(&self) -> &[u8] {
        self.bundle.weights()
    }
}

/// The device as one of this crate.
pub fn device(external: Arc<dyn ExternalDevice>) -> Device {
    Device { hal: AnyDevice::External(external) }
}
