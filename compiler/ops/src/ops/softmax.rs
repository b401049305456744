//! Softmax over one axis.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Attribute `axis`.
pub static OP: OpDef = OpDef {
    name: "softmax",
    onnx: &[ai("Softmax")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    import_as(c, "softmax")
}

/// Before opset 13 the axes from `axis` on count as one.
pub fn import_as(c: &mut ImportCtx, op: &'static str) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    if c.opset >= 13 || !c.domain.is_empty() {
        let axis = c.axis(c.attrs.int("axis", -1), shape.rank())?;
        return Ok(vec![c.emit(op, Attrs::new().with("axis", axis as i64), &[x])?]);
    }
    let axis = c.axis(c.attrs.int("axis", 1), shape.rank())?;
    if shape[axis + 1..].iter().all(|d| *d == 1) {
        return Ok(vec![c.emit(op, Attrs::new().with("axis", axis as i64), &[x])?]);
    }
    let flat = vec![shape[..axis].iter().product(), shape[axis..].iter().product::<usize>()];
    let y = c.reshape(x, flat)?;
    let y = c.emit(op, Attrs::new().with("axis", 1i64), &[y])?;
    Ok(vec![c.reshape(y, shape)?])
}

/// A result like the operand, for operators along an axis of floats.
pub fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let shape = c.shape_min_rank(0, 1)?;
    c.axis(shape.rank())?;
    if !c.dtype(0)?.is_float() {
        return Err(c.invalid(format!("needs floats, not {}", c.dtype(0)?)));
    }
    Ok(vec![(c.dtype(0)?, shape.clone())])
}

/// Applies `f` to every row along the axis.
pub fn along_axis(c: &RefCtx, f: impl Fn(&mut [f64])) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let (outer, n, inner) = around_axis(&x.shape, c.axis(x.shape.rank())?);
    let mut v = x.to_f64s();
    let mut row = vec![0.0; n];
    for o in 0..outer {
        for i in 0..inner {
            for (k, r) in row.iter_mut().enumerate() {
                *r = v[(o * n + k) * inner + i];
            }
            f(&mut row);
            for (k, r) in row.iter().enumerate() {
                v[(o * n + k) * inner + i] = *r;
            }
        }
    }
    Ok(vec![c.float_result(&v)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    along_axis(c, |row| {
        let peak = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|x| *x = (*x - peak).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    })
}

pub fn cases() -> Vec<Case> {
    let attrs = |axis: i64| Attrs::new().with("axis", axis);
    vec![
        Case::new("rows", attrs(1), vec![sample_f32(1, [3, 10])]),
        Case::new("channels", attrs(1), vec![sample_f32(2, [2, 6, 3, 4])]),
        Case::new("long row", attrs(2), vec![sample_f32(3, [1, 2, 515])]),
        Case::new("large values", attrs(0), vec![Tensor::from_f32([3], &[1e4, 9990., -1e4])]),
    ]
}
