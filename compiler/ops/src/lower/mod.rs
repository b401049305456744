//! Lowering: one graph node becomes one or a few kernels.
//!
//! A kernel is written against *logical* tensors in the node's own coordinates. Where the data
//! really lies (views of operands, layout, storage, element type) is in the tensor arguments, so no
//! kernel here knows an address. [`Lowering`] hands out those arguments and collects the
//! kernels; [`Out`] runs the node's epilogue on what a kernel computed and stores it.

mod arg_reduce;
mod args;
mod attention;
mod concat;
mod conv_transpose;
mod cumsum;
mod embedding;
mod gather;
mod grid;
mod grid_sample;
mod last_row;
pub mod linear;
mod map;
mod matmul;
mod norm;
mod norm_pieces;
mod pad;
mod pointwise;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod row_parts;
mod rows;
mod sample;
mod scatter;
mod softmax;
mod steps;
mod stored;
mod tensor_scatter;
mod top_k;
mod views;

pub mod conv;

pub use args::{
    ArgRef, KernelArgs, Link, LoweredKernel, Lowering, Out, Placement, SMALL_ELEMS, Target, Temp,
    elem_of, scalar_of, small_constant,
};
pub use grid::{Grid, dispatch_1d};
pub use linear::FEW_ROWS;
pub use row_parts::Rows;

use crate::{OpError, Result};

/// Lowers one operator.
pub type LowerFn = fn(&mut Lowering<'_>) -> Result<()>;

/// The lowering of an operator, by its name in the table.
fn lowering_of(op: &str) -> Option<LowerFn> {
    Some(match op {
        "arg_reduce" => arg_reduce::lower,
        "attention" => attention::plain::lower,
        "batch_norm" => norm::batch,
        "cached_attention" => attention::cached::lower,
        "concat" => concat::lower,
        "conv" => conv::lower,
        "conv_transpose" => conv_transpose::lower,
        "cumsum" => cumsum::lower,
        "embedding" => embedding::lower,
        "expand" => views::lower,
        "gather" => gather::gather,
        "gather_elements" => gather::elements,
        "gather_nd" => gather::nd,
        "grid_sample" => grid_sample::lower,
        "group_norm" => norm::groups,
        "gru" => recurrent::lower,
        "instance_norm" => norm::groups,
        "last_row" => last_row::lower,
        "layer_norm" => norm::trailing,
        "linear" => linear::lower,
        "log_softmax" => softmax::lower,
        "lrn" => norm::lrn,
        "lstm" => recurrent::lower,
        "matmul" => matmul::lower,
        "pad" => pad::lower,
        "pointwise" => pointwise::lower,
        "pool" => pool::lower,
        "reduce" => reduce::lower,
        "reshape" => views::lower,
        "resize" => resize::lower,
        "rms_norm" => norm::trailing,
        "rnn" => recurrent::lower,
        "sample" => sample::lower,
        "scatter_elements" => scatter::elements,
        "scatter_nd" => scatter::nd,
        "slice" => views::lower,
        "softmax" => softmax::lower,
        "tensor_scatter" => tensor_scatter::lower,
        "top_k" => top_k::lower,
        "transpose" => views::lower,
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
