//! A bundle read piece by piece, in the order in which it comes over a network.
//!
//! Header and table say where everything is ([`Parts::parse`]); the other methods take the bytes of
//! one section each, check them and give what they say. What is checked is what
//! [`Bundle::parse`](crate::Bundle::parse) checks, but for the padding between sections.

use crate::{
    caps::Requirements,
    check::check_variant,
    container::{HEADER_BYTES, Section, SectionInfo, length_mismatch, read_head, read_sections},
    error::{BundleError, ErrorKind},
    meta::Meta,
    plan::Plan,
    read::{compare, decode, read_assets, read_shaders},
};
use alloc::{format, string::String, vec::Vec};
use core::{hash::Hasher, ops::Range};
use twox_hash::xxhash3_64;

/// Header and table of a bundle.
#[derive(Clone, Debug)]
pub struct Parts {
    pub file_bytes: u64,
    /// In file order.
    pub sections: Vec<SectionInfo>,
}

impl Parts {
    /// Bytes that tell the length of header and table.
    pub const HEAD_BYTES: usize = HEADER_BYTES;

    /// Bytes of header and table, which the first [`Parts::HEAD_BYTES`] tell.
    pub fn table_bytes(head: &[u8]) -> Result<usize, BundleError> {
        read_head(head).map(|head| head.header_bytes)
    }

    /// Reads header and table; more bytes may follow them.
    pub fn parse(bytes: &[u8]) -> Result<Parts, BundleError> {
        let head = read_head(bytes)?;
        let sections = read_sections(bytes, &head)?;
        Ok(Parts { file_bytes: head.file_bytes, sections })
    }

    /// An error unless the file has as many bytes as its header says.
    pub fn check_length(&self, bytes: u64) -> Result<(), BundleError> {
        match bytes == self.file_bytes {
            true => Ok(()),
            false => Err(length_mismatch(self.file_bytes, bytes)),
        }
    }

    /// The section of this kind: of this variant, or shared by all.
    pub fn find(
        &self,
        section: Section,
        variant: Option<u32>,
    ) -> Result<&SectionInfo, BundleError> {
        let found = self.sections.iter().find(|s| s.section == section && s.variant == variant);
        found.ok_or_else(|| {
            let e = BundleError::new(ErrorKind::Malformed, "missing").in_section(section);
            match variant {
                Some(v) => e.in_variant(v, ""),
                None => e,
            }
        })
    }

    /// Number of variants.
    pub fn variants(&self) -> u32 {
        self.sections.iter().filter(|s| s.section == Section::Requirements).count() as u32
    }

    pub fn meta(&self, bytes: &[u8]) -> Result<Meta, BundleError> {
        decode(bytes, self.find(Section::Meta, None)?, "meta")
    }

    pub fn requirements(&self, variant: u32, bytes: &[u8]) -> Result<Requirements, BundleError> {
        decode(bytes, self.find(Section::Requirements, Some(variant))?, "requirements")
    }

    /// Names and bytes (inside the section) of the assets.
    pub fn assets(&self, bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>, BundleError> {
        read_assets(bytes, self.find(Section::Assets, None)?)
    }

    /// Plan and shaders (inside their section) of a variant, checked against each other, against its
    /// requirements and the size of the weights.
    pub fn variant(
        &self,
        variant: u32,
        requirements: &Requirements,
        plan: &[u8],
        shaders: &[u8],
    ) -> Result<(Plan, Vec<Range<usize>>), BundleError> {
        let name = |e: BundleError| e.in_variant(variant, &requirements.target);
        let plan: Plan =
            decode(plan, self.find(Section::Plan, Some(variant))?, "plan").map_err(name)?;
        let info = self.find(Section::Shaders, Some(variant))?;
        let ranges = read_shaders(shaders, info).map_err(name)?;
        let texts: Vec<&[u8]> = ranges.iter().map(|r| &shaders[r.clone()]).collect();
        let weights = self.find(Section::Weights, None).map_or(0, |info| info.bytes);
        check_variant(requirements, &plan, &texts, weights).map_err(name)?;
        Ok((plan, ranges))
    }
}

impl SectionInfo {
    /// An error unless `bytes` bytes with this hash are what the section holds.
    pub fn check(&self, bytes: u64, hash: u64) -> Result<(), BundleError> {
        if bytes != self.bytes {
            let message = format!("{bytes} of its {} bytes", self.bytes);
            return Err(BundleError::new(ErrorKind::Truncated, message).in_section(self.section));
        }
        compare(self, hash)
    }
}

/// XXH3-64 of bytes that come one after the other.
#[derive(Clone, Default)]
pub struct Hash {
    state: xxhash3_64::Hasher,
    bytes: u64,
}

impl Hash {
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.write(bytes);
        self.bytes += bytes.len() as u64;
    }
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// Hash of the bytes so far.
    pub fn finish(&self) -> u64 {
        self.state.finish()
    }
}
