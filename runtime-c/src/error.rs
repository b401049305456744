//! What went wrong, as a number and as text.

use drift_runtime::{RuntimeError, RuntimeErrorKind};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of a call.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Ok = 0,
    /// An argument is no argument: a null pointer, a wrong number, a size that does not fit, text
    /// that is not UTF-8.
    Argument = 1,
    /// The bundle cannot be read or is damaged.
    Bundle = 2,
    /// There is no driver or no such device.
    NoDevice = 3,
    /// The device runs no variant of the bundle; see drift_device_explain.
    Unmet = 4,
    /// A name, shape, type or value that the model does not take.
    Input = 5,
    /// A sequence of tokens has reached the end of the model's context.
    ContextFull = 6,
    /// Out of memory, here or on the device.
    OutOfMemory = 7,
    /// The device stopped answering: free its sessions and open it again.
    DeviceLost = 8,
    /// The device has not finished in time.
    Timeout = 9,
    /// The driver refused a call.
    Driver = 10,
    /// An error of this library; the objects of the call can only be freed. Please report it.
    Internal = 11,
}

/// A failed call.
pub struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    pub fn argument(message: impl Into<String>) -> Failure {
        Failure { status: Status::Argument, message: message.into() }
    }

    pub fn input(message: impl Into<String>) -> Failure {
        Failure { status: Status::Input, message: message.into() }
    }
}

impl From<RuntimeError> for Failure {
    fn from(e: RuntimeError) -> Failure {
        let status = match e.kind() {
            RuntimeErrorKind::Bundle => Status::Bundle,
            RuntimeErrorKind::NoDevice => Status::NoDevice,
            RuntimeErrorKind::Unmet => Status::Unmet,
            RuntimeErrorKind::Input => Status::Input,
            RuntimeErrorKind::ContextFull => Status::ContextFull,
            RuntimeErrorKind::OutOfMemory => Status::OutOfMemory,
            RuntimeErrorKind::DeviceLost => Status::DeviceLost,
            RuntimeErrorKind::Timeout => Status::Timeout,
            RuntimeErrorKind::Driver => Status::Driver,
        };
        Failure { status, message: e.to_string() }
    }
}

pub type Result<T = ()> = std::result::Result<T, Failure>;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs the body of a function of the interface: no panic leaves it, and a failure is remembered.
pub fn call(body: impl FnOnce() -> Result) -> Status {
    // What a panic leaves half done is behind pointers that the caller may only free afterwards.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Failure { status: Status::Internal, message: format!("internal error: {text}") }
        }
    };
    let message = CString::new(failure.message.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| last.replace(message));
    failure.status
}

/// What the last failed call on this thread had to say; "" before the first failure. Valid until the
/// next failure on this thread. Never null.
#[unsafe(no_mangle)]
pub extern "C" fn drift_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}
