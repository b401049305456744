//! Header and section table.

use crate::error::{BundleError, ErrorKind};
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use twox_hash::XxHash3_64;

/// First bytes of every bundle. The line ends reveal a transfer in text mode.
pub const MAGIC: [u8; 8] = [0x89, b'D', b'R', b'F', b'T', 0x0d, 0x0a, 0x1a];
/// A reader refuses every other major version.
pub const CURRENT_MAJOR: u16 = 2;
/// Raised when optional sections are added; a reader accepts any minor version.
pub const CURRENT_MINOR: u16 = 0;
/// WEIGHTS starts at a multiple of this many bytes, so that its pages can be mapped and imported.
pub const WEIGHTS_ALIGN: u64 = 4096;

/// Bytes before the table.
pub(crate) const HEADER_BYTES: usize = 36;
/// Bytes of one table entry.
pub(crate) const ENTRY_BYTES: usize = 40;
/// `variant` of sections shared by all variants.
pub(crate) const SHARED: u32 = u32::MAX;
/// Sections of this kind bit may be skipped by a reader that does not know them.
const OPTIONAL: u16 = 0x8000;
/// Most sections of one bundle: checks that compare sections pairwise stay quick.
const MAX_SECTIONS: u32 = 4096;
/// Largest alignment a section may ask for, as a power of two (2 MiB, a large page).
const MAX_ALIGN_LOG2: u8 = 21;
/// Sections other than WEIGHTS start at multiples of this.
pub(crate) const SECTION_ALIGN_LOG2: u8 = 4;
pub(crate) const WEIGHTS_ALIGN_LOG2: u8 = WEIGHTS_ALIGN.trailing_zeros() as u8;

/// Kind of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    Meta,
    Requirements,
    Plan,
    Shaders,
    Weights,
    /// Free text for people; never read by the runtime.
    Debug,
    /// Named byte blobs for the program that runs the bundle (a tokenizer, say).
    Assets,
    /// A kind this reader does not know.
    Unknown(u16),
}

impl Section {
    pub(crate) fn code(self) -> u16 {
        match self {
            Section::Meta => 1,
            Section::Requirements => 2,
            Section::Plan => 3,
            Section::Shaders => 4,
            Section::Weights => 5,
            Section::Debug => OPTIONAL | 1,
            Section::Assets => OPTIONAL | 2,
            Section::Unknown(code) => code,
        }
    }
    fn from_code(code: u16) -> Section {
        match code {
            1 => Section::Meta,
            2 => Section::Requirements,
            3 => Section::Plan,
            4 => Section::Shaders,
            5 => Section::Weights,
            0x8001 => Section::Debug,
            0x8002 => Section::Assets,
            other => Section::Unknown(other),
        }
    }
    /// Whether every variant has its own.
    fn is_per_variant(self) -> bool {
        matches!(self, Section::Requirements | Section::Plan | Section::Shaders)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Section::Meta => f.write_str("META"),
            Section::Requirements => f.write_str("REQUIREMENTS"),
            Section::Plan => f.write_str("PLAN"),
            Section::Shaders => f.write_str("SHADERS"),
            Section::Weights => f.write_str("WEIGHTS"),
            Section::Debug => f.write_str("DEBUG"),
            Section::Assets => f.write_str("ASSETS"),
            Section::Unknown(code) => write!(f, "kind {code:#06x}"),
        }
    }
}

/// One row of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionInfo {
    pub section: Section,
    /// Variant it belongs to; `None` for shared sections.
    pub variant: Option<u32>,
    /// Bytes from the start of the file.
    pub offset: u64,
    pub bytes: u64,
    pub align: u64,
    /// XXH3-64 of the contents.
    pub hash: u64,
}

impl SectionInfo {
    /// In bounds for every entry that [`read_table`] accepted.
    pub(crate) fn range(&self) -> core::ops::Range<usize> {
        self.offset as usize..(self.offset + self.bytes) as usize
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.section.code().to_le_bytes());
        out.push(0); // codec: raw
        out.push(self.align.trailing_zeros() as u8);
        out.extend_from_slice(&self.variant.unwrap_or(SHARED).to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes()); // stored
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
    }
}

/// The hash that protects header and table: the table, seeded with the hash of the fixed fields.
pub(crate) fn table_hash(fixed: &[u8], table: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(fixed), table)
}

pub(crate) fn content_hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

