//! A bundle together with the bytes it came from.

use crate::error::{Result, RuntimeError};
use drift_bundle::{Contents, Hash, Meta, Section, VariantContents, caps::Requirements};
use std::{ops::Range, path::Path, sync::Arc};

enum Bytes {
    #[cfg(feature = "mmap")]
    Map(crate::map::FileMap),
    Vec(Vec<u8>),
    Static(&'static [u8]),
}

struct Inner {
    bytes: Bytes,
    contents: Contents,
}

/// A checked bundle. Clones share the same bytes.
#[derive(Clone)]
pub struct Bundle(Arc<Inner>);

impl Bundle {
    /// Maps and checks a `.drift` file. The file must not be changed while the bundle is in use.
    pub fn open(path: impl AsRef<Path>) -> Result<Bundle> {
        fn open(path: &Path) -> Result<Bundle> {
            let fail = |source| RuntimeError::File { path: path.display().to_string(), source };
            #[cfg(feature = "mmap")]
            let bytes = Bytes::Map(crate::map::FileMap::open(path).map_err(fail)?);
            #[cfg(not(feature = "mmap"))]
            let bytes = Bytes::Vec(std::fs::read(path).map_err(fail)?);
            Bundle::parse(bytes)
        }
        open(path.as_ref())
    }

    /// Checks a bundle in memory.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Bundle> {
        Bundle::parse(Bytes::Vec(bytes))
    }

    /// Checks a bundle that is part of the program (`include_bytes!`).
    pub fn from_static(bytes: &'static [u8]) -> Result<Bundle> {
        Bundle::parse(Bytes::Static(bytes))
    }

    fn parse(bytes: Bytes) -> Result<Bundle> {
        let contents = Contents::parse(bytes.as_slice())?;
        Ok(Bundle(Arc::new(Inner { bytes, contents })))
    }

    /// Reads the weights once and compares them with their checksum. Everything else is checked when
    /// a bundle is opened; weights may be many gigabytes, so whoever cannot trust the file (a download,
    /// a memory card) decides when to read them. Of a mapped file little stays in memory.
    ///
    /// # Errors
    /// The weights were damaged after they were written.
    pub fn verify(&self) -> Result<()> {
        const STEP_BYTES: usize = 16 << 20;
        let sections = &self.0.contents.sections;
        let Some(info) = sections.iter().find(|s| s.section == Section::Weights) else {
            return Ok(());
        };
        let mut hash = Hash::default();
        for part in self.weights().chunks(STEP_BYTES) {
            let start = hash.bytes();
            let end = start + part.len() as u64;
            self.fetch_weights(start..end, end..end + STEP_BYTES as u64);
            hash.update(part);
            self.release_weights(start..end);
        }
        Ok(info.check(hash.bytes(), hash.finish())?)
    }

    pub fn meta(&self) -> &Meta {
        &self.0.contents.meta
    }

    /// Requirements of each variant, in bundle order.
    pub fn requirements(&self) -> impl ExactSizeIterator<Item = &Requirements> {
        self.0.contents.variants.iter().map(|v| &v.requirements)
    }

    /// Bytes that travel with the bundle for the program that runs it: a tokenizer, say.
    pub fn asset(&self, name: &str) -> Option<&[u8]> {
        Some(&self.bytes()[self.0.contents.asset(name)?])
    }

    /// Names of all assets, ascending.
    pub fn assets(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.contents.assets.iter().map(|(name, _)| name.as_str())
    }

    /// XXH3-64 of the weights, as the file states it.
    pub(crate) fn weights_hash(&self) -> u64 {
        let sections = &self.0.contents.sections;
        sections.iter().find(|s| s.section == Section::Weights).map_or(0, |s| s.hash)
    }

    pub(crate) fn variant(&self, index: usize) -> &VariantContents {
        &self.0.contents.variants[index]
    }

    pub(crate) fn weights(&self) -> &[u8] {
        &self.bytes()[self.0.contents.weights.clone()]
    }

    /// Whether the file is mapped: its bytes start at a page, and pages are whole.
    #[cfg(all(feature = "metal", target_vendor = "apple"))]
    pub(crate) fn is_mapped(&self) -> bool {
        #[cfg(feature = "mmap")]
        return matches!(self.0.bytes, Bytes::Map(_));
        #[cfg(not(feature = "mmap"))]
        false
    }

    /// Calls `f` with the file map and a range of the weights as a range of the file, where the
    /// bundle is mapped.
    #[cfg(feature = "mmap")]
    fn with_map(&self, weights: Range<u64>, f: impl FnOnce(&crate::map::FileMap, usize, usize)) {
        if let Bytes::Map(map) = &self.0.bytes {
            let all = &self.0.contents.weights;
            let end = all.end.min(all.start.saturating_add(weights.end as usize));
            let start = end.min(all.start.saturating_add(weights.start as usize));
            f(map, start, end - start);
        }
    }

    /// A part of the weights is read now, and another one soon.
    pub(crate) fn fetch_weights(&self, now: Range<u64>, soon: Range<u64>) {
        #[cfg(feature = "mmap")]
        {
            self.with_map(soon, |map, offset, bytes| map.expect(offset, bytes));
            self.with_map(now, |map, offset, bytes| map.fetch(offset, bytes));
        }
        #[cfg(not(feature = "mmap"))]
        let _ = (now, soon);
    }

    /// A part of the weights was read: the device has it, and no copy stays in memory.
    pub(crate) fn release_weights(&self, part: Range<u64>) {
        #[cfg(feature = "mmap")]
        self.with_map(part, |map, offset, bytes| map.release(offset, bytes));
        #[cfg(not(feature = "mmap"))]
        let _ = part;
    }

    pub(crate) fn shader(&self, variant: usize, index: u32) -> &[u8] {
        &self.bytes()[self.variant(variant).shaders[index as usize].clone()]
    }

    /// Identifies the shaders of a variant, for the driver cache.
    pub(crate) fn shaders_hash(&self, variant: usize) -> u64 {
        let sections = &self.0.contents.sections;
        let of_variant = |s: &&drift_bundle::SectionInfo| {
            s.section == Section::Shaders && s.variant == Some(variant as u32)
        };
        sections.iter().find(of_variant).map_or(0, |s| s.hash)
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes.as_slice()
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(feature = "mmap")]
            Bytes::Map(map) => map.as_slice(),
            Bytes::Vec(v) => v,
            Bytes::Static(s) => s,
        }
    }
}
