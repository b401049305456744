//! MultiHeadAttention and Attention of com.microsoft, as exported encoders have them.

use super::parts::{
    Offset, Scores, Sight, append, attend, below, columns, filtered, join_heads, rank4, refuse,
    scale, size, split_heads, sum,
};
use crate::Result;
use crate::import::{ImportCtx, PwArg};
use crate::ops::matmul::product;
use drift_ir::{Attrs, DType, PointwiseOp as P, ValueId};

/// Inputs: query `[B, S, D]` or packed `[B, S, H, 3, d]`; key `[B, L, D]`, packed with the value
/// `[B, L, H, 2, d]`, or `[B, H, L, d]`; value; bias `[2 D + Dv]`?; key padding mask?; attention bias?;
/// past key and value `[B, H, P, d]`?. Outputs: `[B, S, Dv]`, present key and value.
pub fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    refuse(c, &[(8, "past_sequence_length"), (9, "cache_indirection")])?;
    let heads = size(c, "num_heads")?;
    let [q, k, v] = operands(c, heads)?;
    let [q, k, v] = biased(c, [q, k, v], c.opt(3))?;
    let past = [c.opt(6), c.opt(7)];
    let (k, v) = (append(c, past[0], k)?, append(c, past[1], v)?);
    let bias = c.opt(5);
    let y = masked(c, [q, k, v], c.opt(4), bias)?;
    Ok(vec![y, k, v])
}

/// The projection `x W + b` in front: input `[B, S, Din]`, weights `[Din, 2 D + Dv]`, bias?, mask?,
/// past `[2, B, H, P, d]`?, attention bias?. Outputs: `[B, S, Dv]`, present `[2, B, H, T, d]`.
pub fn projected(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    refuse(c, &[(6, "past_sequence_length")])?;
    for name in ["do_rotary", "past_present_share_buffer"] {
        if c.attrs.int(name, 0) != 0 {
            return Err(c.unsupported(format!("attribute {name}")));
        }
    }
    let heads = size(c, "num_heads")?;
    let (x, w) = (c.input(0)?, c.input(1)?);
    let mut qkv = product(c, x, w)?;
    if let Some(b) = c.opt(2) {
        qkv = c.binary(P::Add, qkv, b)?;
    }
    let n = c.shape(qkv).last().copied().unwrap_or(0);
    let sizes = match c.attrs.usizes("qkv_hidden_sizes") {
        Some(s) if s.len() == 3 => s,
        Some(s) if !s.is_empty() => {
            return Err(c.invalid(format!("qkv_hidden_sizes has {} sizes", s.len())));
        }
        _ => vec![n / 3; 3],
    };
    let mut start = 0usize;
    let mut split = Vec::new();
    for size in sizes {
        let part = columns(c, qkv, start, size)?;
        split.push(split_heads(c, part, heads)?);
        start = start.saturating_add(size);
    }
    let (q, mut k, mut v) = (split[0], split[1], split[2]);
    if let Some(past) = c.opt(4) {
        let shape = c.shape(past);
        if shape.rank() != 5 || shape[0] != 2 {
            return Err(c.invalid(format!("past is {shape}, not [2, batch, heads, rows, size]")));
        }
        for (i, x) in [&mut k, &mut v].into_iter().enumerate() {
            let part = c.slice_axis(past, 0, i, 1)?;
            let part = c.reshape(part, shape[1..].to_vec())?;
            *x = append(c, Some(part), *x)?;
        }
    }
    let bias = c.opt(5);
    let y = masked(c, [q, k, v], c.opt(3), bias)?;
    let mut out = vec![y];
    if c.wants(1) {
        let mut both = Vec::new();
        for x in [k, v] {
            let mut dims = c.shape(x).0;
            dims.insert(0, 1);
            both.push(c.reshape(x, dims)?);
        }
        out.push(c.emit("concat", Attrs::new().with("axis", 0i64), &both)?);
    }
    Ok(out)
}

/// Query, key and value as `[B, H, rows, d]`, whatever is packed.
fn operands(c: &mut ImportCtx, heads: usize) -> Result<[ValueId; 3]> {
    let query = c.input(0)?;
    if c.rank(query) == 5 {
        return Ok([packed(c, query, 0, 3)?, packed(c, query, 1, 3)?, packed(c, query, 2, 3)?]);
    }
    let q = split_heads(c, query, heads)?;
    let key = c.input(1)?;
    if c.rank(key) == 5 {
        return Ok([q, packed(c, key, 0, 2)?, packed(c, key, 1, 2)?]);
    }
    let value = c.input(2)?;
    let mut kv = [key, value];
    for x in &mut kv {
        if c.rank(*x) != 4 {
            *x = split_heads(c, *x, heads)?;
        }
    }
    Ok([q, kv[0], kv[1]])
}

