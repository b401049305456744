//! A read-only memory map of a file.
#![allow(unsafe_code)]

use std::{fs::File, io, path::Path};

pub(crate) struct FileMap(Option<memmap2::Mmap>);

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
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(FileMap(Some(map)))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}
