//! Why a tokenizer cannot be read or used.

use std::fmt;

/// What went wrong, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is damaged, or contradicts itself.
    #[error("{at}: {what}")]
    Invalid { at: String, what: String },
    /// The file is sound, and asks for something that is not implemented.
    #[error("{at}: {what}")]
    Unsupported { at: String, what: String },
    /// A file that cannot be opened or is not there.
    #[error("{0}")]
    File(String),
    /// Text that cannot be encoded.
    #[error("{0}")]
    Text(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn invalid(at: impl fmt::Display, what: impl fmt::Display) -> Error {
        Error::Invalid { at: at.to_string(), what: what.to_string() }
    }

    pub(crate) fn unsupported(at: impl fmt::Display, what: impl fmt::Display) -> Error {
        Error::Unsupported { at: at.to_string(), what: what.to_string() }
    }

    /// Puts a file name in front of where the error is.
    #[must_use]
    pub fn in_file(self, file: impl fmt::Display) -> Error {
        match self {
            Error::Invalid { at, what } => Error::Invalid { at: format!("{file}: {at}"), what },
            Error::Unsupported { at, what } => {
                Error::Unsupported { at: format!("{file}: {at}"), what }
            }
            Error::File(what) => Error::File(format!("{file}: {what}")),
            Error::Text(what) => Error::Text(what),
        }
    }
}
