//! The writer. The same parts always give the same bytes.

use crate::{
    caps::Requirements, check::check_variant, codec, container::*, error::BundleError, meta::Meta,
    plan::Plan,
};
use alloc::{collections::BTreeMap, format, string::String, vec, vec::Vec};
use core::fmt;
use std::io::{self, Seek, SeekFrom, Write};
use twox_hash::XxHash3_64;

/// The shaders of one variant; equal blobs are stored once.
#[derive(Clone, Debug, Default)]
pub struct ShaderSet {
    blobs: Vec<Vec<u8>>,
    by_content: BTreeMap<Vec<u8>, u32>,
}

impl ShaderSet {
    pub fn new() -> ShaderSet {
        ShaderSet::default()
    }

    /// Adds a shader (SPIR-V as little-endian bytes, or text) and gives its index for
    /// `Pipeline::shader`; the index of an equal blob added before, if there is one.
    pub fn add(&mut self, blob: impl Into<Vec<u8>>) -> u32 {
        let blob = blob.into();
        if let Some(index) = self.by_content.get(&blob) {
            return *index;
        }
        let index = self.blobs.len() as u32;
        self.by_content.insert(blob.clone(), index);
        self.blobs.push(blob);
        index
    }

    /// [`ShaderSet::add`] for SPIR-V words.
    pub fn add_words(&mut self, words: &[u32]) -> u32 {
        self.add(words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// Blob number `index`, as [`ShaderSet::add`] numbered it.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.blobs.get(index).map(Vec::as_slice)
    }

    pub fn len(&self) -> usize {
        self.blobs.len()
    }
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }
    /// Bytes of all blobs.
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().map(|b| b.len() as u64).sum()
    }

    fn encode(&self) -> Vec<u8> {
        let mut index = Vec::new();
        index.extend_from_slice(&(self.blobs.len() as u32).to_le_bytes());
        let mut offset = 4 + 8 * self.blobs.len();
        let mut body = Vec::new();
        for blob in &self.blobs {
            let pad = offset.next_multiple_of(4) - offset;
            body.resize(body.len() + pad, 0);
            offset += pad;
            index.extend_from_slice(&(offset as u32).to_le_bytes());
            index.extend_from_slice(&(blob.len() as u32).to_le_bytes());
            body.extend_from_slice(blob);
            offset += blob.len();
        }
        index.extend_from_slice(&body);
        index
    }
}

