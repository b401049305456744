//! What can go wrong between a bundle and its results.

use drift_bundle::{BundleError, Unmet};
use std::fmt;

pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// Coarse class of a [`RuntimeError`], for callers that react differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeErrorKind {
    /// The bundle cannot be read or is damaged.
    Bundle,
    /// There is no driver or no such device.
    NoDevice,
    /// A device exists, but satisfies no variant of the bundle.
    Unmet,
    /// The caller handed over something that does not fit (name, shape, type, value).
    Input,
    /// A sequence of tokens has reached the end of the model's context.
    ContextFull,
    OutOfMemory,
    DeviceLost,
    Timeout,
    /// The driver refused a call.
    Driver,
}

/// Why one variant does not run on one device.
#[derive(Clone, Debug)]
pub struct UnmetVariant {
    pub device: String,
    pub target: String,
    pub unmet: Vec<Unmet>,
}

#[derive(Debug)]
pub enum RuntimeError {
    /// The file cannot be opened or read.
    File {
        path: String,
        source: std::io::Error,
    },
    Bundle(Box<BundleError>),
    /// No driver for any API that this build knows, or no device behind it.
    NoDevice {
        reason: String,
    },
    /// Every variant on every device considered, with each unmet field.
    Unmet {
        variants: Vec<UnmetVariant>,
    },
    /// `what` names the tensor or entry point.
    Input {
        what: String,
        message: String,
    },
    /// `more` tokens behind the `position` first do not fit into the caches of `context` tokens.
    ContextFull {
        position: usize,
        more: usize,
        context: usize,
    },
    /// `what` names what the memory was for; `bytes` is 0 when the driver does not tell.
    OutOfMemory {
        what: String,
        bytes: u64,
    },
    /// The device stopped answering; drop all its sessions and open it again.
    DeviceLost,
    /// The device has not finished within the session's timeout.
    Timeout {
        seconds: u64,
    },
    /// The driver cannot compile a kernel, or not so that the device can run it.
    Compiler {
        log: String,
    },
    /// The driver refused something, and says why.
    #[cfg(feature = "webgpu")]
    Refused {
        what: &'static str,
        message: String,
    },
    /// A driver call failed in a way that the program cannot mend.
    Driver {
        call: &'static str,
        code: i32,
    },
}

impl RuntimeError {
    pub fn kind(&self) -> RuntimeErrorKind {
        match self {
            RuntimeError::File { .. } | RuntimeError::Bundle(_) => RuntimeErrorKind::Bundle,
            RuntimeError::NoDevice { .. } => RuntimeErrorKind::NoDevice,
            RuntimeError::Unmet { .. } => RuntimeErrorKind::Unmet,
            RuntimeError::Input { .. } => RuntimeErrorKind::Input,
            RuntimeError::ContextFull { .. } => RuntimeErrorKind::ContextFull,
            RuntimeError::OutOfMemory { .. } => RuntimeErrorKind::OutOfMemory,
            RuntimeError::DeviceLost => RuntimeErrorKind::DeviceLost,
            RuntimeError::Timeout { .. } => RuntimeErrorKind::Timeout,
            RuntimeError::Compiler { .. } | RuntimeError::Driver { .. } => RuntimeErrorKind::Driver,
            #[cfg(feature = "webgpu")]
            RuntimeError::Refused { .. } => RuntimeErrorKind::Driver,
        }
    }

    pub(crate) fn input(what: &str, message: impl Into<String>) -> RuntimeError {
        RuntimeError::Input { what: what.into(), message: message.into() }
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuntimeError::File { path, source } => write!(f, "cannot read {path}: {source}"),
            RuntimeError::Bundle(e) => e.fmt(f),
            RuntimeError::NoDevice { reason } => write!(f, "no usable GPU device: {reason}"),
            RuntimeError::Unmet { variants } => {
                f.write_str("no variant of the bundle fits:")?;
                for v in variants {
                    write!(f, "\n  {} on {}:", v.target, v.device)?;
                    for unmet in &v.unmet {
                        write!(f, "\n    {unmet}")?;
                    }
                }
                f.write_str(
                    "\ncompile the model for this device as well (`driftc devices --probe`)",
                )
            }
            RuntimeError::Input { what, message } => write!(f, "{what}: {message}"),
            RuntimeError::ContextFull { position, more, context } => write!(
                f,
                "the context is full: {more} tokens behind {position}, and it holds {context}; \
                 shorten the sequence, or compile with a larger --context"
            ),
            RuntimeError::OutOfMemory { what, bytes: 0 } => {
                write!(f, "out of device memory in {what}")
            }
            RuntimeError::OutOfMemory { what, bytes } => {
                write!(f, "out of device memory: {what} need {bytes} bytes")
            }
            RuntimeError::DeviceLost => {
                f.write_str("the device was lost; drop its sessions and open it again")
            }
            RuntimeError::Timeout { seconds } => {
                write!(f, "the device has not finished after {seconds} s")
            }
            RuntimeError::Compiler { log } => {
                write!(f, "the driver does not compile a kernel: {log}")
            }
            #[cfg(feature = "webgpu")]
            RuntimeError::Refused { what, message } => {
                write!(f, "the driver refused {what}: {message}")
            }
            RuntimeError::Driver { call, code } => {
                let kind = if call.starts_with("vk") { "VkResult" } else { "error" };
                write!(f, "the driver refused {call} ({kind} {code})")
            }
        }
    }
}

impl std::error::Error for RuntimeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RuntimeError::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<BundleError> for RuntimeError {
    fn from(e: BundleError) -> Self {
        RuntimeError::Bundle(Box::new(e))
    }
}
