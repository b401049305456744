//! The `.drift` bundle: container, plan types, reader and (feature `write`) writer.
//!
//! A bundle is one file: a header with a section table, then the sections.
//!
//! ```text
//! magic 89 'D' 'R' 'F' 'T' 0D 0A 1A | u16 major | u16 minor | u32 header_len | u64 file_len
//! u32 section_count | u64 table hash | section_count table entries of 40 bytes
//! META · per variant: REQUIREMENTS, PLAN, SHADERS · DEBUG, ASSETS (optional) · WEIGHTS (page-aligned)
//! ```
//! All integers are little-endian. Sections follow the table in table order, with nothing but zero
//! bytes for alignment between them, and the last one ends at the end of the file.
//!
//! [`Bundle::parse`] is safe and total: any byte string gives a bundle or a [`BundleError`], never a
//! panic, and never an allocation that the file's own size does not justify. It also checks every
//! cross reference of every plan, so whoever replays a parsed plan needs no index or range check.
//!
//! - **Invariant:** weights are never copied or converted by this crate.
//! - **Invariant:** no other crate knows the byte layout; `codec` is the only encoder and decoder.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(feature = "write")]
extern crate std;

pub mod caps;
mod check;
// Without the writer, the encoding half is unused.
#[cfg_attr(not(feature = "write"), allow(dead_code))]
mod codec;
#[cfg_attr(not(feature = "write"), allow(dead_code))]
mod container;
mod cover;
mod error;
mod fit;
mod hazard;
mod meta;
mod parts;
pub mod plan;
mod read;
#[cfg(feature = "write")]
mod write;

pub use check::{MAX_OBJECT_BYTES, check_variant};
pub use container::{CURRENT_MAJOR, CURRENT_MINOR, MAGIC, Section, SectionInfo, WEIGHTS_ALIGN};
pub use error::{BundleError, ErrorKind};
pub use fit::{Rejected, Selection, Unmet, select};
pub use hazard::{Hazard, hazard_report, hazards};
pub use meta::Meta;
pub use parts::{Hash, Parts};
pub use read::{Bundle, Contents, Shaders, Variant, VariantContents};

/// XXH3-64, the checksum of sections.
pub fn hash64(bytes: &[u8]) -> u64 {
    container::content_hash(bytes)
}

#[cfg(feature = "write")]
pub use write::{BundleWriter, ShaderSet, WriteError, WrittenBundle};
