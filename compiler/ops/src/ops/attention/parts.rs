//! What the attention operators of ONNX have in common: heads, caches, masks, and the node itself.

use crate::Result;
use crate::import::{ImportCtx, PwArg};
use crate::ops::rotary_embedding::count;
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// `[B, S, heads * d]` as `[B, heads, S, d]`.
pub fn split_heads(c: &mut ImportCtx, x: ValueId, heads: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    if shape.rank() != 3 || heads == 0 || !shape[2].is_multiple_of(heads) {
        return Err(c.invalid(format!("{shape} is not [batch, rows, {heads} heads of one size]")));
    }
    let x = c.reshape(x, vec![shape[0], shape[1], heads, shape[2] / heads])?;
    c.transpose(x, &[0, 2, 1, 3])
}

/// `[B, heads, S, d]` as `[B, S, heads * d]`.
pub fn join_heads(c: &mut ImportCtx, x: ValueId) -> Result<ValueId> {
    let shape = c.shape(x);
    let x = c.transpose(x, &[0, 2, 1, 3])?;
    c.reshape(x, vec![shape[0], shape[2], shape[1] * shape[3]])
}

/// A part of the last axis of `[B, S, n]`.
pub fn columns(c: &mut ImportCtx, x: ValueId, start: usize, size: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    match shape.as_slice() {
        [_, _, n] if start.checked_add(size).is_some_and(|end| end <= *n) => {
            c.slice_axis(x, 2, start, size)
        }
        _ => Err(c.invalid(format!("{shape} has no columns {start}..+{size}"))),
    }
}

/// Past and new rows of `[B, H, rows, d]`.
pub fn append(c: &mut ImportCtx, past: Option<ValueId>, new: ValueId) -> Result<ValueId> {
    match past {
        Some(past) if c.shape(past).get(2) != Some(&0) => {
            c.emit("concat", Attrs::new().with("axis", 2i64), &[past, new])
        }
        _ => Ok(new),
    }
}

/// A positive count from an attribute.
pub fn size(c: &ImportCtx, name: &str) -> Result<usize> {
    let v = usize::try_from(c.attrs.int(name, 0)).ok().filter(|v| *v > 0);
    v.ok_or_else(|| c.invalid(format!("attribute {name} is missing or not positive")))
}

/// The attribute `scale`, where 0 stands for the usual one.
pub fn scale(c: &ImportCtx, head_dim: usize) -> Result<f64> {
    let s = c.float("scale", 0.0)?;
    Ok(if s == 0.0 { 1.0 / (head_dim.max(1) as f64).sqrt() } else { s })
}

/// An input that is an error unless it is omitted.
pub fn refuse(c: &ImportCtx, inputs: &[(usize, &str)]) -> Result<()> {
    match inputs.iter().find(|(i, _)| c.opt(*i).is_some()) {
        Some((i, what)) => Err(c.unsupported(format!("input {i}, {what}"))),
        None => Ok(()),
    }
}

/// How many keys come before the first row of queries.
#[derive(Clone, Copy, Debug)]
pub enum Offset {
    Known(i64),
    /// I32 `[B]`.
    PerBatch(ValueId),
}

/// Which keys a row sees, besides what a mask of the model says.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Row r sees keys `t <= r + offset`.
    pub causal: bool,
    /// 0 = none; of those, keys `t > r + offset - window`.
    pub window: usize,
    pub offset: Offset,
}

/// Softmax attention: what the node needs besides its operands.
#[derive(Clone, Copy, Debug)]
pub struct Scores {
    pub scale: f64,
    pub softcap: f64,
    pub sight: Sight,
}

