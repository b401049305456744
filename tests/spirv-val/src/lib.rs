//! A current SPIR-V validator for the tests, independent of what the machine has installed.
//!
//! SPIRV-Tools is compiled from source (a C++17 compiler is needed; about three minutes on two
//! cores, once per target directory). Debian's `spirv-val` 2023.1 does not know
//! `SPV_KHR_cooperative_matrix`; the version built here does, and a test holds it to that.
#![forbid(unsafe_code)]

use spirv_tools::TargetEnv;
use spirv_tools::val::{Validator, create};

/// The API whose rules a module must obey on top of those of SPIR-V itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Env {
    /// Vulkan 1.1, SPIR-V up to 1.3.
    Vulkan11,
    /// Vulkan 1.2, SPIR-V up to 1.5.
    Vulkan12,
    /// Vulkan 1.3, SPIR-V up to 1.6.
    Vulkan13,
}

/// Validates a SPIR-V module given as words (magic number first, host byte order).
///
/// The error is the validator's own message, with the index of the offending word where it has one.
pub fn validate_spirv(words: &[u32], env: Env) -> Result<(), String> {
    // The C API reads the header before it looks at the length of an empty slice.
    if words.len() < 5 {
        return Err(format!("{} words: shorter than the five-word SPIR-V header", words.len()));
    }
    let env = match env {
        Env::Vulkan11 => TargetEnv::Vulkan_1_1,
        Env::Vulkan12 => TargetEnv::Vulkan_1_2,
        Env::Vulkan13 => TargetEnv::Vulkan_1_3,
    };
    create(Some(env)).validate(words, None).map_err(|error| error.to_string())
}

/// The same for the bytes of a `.spv` file (either byte order, length a multiple of four).
pub fn validate_spirv_bytes(bytes: &[u8], env: Env) -> Result<(), String> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{} bytes: not a whole number of 32-bit words", bytes.len()));
    }
    let words: Vec<u32> = chunks.iter().map(|b| u32::from_le_bytes(*b)).collect();
    validate_spirv(&words, env)
}