/// Part `i` of `[B, S, H, n, d]` as `[B, H, S, d]`.
fn packed(c: &mut ImportCtx, x: ValueId, i: usize, n: usize) -> Result<ValueId> {
    let shape = c.shape(x);
    if shape[3] != n {
        return Err(c.invalid(format!("{shape} is not [batch, rows, heads, {n}, size]")));
    }
    let part = c.slice_axis(x, 3, i, 1)?;
    let part = c.reshape(part, vec![shape[0], shape[1], shape[2], shape[4]])?;
    c.transpose(part, &[0, 2, 1, 3])
}

/// The heads plus their parts of a bias of the projections.
fn biased(c: &mut ImportCtx, qkv: [ValueId; 3], bias: Option<ValueId>) -> Result<[ValueId; 3]> {
    let Some(bias) = bias else { return Ok(qkv) };
    let whole = c.shape(bias);
    let mut out = qkv;
    let mut start = 0;
    for x in &mut out {
        let shape = c.shape(*x);
        let n = shape[1] * shape[3];
        if whole.rank() != 1 || start + n > whole[0] {
            return Err(c.invalid(format!("a bias {whole} is too small for heads {shape}")));
        }
        let part = c.slice_axis(bias, 0, start, n)?;
        let part = c.reshape(part, vec![1, shape[1], 1, shape[3]])?;
        *x = c.binary(P::Add, *x, part)?;
        start += n;
    }
    Ok(out)
}

/// Attention under the masks of both operators.
fn masked(
    c: &mut ImportCtx,
    [q, k, v]: [ValueId; 3],
    mask: Option<ValueId>,
    bias: Option<ValueId>,
) -> Result<ValueId> {
    let (qs, ks) = (c.shape(q), c.shape(k));
    if ks.rank() != 4 {
        return Err(c.invalid(format!("keys {ks} must have rank 4")));
    }
    let dtype = c.dtype(q);
    let padding = match mask {
        None => None,
        Some(m) => {
            let keep = kept(c, m, [qs[0], qs[2], ks[2]])?;
            let filter = c.float("mask_filter_value", -10_000.0)?;
            Some(filtered(c, keep, filter, dtype)?)
        }
    };
    let bias = match bias {
        Some(b) => Some(rank4(c, b)?),
        None => None,
    };
    let mask = sum(c, padding, bias)?;
    let causal = c.attrs.int("unidirectional", 0) != 0;
    let offset = Offset::Known(ks[2] as i64 - qs[2] as i64);
    let scores = Scores {
        scale: scale(c, qs[3])?,
        softcap: 0.0,
        sight: Sight { causal, window: 0, offset },
    };
    let y = attend(c, [q, k, v], mask, scores)?;
    join_heads(c, y)
}

/// Which keys a mask of integers leaves: bool that spreads to `[B, 1, S, T]`.
fn kept(c: &mut ImportCtx, mask: ValueId, [batch, rows, keys]: [usize; 3]) -> Result<ValueId> {
    let shape = c.shape(mask);
    if !c.dtype(mask).is_int() {
        return Err(c.invalid(format!("the mask is {}, not integers", c.dtype(mask))));
    }
    let dims = match shape.as_slice() {
        [n] if *n == batch => return below(c, mask, keys),
        [n] if *n == 2 * batch => {
            // ends, then starts
            let (ends, starts) =
                (c.slice_axis(mask, 0, 0, batch)?, c.slice_axis(mask, 0, batch, batch)?);
            let end = below(c, ends, keys)?;
            let start = below(c, starts, keys)?;
            let start = c.pointwise(P::Not, &[start.into()], DType::Bool)?;
            return c.pointwise(P::And, &[end.into(), start.into()], DType::Bool);
        }
        [b, t] if *b == batch && *t == keys => vec![batch, 1, 1, keys],
        [b, s, t] if *b == batch && *s == rows && *t == keys => vec![batch, 1, rows, keys],
        _ => {
            return Err(c.unsupported(format!(
                "a mask of shape {shape}; [batch], [2 batch], [{batch}, {keys}] and [{batch}, \
                 {rows}, {keys}] are supported"
            )));
        }
    };
    let mask = c.reshape(mask, dims)?;
    c.pointwise(P::Greater, &[mask.into(), PwArg::Const(0.0)], DType::Bool)
}
