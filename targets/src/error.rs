use std::fmt;

/// Why a device is unknown or its file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetError {
    /// File and line, or what was asked for.
    pub place: String,
    pub what: String,
    /// The way out; may be empty.
    pub help: String,
}

impl TargetError {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), help: String::new() }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if !self.help.is_empty() {
            write!(f, "\nhelp: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for TargetError {}
