//! The error of import, inference and reference evaluation.

use std::fmt;

/// Whether the model is wrong, or right but beyond what Drift does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The model breaks the rules of its own format (exit status 2).
    Invalid,
    /// A legal model that needs something Drift does not have (exit status 3).
    Unsupported,
}

/// What went wrong with one operator, where, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    pub kind: ErrorKind,
    /// Operator as the reader knows it: the ONNX type at import, the IR name afterwards.
    pub op: String,
    /// Path of the node in the model.
    pub path: String,
    pub message: String,
    /// What is supported, or what to change in the model.
    pub help: Option<String>,
}

impl OpError {
    pub fn invalid(op: &str, path: &str, message: impl Into<String>) -> OpError {
        OpError {
            kind: ErrorKind::Invalid,
            op: op.to_owned(),
            path: path.to_owned(),
            message: message.into(),
            help: None,
        }
    }

    pub fn unsupported(op: &str, path: &str, message: impl Into<String>) -> OpError {
        OpError { kind: ErrorKind::Unsupported, ..OpError::invalid(op, path, message) }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> OpError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unsupported => "unsupported",
        };
        write!(f, "{kind} {} at {}: {}", self.op, self.path, self.message)
    }
}

impl std::error::Error for OpError {}
