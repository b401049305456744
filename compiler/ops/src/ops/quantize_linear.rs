//! QuantizeLinear: `saturate(round(x / scale) + zero point)`, as element-wise steps.

use crate::Result;
use crate::def::{OpDef, ai, composite, ms};
use crate::import::{ImportCtx, PwArg, onnx_dtype};
use drift_ir::{DType, PointwiseOp as P, Shape, ValueId};

pub static OP: OpDef =
    composite("quantize_linear", &[ai("QuantizeLinear"), ms("QuantizeLinear")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, scale, zero) = (c.input(0)?, c.input(1)?, c.opt(2));
    let to = match (c.attrs.int("output_dtype", 0), zero) {
        (0, Some(z)) => c.dtype(z),
        (0, None) => DType::U8,
        (n, _) => onnx_dtype(c, n)?,
    };
    let scale = per_axis(c, scale, x)?;
    let zero = match zero {
        Some(z) => Some(per_axis(c, z, x)?),
        None => None,
    };
    Ok(vec![quantize(c, x, scale, zero, to)?])
}

/// Scale or zero point brought to a shape that broadcasts to `x`: per tensor, per axis, or in
/// blocks along the axis.
pub fn per_axis(c: &mut ImportCtx, p: ValueId, x: ValueId) -> Result<ValueId> {
    let (sp, sx) = (c.shape(p), c.shape(x));
    if sp.elems() == 1 {
        return c.reshape(p, Shape::scalar());
    }
    let axis = c.axis(c.attrs.int("axis", 1), sx.rank())?;
    let bad = || c.invalid(format!("a parameter of shape {sp} does not fit {sx}, axis {axis}"));
    if sp.rank() == 1 {
        if sp[0] != sx[axis] {
            return Err(bad());
        }
        let mut s = vec![1; sx.rank()];
        s[axis] = sp[0];
        return c.reshape(p, s);
    }
    let block = usize::try_from(c.attrs.int("block_size", 0)).unwrap_or(0);
    let fits = sp.rank() == sx.rank()
        && block > 0
        && (0..sx.rank())
            .all(|i| if i == axis { sp[i] == sx[i].div_ceil(block) } else { sp[i] == sx[i] });
    if !fits {
        return Err(bad());
    }
    // every entry serves `block` elements
    let (mut split, mut wide, mut merged) = (sp.0.clone(), sp.0.clone(), sp.0.clone());
    split.insert(axis + 1, 1);
    wide.insert(axis + 1, block);
    merged[axis] = sp[axis].checked_mul(block).ok_or_else(bad)?;
    let p = c.reshape(p, split)?;
    let p = c.expand(p, wide)?;
    let p = c.reshape(p, merged)?;
    c.slice_axis(p, axis, 0, sx[axis])
}

/// Limits of the narrow integer types. The wide ones saturate in the cast: f32 cannot hold theirs.
fn range(dtype: DType) -> Option<(f64, f64)> {
    Some(match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        _ => return None,
    })
}

/// Quantizes with parameters that already broadcast to `x`.
pub fn quantize(
    c: &mut ImportCtx,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
    to: DType,
) -> Result<ValueId> {
    if !to.is_int() {
        return Err(c.unsupported(format!("quantization to {to}")));
    }
    let x = c.cast(x, DType::F32)?;
    let scale = c.cast(scale, DType::F32)?;
    let q = c.binary(P::Div, x, scale)?;
    let mut q = c.unary(P::Round, q)?;
    if let Some(z) = zero {
        let z = c.cast(z, DType::F32)?;
        q = c.binary(P::Add, q, z)?;
    }
    if let Some((low, high)) = range(to) {
        let args = [q.into(), PwArg::Const(low), PwArg::Const(high)];
        q = c.pointwise(P::Clip, &args, DType::F32)?;
    }
    c.cast(q, to)
}
