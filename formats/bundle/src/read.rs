//! The reader.

use crate::{
    caps::Requirements,
    check::check_variant,
    codec::{self, Wire},
    container::{Section, SectionInfo, content_hash, read_table},
    error::{BundleError, ErrorKind},
    meta::Meta,
    plan::Plan,
};
use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

/// Everything a bundle says, without its bytes: ranges instead of slices. For owners that keep the
/// file's bytes themselves (a memory map, say) and cannot hold a borrow of them.
#[derive(Clone, Debug)]
pub struct Contents {
    pub meta: Meta,
    pub sections: Vec<SectionInfo>,
    pub variants: Vec<VariantContents>,
    /// Name of each asset, in order, and its bytes inside the file.
    pub assets: Vec<(String, Range<usize>)>,
    /// Bytes of WEIGHTS inside the file.
    pub weights: Range<usize>,
}

impl Contents {
    /// Where the asset of this name lies inside the file.
    pub fn asset(&self, name: &str) -> Option<Range<usize>> {
        let index = self.assets.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(self.assets[index].1.clone())
    }
}

/// One variant inside [`Contents`].
#[derive(Clone, Debug)]
pub struct VariantContents {
    pub requirements: Requirements,
    pub plan: Plan,
    /// Bytes of each shader inside the file.
    pub shaders: Vec<Range<usize>>,
}

/// A checked bundle over borrowed bytes.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    contents: Contents,
}

/// One variant of a [`Bundle`].
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    pub requirements: &'a Requirements,
    pub plan: &'a Plan,
    shaders: Shaders<'a>,
}

impl<'a> Variant<'a> {
    pub fn shaders(&self) -> Shaders<'a> {
        self.shaders
    }
}

/// The shaders of one variant: SPIR-V words (little-endian) or UTF-8 text, by dialect.
#[derive(Clone, Copy, Debug)]
pub struct Shaders<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Shaders<'a> {
    pub fn len(&self) -> usize {
        self.ranges.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.bytes.get(self.ranges.get(index)?.clone())
    }
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |r| &bytes[r.clone()])
    }
}

impl<'a> Bundle<'a> {
    /// Reads a bundle. Checks structure, checksums (except that of WEIGHTS, which may be many
    /// gigabytes: see [`Bundle::verify`]) and every cross reference.
    pub fn parse(bytes: &'a [u8]) -> Result<Bundle<'a>, BundleError> {
        Ok(Bundle { bytes, contents: Contents::parse(bytes)? })
    }

    pub fn meta(&self) -> &Meta {
        &self.contents.meta
    }

    /// The section table, in file order.
    pub fn sections(&self) -> &[SectionInfo] {
        &self.contents.sections
    }

    pub fn variants(&self) -> impl ExactSizeIterator<Item = Variant<'_>> {
        self.contents.variants.iter().map(|v| Variant {
            requirements: &v.requirements,
            plan: &v.plan,
            shaders: Shaders { bytes: self.bytes, ranges: &v.shaders },
        })
    }

    /// The packed weights that all variants share; uploads point into them.
    pub fn weights(&self) -> &'a [u8] {
        &self.bytes[self.contents.weights.clone()]
    }

    /// The bytes that were added under this name ([`BundleWriter::add_asset`](crate::BundleWriter)).
    pub fn asset(&self, name: &str) -> Option<&'a [u8]> {
        Some(&self.bytes[self.contents.asset(name)?])
    }

    /// All assets, by name in ascending order.
    pub fn assets(&self) -> impl ExactSizeIterator<Item = (&str, &'a [u8])> {
        let bytes = self.bytes;
        self.contents.assets.iter().map(move |(name, r)| (name.as_str(), &bytes[r.clone()]))
    }

    /// The DEBUG section, if the bundle has one.
    pub fn debug(&self) -> Option<&'a [u8]> {
        let info = self.sections().iter().find(|s| s.section == Section::Debug)?;
        Some(&self.bytes[info.range()])
    }

    /// Reads the whole file and compares the checksums that [`Bundle::parse`] leaves alone.
    pub fn verify(&self) -> Result<(), BundleError> {
        let sections = &self.contents.sections;
        sections.iter().try_for_each(|info| check_hash(&self.bytes[info.range()], info))
    }

    pub fn into_contents(self) -> Contents {
        self.contents
    }
}

