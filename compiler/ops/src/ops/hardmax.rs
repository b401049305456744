//! Hardmax: one at the first maximum of each row, zero elsewhere. Written with `arg_reduce` and a
//! comparison with the positions along the axis.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, PointwiseOp, Tensor, ValueId};

pub static OP: OpDef = composite("hardmax", &[ai("Hardmax")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let (shape, dtype) = (c.shape(x), c.dtype(x));
    let new = c.opset >= 13;
    let mut axis = c.axis(c.attrs.int("axis", if new { -1 } else { 1 }), shape.rank())?;
    let mut v = x;
    if !new {
        let flat = vec![shape[..axis].iter().product(), shape[axis..].iter().product::<usize>()];
        v = c.reshape(x, flat)?;
        axis = 1;
    }
    let flat = c.shape(v);
    let attrs = Attrs::new().with("kind", "max").with("axis", axis as i64).with("keepdims", 1i64);
    let best = c.emit("arg_reduce", attrs, &[v])?;
    let positions: Vec<i64> = (0..flat[axis] as i64).collect();
    let mut along = vec![1; flat.rank()];
    along[axis] = flat[axis];
    let positions = c.add_const(Tensor::from_i64(along, &positions));
    let hit = c.pointwise(PointwiseOp::Equal, &[best.into(), positions.into()], DType::Bool)?;
    let y = c.cast(hit, dtype)?;
    Ok(vec![c.reshape(y, shape)?])
}
