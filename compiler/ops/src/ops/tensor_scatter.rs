//! New rows of a cache at a position that may be known only at run time: TensorScatter, and what
//! attention operators with a cache do with it.

use crate::Result;
use crate::data::{around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, TensorType, since};
use crate::import::ImportCtx;
use drift_ir::{Attrs, Body, Shape, Tensor, ValueId};

/// Operands: past `[B, .., P, ..]`; update `[B, .., N, ..]`; integers start `[B]`, or none for 0.
/// Attributes: `axis` of P and N (not 0); `size`, P or more, what it is in the result; `circular`
/// 0/1. Row p of the result of batch b is row `p - start[b]` (circular: modulo `size`) of the update
/// where there is one, else row p of the past, else zero.
pub static OP: OpDef = OpDef {
    name: "tensor_scatter",
    onnx: &[since("TensorScatter", 24)],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

pub const PAST: usize = 0;
pub const UPDATE: usize = 1;
pub const START: usize = 2;

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (past, update) = (c.input(PAST)?, c.input(UPDATE)?);
    let axis = c.axis(c.attrs.int("axis", -2), c.rank(past))?;
    let circular = match c.attrs.str("mode").unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        other => return Err(c.invalid(format!("mode {other}, not linear or circular"))),
    };
    let size = c.shape(past)[axis];
    Ok(vec![scatter(c, past, update, c.opt(START), axis, size, circular)?])
}

/// Emits the node.
pub fn scatter(
    c: &mut ImportCtx,
    past: ValueId,
    update: ValueId,
    start: Option<ValueId>,
    axis: usize,
    size: usize,
    circular: bool,
) -> Result<ValueId> {
    let attrs = Attrs::new()
        .with("axis", axis as i64)
        .with("size", size as i64)
        .with("circular", i64::from(circular));
    Ok(c.emit_multi("tensor_scatter", attrs, &[Some(past), Some(update), start])?[0])
}

fn infer(c: &InferCtx) -> Result<Vec<TensorType>> {
    let (past, update) = (c.shape_min_rank(PAST, 2)?, c.shape(UPDATE)?);
    let axis = c.axis(past.rank())?;
    let same = past.rank() == update.rank()
        && (0..past.rank()).all(|a| a == axis || past[a] == update[a])
        && c.dtype(PAST)? == c.dtype(UPDATE)?;
    if axis == 0 || !same {
        return Err(c.invalid(format!(
            "an update {}{update} does not fit a cache {}{past} along axis {axis}",
            c.dtype(UPDATE)?,
            c.dtype(PAST)?
        )));
    }
    if let Some((dtype, start)) = c.get(START)
        && (!dtype.is_int() || **start != [past[0]])
    {
        return Err(c.invalid(format!(
            "the start is {dtype}{start}; it must be one integer per batch, [{}]",
            past[0]
        )));
    }
    let mut out = past.clone();
    let size = usize::try_from(c.attrs.int("size", 0)).unwrap_or(0);
    if size < past[axis] || size < update[axis] {
        return Err(c.invalid(format!("{size} rows do not hold a cache {past} and {update}")));
    }
    out[axis] = size;
    Ok(vec![(c.dtype(PAST)?, out)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (past, update) = (c.tensor(PAST)?, c.tensor(UPDATE)?);
    let out = c.result_shape();
    let axis = c.axis(out.rank())?;
    let (outer, size, inner) = around_axis(out, axis);
    let (held, new) = (past.shape[axis], update.shape[axis]);
    let per_batch = outer / out[0].max(1);
    let start = c.get(START).map(Tensor::to_i64s);
    let circular = c.attrs.int("circular", 0) != 0;
    let row = inner * past.dtype.bytes();
    let mut bytes = Vec::with_capacity(outer * size * row);
    for o in 0..outer {
        let first = start.as_ref().map_or(0, |s| s[o / per_batch.max(1)]);
        for p in 0..size {
            let r = p as i64 - first;
            let r = if circular { r.rem_euclid(size as i64) } else { r };
            match usize::try_from(r) {
                Ok(r) if r < new => {
                    bytes.extend_from_slice(&update.bytes()[(o * new + r) * row..][..row]);
                }
                _ if p < held => {
                    bytes.extend_from_slice(&past.bytes()[(o * held + p) * row..][..row]);
                }
                _ => bytes.resize(bytes.len() + row, 0),
            }
        }
    }
    Tensor::from_bytes(past.dtype, out.clone(), bytes.into())
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the rows do not fill the result"))
}

fn cases() -> Vec<Case> {
    let case = |name: &str, (past, update): (&[usize], &[usize]), axis, size: i64, start, ring| {
        let start: Option<&[i64]> = start;
        let attrs =
            Attrs::new().with("axis", axis).with("size", size).with("circular", i64::from(ring));
        let start = start.map(|s| Tensor::from_i64(Shape::from([s.len()]), s));
        let operands = vec![Some(sample_f32(1, past)), Some(sample_f32(2, update)), start];
        Case { name: name.into(), attrs, operands, body: Body::default() }
    };
    vec![
        case("rows", (&[2, 3, 9, 8], &[2, 3, 2, 8]), 2i64, 9, Some(&[3, 7]), false),
        case("grows", (&[2, 2, 5, 4], &[2, 2, 3, 4]), 2, 8, Some(&[5, 2]), false),
        case("ring", (&[2, 7, 6], &[2, 3, 6]), 1, 7, Some(&[5, 0]), true),
        case("last axis", (&[1, 3, 12], &[1, 3, 4]), 2, 12, Some(&[5]), false),
        case("at the front", (&[2, 5, 3], &[2, 2, 3]), 1, 5, None, false),
    ]
}
