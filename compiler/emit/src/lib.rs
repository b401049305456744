//! Physical kernel IR to shader text and binaries.
//!
//! A [`Kernel`] whose logical loads and stores are gone (after `virtualize`) becomes SPIR-V, MSL or
//! WGSL through naga: its module is built directly, never through a shader language. All that knows
//! naga is in the private module `naga`; `spirv` corrects what naga's SPIR-V says too much or cannot
//! say (capabilities, loop hints). OpenCL C has a writer of its own, `opencl`. [`dialect`] holds what
//! each language can express, as data.
//!
//! - **Invariant:** emitting is deterministic: equal kernels and options give equal bytes.
//! - **Invariant:** nothing is checked at run time in the shader: indices are in bounds, divisors
//!   are not zero and loops end, because the kernel says so and the interpreter holds it to that.
//! - **Invariant:** whatever naga writes was accepted by its validator first.
//!
//! Bindings: group (descriptor set) 0, binding number = index into [`Kernel::bindings`]. In MSL
//! binding `n` is `[[buffer(n)]]` or `[[texture(n)]]`, by its type. In OpenCL C a buffer is two
//! arguments, a pointer and an offset in bytes, and an image is one.
#![forbid(unsafe_code)]

pub mod dialect;
mod error;
mod naga;
mod needs;
mod opencl;
mod spirv;
mod stand_in;

pub use dialect::{DialectCaps, Missing, dialect_caps, fits};
pub use drift_bundle::caps::Dialect;
pub use error::EmitError;
pub use needs::Needs;

use drift_kernel::Kernel;
use std::borrow::Cow;

/// Name of the entry point in every dialect. One name for all, so that kernels with equal code are
/// equal bytes and are stored once.
pub const ENTRY_POINT: &str = "kernel_main";

/// Choices within a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialectOptions {
    /// SPIR-V version; at least (1, 3), which every Vulkan 1.1 device takes.
    pub spirv_version: (u8, u8),
    /// Metal Shading Language version. Cooperative matrices raise it to (3, 0) where it is lower.
    pub msl_version: (u8, u8),
    /// `true`: [`drift_kernel::Expr::Dot4`] becomes the dialect's own instruction; `false`: SPIR-V
    /// computes it from shifts and multiplications, for devices without
    /// `VK_KHR_shader_integer_dot_product`.
    pub native_dot4: bool,
    /// `true`: OpenCL C computes in halves where a kernel does, through `cl_khr_fp16`; `false`: it
    /// computes in f32 and rounds each result, for devices without.
    pub native_half: bool,
    /// `true`: OpenCL C says in PTX what it has no words for: subgroups, packed dot products,
    /// conversions and sums of halves, cooperative matrices. For NVIDIA's compiler, and GPUs of
    /// compute capability 8.0 and later.
    pub inline_ptx: bool,
}

impl Default for DialectOptions {
    fn default() -> Self {
        DialectOptions {
            spirv_version: (1, 3),
            msl_version: (2, 4),
            native_dot4: true,
            native_half: true,
            inline_ptx: false,
        }
    }
}

/// One kernel in one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedShader {
    /// SPIR-V: words, little-endian. Other dialects: UTF-8 text.
    pub bytes: Vec<u8>,
    pub dialect: Dialect,
    /// Name of the entry point.
    pub entry: String,
    /// WGSL only: the text uses subgroup operations, and the implementation wants
    /// `enable subgroups;` as its first line. It is not part of `bytes` because naga's own reader
    /// (wgpu) does not accept the line that browsers demand.
    pub needs_subgroups_enable: bool,
    /// MSL only: version of the language to compile for.
    pub msl_version: Option<(u8, u8)>,
}

impl EmittedShader {
    /// The text of a text dialect; `None` for SPIR-V.
    pub fn text(&self) -> Option<&str> {
        match self.dialect {
            Dialect::SpirV => None,
            _ => std::str::from_utf8(&self.bytes).ok(),
        }
    }

    /// The words of a SPIR-V module; `None` for text.
    pub fn words(&self) -> Option<Vec<u32>> {
        (self.dialect == Dialect::SpirV).then(|| {
            self.bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
        })
    }
}

/// The kernel as a dialect can say it: MSL's cooperative matrices are 8x8.
fn in_terms_of(kernel: &Kernel, dialect: Dialect) -> Cow<'_, Kernel> {
    match dialect {
        Dialect::Msl if dialect::uses_matrices(kernel) => {
            Cow::Owned(drift_kernel::split_matrices(kernel.clone()))
        }
        _ => Cow::Borrowed(kernel),
    }
}

/// Writes a physical kernel in one dialect.
///
/// # Errors
/// [`EmitError::NotPhysical`] when logical loads or stores are left, [`EmitError::Unsupported`] when
/// the dialect cannot say what the kernel does, [`EmitError::Malformed`] for a kernel that breaks the
/// rules of the IR, [`EmitError::Rejected`] when naga's validator or writer refuses (a bug here).
pub fn emit(
    kernel: &Kernel,
    dialect: Dialect,
    options: &DialectOptions,
) -> Result<EmittedShader, EmitError> {
    let kernel = &*in_terms_of(kernel, dialect);
    dialect::expressible(kernel, dialect, options)?;
    match dialect {
        Dialect::SpirV => {
            let words = naga::spirv_words(kernel, options)?;
            let rejected =
                |reason| EmitError::Rejected { kernel: kernel.name.clone(), dialect, reason };
            let facts = spirv::Facts::of(kernel).map_err(rejected)?;
            let words = spirv::correct(&words, &facts).map_err(rejected)?;
            Ok(EmittedShader {
                bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
                dialect,
                entry: ENTRY_POINT.to_owned(),
                needs_subgroups_enable: false,
                msl_version: None,
            })
        }
        Dialect::Msl => {
            let version = if dialect::uses_matrices(kernel) {
                options.msl_version.max((3, 0))
            } else {
                options.msl_version
            };
            let (text, entry) = naga::msl_text(kernel, version)?;
            Ok(EmittedShader {
                bytes: text.into_bytes(),
                dialect,
                entry,
                needs_subgroups_enable: false,
                msl_version: Some(version),
            })
        }
        Dialect::Wgsl => Ok(EmittedShader {
            bytes: naga::wgsl_text(kernel)?.into_bytes(),
            dialect,
            entry: ENTRY_POINT.to_owned(),
            needs_subgroups_enable: dialect::uses_subgroups(kernel),
            msl_version: None,
        }),
        Dialect::OpenClC => Ok(EmittedShader {
            bytes: opencl::write(kernel, options)?.into_bytes(),
            dialect,
            entry: ENTRY_POINT.to_owned(),
            needs_subgroups_enable: false,
            msl_version: None,
        }),
        // `expressible` has refused it.
        Dialect::KernelIr => Err(dialect::no_writer(kernel, dialect)),
    }
}
