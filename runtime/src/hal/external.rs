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
use std::{collections::VecDeque, sync::Arc};

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

/// What submits of a program have brought back ([`Program::fetched`]), where each is over when
/// [`Program::submit`] returns. It is kept until [`KEPT`](Fetched::KEPT) more submits were made.
#[derive(Debug, Default)]
pub struct Fetched {
    next: SubmitNumber,
    /// Of the last submits, the oldest first.
    kept: VecDeque<Vec<u8>>,
}

impl Fetched {
    pub const KEPT: usize = 8;

    /// The next submit has brought this back (empty: nothing was asked for). Gives its number.
    pub fn push(&mut self, bytes: Vec<u8>) -> SubmitNumber {
        if self.kept.len() == Self::KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(bytes);
        self.next += 1;
        self.next - 1
    }

    /// What a submit has brought back; `None` when it is too long ago, or has not been made.
    pub fn get(&self, submit: SubmitNumber) -> Option<&[u8]> {
        let back = usize::try_from(self.next.checked_sub(submit)?).ok()?;
        let index = self.kept.len().checked_sub(back)?;
        self.kept.get(index).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_kept_for_eight_submits() {
        let mut fetched = Fetched::default();
        assert_eq!(fetched.get(0), None, "no submit");
        for i in 0..20u8 {
            assert_eq!(fetched.push(vec![i; 3]), SubmitNumber::from(i));
            for other in 0..=255u8 {
                let kept = other <= i && i - other < 8;
                let bytes = fetched.get(SubmitNumber::from(other));
                assert_eq!(bytes, kept.then_some(&[other; 3][..]), "{other} after {i}");
            }
        }
    }
}
