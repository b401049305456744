//! Slice: a regular part of a value, possibly reversed.

use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, data};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId, View, ViewStep};

/// Attributes `starts`, `sizes`, `steps`, one per axis:
/// `source[axis] = starts[axis] + steps[axis] * result[axis]`.
pub static OP: OpDef = OpDef {
    name: "slice",
    onnx: &[ai("Slice")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let rank = shape.rank();
    let missing = |c: &ImportCtx, what: &str| c.invalid(format!("{what} are missing"));
    let starts = c.ints_attr_or_input("starts", 1)?.ok_or_else(|| missing(c, "starts"))?;
    let ends = c.ints_attr_or_input("ends", 2)?.ok_or_else(|| missing(c, "ends"))?;
    let axes = match c.ints_attr_or_input("axes", 3)? {
        Some(a) => c.axes(&a, rank)?,
        None => (0..starts.len()).collect(),
    };
    let steps = c.const_i64s(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    let n = starts.len();
    if ends.len() != n || axes.len() != n || steps.len() != n || n > rank {
        return Err(c.invalid(format!(
            "starts, ends, axes and steps have {n}, {}, {} and {} entries for shape {shape}",
            ends.len(),
            axes.len(),
            steps.len()
        )));
    }
    let mut s = vec![0; rank];
    let mut sizes = shape.0.clone();
    let mut st = vec![1; rank];
    for i in 0..n {
        let a = axes[i];
        let dim = shape[a] as i64;
        let step = steps[i];
        if step == 0 {
            return Err(c.invalid(format!("the step of axis {a} is 0")));
        }
        let wrap = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
        let (lo, hi) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
        // numpy: negative counts from the end, then clamps to what the direction can reach
        let start = wrap(starts[i]).clamp(if step > 0 { 0 } else { -1 }, hi);
        let end = wrap(ends[i]).clamp(lo, hi.max(lo));
        let span = if step > 0 { end - start } else { start - end };
        let count =
            if span <= 0 { 0 } else { (span as u64).div_ceil(step.unsigned_abs()) as usize };
        s[a] = if count == 0 { 0 } else { start as usize };
        sizes[a] = count;
        st[a] = step;
    }
    Ok(vec![c.slice(x, s, sizes, st)?])
}

fn step(attrs: &Attrs, rank: usize) -> Option<ViewStep> {
    let starts = attrs.usizes("starts")?;
    let sizes = attrs.usizes("sizes")?;
    let steps = attrs.ints("steps")?.to_vec();
    (starts.len() == rank).then_some(ViewStep::Slice { starts, sizes, steps })
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let from = c.shape(0)?;
    let shape = step(c.attrs, from.rank())
        .and_then(|s| s.apply(from))
        .ok_or_else(|| c.invalid(format!("the slice is outside shape {from}")))?;
    Ok(vec![(c.dtype(0)?, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let t = c.tensor(0)?;
    step(c.attrs, t.shape.rank())
        .and_then(|s| data::apply_view(t, &View::identity().then(s)))
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the slice does not apply"))
}

fn cases() -> Vec<Case> {
    let attrs = |s: [i64; 2], n: [i64; 2], st: [i64; 2]| {
        Attrs::new().with("starts", s.to_vec()).with("sizes", n.to_vec()).with("steps", st.to_vec())
    };
    let x = data::sample_f32(1, [5, 7]);
    vec![
        Case::new("part", attrs([1, 2], [3, 4], [1, 1]), vec![x.clone()]),
        Case::new("strided and reversed", attrs([0, 6], [3, 4], [2, -2]), vec![x]),
    ]
}
