//! GatherElements: one index per result element.

use crate::Result;
use crate::data::{picked, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::gather::wrap_index;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: data, integer indices of the result's shape. Attribute `axis`:
/// `result[i, j, ..] = data[i, indices[i, j, ..], ..]` for axis 1.
pub static OP: OpDef = OpDef {
    name: "gather_elements",
    onnx: &[ai("GatherElements")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let axis = c.axis(c.attrs.int("axis", 0), c.rank(x))?;
    Ok(vec![c.emit("gather_elements", Attrs::new().with("axis", axis as i64), &[x, index])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, index) = (c.shape_min_rank(0, 1)?, c.shape(1)?);
    let axis = c.axis(x.rank())?;
    let fits = index.rank() == x.rank() && (0..x.rank()).all(|i| i == axis || index[i] <= x[i]);
    if !fits || !c.dtype(1)?.is_int() {
        return Err(c.invalid(format!("indices {}{index} do not fit data {x}", c.dtype(1)?)));
    }
    Ok(vec![(c.dtype(0)?, index.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, index) = (c.tensor(0)?, c.tensor(1)?);
    let axis = c.axis(x.shape.rank())?;
    let at = index
        .to_i64s()
        .into_iter()
        .map(|i| {
            wrap_index(i, x.shape[axis]).ok_or_else(|| {
                c.invalid(format!("index {i} is outside axis {axis} of {}", x.shape))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let strides = x.shape.strides();
    Ok(vec![picked(x, &index.shape, |i, coord| {
        Some((0..coord.len()).map(|a| strides[a] * if a == axis { at[i] } else { coord[a] }).sum())
    })])
}

fn cases() -> Vec<Case> {
    let index = Tensor::from_i64([2, 3], &[2, 0, 1, -1, 3, 0]);
    vec![Case::new("columns", Attrs::new().with("axis", 1i64), vec![sample_f32(1, [2, 4]), index])]
}
