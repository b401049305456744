//! Files that keep what a driver has compiled, outside of bundles: one for each variant and driver.
//!
//! A file holds our own header (magic, checksum) and what the driver gave. It is ignored when
//! anything about it is odd, and failing to write it is never an error: it costs time only.

use crate::session::DriverCache;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Says whose bytes follow.
pub(crate) type Magic = [u8; 8];
const HEADER_BYTES: usize = 16;

/// The folder of the files; `None` when caching is off.
pub(crate) fn folder(policy: &DriverCache) -> Option<PathBuf> {
    match policy {
        DriverCache::Off => None,
        DriverCache::Dir(dir) => Some(dir.clone()),
        DriverCache::UserDir => user_dir(),
    }
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

/// The last `digits` hexadecimal digits of a number.
pub(crate) fn hex(value: u64, digits: u32) -> String {
    let digit = |i| char::from(b"0123456789abcdef"[(value >> (4 * i) & 15) as usize]);
    (0..digits).rev().map(digit).collect()
}

/// What [`write()`] has put into a file, if the file is whole.
pub(crate) fn read(path: &Path, magic: Magic) -> Option<Vec<u8>> {
    let mut file = fs::read(path).ok()?;
    let data = file.get(HEADER_BYTES..)?;
    let hash = drift_bundle::hash64(data).to_le_bytes();
    if file[..8] != magic || file[8..16] != hash {
        return None;
    }
    file.drain(..HEADER_BYTES);
    Some(file)
}

/// Replaces the file in one step; readers see the old or the new one.
pub(crate) fn write(path: &Path, magic: Magic, data: &[u8]) {
    let write = || -> std::io::Result<()> {
        let Some(dir) = path.parent() else { return Ok(()) };
        fs::create_dir_all(dir)?;
        static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let unique = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(hex(u64::from(std::process::id()) << 32 | u64::from(unique), 16));
        let mut file = fs::File::create(&temporary)?;
        let written = file
            .write_all(&magic)
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
