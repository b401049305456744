//! OneHot: a comparison with the class numbers, then a choice between two values.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::{DType, PointwiseOp as P, Shape, Tensor, ValueId};

pub static OP: OpDef = composite("one_hot", &[ai("OneHot")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (index, values) = (c.input(0)?, c.input(2)?);
    let depth = c.const_float(1, "the depth")?.ok_or_else(|| c.invalid("the depth is missing"))?;
    if !(1.0..=1e9).contains(&depth) {
        return Err(c.invalid(format!("a depth of {depth}")));
    }
    let n = depth as usize;
    let shape = c.shape(index);
    let axis = c.axis(c.attrs.int("axis", -1), shape.rank() + 1)?;
    if c.shape(values).elems() != 2 {
        return Err(c.invalid("values need the two numbers off and on"));
    }
    let kind = if c.dtype(index).is_int() { c.dtype(index) } else { DType::I64 };
    let index = c.cast(index, kind)?;
    let (negative, shift) = (
        c.pointwise(P::Less, &[index.into(), crate::import::PwArg::Const(0.0)], DType::Bool)?,
        c.binary_const(P::Add, index, n as f64)?,
    );
    // negative numbers count from the end
    let index = if kind.is_signed_int() {
        c.pointwise(P::Where, &[negative.into(), shift.into(), index.into()], kind)?
    } else {
        index
    };
    let mut wide = shape.0.clone();
    wide.insert(axis, 1);
    let index = c.reshape(index, wide.clone())?;
    let mut along = vec![1; wide.len()];
    along[axis] = n;
    let classes: Vec<i64> = (0..n as i64).collect();
    let classes = c.add_const(Tensor::from_i64s(kind, along, &classes));
    let hit = c.pointwise(P::Equal, &[index.into(), classes.into()], DType::Bool)?;
    let dtype = c.dtype(values);
    let values = c.reshape(values, vec![2])?;
    let off = c.slice_axis(values, 0, 0, 1)?;
    let off = c.reshape(off, Shape::scalar())?;
    let on = c.slice_axis(values, 0, 1, 1)?;
    let on = c.reshape(on, Shape::scalar())?;
    Ok(vec![c.pointwise(P::Where, &[hit.into(), on.into(), off.into()], dtype)?])
}
