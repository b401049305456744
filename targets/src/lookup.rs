//! Devices by id, by file and by what a driver reports.

use crate::assemble;
use crate::device::Device;
use crate::error::TargetError;
use crate::suggest::did_you_mean;
use drift_bundle::caps::{Api, Capabilities, Features};
use std::io::Read;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Largest device file in bytes; real ones have a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Ids of all embedded devices, sorted.
pub fn ids() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(id, _)| *id)
}

/// All embedded devices, sorted by id.
///
/// # Errors
/// A device file that is wrong; the tests of this crate read them all.
pub fn all() -> Result<Vec<Device>, TargetError> {
    ids().map(find).collect()
}

/// The embedded device with this id.
///
/// # Errors
/// An unknown id, with those that resemble it.
pub fn find(id: &str) -> Result<Device, TargetError> {
    let text = text_of(id).ok_or_else(|| unknown("target", id))?;
    assemble::device(id, &place_of(id), text, &text_of)
}

/// Reads a device from a file, as `--target FILE` does. It may inherit embedded devices.
///
/// # Errors
/// A file that cannot be read, is larger than 1 MiB or no text, or is no valid device.
pub fn load(path: &Path) -> Result<Device, TargetError> {
    let place = path.display().to_string();
    let cannot =
        |e: std::io::Error| TargetError::new(place.clone(), format!("cannot be read: {e}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(TargetError::new(place, "is larger than 1 MiB, so no device file"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| TargetError::new(place.clone(), "is no UTF-8 text, so no device file"))?;
    let id = path.file_stem().map_or_else(|| "file".into(), |s| s.to_string_lossy().into_owned());
    parse(&id, &place, &text)
}

/// Reads a device from text. `place` names the text in errors.
///
/// # Errors
/// The first thing wrong with it, by line.
pub fn parse(id: &str, place: &str, text: &str) -> Result<Device, TargetError> {
    assemble::device(id, place, text, &text_of)
}

/// What `--target` takes: an id, or a path to a device file (it ends in `.toml`, or has a
/// separator).
///
/// # Errors
/// As [`find`] and [`load`].
pub fn resolve(target: &str) -> Result<Device, TargetError> {
    let is_path = target.ends_with(".toml") || target.contains(['/', '\\']);
    if is_path { load(Path::new(target)) } else { find(target) }
}

/// The best embedded device for what a live driver reports: one whose name matches, else the class
/// of devices with the highest rank whose features and limits the driver offers; `None` if there is
/// no class for the API that the driver satisfies.
pub fn best_match(live: &Capabilities) -> Option<Device> {
    let devices: Vec<Device> = ids().filter_map(|id| find(id).ok()).collect();
    let by_name = devices.iter().filter_map(|device| {
        let profile = device.profile(live.api)?;
        let known = &profile.capabilities;
        if known.vendor_id != 0 && live.vendor_id != 0 && known.vendor_id != live.vendor_id {
            return None;
        }
        let longest = profile
            .name_contains
            .iter()
            .filter(|name| !name.is_empty() && live.device_name.contains(name.as_str()));
        longest.map(String::len).max().map(|length| (length, device.rank, device))
    });
    if let Some((_, _, device)) = by_name.max_by_key(|(length, rank, _)| (*length, *rank)) {
        return Some(device.clone());
    }
    devices
        .into_iter()
        .filter(|device| {
            device.profile(live.api).is_some_and(|profile| {
                profile.name_contains.is_empty()
                    && profile.capabilities.vendor_id == 0
                    && offers(live, &profile.capabilities)
            })
        })
        .max_by_key(|device| device.rank)
}

/// Whether `live` has all that `wanted` has and can matter to a kernel.
fn offers(live: &Capabilities, wanted: &Capabilities) -> bool {
    let mut features = wanted.features.difference(Features::TIMESTAMPS);
    if features.contains(Features::INLINE_PTX) {
        features = features.difference(Features::BY_PTX);
    }
    let (l, w) = (&live.limits, &wanted.limits);
    live.features.contains(features)
        && l.workgroup_memory_bytes >= w.workgroup_memory_bytes
        && l.workgroup_invocations >= w.workgroup_invocations
        && (0..3).all(|axis| l.workgroup_size[axis] >= w.workgroup_size[axis])
        && l.storage_range_bytes >= w.storage_range_bytes
        && l.storage_buffers >= w.storage_buffers
}

fn text_of(id: &str) -> Option<&'static str> {
    let at = EMBEDDED.binary_search_by_key(&id, |(known, _)| known).ok()?;
    Some(EMBEDDED[at].1)
}

pub(crate) fn place_of(id: &str) -> String {
    format!("targets/devices/{id}.toml")
}

pub(crate) fn unknown(place: &str, id: &str) -> TargetError {
    let near = did_you_mean(id, ids());
    let help = if near.is_empty() {
        format!("known: {}; or a path to a device file", ids().collect::<Vec<_>>().join(", "))
    } else {
        near
    };
    let shown: String = id.chars().take(64).collect();
    TargetError::new(place, format!("there is no device `{shown}`")).with_help(help)
}

/// The class of devices whose preferences suit a driver that no file describes.
pub(crate) fn class_for(live: &Capabilities) -> &'static str {
    match live.api {
        Api::Vulkan => {
            let modern =
                Features::F16.union(Features::STORAGE_16BIT).union(Features::SUBGROUP_ARITHMETIC);
            if live.features.contains(modern) { "vulkan-modern" } else { "vulkan-baseline" }
        }
        Api::Metal => "metal-generic",
        Api::OpenCl => "opencl-generic",
        Api::WebGpu => "webgpu-generic",
        Api::Reference => "reference",
    }
}