/// q `[B, H, S, d]`, k and v `[B, Hkv, T, ..]`, a mask that spreads to `[B, H, S, T]` (bool, or float
/// and added) -> `[B, H, S, dv]`.
pub fn attend(
    c: &mut ImportCtx,
    [q, k, v]: [ValueId; 3],
    mask: Option<ValueId>,
    scores: Scores,
) -> Result<ValueId> {
    let (qs, ks) = (c.shape(q), c.shape(k));
    if qs.rank() != 4 || ks.rank() != 4 {
        return Err(c.invalid(format!("queries {qs} and keys {ks} must have rank 4")));
    }
    let shift = ks[2] as i64 - qs[2] as i64;
    let Sight { causal, window, offset } = scores.sight;
    // what the node says itself
    let told = matches!(offset, Offset::Known(o) if o == shift && shift >= 0);
    let mask = match told || (!causal && window == 0) {
        true => mask,
        false => {
            let seen = visible(c, scores.sight, qs[2], ks[2])?;
            Some(join(c, seen, mask)?)
        }
    };
    let attrs = Attrs::new()
        .with("scale", scores.scale)
        .with("causal", i64::from(causal && told))
        .with("window", if told { window as i64 } else { 0 })
        .with("softcap", scores.softcap);
    Ok(c.emit_multi("attention", attrs, &[Some(q), Some(k), Some(v), mask])?[0])
}

/// Bool `[B or 1, 1, S, T]`: which keys rows see.
pub fn visible(c: &mut ImportCtx, sight: Sight, rows: usize, keys: usize) -> Result<ValueId> {
    let t = count(c, DType::I32, &[1, 1, 1, keys]);
    let r = count(c, DType::I32, &[1, 1, rows, 1]);
    let last = match sight.offset {
        Offset::Known(o) => c.binary_const(P::Add, r, o as f64)?,
        Offset::PerBatch(o) => {
            let batch = c.shape(o).elems();
            let o = c.reshape(o, vec![batch, 1, 1, 1])?;
            c.binary(P::Add, o, r)?
        }
    };
    let compare = |c: &mut ImportCtx, op, a: ValueId, b: ValueId| {
        c.pointwise(op, &[PwArg::Value(a), PwArg::Value(b)], DType::Bool)
    };
    let mut seen = None;
    if sight.causal {
        seen = Some(compare(c, P::LessEqual, t, last)?);
    }
    if sight.window > 0 {
        let first = c.binary_const(P::Sub, last, sight.window as f64)?;
        let near = compare(c, P::Greater, t, first)?;
        seen = Some(match seen {
            Some(s) => compare(c, P::And, s, near)?,
            None => near,
        });
    }
    seen.ok_or_else(|| c.invalid("every key is visible"))
}

/// Keys below a length per batch, integers `[B]`: bool `[B, 1, 1, T]`.
pub fn below(c: &mut ImportCtx, lengths: ValueId, keys: usize) -> Result<ValueId> {
    let (batch, dtype) = (c.shape(lengths).elems(), c.dtype(lengths));
    let lengths = c.reshape(lengths, vec![batch, 1, 1, 1])?;
    let t = count(c, dtype, &[1, 1, 1, keys]);
    c.pointwise(P::Less, &[t.into(), lengths.into()], DType::Bool)
}

/// A bool mask and one of the model: what the one hides is hidden.
pub fn join(c: &mut ImportCtx, seen: ValueId, mask: Option<ValueId>) -> Result<ValueId> {
    let Some(mask) = mask else { return Ok(seen) };
    let dtype = c.dtype(mask);
    if dtype == DType::Bool {
        return c.pointwise(P::And, &[seen.into(), mask.into()], DType::Bool);
    }
    // an operand: no shader has a literal for it
    let never = c.add_const(Tensor::from_f64s(dtype, [1], &[f64::NEG_INFINITY]));
    c.pointwise(P::Where, &[seen.into(), mask.into(), never.into()], dtype)
}

/// `filter` is added where `keep` (bool) is false.
pub fn filtered(c: &mut ImportCtx, keep: ValueId, filter: f64, dtype: DType) -> Result<ValueId> {
    c.pointwise(P::Where, &[keep.into(), PwArg::Const(0.0), PwArg::Const(filter)], dtype)
}

/// Two masks, both added; either may be missing.
pub fn sum(c: &mut ImportCtx, a: Option<ValueId>, b: Option<ValueId>) -> Result<Option<ValueId>> {
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some(c.binary(P::Add, a, b)?),
        (a, b) => a.or(b),
    })
}

/// `v` with leading dims of 1 up to rank 4.
pub fn rank4(c: &mut ImportCtx, v: ValueId) -> Result<ValueId> {
    let shape = c.shape(v);
    if shape.rank() > 4 {
        return Err(c.invalid(format!("a mask of shape {shape}")));
    }
    let mut dims = vec![1; 4 - shape.rank()];
    dims.extend(shape.iter());
    c.reshape(v, Shape(dims))
}
