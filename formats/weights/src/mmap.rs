//! The one file with `unsafe`: mapping files read-only, and letting go of pages that were read.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// A mapped file, shared by the slices of it.
#[derive(Clone)]
pub(crate) struct Mapped(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapped {
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// Lets go of the pages of `part`, a slice of this file. They are read from the file again when
    /// somebody looks at them. Does nothing where the system cannot.
    pub(crate) fn release(&self, part: &[u8]) {
        #[cfg(unix)]
        {
            let start = part.as_ptr().addr().wrapping_sub(self.0.as_ptr().addr());
            if part.is_empty() || start.saturating_add(part.len()) > self.0.len() {
                return;
            }
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is of a file and never written to, so pages that were dropped
            // (those around the ends too) come back with the same bytes; no slice of them sees a
            // difference. That the file does not change is the contract of `map_file`.
            let done = unsafe { self.0.unchecked_advise_range(advice, start, part.len()) };
            // advice that the system does not take costs memory and nothing else
            drop(done);
        }
        #[cfg(not(unix))]
        let _ = part;
    }
}

/// Maps a regular file; `None` when it is empty, which not every system can map.
///
/// Folders, pipes and devices are refused before they are opened, since opening a pipe could block.
pub(crate) fn map_file(path: &Path) -> io::Result<Option<Mapped>> {
    let meta = std::fs::metadata(path)?;
    if meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the mapping is private and read-only, and it is only ever seen as bytes without any
    // validity requirement. What remains is the contract of every mapped file: nobody may truncate
    // or rewrite it while it is mapped. `WeightStore::open` documents that, and
    // `WeightStore::from_bytes` is the way around it.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Some(Mapped(Arc::new(map))))
}
