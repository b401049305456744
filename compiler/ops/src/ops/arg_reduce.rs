//! ArgMax and ArgMin.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Result i64. Attributes: `kind` (`max`, `min`), `axis`, `keepdims` (0 or 1), `last` (1: the
/// last of equal extremes instead of the first).
pub static OP: OpDef = OpDef {
    name: "arg_reduce",
    onnx: &[ai("ArgMax"), ai("ArgMin")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let axis = c.axis(c.attrs.int("axis", 0), c.rank(x))?;
    let attrs = Attrs::new()
        .with("kind", if c.op_type == "ArgMax" { "max" } else { "min" })
        .with("axis", axis as i64)
        .with("keepdims", i64::from(c.attrs.int("keepdims", 1) != 0))
        .with("last", i64::from(c.attrs.int("select_last_index", 0) != 0));
    Ok(vec![c.emit("arg_reduce", attrs, &[x])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let mut shape = c.shape_min_rank(0, 1)?.clone();
    let axis = c.axis(shape.rank())?;
    if shape[axis] == 0 {
        return Err(c.invalid(format!("axis {axis} of {shape} is empty")));
    }
    if c.attrs.int("keepdims", 1) != 0 {
        shape[axis] = 1;
    } else {
        shape.remove(axis);
    }
    Ok(vec![(DType::I64, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let (outer, n, inner) = around_axis(&x.shape, c.axis(x.shape.rank())?);
    let max = c.attrs.str("kind") == Some("max");
    let last = c.attrs.int("last", 0) != 0;
    let v = x.to_f64s();
    let mut out = Vec::with_capacity(outer * inner);
    for o in 0..outer {
        for i in 0..inner {
            let at = |k: usize| v[(o * n + k) * inner + i];
            let mut best = 0;
            for k in 1..n {
                let better = if max { at(k) > at(best) } else { at(k) < at(best) };
                if better || (last && at(k) == at(best)) {
                    best = k;
                }
            }
            out.push(best as i64);
        }
    }
    Ok(vec![Tensor::from_i64(c.result_shape().clone(), &out)])
}

fn cases() -> Vec<Case> {
    let attrs = |kind: &str, axis: i64, keep: i64, last: i64| {
        Attrs::new().with("kind", kind).with("axis", axis).with("keepdims", keep).with("last", last)
    };
    let ties = Tensor::from_f32([2, 4], &[1., 3., 3., 0., 2., 2., 2., 2.]);
    vec![
        Case::new("max", attrs("max", 1, 0, 0), vec![sample_f32(1, [3, 9])]),
        Case::new("min channels", attrs("min", 1, 1, 0), vec![sample_f32(2, [2, 5, 3, 4])]),
        Case::new("first of equal", attrs("max", 1, 0, 0), vec![ties.clone()]),
        Case::new("last of equal", attrs("max", 1, 0, 1), vec![ties]),
    ]
}
