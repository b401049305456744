//! A read-only memory map of a file.
#![allow(unsafe_code)]

use std::{fs::File, io, path::Path, sync::Arc};

pub(crate) struct FileMap(Option<Arc<memmap2::Mmap>>);

/// Most bytes that are paged in ahead of their use.
#[cfg(target_os = "linux")]
const AHEAD_BYTES: usize = 256 << 20;

impl FileMap {
    pub(crate) fn open(path: &Path) -> io::Result<FileMap> {
        let file = File::open(path)?;
        // An empty file cannot be mapped.
        if file.metadata()?.len() == 0 {
            return Ok(FileMap(None));
        }
        // SAFETY: the map is private and read-only. Undefined behaviour is possible only if another
        // process changes the file meanwhile, which the contract of `Bundle::open` excludes; driftc
        // replaces files by rename and never writes into them.
        let map = Arc::new(unsafe { memmap2::Mmap::map(&file)? });
        page_in(&map);
        Ok(FileMap(Some(map)))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |map| &map[..])
    }
}

/// Pages the file in while the driver starts, which takes a tenth of a second on a desktop GPU: the
/// weights are read next in any case. Failure costs time only.
#[cfg(target_os = "linux")]
fn page_in(map: &Arc<memmap2::Mmap>) {
    let map = map.clone();
    let work = move || {
        let ahead = map.len().min(AHEAD_BYTES);
        let _ = map.advise_range(memmap2::Advice::PopulateRead, 0, ahead);
    };
    let _ = std::thread::Builder::new().spawn(work);
}

#[cfg(not(target_os = "linux"))]
fn page_in(_: &Arc<memmap2::Mmap>) {}
