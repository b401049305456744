//! Failures of commands: what to print, and with which status to exit.

use drift_driver::{ErrorKind, StageError};
use drift_runtime::{RuntimeError, RuntimeErrorKind};
use std::fmt;

/// Exit statuses of the command-line contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    OutputsDiffer = 1,
    BadInput = 2,
    Unsupported = 3,
    NoDevice = 4,
}

/// A failed command.
#[derive(Debug)]
pub struct CliError {
    pub status: Status,
    pub message: String,
    pub help: Option<String>,
}

impl CliError {
    pub fn new(status: Status, message: impl Into<String>) -> CliError {
        CliError { status, message: message.into(), help: None }
    }

    pub fn bad(message: impl Into<String>) -> CliError {
        CliError::new(Status::BadInput, message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> CliError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StageError> for CliError {
    fn from(e: StageError) -> CliError {
        let status = match e.kind {
            ErrorKind::Invalid | ErrorKind::Internal => Status::BadInput,
            ErrorKind::Unsupported => Status::Unsupported,
        };
        CliError { status, message: e.to_string(), help: e.help }
    }
}

impl From<RuntimeError> for CliError {
    fn from(e: RuntimeError) -> CliError {
        let (status, help) = match e.kind() {
            RuntimeErrorKind::Bundle | RuntimeErrorKind::Input | RuntimeErrorKind::ContextFull => {
                (Status::BadInput, None)
            }
            RuntimeErrorKind::NoDevice => (
                Status::NoDevice,
                Some(
                    "`driftc devices` lists what was found; `--backend reference` needs no driver",
                ),
            ),
            RuntimeErrorKind::Unmet => (
                Status::NoDevice,
                Some(
                    "compile for this device: `driftc devices --probe > my.toml`, then `driftc compile --target my.toml`",
                ),
            ),
            _ => (Status::NoDevice, None),
        };
        CliError { status, message: e.to_string(), help: help.map(str::to_owned) }
    }
}

pub type Result<T = (), E = CliError> = std::result::Result<T, E>;
