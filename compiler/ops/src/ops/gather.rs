//! Gather along one axis.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: data, integer indices (negative ones count from the end). Attribute `axis`. Result:
/// `data[..axis] + indices + data[axis + 1..]`.
pub static OP: OpDef = OpDef {
    name: "gather",
    onnx: &[ai("Gather")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let shape = c.shape(x);
    let axis = c.axis(c.attrs.int("axis", 0), shape.rank())?;
    // one known index is a slice
    if let Some(t) = c.constant(index)
        && t.elems() == 1
        && c.constant(x).is_none()
    {
        let (i, rank) = (t.to_i64s()[0], t.shape.rank());
        let at = wrap_index(i, shape[axis])
            .ok_or_else(|| c.invalid(format!("index {i} is outside axis {axis} of {shape}")))?;
        let y = c.slice_axis(x, axis, at, 1)?;
        let mut dims = shape[..axis].to_vec();
        dims.extend(vec![1; rank]);
        dims.extend(&shape[axis + 1..]);
        return Ok(vec![c.reshape(y, dims)?]);
    }
    Ok(vec![c.emit("gather", Attrs::new().with("axis", axis as i64), &[x, index])?])
}

/// A possibly negative index into `0..n`.
pub fn wrap_index(i: i64, n: usize) -> Option<usize> {
    let n = i64::try_from(n).ok()?;
    let i = if i < 0 { i.checked_add(n)? } else { i };
    (0..n).contains(&i).then_some(i as usize)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 1)?;
    let axis = c.axis(x.rank())?;
    if !c.dtype(1)?.is_int() {
        return Err(c.invalid(format!("indices are {}, not integers", c.dtype(1)?)));
    }
    let mut out = x[..axis].to_vec();
    out.extend(c.shape(1)?.iter());
    out.extend(&x[axis + 1..]);
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, index) = (c.tensor(0)?, c.tensor(1)?);
    let axis = c.axis(x.shape.rank())?;
    let (outer, n, inner) = around_axis(&x.shape, axis);
    let at = index
        .to_i64s()
        .into_iter()
        .map(|i| {
            wrap_index(i, n).ok_or_else(|| {
                c.invalid(format!("index {i} is outside axis {axis} of {}", x.shape))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let row = inner * x.dtype.bytes();
    let mut out = Vec::with_capacity(outer * at.len() * row);
    for o in 0..outer {
        for i in &at {
            out.extend_from_slice(&x.bytes()[(o * n + i) * row..][..row]);
        }
    }
    Tensor::from_bytes(x.dtype, c.result_shape().clone(), out.into())
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the rows do not fill the result"))
}

fn cases() -> Vec<Case> {
    let c = |name: &str, axis: i64, shape: &[usize], index: Tensor| {
        Case::new(name, Attrs::new().with("axis", axis), vec![sample_f32(1, shape), index])
    };
    vec![
        c("rows", 0, &[9, 8], Tensor::from_i64([2, 3], &[0, 8, 3, -1, 5, 5])),
        c("inner axis", 1, &[2, 5, 3], Tensor::from_i64([4], &[4, 0, 2, -5])),
    ]
}
