//! Lowering: one graph node becomes one or a few kernels.
//!
//! A kernel is written against *logical* tensors in the node's own coordinates. Where the data
//! really lies (views of operands, layout, storage, element type) is in the tensor arguments, so no
//! kernel here knows an address. [`Lowering`] hands out those arguments and collects the
//! kernels; [`Out`] runs the node's epilogue on what a kernel computed and stores it.

mod args;
mod grid;
mod pointwise;
mod steps;

pub mod conv;

pub use args::{
    ArgRef, KernelArgs, LoweredKernel, Lowering, Out, Placement, Target, Temp, elem_of, scalar_of,
};
pub use grid::{Grid, dispatch_1d};

use crate::{OpError, Result};

/// Lowers one operator.
pub type LowerFn = fn(&mut Lowering<'_>) -> Result<()>;

/// The lowering of an operator, by its name in the table.
fn lowering_of(op: &str) -> Option<LowerFn> {
    Some(match op {
        "pointwise" => pointwise::lower,
        "conv" => conv::lower,
        _ => return None,
    })
}

/// Lowers the node of `lowering` to kernels.
pub fn lower_node(lowering: &mut Lowering<'_>) -> Result<()> {
    let node = lowering.node;
    let Some(lower) = lowering_of(node.op) else {
        return Err(OpError::unsupported(
            node.op,
            &node.path,
            "there is no GPU kernel for this operator yet, and nothing falls back to the CPU",
        ));
    };
    lower(lowering)
}
