//! EyeLike: a constant of the operand's shape.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::{ImportCtx, onnx_dtype};
use drift_ir::{Attr, Tensor, ValueId};

pub static OP: OpDef = composite("eye_like", &[ai("EyeLike")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let &[rows, cols] = shape.as_slice() else {
        return Err(c.invalid(format!("needs a matrix, not {shape}")));
    };
    if rows.saturating_mul(cols) > 1 << 24 {
        return Err(c.unsupported(format!("an identity matrix of shape {shape}")));
    }
    let dtype = match c.attrs.get("dtype") {
        Some(Attr::Int(n)) => onnx_dtype(c, *n)?,
        _ => c.dtype(x),
    };
    let k = c.attrs.int("k", 0);
    let one = |i: usize| i64::from((i % cols) as i64 == ((i / cols) as i64).saturating_add(k));
    let v: Vec<i64> = (0..rows * cols).map(one).collect();
    Ok(vec![c.add_const(Tensor::from_i64s(dtype, shape, &v))])
}
