//! Kernel IR: what a GPU kernel computes, before any shader language.
//!
//! A [`Kernel`] is written through [`Builder`], which reads like shader code. It talks about
//! *logical* tensors ([`tensor::TensorArg`]): `b.load(t, &coords)`. The pass
//! [`virtualize()`] replaces logical loads and stores by addresses into
//! buffers and images (paper, section 3.2); what is left is *physical* and can be emitted by
//! `drift-emit` or executed by the interpreter, the oracle of every kernel test.
#![forbid(unsafe_code)]

pub mod builder;
pub mod chain;
pub mod compact;
pub mod interp;
pub mod ir;
mod operands;
pub mod print;
pub mod requirements;
pub mod simplify;
mod split;
pub mod tensor;
pub mod validate;
pub mod virtualize;

pub use builder::{Builder, E};
pub use ir::*;
pub use operands::any_stmt;
pub use print::print;
pub use requirements::{KernelNeeds, requirements};
pub use split::split_matrices;
pub use tensor::{Elem, Layout, Storage, TensorArg, TensorId};
pub use validate::{ValidateError, validate};
pub use virtualize::{VirtualizeError, virtualize};

/// f32 to f16 bits, round to nearest even; overflow gives infinity.
pub fn f16_bits(v: f32) -> u16 {
    half::f16::from_f32(v).to_bits()
}
