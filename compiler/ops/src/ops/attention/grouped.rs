//! GroupQueryAttention of com.microsoft: attention with a cache, as exported decoders have it.
//!
//! Two conventions share one operator. Where past and present are one buffer of P rows, new rows are
//! written behind those that hold something; otherwise present is past with the new rows appended.
//! The length of the longest text is the input `total_sequence_length` and fixes shapes, so it must be
//! known; the lengths `seqlens_k + 1` of the single texts may come at run time.

use super::parts::{
    Offset, Scores, Sight, append, attend, below, columns, join_heads, refuse, scale, size,
    split_heads,
};
use crate::Result;
use crate::import::ImportCtx;
use crate::ops::layer_norm::fit;
use crate::ops::rotary_embedding::{Angles, count};
use crate::ops::tensor_scatter::scatter;
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// Inputs: query or packed `[B, S, (H + 2 Hkv) d]`, key?, value?, past key and value
/// `[B, Hkv, P, d]`?, seqlens_k `[B]`, total_sequence_length, cosines and sines?, position_ids?,
/// attention bias?, sinks?, scales?, weights of norms of q and k?. Outputs: `[B, S, H d]`, present key
/// and value.
pub fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    check(c)?;
    let (heads, kv_heads) = (size(c, "num_heads")?, size(c, "kv_num_heads")?);
    let Parts { q, k, v } = parts(c, heads, kv_heads)?;
    let (shape, rows) = (c.shape(q), c.shape(q)[2]);
    let past = [c.opt(3), c.opt(4)];
    let held = past[0].map_or(0, |p| c.shape(p).get(2).copied().unwrap_or(0));
    let total = total(c, rows, held)?;
    let prompt = total == rows;
    if total < rows || (held == 0 && !prompt) {
        return Err(c.invalid(format!(
            "total_sequence_length is {total}, with {rows} new rows and {held} past ones"
        )));
    }
    let offset = if prompt { Offset::Known(0) } else { offset(c, shape[0], rows)? };
    let [q, k] = turn(c, q, k, offset)?;
    let capacity = held.max(total);
    let mut present = [k, v];
    for (new, past) in present.iter_mut().zip(past) {
        *new = extend(c, past, *new, offset, capacity)?;
    }
    // a prompt reads what it brought
    let (keys, values) = if prompt {
        (k, v)
    } else {
        (c.slice_axis(present[0], 2, 0, total)?, c.slice_axis(present[1], 2, 0, total)?)
    };
    let causal = c.attrs.int("causal", 1) != 0;
    let mut mask = c.opt(10);
    if let (false, Offset::PerBatch(o)) = (causal, offset) {
        let lengths = c.binary_const(P::Add, o, rows as f64)?;
        let seen = below(c, lengths, total)?;
        mask = Some(super::parts::join(c, seen, mask)?);
    }
    let window = usize::try_from(c.attrs.int("local_window_size", -1)).unwrap_or(0);
    let scores = Scores {
        scale: scale(c, shape[3])?,
        softcap: c.float("softcap", 0.0)?,
        sight: Sight { causal, window, offset },
    };
    let y = attend(c, [q, keys, values], mask, scores)?;
    Ok(vec![join_heads(c, y)?, present[0], present[1]])
}

/// Forms of the operator that are not supported.
fn check(c: &ImportCtx) -> Result<()> {
    refuse(c, &[(11, "head_sink"), (12, "k_scale"), (13, "v_scale")])?;
    for (name, plain) in [("sliding_window_cache", 0), ("qk_output", 0), ("smooth_softmax", 0)] {
        let v = c.attrs.int(name, plain);
        // -1 is "not set"
        if v != plain && v != -1 {
            return Err(c.unsupported(format!("attribute {name} = {v}; {plain} is supported")));
        }
    }
    for name in ["k_quant_type", "v_quant_type"] {
        let v = c.attrs.str(name).unwrap_or("NONE");
        if v != "NONE" && !v.is_empty() {
            return Err(c.unsupported(format!("{name} = {v} (a quantized cache)")));
        }
    }
    Ok(())
}

/// Heads `[B, H, S, d]`.
struct Parts {
    q: ValueId,
    k: ValueId,
    v: ValueId,
}

