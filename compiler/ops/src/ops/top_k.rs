//! TopK: the largest (or smallest) elements along an axis, sorted, with their indices.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Results: values, indices (i64). Attributes: `axis`, `k`, `largest` (0 or 1). Always sorted;
/// of equal elements the lower index comes first.
pub static OP: OpDef = OpDef {
    name: "top_k",
    onnx: &[ai("TopK")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let axis = c.axis(c.attrs.int("axis", -1), c.rank(x))?;
    let k = match c.opset {
        ..=9 => c.attrs.int("k", -1),
        _ => c.const_int(1, "k")?.ok_or_else(|| c.invalid("k is missing"))?,
    };
    let attrs = Attrs::new()
        .with("axis", axis as i64)
        .with("k", k)
        .with("largest", i64::from(c.attrs.int("largest", 1) != 0));
    c.emit_multi("top_k", attrs, &[Some(x)])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let mut shape = c.shape_min_rank(0, 1)?.clone();
    let axis = c.axis(shape.rank())?;
    let k = c.attrs.int("k", -1);
    let n = usize::try_from(k)
        .ok()
        .filter(|k| *k <= shape[axis])
        .ok_or_else(|| c.invalid(format!("k = {k} of {} elements", shape[axis])))?;
    shape[axis] = n;
    Ok(vec![(c.dtype(0)?, shape.clone()), (DType::I64, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let (outer, n, inner) = around_axis(&x.shape, c.axis(x.shape.rank())?);
    let k = c.attrs.int("k", 0) as usize;
    let largest = c.attrs.int("largest", 1) != 0;
    let floats = x.to_f64s();
    let ints = if x.dtype.is_float() { Vec::new() } else { x.to_i64s() };
    let mut index = vec![0i64; outer * k * inner];
    let mut values = vec![0usize; outer * k * inner];
    for o in 0..outer {
        for i in 0..inner {
            let at = |p: usize| (o * n + p) * inner + i;
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| {
                let less = if ints.is_empty() {
                    floats[at(a)].total_cmp(&floats[at(b)])
                } else {
                    ints[at(a)].cmp(&ints[at(b)])
                };
                if largest { less.reverse() } else { less }
            });
            for (p, from) in order.into_iter().take(k).enumerate() {
                index[(o * k + p) * inner + i] = from as i64;
                values[(o * k + p) * inner + i] = at(from);
            }
        }
    }
    let shape = c.result_shape();
    let picked = crate::data::picked(x, shape, |i, _| Some(values[i]));
    Ok(vec![picked, Tensor::from_i64(shape.clone(), &index)])
}

fn cases() -> Vec<Case> {
    let attrs = |axis: i64, k: i64, largest: i64| {
        Attrs::new().with("axis", axis).with("k", k).with("largest", largest)
    };
    vec![
        Case::new("largest", attrs(1, 3, 1), vec![sample_f32(1, [2, 9])]),
        Case::new("smallest inner", attrs(1, 2, 0), vec![sample_f32(2, [2, 5, 3])]),
    ]
}
