//! From Metal's errors to errors that say what to do.

use super::Commands;
use crate::error::{Result, RuntimeError};
use objc2_metal::{MTLCommandBuffer, MTLCommandBufferStatus};

// Codes of MTLCommandBufferErrorDomain.
const INTERNAL: isize = 1;
const TIMEOUT: isize = 2;
const PAGE_FAULT: isize = 3;
const ACCESS_REVOKED: isize = 4;
const OUT_OF_MEMORY: isize = 8;
const DEVICE_REMOVED: isize = 11;
const STACK_OVERFLOW: isize = 12;

/// macOS and iOS end a command buffer that runs longer than a few seconds.
const WATCHDOG_SECONDS: u64 = 5;

/// What has become of commands that have ended.
pub(crate) fn outcome(commands: &Commands) -> Result<()> {
    if commands.status() != MTLCommandBufferStatus::Error {
        return Ok(());
    }
    let code = commands.error().map_or(0, |e| e.code());
    Err(of_code(code))
}

fn of_code(code: isize) -> RuntimeError {
    match code {
        OUT_OF_MEMORY => RuntimeError::OutOfMemory { what: "running commands".into(), bytes: 0 },
        TIMEOUT => RuntimeError::Timeout { seconds: WATCHDOG_SECONDS },
        INTERNAL | PAGE_FAULT | ACCESS_REVOKED | DEVICE_REMOVED | STACK_OVERFLOW => {
            RuntimeError::DeviceLost
        }
        // not permitted: an iOS program in the background, for one
        code => RuntimeError::Driver { call: "MTLCommandBuffer commit", code: code as i32 },
    }
}

/// A call that gave nothing though it only fails without memory.
pub(crate) fn no_memory(what: &str, bytes: u64) -> RuntimeError {
    RuntimeError::OutOfMemory { what: what.into(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RuntimeErrorKind;

    #[test]
    fn codes_map_to_kinds() {
        for (code, kind) in [
            (OUT_OF_MEMORY, RuntimeErrorKind::OutOfMemory),
            (TIMEOUT, RuntimeErrorKind::Timeout),
            (DEVICE_REMOVED, RuntimeErrorKind::DeviceLost),
            (7, RuntimeErrorKind::Driver),
        ] {
            assert_eq!(of_code(code).kind(), kind, "{code}");
        }
    }
}