fn le_u16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}
fn le_u32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
fn le_u64(b: &[u8], at: usize) -> u64 {
    u64::from(le_u32(b, at)) | u64::from(le_u32(b, at + 4)) << 32
}

/// Reads and checks header and table of a whole file. Afterwards every section lies inside the file,
/// none overlap, and no byte of the file is unaccounted for.
pub(crate) fn read_table(bytes: &[u8]) -> Result<Vec<SectionInfo>, BundleError> {
    let head = read_head(bytes)?;
    if head.file_bytes != bytes.len() as u64 {
        return Err(length_mismatch(head.file_bytes, bytes.len() as u64));
    }
    read_sections(bytes, &head)
}

/// The fixed fields at the start of a file.
pub(crate) struct Head {
    /// Bytes of header and table.
    pub header_bytes: usize,
    pub file_bytes: u64,
    sections: u32,
}

/// The file is shorter or longer than its header says.
pub(crate) fn length_mismatch(expected: u64, have: u64) -> BundleError {
    if expected > have {
        let message = format!(
            "the file has {have} bytes, its header says {expected}; copy or download it again"
        );
        BundleError::new(ErrorKind::Truncated, message)
    } else {
        let message = format!("{} bytes follow the end of the bundle", have - expected);
        BundleError::new(ErrorKind::Damaged, message)
    }
}

/// Reads the fixed fields; `bytes` starts with them.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, BundleError> {
    check_magic(bytes)?;
    let fail = |kind, message: String| Err(BundleError::new(kind, message));
    if bytes.len() < HEADER_BYTES {
        return fail(
            ErrorKind::Truncated,
            format!("the file ends inside the header ({} of {HEADER_BYTES} bytes)", bytes.len()),
        );
    }
    let (major, minor) = (le_u16(bytes, 8), le_u16(bytes, 10));
    if major != CURRENT_MAJOR {
        let advice = if major > CURRENT_MAJOR {
            "update the runtime, or compile the model again with an older driftc"
        } else {
            "compile the model again with a current driftc"
        };
        return fail(
            ErrorKind::Unsupported,
            format!(
                "bundle format {major}.{minor}, but this reader knows {CURRENT_MAJOR}.x; {advice}"
            ),
        );
    }
    let header_len = le_u32(bytes, 12) as usize;
    let file_len = le_u64(bytes, 16);
    let count = le_u32(bytes, 24);
    Ok(Head { header_bytes: header_len, file_bytes: file_len, sections: count })
}

/// Reads and checks the table; `bytes` starts with header and table.
pub(crate) fn read_sections(bytes: &[u8], head: &Head) -> Result<Vec<SectionInfo>, BundleError> {
    let fail = |kind, message: String| Err(BundleError::new(kind, message));
    let Head { header_bytes: header_len, file_bytes: file_len, sections: count } = *head;
    if count > MAX_SECTIONS {
        return fail(ErrorKind::Damaged, format!("{count} sections, at most {MAX_SECTIONS}"));
    }
    let expected = u64::from(count) * ENTRY_BYTES as u64 + HEADER_BYTES as u64;
    if header_len as u64 != expected || expected > file_len {
        return fail(
            ErrorKind::Damaged,
            format!("header of {header_len} bytes cannot hold a table of {count} sections"),
        );
    }
    let Some(table) = bytes.get(HEADER_BYTES..header_len) else {
        return fail(
            ErrorKind::Truncated,
            format!("{} of the {header_len} bytes of header and table", bytes.len()),
        );
    };
    if table_hash(&bytes[..28], table) != le_u64(bytes, 28) {
        return fail(ErrorKind::Damaged, "the section table does not match its checksum".into());
    }
    // From here on damage is excluded; what is wrong now was written wrong.
    let mut sections = Vec::with_capacity(count as usize);
    let mut end = header_len as u64;
    for entry in table.chunks_exact(ENTRY_BYTES) {
        let info = read_entry(entry, bytes, end, file_len)?;
        if sections
            .iter()
            .any(|s: &SectionInfo| s.section == info.section && s.variant == info.variant)
        {
            return Err(BundleError::new(ErrorKind::Malformed, "section appears twice")
                .in_section(info.section));
        }
        end = info.offset + info.bytes;
        sections.push(info);
    }
    if end != file_len {
        return fail(
            ErrorKind::Malformed,
            format!("{} bytes belong to no section", file_len - end),
        );
    }
    Ok(sections)
}

