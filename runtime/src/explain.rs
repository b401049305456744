//! Which variant of a bundle a device runs, and why not the others.

use crate::{
    bundle::Bundle,
    device::{Device, DeviceInfo},
    error::UnmetVariant,
};
use drift_bundle::{
    Unmet,
    caps::{Api, Capabilities},
    select,
};

/// What becomes of one variant of a bundle on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits and no other fitting variant ranks higher: a session runs this one.
    Chosen,
    /// It fits, but so does a better one.
    Fits,
    /// The device cannot run it: every requirement that is not met, with what is needed and offered.
    Rejected(Vec<Unmet>),
}

/// A variant of a bundle as a device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Position in the bundle.
    pub variant: usize,
    /// Id of the target it was compiled for.
    pub target: String,
    pub api: Api,
    /// Of the variants that fit, the one with the highest rank is chosen; the first among equals.
    pub rank: u32,
    pub verdict: Verdict,
}

impl Device {
    /// What becomes of each variant of a bundle here, in the bundle's order.
    pub fn explain(&self, bundle: &Bundle) -> Vec<Choice> {
        self.info().explain(bundle)
    }
}

impl DeviceInfo {
    /// [`Device::explain`] without opening the device.
    pub fn explain(&self, bundle: &Bundle) -> Vec<Choice> {
        explain(bundle, &self.capabilities)
    }
}

fn explain(bundle: &Bundle, caps: &Capabilities) -> Vec<Choice> {
    let mut selection = select(bundle.requirements(), caps);
    let mut choices = Vec::new();
    for (variant, r) in bundle.requirements().enumerate() {
        let unmet = selection.rejected.iter_mut().find(|r| r.variant == variant);
        let verdict = match unmet {
            Some(rejected) => Verdict::Rejected(std::mem::take(&mut rejected.unmet)),
            None if selection.best == Some(variant) => Verdict::Chosen,
            None => Verdict::Fits,
        };
        let (target, api, rank) = (r.target.clone(), r.api, r.rank);
        choices.push(Choice { variant, target, api, rank, verdict });
    }
    choices
}

/// Index of the variant to run, or what every variant lacks.
pub(crate) fn choose_variant(
    bundle: &Bundle,
    caps: &Capabilities,
) -> std::result::Result<usize, Vec<UnmetVariant>> {
    let choices = explain(bundle, caps);
    if let Some(chosen) = choices.iter().find(|c| c.verdict == Verdict::Chosen) {
        return Ok(chosen.variant);
    }
    let unmet = |c: Choice| match c.verdict {
        Verdict::Rejected(unmet) => {
            Some(UnmetVariant { device: caps.device_name.clone(), target: c.target, unmet })
        }
        _ => None,
    };
    Err(choices.into_iter().filter_map(unmet).collect())
}
