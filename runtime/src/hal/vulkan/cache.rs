//! The driver cache: compiled pipelines of one variant on one driver, kept outside the bundle.
//!
//! A file holds our own header (magic, checksum) and what the driver gave. It is ignored when
//! anything about it is odd, and failing to write it is never an error: it costs time only.

use super::DeviceInner;
use crate::session::DriverCache;
use ash::vk;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

const MAGIC: [u8; 8] = *b"DRFTPC01";
const HEADER_BYTES: usize = 16;

/// The file for this device, driver version and set of shaders; `None` when caching is off.
pub(crate) fn path(device: &DeviceInner, policy: &DriverCache, shaders: u64) -> Option<PathBuf> {
    let dir = match policy {
        DriverCache::Off => return None,
        DriverCache::Dir(dir) => dir.clone(),
        DriverCache::UserDir => user_dir()?,
    };
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

fn hex(value: u64, digits: u32) -> String {
    let digit = |i| char::from(b"0123456789abcdef"[(value >> (4 * i) & 15) as usize]);
    (0..digits).rev().map(digit).collect()
}

fn user_dir() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = var("DRIFT_CACHE_DIR") {
        return Some(dir);
    }
    if cfg!(windows) {
        return Some(var("LOCALAPPDATA")?.join("drift"));
    }
    Some(var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")))?.join("drift"))
}

/// The driver's part of a cache file, if the file is whole and made by this driver.
pub(crate) fn read(path: &Path, properties: &vk::PhysicalDeviceProperties) -> Option<Vec<u8>> {
    let mut file = fs::read(path).ok()?;
    let data = file.get(HEADER_BYTES..)?;
    let hash = drift_bundle::hash64(data).to_le_bytes();
    if file[..8] != MAGIC || file[8..16] != hash || !driver_header_matches(data, properties) {
        return None;
    }
    file.drain(..HEADER_BYTES);
    Some(file)
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

/// Replaces the file in one step; readers see the old or the new one.
pub(crate) fn write(path: &Path, data: &[u8]) {
    let write = || -> std::io::Result<()> {
        let Some(dir) = path.parent() else { return Ok(()) };
        fs::create_dir_all(dir)?;
        static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(hex(u64::from(std::process::id()) << 32 | u64::from(unique), 16));
        let mut file = fs::File::create(&temporary)?;
        let written = file
            .write_all(&MAGIC)
            .and_then(|()| file.write_all(&drift_bundle::hash64(data).to_le_bytes()))
            .and_then(|()| file.write_all(data))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    };
    // Never fatal: the next start compiles again.
    let _ = write();
}
