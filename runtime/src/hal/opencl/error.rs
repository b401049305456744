//! From OpenCL error codes to errors that say what to do.

use crate::error::{Result, RuntimeError};
use opencl_sys::{self as code, cl_int};

/// NVIDIA's driver after a kernel has touched memory that is not its own.
const NVIDIA_ILLEGAL_ACCESS: cl_int = -9999;
/// The loader found no driver.
const PLATFORM_NOT_FOUND: cl_int = -1001;

/// The error for a failed call.
pub(crate) fn driver(call: &'static str, code: cl_int) -> RuntimeError {
    match code {
        code::CL_DEVICE_NOT_AVAILABLE
        | code::CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST
        | code::CL_INVALID_COMMAND_QUEUE
        | code::CL_INVALID_CONTEXT
        | NVIDIA_ILLEGAL_ACCESS => RuntimeError::DeviceLost,
        code::CL_MEM_OBJECT_ALLOCATION_FAILURE
        | code::CL_OUT_OF_RESOURCES
        | code::CL_OUT_OF_HOST_MEMORY
        | code::CL_INVALID_BUFFER_SIZE => RuntimeError::OutOfMemory { what: call.into(), bytes: 0 },
        PLATFORM_NOT_FOUND => no_platform(),
        code => RuntimeError::Driver { call, code },
    }
}

pub(crate) fn no_platform() -> RuntimeError {
    RuntimeError::NoDevice { reason: "the OpenCL loader works, but finds no driver".into() }
}

pub(crate) trait ClResultExt<T> {
    /// Names the call that failed.
    fn check(self, call: &'static str) -> Result<T>;
}

impl<T> ClResultExt<T> for Result<T, cl_int> {
    fn check(self, call: &'static str) -> Result<T> {
        self.map_err(|code| driver(call, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RuntimeErrorKind;

    #[test]
    fn codes_map_to_kinds() {
        for (code, kind) in [
            (code::CL_DEVICE_NOT_AVAILABLE, RuntimeErrorKind::DeviceLost),
            (code::CL_INVALID_COMMAND_QUEUE, RuntimeErrorKind::DeviceLost),
            (code::CL_MEM_OBJECT_ALLOCATION_FAILURE, RuntimeErrorKind::OutOfMemory),
            (code::CL_OUT_OF_HOST_MEMORY, RuntimeErrorKind::OutOfMemory),
            (PLATFORM_NOT_FOUND, RuntimeErrorKind::NoDevice),
            (code::CL_INVALID_KERNEL_ARGS, RuntimeErrorKind::Driver),
        ] {
            let error = Err::<(), _>(code).check("clEnqueueNDRangeKernel").unwrap_err();
            assert_eq!(error.kind(), kind, "{code:?}");
        }
        let shown = driver("clSetKernelArg", code::CL_INVALID_ARG_SIZE).to_string();
        assert_eq!(shown, "the driver refused clSetKernelArg (error -51)");
    }
}