/// Why a bundle was not written.
#[derive(Debug)]
pub enum WriteError {
    Io(io::Error),
    /// The parts contradict each other; the reader would refuse the result.
    Invalid(BundleError),
    /// The weights callback delivered another number of bytes than announced.
    WeightsSize {
        announced: u64,
        delivered: u64,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Io(e) => write!(f, "cannot write the bundle: {e}"),
            WriteError::Invalid(e) => write!(f, "the bundle would be inconsistent: {e}"),
            WriteError::WeightsSize { announced, delivered } => {
                write!(f, "{announced} bytes of weights were announced, {delivered} were written")
            }
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Io(e) => Some(e),
            WriteError::Invalid(e) => Some(e),
            WriteError::WeightsSize { .. } => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(e: io::Error) -> Self {
        WriteError::Io(e)
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct WrittenBundle {
    pub bytes: u64,
    pub sections: Vec<SectionInfo>,
}

/// Collects the parts of a bundle and writes it in one go.
#[derive(Clone, Debug, Default)]
pub struct BundleWriter {
    meta: Meta,
    variants: Vec<(Requirements, Plan, ShaderSet)>,
    debug: Option<Vec<u8>>,
    assets: BTreeMap<String, Vec<u8>>,
}

impl BundleWriter {
    pub fn new(meta: Meta) -> BundleWriter {
        BundleWriter { meta, ..BundleWriter::default() }
    }

    /// Adds a variant. Its requirements are raised to cover the plan
    /// ([`Requirements::cover_plan`]); consistency is checked when writing.
    pub fn add_variant(
        &mut self,
        mut requirements: Requirements,
        plan: Plan,
        shaders: ShaderSet,
    ) -> &mut Self {
        requirements.cover_plan(&plan);
        self.variants.push((requirements, plan, shaders));
        self
    }

    /// Attaches notes for people.
    pub fn set_debug(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.debug = Some(bytes);
        self
    }

    /// Attaches bytes under a name, for the program that runs the bundle; replaces those of the same
    /// name.
    pub fn add_asset(&mut self, name: &str, bytes: Vec<u8>) -> &mut Self {
        self.assets.insert(name.into(), bytes);
        self
    }

    /// Writes the bundle at the start of `out` (an empty file, say).
    ///
    /// `fill` delivers exactly `weights_bytes` bytes of weights; they are hashed and passed on as
    /// they come, so they need not fit in memory. To replace a file atomically, write to a
    /// temporary file beside it and rename it afterwards.
    pub fn write<W: Write + Seek>(
        &self,
        out: &mut W,
        weights_bytes: u64,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<WrittenBundle, WriteError> {
        for (number, (requirements, plan, shaders)) in self.variants.iter().enumerate() {
            let blobs: Vec<&[u8]> = shaders.blobs.iter().map(Vec::as_slice).collect();
            check_variant(requirements, plan, &blobs, weights_bytes).map_err(|e| {
                WriteError::Invalid(e.in_variant(number as u32, &requirements.target))
            })?;
        }
        let (mut sections, bodies) = self.layout();
        let header_len =
            HEADER_BYTES + (sections.len() + usize::from(weights_bytes > 0)) * ENTRY_BYTES;

        // The table is known only after the weights have passed: leave room, come back.
        out.write_all(&vec![0; header_len])?;
        let mut end = header_len as u64;
        for (info, body) in sections.iter_mut().zip(&bodies) {
            end = pad(out, end, info.align)?;
            out.write_all(body)?;
            (info.offset, info.bytes, info.hash) = (end, body.len() as u64, content_hash(body));
            end += info.bytes;
        }
        if weights_bytes > 0 {
            let align = 1 << WEIGHTS_ALIGN_LOG2;
            let offset = pad(out, end, align)?;
            let mut sink =
                HashingSink { out, hasher: XxHash3_64::new(), bytes: 0, most: weights_bytes };
            fill(&mut sink)?;
            let (delivered, hash) = (sink.bytes, core::hash::Hasher::finish(&sink.hasher));
            if delivered != weights_bytes {
                return Err(WriteError::WeightsSize { announced: weights_bytes, delivered });
            }
            end = offset + weights_bytes;
            sections.push(SectionInfo {
                section: Section::Weights,
                variant: None,
                offset,
                bytes: weights_bytes,
                align,
                hash,
            });
        }

        let mut header = Vec::with_capacity(header_len);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&CURRENT_MAJOR.to_le_bytes());
        header.extend_from_slice(&CURRENT_MINOR.to_le_bytes());
        header.extend_from_slice(&(header_len as u32).to_le_bytes());
        header.extend_from_slice(&end.to_le_bytes());
        header.extend_from_slice(&(sections.len() as u32).to_le_bytes());
        let mut table = Vec::new();
        sections.iter().for_each(|info| info.encode(&mut table));
        let hash = table_hash(&header, &table);
        header.extend_from_slice(&hash.to_le_bytes());
        header.extend_from_slice(&table);
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header)?;
        out.seek(SeekFrom::Start(end))?;
        out.flush()?;
        Ok(WrittenBundle { bytes: end, sections })
    }

    /// [`BundleWriter::write`] into memory, for weights that are at hand.
    pub fn to_vec(&self, weights: &[u8]) -> Result<Vec<u8>, WriteError> {
        let mut out = io::Cursor::new(Vec::new());
        self.write(&mut out, weights.len() as u64, |sink| sink.write_all(weights))?;
        Ok(out.into_inner())
    }

    /// All sections before WEIGHTS in file order, with their contents.
    fn layout(&self) -> (Vec<SectionInfo>, Vec<Vec<u8>>) {
        let mut sections = Vec::new();
        let mut bodies = Vec::new();
        let mut add = |section, variant, body| {
            let align = 1 << SECTION_ALIGN_LOG2;
            sections.push(SectionInfo { section, variant, offset: 0, bytes: 0, align, hash: 0 });
            bodies.push(body);
        };
        add(Section::Meta, None, codec::encode(&self.meta));
        for (number, (requirements, plan, shaders)) in self.variants.iter().enumerate() {
            let variant = Some(number as u32);
            add(Section::Requirements, variant, codec::encode(requirements));
            add(Section::Plan, variant, codec::encode(plan));
            add(Section::Shaders, variant, shaders.encode());
        }
        if let Some(debug) = &self.debug {
            add(Section::Debug, None, debug.clone());
        }
        if !self.assets.is_empty() {
            add(Section::Assets, None, self.encode_assets());
        }
        (sections, bodies)
    }
}

impl BundleWriter {
    fn encode_assets(&self) -> Vec<u8> {
        let row = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), bytes.len() as u64);
        let index = codec::encode(&self.assets.iter().map(row).collect::<Vec<(String, u64)>>());
        let mut section = (index.len() as u32).to_le_bytes().to_vec();
        section.extend_from_slice(&index);
        self.assets.values().for_each(|bytes| section.extend_from_slice(bytes));
        section
    }
}

/// Zero bytes up to the next multiple of `align`; gives the new end.
fn pad(out: &mut dyn Write, end: u64, align: u64) -> io::Result<u64> {
    let next = end.next_multiple_of(align);
    out.write_all(&vec![0; (next - end) as usize])?;
    Ok(next)
}

struct HashingSink<'o, W> {
    out: &'o mut W,
    hasher: XxHash3_64,
    bytes: u64,
    most: u64,
}

impl<W: Write> Write for HashingSink<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.bytes + buf.len() as u64 > self.most {
            let message: String = format!("more than the announced {} bytes of weights", self.most);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let n = self.out.write(buf)?;
        core::hash::Hasher::write(&mut self.hasher, &buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