fn parts(c: &mut ImportCtx, heads: usize, kv_heads: usize) -> Result<Parts> {
    let query = c.input(0)?;
    let [q, k, v] = match (c.opt(1), c.opt(2)) {
        (Some(k), Some(v)) => [query, k, v],
        (None, None) => {
            let shape = c.shape(query);
            let n = shape.last().copied().unwrap_or(0);
            let d = n / heads.saturating_add(kv_heads.saturating_mul(2));
            let (hd, kd) = (heads.saturating_mul(d), kv_heads.saturating_mul(d));
            [
                columns(c, query, 0, hd)?,
                columns(c, query, hd, kd)?,
                columns(c, query, hd.saturating_add(kd), kd)?,
            ]
        }
        _ => return Err(c.invalid("key and value go together")),
    };
    let mut q = split_heads(c, q, heads)?;
    let mut k = split_heads(c, k, kv_heads)?;
    let v = split_heads(c, v, kv_heads)?;
    let (qs, ks) = (c.shape(q), c.shape(k));
    if qs[3] != ks[3] || qs[2] != ks[2] || !heads.is_multiple_of(kv_heads) {
        return Err(c.invalid(format!("queries {qs} and keys {ks} do not fit together")));
    }
    let eps = c.float("qk_norm_epsilon", 1e-6)?;
    for (x, i) in [(&mut q, 14), (&mut k, 15)] {
        if let Some(gamma) = c.opt(i) {
            let gamma = fit(c, gamma, &Shape::from([qs[3]]))?;
            let attrs = Attrs::new().with("axis", 3i64).with("epsilon", eps);
            *x = c.emit("rms_norm", attrs, &[*x, gamma])?;
        }
    }
    Ok(Parts { q, k, v })
}

/// Rows of the longest text, past and new.
fn total(c: &ImportCtx, rows: usize, held: usize) -> Result<usize> {
    let given = c.opt(6).map(|v| c.constant(v).map(Tensor::to_i64s));
    match given {
        Some(Some(v)) if v.len() == 1 => usize::try_from(v[0])
            .map_err(|_| c.invalid(format!("total_sequence_length is {}", v[0]))),
        Some(Some(v)) => Err(c.invalid(format!("total_sequence_length has {} elements", v.len()))),
        // nothing is cached yet
        _ if held == 0 => Ok(rows),
        _ => Err(c
            .unsupported("total_sequence_length must be known at compile time")
            .help("derive it from the shape of an input (attention_mask), or make it a constant")),
    }
}

/// Rows that each text has before the new ones: `seqlens_k + 1 - S`.
fn offset(c: &mut ImportCtx, batch: usize, rows: usize) -> Result<Offset> {
    let lengths = c.input(5)?;
    if c.shape(lengths).elems() != batch || !c.dtype(lengths).is_int() {
        return Err(c.invalid(format!(
            "seqlens_k is {}{}, not one integer per batch",
            c.dtype(lengths),
            c.shape(lengths)
        )));
    }
    if let Some(v) = c.constant(lengths).map(Tensor::to_i64s)
        && let Some(first) = v.first()
        && v.iter().all(|x| x == first)
    {
        return Ok(Offset::Known(first.saturating_add(1).saturating_sub(rows as i64)));
    }
    let lengths = c.cast(lengths, DType::I32)?;
    let lengths = c.reshape(lengths, vec![batch])?;
    Ok(Offset::PerBatch(c.binary_const(P::Add, lengths, 1.0 - rows as f64)?))
}

/// Rotary embedding of queries and keys, where the operator is to do it.
fn turn(c: &mut ImportCtx, q: ValueId, k: ValueId, offset: Offset) -> Result<[ValueId; 2]> {
    if c.attrs.int("do_rotary", 0) == 0 {
        return Ok([q, k]);
    }
    let (cos, sin) = (c.input(7)?, c.input(8)?);
    let (batch, rows) = (c.shape(q)[0], c.shape(q)[2]);
    let angles = Angles::of(c, cos, sin, c.attrs.int("rotary_interleaved", 0) != 0)?;
    let positions = match (c.opt(9), offset) {
        (Some(p), _) if *c.shape(p) == [batch, rows] => p,
        (Some(p), _) => {
            return Err(c.invalid(format!(
                "position_ids are {}; they must be [{batch}, {rows}]",
                c.shape(p)
            )));
        }
        (None, Offset::Known(o)) => {
            let v: Vec<i64> = (0..rows as i64).map(|r| r.saturating_add(o)).collect();
            c.add_const(Tensor::from_i64s(DType::I32, [1, rows], &v))
        }
        (None, Offset::PerBatch(o)) => {
            let first = c.reshape(o, vec![batch, 1])?;
            let r = count(c, DType::I32, &[1, rows]);
            c.binary(P::Add, first, r)?
        }
    };
    let angles = angles.at(c, positions)?;
    Ok([angles.turn(c, q)?, angles.turn(c, k)?])
}

/// The cache after the new rows `[B, Hkv, S, d]` came to it.
fn extend(
    c: &mut ImportCtx,
    past: Option<ValueId>,
    new: ValueId,
    offset: Offset,
    capacity: usize,
) -> Result<ValueId> {
    let shape = c.shape(new);
    let held = past.map_or(0, |p| c.shape(p).get(2).copied().unwrap_or(0));
    let Some(past) = past.filter(|_| held > 0 && shape[2] < capacity) else { return Ok(new) };
    let start = match offset {
        Offset::Known(o) if o == held as i64 && held + shape[2] == capacity => {
            return append(c, Some(past), new);
        }
        Offset::Known(0) => None,
        Offset::Known(o) => {
            Some(c.add_const(Tensor::from_i64s(DType::I32, [shape[0]], &vec![o; shape[0]])))
        }
        Offset::PerBatch(o) => Some(o),
    };
    scatter(c, past, new, start, 2, capacity, false)
}
