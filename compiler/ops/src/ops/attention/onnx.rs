//! Attention of ai.onnx (operator set 23 and later).

use super::parts::join_heads;
use super::parts::{
    Offset, Scores, Sight, append, attend, below, join, rank4, scale, size, split_heads, visible,
};
use crate::Result;
use crate::import::{ImportCtx, PwArg};
use crate::ops::matmul::{product, swap_last};
use drift_ir::{Attrs, DType, PointwiseOp as P, Tensor, ValueId};

/// Inputs: Q, K, V (rank 4, or 3 with the numbers of heads as attributes), mask?, past key and value?,
/// lengths of the keys `[B]`?. Outputs: Y, present key and value, the scores of
/// `qk_matmul_output_mode`.
pub fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let flat = c.rank(c.input(0)?) == 3;
    let heads = |c: &mut ImportCtx, i: usize, attr: &str| -> Result<ValueId> {
        let x = c.input(i)?;
        match c.rank(x) {
            4 => Ok(x),
            3 => {
                let n = size(c, attr)?;
                split_heads(c, x, n)
            }
            _ => Err(c.invalid(format!("input {i} is {}; its rank must be 3 or 4", c.shape(x)))),
        }
    };
    let q = heads(c, 0, "q_num_heads")?;
    let (k, v) = (heads(c, 1, "kv_num_heads")?, heads(c, 2, "kv_num_heads")?);
    let past = c.opt(4);
    let before = past.map_or(0, |p| c.shape(p).get(2).copied().unwrap_or(0));
    let k = append(c, past, k)?;
    let v = append(c, c.opt(5), v)?;
    let (rows, keys) = (c.shape(q)[2], c.shape(k)[2]);
    let mut mask = match c.opt(3) {
        Some(m) => Some(mask_of(c, m, keys)?),
        None => None,
    };
    let mut offset = Offset::Known(before as i64);
    if let Some(lengths) = c.opt(6) {
        if past.is_some() {
            return Err(c.invalid("nonpad_kv_seqlen together with a past"));
        }
        if !c.dtype(lengths).is_int() || *c.shape(lengths) != [c.shape(q)[0]] {
            return Err(c.invalid("nonpad_kv_seqlen must be one integer per batch"));
        }
        let lengths = c.cast(lengths, DType::I32)?;
        let seen = below(c, lengths, keys)?;
        mask = Some(join(c, seen, mask)?);
        offset = Offset::PerBatch(c.binary_const(P::Sub, lengths, rows as f64)?);
    }
    let window = match (c.attrs.int("left_window_size", -1), c.attrs.int("right_window_size", -1)) {
        (left, -1 | 0) => usize::try_from(left.saturating_add(1)).unwrap_or(0),
        (_, right) => return Err(c.unsupported(format!("right_window_size {right}; -1 and 0 are"))),
    };
    let causal = c.attrs.int("is_causal", 0) != 0 || c.attrs.int("right_window_size", -1) == 0;
    let scores = Scores {
        scale: scale(c, c.shape(q)[3])?,
        softcap: c.float("softcap", 0.0)?,
        sight: Sight { causal, window, offset },
    };
    let y = attend(c, [q, k, v], mask, scores)?;
    let y = if flat { join_heads(c, y)? } else { y };
    let mut out = vec![y, k, v];
    if c.wants(3) {
        out.push(written_out(c, q, k, mask, scores)?);
    }
    Ok(out)
}

/// The mask with four dims, the last of them the keys: a shorter one hides the rest.
fn mask_of(c: &mut ImportCtx, mask: ValueId, keys: usize) -> Result<ValueId> {
    let dtype = c.dtype(mask);
    if dtype != DType::Bool && !dtype.is_float() {
        return Err(c.invalid(format!("the mask is {dtype}, neither bool nor float")));
    }
    let mask = rank4(c, mask)?;
    let mut rest = c.shape(mask);
    if rest[3] >= keys || rest[3] == 1 {
        return Ok(mask);
    }
    rest[3] = keys - rest[3];
    let hidden = if dtype == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
    let hidden = c.add_const(Tensor::from_f64s(dtype, rest.clone(), &vec![hidden; rest.elems()]));
    c.emit("concat", Attrs::new().with("axis", 3i64), &[mask, hidden])
}

/// The scores that `qk_matmul_output_mode` asks for.
fn written_out(
    c: &mut ImportCtx,
    q: ValueId,
    k: ValueId,
    mask: Option<ValueId>,
    scores: Scores,
) -> Result<ValueId> {
    let mode = c.attrs.int("qk_matmul_output_mode", 0);
    let (qs, ks) = (c.shape(q), c.shape(k));
    let group = qs[1] / ks[1].max(1);
    let k = c.reshape(k, vec![ks[0], ks[1], 1, ks[2], ks[3]])?;
    let k = c.expand(k, vec![ks[0], ks[1], group, ks[2], ks[3]])?;
    let k = c.reshape(k, vec![ks[0], ks[1] * group, ks[2], ks[3]])?;
    let k = swap_last(c, k)?;
    let mut s = product(c, q, k)?;
    s = c.binary_const(P::Mul, s, scores.scale)?;
    if mode >= 1 && scores.softcap > 0.0 {
        s = c.binary_const(P::Mul, s, 1.0 / scores.softcap)?;
        s = c.unary(P::Tanh, s)?;
        s = c.binary_const(P::Mul, s, scores.softcap)?;
    }
    if mode < 2 {
        return Ok(s);
    }
    let sight = scores.sight;
    let seen = match sight.causal || sight.window > 0 {
        true => Some(visible(c, sight, qs[2], ks[2])?),
        false => None,
    };
    let never = c.add_const(Tensor::from_f64s(c.dtype(s), [1], &[f64::NEG_INFINITY]));
    for m in [seen, mask].into_iter().flatten() {
        let dtype = c.dtype(s);
        s = match c.dtype(m) {
            DType::Bool => c.pointwise(P::Where, &[m.into(), s.into(), never.into()], dtype)?,
            _ => c.binary(P::Add, s, m)?,
        };
    }
    if mode == 2 {
        return Ok(s);
    }
    let p = c.emit("softmax", Attrs::new().with("axis", 3i64), &[s])?;
    // a row that sees nothing is zero, not 0/0
    let nan = c.pointwise(P::IsNan, &[p.into()], DType::Bool)?;
    let dtype = c.dtype(p);
    c.pointwise(P::Where, &[nan.into(), PwArg::Const(0.0), p.into()], dtype)
}
