//! The one file with `unsafe`: mapping a file read-only.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

/// Maps a regular file. The mapping lives as long as any slice of the returned bytes.
///
/// Folders, pipes and devices are refused before they are opened, since opening a pipe could block.
pub(crate) fn map_file(path: &Path) -> io::Result<Bytes> {
    let meta = std::fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let file = File::open(path)?;
    // An empty file cannot be mapped on every system.
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is private and read-only, and it is only ever seen as bytes without any
    // validity requirement. What remains is the contract of every mapped file: nobody may truncate
    // or rewrite it while it is mapped. `WeightStore::open` documents that, and
    // `WeightStore::from_bytes` is the way around it.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
