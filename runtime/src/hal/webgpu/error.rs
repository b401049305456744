//! From what wgpu reports to errors that say what to do.
//!
//! WebGPU's calls do not fail: errors go to scopes of the thread that called.

use crate::error::{Result, RuntimeError};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use wgpu::ErrorFilter;

/// The result of one of wgpu's futures. Outside of browsers they are ready when they are made.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Runs `calls` and gives the first error that they caused. `what` names what they make or do.
pub(crate) fn caught<T>(
    device: &wgpu::Device,
    what: &'static str,
    calls: impl FnOnce() -> T,
) -> Result<T> {
    let memory = device.push_error_scope(ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(ErrorFilter::Internal);
    let validation = device.push_error_scope(ErrorFilter::Validation);
    let value = calls();
    // scopes are popped in the reverse of their order
    let errors = [ready(validation.pop()), ready(internal.pop()), ready(memory.pop())];
    match errors.into_iter().flatten().next() {
        None => Ok(value),
        Some(error) => Err(refused(what, error)),
    }
}

/// The error for what wgpu refused.
fn refused(what: &'static str, error: wgpu::Error) -> RuntimeError {
    match error {
        wgpu::Error::OutOfMemory { .. } => {
            RuntimeError::OutOfMemory { what: what.into(), bytes: 0 }
        }
        wgpu::Error::Validation { description: message, .. }
        | wgpu::Error::Internal { description: message, .. } => {
            RuntimeError::Refused { what, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RuntimeErrorKind;

    #[test]
    fn errors_map_to_kinds() {
        let e = refused("a buffer", wgpu::Error::OutOfMemory { source: "no memory".into() });
        assert_eq!(e.kind(), RuntimeErrorKind::OutOfMemory);
        let (source, description) = ("no".into(), "binding 3 is missing".to_owned());
        let e = refused("a bind group", wgpu::Error::Validation { source, description });
        assert_eq!(e.kind(), RuntimeErrorKind::Driver);
        let shown = "the driver refused a bind group: binding 3 is missing";
        assert_eq!(e.to_string(), shown);
    }

    #[test]
    fn futures_are_waited_for() {
        let mut left = 3;
        let future = std::future::poll_fn(|_| {
            left -= 1;
            if left == 0 { Poll::Ready(7) } else { Poll::Pending }
        });
        assert_eq!(ready(future), 7);
    }
}