impl Contents {
    /// [`Bundle::parse`] for callers that own the bytes; the ranges index into `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Contents, BundleError> {
        let sections = read_table(bytes)?;
        let find = |section, variant| {
            sections.iter().find(|s| s.section == section && s.variant == variant).ok_or_else(
                || {
                    let e = BundleError::new(ErrorKind::Malformed, "missing").in_section(section);
                    match variant {
                        Some(v) => e.in_variant(v, ""),
                        None => e,
                    }
                },
            )
        };
        let part = |info: &SectionInfo| &bytes[info.range()];
        let info = find(Section::Meta, None)?;
        let meta: Meta = decode(part(info), info, "meta")?;
        let weights = find(Section::Weights, None).map_or(0..0, |info| info.range());
        let assets = match sections.iter().find(|s| s.section == Section::Assets) {
            Some(info) => {
                let assets = read_assets(part(info), info)?;
                assets.into_iter().map(|(name, r)| (name, shift(r, info))).collect()
            }
            None => Vec::new(),
        };
        let count = sections.iter().filter(|s| s.section == Section::Requirements).count();
        // Variant numbers are 0..count: with a stray number, one of these is missing.
        if let Some(stray) =
            sections.iter().find(|s| s.variant.is_some_and(|v| v as usize >= count))
        {
            return Err(BundleError::new(
                ErrorKind::Malformed,
                format!("the bundle has {count} variants"),
            )
            .in_section(stray.section)
            .in_variant(stray.variant.unwrap_or(0), ""));
        }
        if count == 0 {
            return Err(BundleError::new(ErrorKind::Malformed, "the bundle has no variant"));
        }
        let mut variants = Vec::with_capacity(count);
        for number in 0..count as u32 {
            let info = find(Section::Requirements, Some(number))?;
            let requirements: Requirements = decode(part(info), info, "requirements")?;
            let name = |e: BundleError| e.in_variant(number, &requirements.target);
            let info = find(Section::Plan, Some(number))?;
            let plan: Plan = decode(part(info), info, "plan").map_err(name)?;
            let info = find(Section::Shaders, Some(number))?;
            let ranges = read_shaders(part(info), info).map_err(name)?;
            let ranges: Vec<_> = ranges.into_iter().map(|r| shift(r, info)).collect();
            let shaders: Vec<&[u8]> = ranges.iter().map(|r| &bytes[r.clone()]).collect();
            check_variant(&requirements, &plan, &shaders, weights.len() as u64).map_err(name)?;
            variants.push(VariantContents { requirements, plan, shaders: ranges });
        }
        Ok(Contents { meta, sections, variants, assets, weights })
    }
}

/// A range inside a section as one inside the file.
fn shift(range: Range<usize>, info: &SectionInfo) -> Range<usize> {
    let start = info.range().start;
    start + range.start..start + range.end
}

/// Compares a section with its checksum.
fn check_hash(section: &[u8], info: &SectionInfo) -> Result<(), BundleError> {
    compare(info, content_hash(section))
}

/// An error if this is not the checksum of the section.
pub(crate) fn compare(info: &SectionInfo, hash: u64) -> Result<(), BundleError> {
    if hash == info.hash {
        return Ok(());
    }
    let e = BundleError::new(
        ErrorKind::Damaged,
        "contents do not match their checksum; copy the file again",
    )
    .in_section(info.section);
    Err(match info.variant {
        Some(v) => e.in_variant(v, ""),
        None => e,
    })
}

