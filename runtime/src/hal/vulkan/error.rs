//! From `VkResult` to errors that say what to do.

use crate::error::{Result, RuntimeError};
use ash::vk;

/// The error for a failed call.
pub(crate) fn driver(call: &'static str, code: vk::Result) -> RuntimeError {
    match code {
        vk::Result::ERROR_DEVICE_LOST => RuntimeError::DeviceLost,
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
        | vk::Result::ERROR_OUT_OF_HOST_MEMORY
        | vk::Result::ERROR_OUT_OF_POOL_MEMORY
        | vk::Result::ERROR_FRAGMENTED_POOL
        | vk::Result::ERROR_TOO_MANY_OBJECTS => {
            RuntimeError::OutOfMemory { what: call.into(), bytes: 0 }
        }
        code => RuntimeError::Driver { call, code: code.as_raw() },
    }
}

pub(crate) trait VkResultExt<T> {
    /// Names the call that failed.
    fn check(self, call: &'static str) -> Result<T>;
}

impl<T> VkResultExt<T> for Result<T, vk::Result> {
    fn check(self, call: &'static str) -> Result<T> {
        self.map_err(|code| driver(call, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RuntimeErrorKind;

    #[test]
    fn results_map_to_kinds() {
        for (code, kind) in [
            (vk::Result::ERROR_DEVICE_LOST, RuntimeErrorKind::DeviceLost),
            (vk::Result::ERROR_OUT_OF_DEVICE_MEMORY, RuntimeErrorKind::OutOfMemory),
            (vk::Result::ERROR_OUT_OF_HOST_MEMORY, RuntimeErrorKind::OutOfMemory),
            (vk::Result::ERROR_INITIALIZATION_FAILED, RuntimeErrorKind::Driver),
        ] {
            let error = Err::<(), _>(code).check("vkQueueSubmit").unwrap_err();
            assert_eq!(error.kind(), kind, "{code:?}");
        }
        let shown = driver("vkQueueSubmit", vk::Result::ERROR_INITIALIZATION_FAILED).to_string();
        assert_eq!(shown, "the driver refused vkQueueSubmit (VkResult -3)");
    }
}
