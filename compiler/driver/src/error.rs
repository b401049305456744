//! Errors of the compiler, with what a person needs: which stage, what, where, and the way out.

use std::fmt;

/// What kind of failure it is; decides the exit status of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The model, a file or an option is wrong (exit status 2).
    Invalid,
    /// Drift does not do this: an operator, a type, a target (exit status 3).
    Unsupported,
    /// Drift contradicts itself: a bug (exit status 2, with a request to report it).
    Internal,
}

/// A failed stage.
#[derive(Debug)]
pub struct StageError {
    pub stage: &'static str,
    pub kind: ErrorKind,
    pub message: String,
    pub help: Option<String>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StageError {
    pub fn new(stage: &'static str, kind: ErrorKind, message: impl Into<String>) -> StageError {
        StageError { stage, kind, message: message.into(), help: None, source: None }
    }

    pub fn invalid(stage: &'static str, message: impl Into<String>) -> StageError {
        StageError::new(stage, ErrorKind::Invalid, message)
    }

    pub fn internal(stage: &'static str, message: impl Into<String>) -> StageError {
        StageError::new(stage, ErrorKind::Internal, message).help(
            "this is a bug in driftc: please report it with the model or the node named above",
        )
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> StageError {
        self.help = Some(help.into());
        self
    }

    /// Wraps an error of the operator table.
    pub fn op(stage: &'static str, e: drift_ops::OpError) -> StageError {
        let kind = match e.kind {
            drift_ops::error::ErrorKind::Invalid => ErrorKind::Invalid,
            drift_ops::error::ErrorKind::Unsupported => ErrorKind::Unsupported,
        };
        StageError { help: e.help.clone(), ..StageError::new(stage, kind, e.to_string()) }
    }

    /// Wraps an error of the ONNX reader.
    pub fn onnx(stage: &'static str, e: &drift_onnx::OnnxError) -> StageError {
        let kind = if e.is_unsupported() { ErrorKind::Unsupported } else { ErrorKind::Invalid };
        StageError { help: e.help(), ..StageError::new(stage, kind, e.to_string()) }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.message)
    }
}

impl std::error::Error for StageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as _)
    }
}

pub type Result<T, E = StageError> = std::result::Result<T, E>;
