//! Gemm: matmul with transposed views, factors and an addition.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use crate::ops::matmul::{product, swap_last};
use drift_ir::{PointwiseOp, ValueId};

pub static OP: OpDef = composite("gemm", &[ai("Gemm")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (mut a, mut b) = (c.input(0)?, c.input(1)?);
    if c.rank(a) != 2 || c.rank(b) != 2 {
        return Err(c.invalid(format!("needs matrices, not {} and {}", c.shape(a), c.shape(b))));
    }
    if c.attrs.int("transA", 0) != 0 {
        a = swap_last(c, a)?;
    }
    if c.attrs.int("transB", 0) != 0 {
        b = swap_last(c, b)?;
    }
    let (alpha, beta) = (c.float("alpha", 1.0)?, c.float("beta", 1.0)?);
    let mut y = product(c, a, b)?;
    if alpha != 1.0 {
        y = c.binary_const(PointwiseOp::Mul, y, alpha)?;
    }
    if let Some(mut bias) = c.opt(2).filter(|_| beta != 0.0) {
        if beta != 1.0 {
            bias = c.binary_const(PointwiseOp::Mul, bias, beta)?;
        }
        let shape = c.shape(y);
        y = c.binary(PointwiseOp::Add, y, bias)?;
        if c.shape(y) != shape {
            return Err(c.invalid(format!("C of shape {} does not fit {shape}", c.shape(bias))));
        }
    }
    Ok(vec![y])
}
