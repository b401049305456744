//! Concatenation along one axis.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Attribute `axis`.
pub static OP: OpDef = OpDef {
    name: "concat",
    onnx: &[ai("Concat")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let values = (0..c.inputs.len()).map(|i| c.input(i)).collect::<Result<Vec<_>>>()?;
    let first = c.input(0)?;
    let rank = c.rank(first);
    let axis = c.axis(c.attrs.int("axis", if c.opset < 4 { 1 } else { 0 }), rank)?;
    // empty parts (a cache before its first step, say) contribute nothing
    let mut parts: Vec<ValueId> = values
        .iter()
        .copied()
        .filter(|v| c.shape(*v).get(axis) != Some(&0) || c.rank(*v) != rank)
        .collect();
    if parts.is_empty() {
        parts.push(first);
    }
    if let [one] = parts[..] {
        return Ok(vec![one]);
    }
    Ok(vec![c.emit("concat", Attrs::new().with("axis", axis as i64), &parts)?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let mut out = c.shape_min_rank(0, 1)?.clone();
    let axis = c.axis(out.rank())?;
    let dtype = c.dtype(0)?;
    for i in 1..c.operands.len() {
        let s = c.shape(i)?;
        let fits = s.rank() == out.rank() && (0..s.rank()).all(|a| a == axis || s[a] == out[a]);
        if !fits || c.dtype(i)? != dtype {
            return Err(c.invalid(format!(
                "part {i} is {}{s}, the first is {dtype}{}; only axis {axis} may differ",
                c.dtype(i)?,
                c.shape(0)?
            )));
        }
        out[axis] =
            out[axis].checked_add(s[axis]).ok_or_else(|| c.invalid("the result is too large"))?;
    }
    Ok(vec![(dtype, out)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (dtype, shape) = &c.results[0];
    let axis = c.axis(shape.rank())?;
    let parts = (0..c.operands.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    let outer: usize = shape[..axis].iter().product();
    let mut out = Vec::with_capacity(shape.elems() * dtype.bytes());
    for o in 0..outer {
        for t in &parts {
            let (_, n, inner) = around_axis(&t.shape, axis);
            let bytes = n * inner * dtype.bytes();
            out.extend_from_slice(&t.bytes()[o * bytes..(o + 1) * bytes]);
        }
    }
    Tensor::from_bytes(*dtype, shape.clone(), out.into())
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the parts do not fill the result"))
}

fn cases() -> Vec<Case> {
    let c = |name: &str, axis: i64, shapes: &[&[usize]]| {
        let operands = shapes.iter().enumerate().map(|(i, s)| sample_f32(i as u64, *s)).collect();
        Case::new(name, Attrs::new().with("axis", axis), operands)
    };
    vec![
        c("channels", 1, &[&[2, 3, 4, 5], &[2, 5, 4, 5]]),
        c("three parts", 0, &[&[1, 6], &[4, 6], &[2, 6]]),
        c("last axis", 2, &[&[2, 3, 3], &[2, 3, 1]]),
    ]
}