fn read_entry(
    entry: &[u8],
    bytes: &[u8],
    end: u64,
    file_len: u64,
) -> Result<SectionInfo, BundleError> {
    let code = le_u16(entry, 0);
    let section = Section::from_code(code);
    let fail = |kind, message: String| Err(BundleError::new(kind, message).in_section(section));
    if let Section::Unknown(code) = section
        && code & OPTIONAL == 0
    {
        return fail(
            ErrorKind::Unsupported,
            "this reader does not know this section and the bundle requires it; update the runtime"
                .into(),
        );
    }
    if entry[2] != 0 {
        return fail(
            ErrorKind::Unsupported,
            format!("stored with codec {}, this reader knows codec 0 (raw) only", entry[2]),
        );
    }
    if entry[3] > MAX_ALIGN_LOG2 {
        return fail(ErrorKind::Malformed, format!("alignment 2^{} is out of range", entry[3]));
    }
    let align = 1u64 << entry[3];
    let variant = le_u32(entry, 4);
    let (offset, stored, len) = (le_u64(entry, 8), le_u64(entry, 16), le_u64(entry, 24));
    if stored != len {
        return fail(ErrorKind::Malformed, format!("raw section stores {stored} bytes for {len}"));
    }
    // `end` lies inside the file and `align` is small, so this cannot overflow.
    if offset != end.next_multiple_of(align) {
        return fail(
            ErrorKind::Malformed,
            format!("starts at {offset}, the previous one ends at {end}"),
        );
    }
    let inside = offset.checked_add(len).is_some_and(|e| e <= file_len);
    if !inside {
        return fail(
            ErrorKind::Malformed,
            format!("{len} bytes at {offset} reach past the end of the file"),
        );
    }
    // beyond what is here yet, nobody looks at the padding
    let padding = bytes.get(end as usize..offset as usize).unwrap_or_default();
    if padding.iter().any(|b| *b != 0) {
        return fail(ErrorKind::Damaged, format!("padding before offset {offset} is not zero"));
    }
    if section == Section::Weights && align < WEIGHTS_ALIGN {
        return fail(ErrorKind::Malformed, format!("alignment {align} is below {WEIGHTS_ALIGN}"));
    }
    let unknown = matches!(section, Section::Unknown(_));
    if !unknown && section.is_per_variant() == (variant == SHARED) {
        return fail(ErrorKind::Malformed, "belongs to the wrong kind of owner".into());
    }
    Ok(SectionInfo {
        section,
        variant: (variant != SHARED).then_some(variant),
        offset,
        bytes: len,
        align,
        hash: le_u64(entry, 32),
    })
}

/// The friendliest error that the first bytes allow.
fn check_magic(bytes: &[u8]) -> Result<(), BundleError> {
    if bytes.starts_with(&MAGIC) {
        return Ok(());
    }
    if bytes.is_empty() {
        return Err(BundleError::new(ErrorKind::Truncated, "the file is empty"));
    }
    if MAGIC.starts_with(bytes) {
        return Err(BundleError::new(
            ErrorKind::Truncated,
            "the file ends inside the magic number",
        ));
    }
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let text = bytes.iter().position(|b| !b.is_ascii_whitespace()).map_or(&[][..], |i| &bytes[i..]);
    let message = if starts(&MAGIC[1..5]) || starts(&MAGIC[..5]) {
        "a Drift bundle whose line ends or high bits were converted in transfer; copy it in binary mode"
    } else if starts(b"PK\x03\x04") {
        "a ZIP archive, not a Drift bundle; unpack it first"
    } else if starts(&[0x1f, 0x8b]) || starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        "a compressed file (gzip or zstd), not a Drift bundle; decompress it first"
    } else if text.first() == Some(&b'<') {
        "an HTML or XML page, not a Drift bundle; the download probably returned an error page"
    } else if starts(b"version https://git-lfs") {
        "a Git LFS pointer, not a Drift bundle; run `git lfs pull`"
    } else if bytes.len() > 9 && bytes[8] == b'{' && bytes[5..8] == [0, 0, 0] {
        "a safetensors file, not a Drift bundle; compile it with `driftc compile`"
    } else if bytes[0] == 0x08
        && bytes.len() > 2
        && bytes[1] < 0x20
        && matches!(bytes[2], 0x12 | 0x1a | 0x3a)
    {
        "an ONNX model, not a Drift bundle; compile it with `driftc compile`"
    } else {
        "not a Drift bundle (unknown first bytes)"
    };
    Err(BundleError::new(ErrorKind::NotABundle, message))
}
