//! DequantizeLinear: `(x - zero point) · scale`, as element-wise steps.

use crate::Result;
use crate::def::{OpDef, ai, composite, ms};
use crate::import::ImportCtx;
use crate::ops::quantize_linear::per_axis;
use drift_ir::{DType, PointwiseOp as P, Tensor, ValueId};

pub static OP: OpDef =
    composite("dequantize_linear", &[ai("DequantizeLinear"), ms("DequantizeLinear")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, scale, zero) = (c.input(0)?, c.input(1)?, c.opt(2));
    let to = c.dtype(scale);
    let scale = per_axis(c, scale, x)?;
    let zero = match zero {
        Some(z) => Some(per_axis(c, z, x)?),
        None => None,
    };
    let y = dequantize(c, x, scale, zero)?;
    Ok(vec![c.cast(y, to)?])
}

/// Dequantizes to f32 with parameters that already broadcast to `x`.
pub fn dequantize(
    c: &mut ImportCtx,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
) -> Result<ValueId> {
    let mut y = c.cast(x, DType::F32)?;
    if let Some(z) = zero
        && c.constant(z).and_then(Tensor::splat_f64) != Some(0.0)
    {
        let z = c.cast(z, DType::F32)?;
        y = c.binary(P::Sub, y, z)?;
    }
    let scale = c.cast(scale, DType::F32)?;
    c.binary(P::Mul, y, scale)
}