pub(crate) fn decode<T: Wire>(
    section: &[u8],
    info: &SectionInfo,
    root: &str,
) -> Result<T, BundleError> {
    check_hash(section, info)?;
    codec::decode(section).map_err(|e| {
        let dot = if e.path.is_empty() || e.path.starts_with('[') { "" } else { "." };
        let path: String = format!("{root}{dot}{}", e.path);
        let error =
            BundleError::new(ErrorKind::Malformed, format!("at byte {}: {}", e.offset, e.message))
                .in_section(info.section)
                .at(path);
        match info.variant {
            Some(v) => error.in_variant(v, ""),
            None => error,
        }
    })
}

/// ASSETS: u32 bytes of the index, the index (a list of name and u64 bytes, names ascending), then
/// the blobs one after the other, nothing between them. Ranges are inside the section.
pub(crate) fn read_assets(
    section: &[u8],
    info: &SectionInfo,
) -> Result<Vec<(String, Range<usize>)>, BundleError> {
    check_hash(section, info)?;
    let fail = |message: String| {
        Err(BundleError::new(ErrorKind::Malformed, message).in_section(Section::Assets))
    };
    let Some((head, rest)) = section.split_first_chunk::<4>() else {
        return fail("shorter than the size of its index".into());
    };
    let index_bytes = u32::from_le_bytes(*head) as usize;
    let Some(index) = rest.get(..index_bytes) else {
        return fail(format!("an index of {index_bytes} bytes does not fit in {}", rest.len()));
    };
    let rows: Vec<(String, u64)> = match codec::decode(index) {
        Ok(rows) => rows,
        Err(e) => return fail(format!("index{}: at byte {}: {}", e.path, e.offset, e.message)),
    };
    let mut assets = Vec::with_capacity(rows.len());
    let mut at = 4 + index_bytes;
    for (name, len) in rows {
        if assets.last().is_some_and(|(last, _)| *last >= name) {
            return fail(format!("the names are not ascending at {name:?}"));
        }
        let left = section.len() - at;
        let Some(len) = usize::try_from(len).ok().filter(|n| *n <= left) else {
            return fail(format!("{name:?} has {len} bytes, {left} are left"));
        };
        assets.push((name, at..at + len));
        at += len;
    }
    if at != section.len() {
        return fail(format!("{} bytes after the last asset", section.len() - at));
    }
    Ok(assets)
}

/// SHADERS: u32 count, then (u32 offset from the section's start, u32 bytes) of each, then the blobs
/// at multiples of 4 with zero padding between them. Ranges are inside the section.
pub(crate) fn read_shaders(
    section: &[u8],
    info: &SectionInfo,
) -> Result<Vec<Range<usize>>, BundleError> {
    check_hash(section, info)?;
    let fail = |message: String| {
        Err(BundleError::new(ErrorKind::Malformed, message).in_section(Section::Shaders))
    };
    let word = |at: usize| {
        section.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    let Some(count) = word(0) else { return fail("shorter than its count".into()) };
    let index_bytes = count as u64 * 8 + 4;
    if index_bytes > section.len() as u64 {
        return fail(format!("{count} shaders do not fit in {} bytes", section.len()));
    }
    let mut ranges = Vec::with_capacity(count);
    let mut end = index_bytes as usize;
    for i in 0..count {
        let (Some(offset), Some(len)) = (word(4 + i * 8), word(8 + i * 8)) else {
            return fail(format!("index entry {i} is cut off"));
        };
        let inside = offset.checked_add(len).filter(|e| *e <= section.len());
        let Some(next) = inside.filter(|_| offset == end.next_multiple_of(4)) else {
            return fail(format!("shader {i} ({len} bytes at {offset}) is out of place"));
        };
        if section[end..offset].iter().any(|b| *b != 0) {
            return fail(format!("padding before shader {i} is not zero"));
        }
        ranges.push(offset..next);
        end = next;
    }
    if end != section.len() {
        return fail(format!("{} bytes after the last shader", section.len() - end));
    }
    Ok(ranges)
}
