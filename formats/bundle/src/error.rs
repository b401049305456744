//! What is wrong with a bundle, and where.

use crate::container::Section;
use alloc::string::String;
use core::fmt;

/// Coarse class of a [`BundleError`], for callers that react differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The first bytes are not those of a bundle.
    NotABundle,
    /// The file ends before its contents do.
    Truncated,
    /// A newer format than this reader knows, or a section it does not know and may not skip.
    Unsupported,
    /// A checksum does not match: the file was damaged after it was written.
    Damaged,
    /// The bytes do not decode.
    Malformed,
    /// It decodes, but contradicts itself (an index or a range points outside).
    Inconsistent,
}

/// Why a file is not a usable bundle. `Display` names section, variant and field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleError {
    pub kind: ErrorKind,
    /// Section in which the problem is.
    pub section: Option<Section>,
    /// Variant number and, once known, its target id.
    pub variant: Option<(u32, String)>,
    /// Field path such as `plan.entry_points[0].steps[3].binds[1]`; empty when not applicable.
    pub path: String,
    pub message: String,
}

impl BundleError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        BundleError {
            kind,
            section: None,
            variant: None,
            path: String::new(),
            message: message.into(),
        }
    }
    pub(crate) fn in_section(mut self, section: Section) -> Self {
        self.section = Some(section);
        self
    }
    pub(crate) fn in_variant(mut self, variant: u32, target: &str) -> Self {
        self.variant = Some((variant, target.into()));
        self
    }
    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((number, target)) = &self.variant {
            write!(f, "variant {number}")?;
            if !target.is_empty() {
                // Debug form: the id comes from the file and must not smuggle control characters.
                if target.bytes().all(|b| b.is_ascii_graphic()) {
                    write!(f, " ({target})")?;
                } else {
                    write!(f, " ({target:?})")?;
                }
            }
            f.write_str(": ")?;
        }
        match (&self.section, self.path.is_empty()) {
            // A check's path starts with the section's own name (`plan.steps[3]`).
            (Some(Section::Plan | Section::Requirements), false) => {}
            (Some(section), _) => write!(f, "section {section}: ")?,
            (None, _) => {}
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for BundleError {}
