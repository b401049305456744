//! Why a kernel could not be written in a dialect.

use drift_bundle::caps::Dialect;

/// Error of [`crate::emit`]. Every variant names the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// The dialect has no way to say it.
    #[error("kernel `{kernel}`: {dialect:?} has no {what}; {help}")]
    Unsupported { kernel: String, dialect: Dialect, what: String, help: String },
    /// Logical tensors are left.
    #[error(
        "kernel `{kernel}`: {what} is a logical access; run `virtualize` on the kernel before it is emitted"
    )]
    NotPhysical { kernel: String, what: String },
    /// The kernel breaks a rule of the IR.
    #[error("kernel `{kernel}` is malformed: {reason}")]
    Malformed { kernel: String, reason: String },
    /// naga's validator or writer refused what was built.
    #[error("kernel `{kernel}`: naga refuses its {dialect:?} form: {reason}")]
    Rejected { kernel: String, dialect: Dialect, reason: String },
}
