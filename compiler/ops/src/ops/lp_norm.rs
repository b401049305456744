//! LpNormalization and MeanVarianceNormalization, written with reductions.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use crate::ops::reduce;
use drift_ir::{DType, PointwiseOp as P, ValueId};

pub static OP: OpDef =
    composite("lp_norm", &[ai("LpNormalization"), ai("MeanVarianceNormalization")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let (rank, dtype) = (c.rank(x), c.dtype(x));
    if c.op_type == "MeanVarianceNormalization" {
        let axes = match c.attrs.ints("axes") {
            Some(a) => c.axes(a, rank)?,
            None => c.axes(&[0, 2, 3], rank)?,
        };
        let mean = reduce::emit(c, "mean", x, axes.clone(), true)?;
        let d = c.binary(P::Sub, x, mean)?;
        let sq = c.binary(P::Mul, d, d)?;
        let var = reduce::emit(c, "mean", sq, axes, true)?;
        let dev = c.unary(P::Sqrt, var)?;
        let dev = c.binary_const(P::Add, dev, 1e-9)?;
        return Ok(vec![c.binary(P::Div, d, dev)?]);
    }
    let axis = c.axis(c.attrs.int("axis", -1), rank)?;
    let kind = match c.attrs.int("p", 2) {
        1 => "l1",
        2 => "l2",
        p => return Err(c.invalid(format!("p = {p} is neither 1 nor 2"))),
    };
    let norm = reduce::emit(c, kind, x, vec![axis], true)?;
    let y = c.binary(P::Div, x, norm)?;
    // a zero vector stays zero
    let zero =
        c.pointwise(P::Equal, &[norm.into(), crate::import::PwArg::Const(0.0)], DType::Bool)?;
    Ok(vec![c.pointwise(
        P::Where,
        &[zero.into(), crate::import::PwArg::Const(0.0), y.into()],
        dtype,
    )?])
}
