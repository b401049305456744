//! A read-only memory map of a file.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs::File, io, path::Path, sync::Arc};

pub(crate) struct FileMap {
    /// `None`: an empty file, which cannot be mapped.
    map: Option<Arc<memmap2::Mmap>>,
    /// Whoever reads the file pages it in himself from now on.
    #[cfg(target_os = "linux")]
    in_use: Arc<AtomicBool>,
}

/// Most bytes that are paged in ahead of their use, and how many at a time.
#[cfg(target_os = "linux")]
const AHEAD_BYTES: usize = 256 << 20;
#[cfg(target_os = "linux")]
const STEP_BYTES: usize = 16 << 20;

impl FileMap {
    pub(crate) fn open(path: &Path) -> io::Result<FileMap> {
        let file = File::open(path)?;
        #[cfg(target_os = "linux")]
        let in_use = Arc::new(AtomicBool::new(false));
        if file.metadata()?.len() == 0 {
            return Ok(FileMap {
                map: None,
                #[cfg(target_os = "linux")]
                in_use,
            });
        }
        // SAFETY: the map is private and read-only. Undefined behaviour is possible only if another
        // process changes the file meanwhile, which the contract of `Bundle::open` excludes; driftc
        // replaces files by rename and never writes into them.
        let map = Arc::new(unsafe { memmap2::Mmap::map(&file)? });
        #[cfg(target_os = "linux")]
        page_in(&map, &in_use);
        Ok(FileMap {
            map: Some(map),
            #[cfg(target_os = "linux")]
            in_use,
        })
    }

    /// Pages a range in with one call, which costs less than a fault for every few pages; failure
    /// costs time only.
    #[cfg(target_os = "linux")]
    pub(crate) fn fetch(&self, offset: usize, bytes: usize) {
        self.in_use.store(true, Ordering::Relaxed);
        if let Some(map) = &self.map {
            let _ = map.advise_range(memmap2::Advice::PopulateRead, offset, bytes);
        }
    }

    /// Starts reading a range that will be wanted soon.
    #[cfg(target_os = "linux")]
    pub(crate) fn expect(&self, offset: usize, bytes: usize) {
        if let Some(map) = &self.map {
            let _ = map.advise_range(memmap2::Advice::WillNeed, offset, bytes);
        }
    }

    /// Lets go of the pages of a range: it stays readable, but no longer counts as memory in use.
    #[cfg(target_os = "linux")]
    pub(crate) fn release(&self, offset: usize, bytes: usize) {
        if let Some(map) = &self.map {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the map is read-only and of a file, so pages that are wanted again are read
            // again, with the same contents (the contract of `Bundle::open`).
            let _ = unsafe { map.unchecked_advise_range(advice, offset, bytes) };
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn fetch(&self, _: usize, _: usize) {}
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn expect(&self, _: usize, _: usize) {}
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn release(&self, _: usize, _: usize) {}

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..])
    }
}

/// Pages the file in while the driver starts, which takes a tenth of a second on a desktop GPU: the
/// weights are read next in any case. Failure costs time only.
#[cfg(target_os = "linux")]
fn page_in(map: &Arc<memmap2::Mmap>, in_use: &Arc<AtomicBool>) {
    let (map, in_use) = (map.clone(), in_use.clone());
    let work = move || {
        for start in (0..map.len().min(AHEAD_BYTES)).step_by(STEP_BYTES) {
            if in_use.load(Ordering::Relaxed) {
                break;
            }
            let bytes = STEP_BYTES.min(map.len() - start);
            let _ = map.advise_range(memmap2::Advice::PopulateRead, start, bytes);
        }
    };
    let _ = std::thread::Builder::new().spawn(work);
}
