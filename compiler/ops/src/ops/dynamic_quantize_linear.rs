//! DynamicQuantizeLinear: scale and zero point from the value's own range, which includes 0.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::{ImportCtx, PwArg};
use crate::ops::quantize_linear::quantize;
use crate::ops::reduce;
use drift_ir::{DType, PointwiseOp as P, ValueId};

pub static OP: OpDef = composite("dynamic_quantize_linear", &[ai("DynamicQuantizeLinear")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let axes: Vec<usize> = (0..c.rank(x)).collect();
    let low = reduce::emit(c, "min", x, axes.clone(), false)?;
    let low = c.binary_const(P::Min, low, 0.0)?;
    let high = reduce::emit(c, "max", x, axes, false)?;
    let high = c.binary_const(P::Max, high, 0.0)?;
    let span = c.binary(P::Sub, high, low)?;
    let scale = c.binary_const(P::Div, span, 255.0)?;
    let zero = c.pointwise(P::Div, &[low.into(), scale.into()], DType::F32)?;
    let zero = c.unary(P::Neg, zero)?;
    let args = [zero.into(), PwArg::Const(0.0), PwArg::Const(255.0)];
    let zero = c.pointwise(P::Clip, &args, DType::F32)?;
    let zero = c.unary(P::Round, zero)?;
    let zero = c.cast(zero, DType::U8)?;
    let y = quantize(c, x, scale, Some(zero), DType::U8)?;
    Ok(vec![y, scale, zero])
}
