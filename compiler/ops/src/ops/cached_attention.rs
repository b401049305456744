//! Causal attention of a decoder layer: q/k normalization, rotary embedding, the write of new keys
//! and values into the cache, and attention over what the cache then holds.
//!
//! The cache is a ring: the key of position `p` lies in slot `p % C`. Rows beyond the active ones
//! are padding: they are never written to the cache, and their results are zero.

mod cases;
mod rotary;

pub use rotary::{rms, rotate};

use crate::Result;
use crate::def::{Accuracy, InferCtx, OpDef, RefCtx, TensorType};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: 0 qkv `[S, (heads + 2 kv_heads) * dh]` (q heads, then k heads, then v heads); 1 cos and
/// 2 sin `[T, rotary_dim / 2]`, or none without rotary embedding; 3 k and 4 v, the cache
/// `[kv_heads, C, dh]`; 5 params i32 (position of the first row, active rows); 6 and 7 scales `[dh]`
/// of the normalization of q and k, or none; 8 ks and 9 vs `[kv_heads, C]` for an int8 cache, where
/// k and v are u32 `[kv_heads, C, dh / 4]` of four signed bytes each, the first in the low byte.
///
/// With attribute `rope_switch` the tables hold two sets of angles, one below the other (longrope):
/// the second is for texts of more than so many tokens. A text is as long as the positions up to the
/// last active row, or params\[4\] where that is more: what the host knows to come.
///
/// Results: `[S, heads * dh]`, then the updated k, v (, ks, vs).
///
/// Attributes: see [`CachedAttention`].
pub static OP: OpDef = OpDef {
    name: "cached_attention",
    onnx: &[],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases: cases::cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    Err(c.unsupported("is no ONNX operator"))
}

pub const QKV: usize = 0;
pub const COS: usize = 1;
pub const SIN: usize = 2;
pub const K: usize = 3;
pub const V: usize = 4;
pub const PARAMS: usize = 5;
pub const Q_GAMMA: usize = 6;
pub const K_GAMMA: usize = 7;
pub const K_SCALES: usize = 8;
pub const V_SCALES: usize = 9;

/// Element of params with the length of the text, as far as the host knows.
pub const TEXT: usize = 4;

/// Attributes and dims of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedAttention {
    /// Rows.
    pub rows: usize,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Slots of the cache.
    pub context: usize,
    /// Leading elements of a head that are rotated; 0 = no rotary embedding.
    pub rotary_dim: usize,
    /// Longest text of the first half of the tables; 0 = there is one set of angles.
    pub rope_switch: usize,
    /// Pairs are (0, 1), (2, 3) ...; else element i pairs with i + rotary_dim / 2.
    pub interleaved: bool,
    /// A row sees positions > p - window; 0 = all up to its own.
    pub window: usize,
    /// Scores become cap * tanh(score / cap); 0 = they stay.
    pub softcap: f64,
    /// Factor of the scores before the cap.
    pub scale: f64,
    pub norm_eps: f64,
    pub int8: bool,
}

/// A shape and the name of an operand, for messages.
fn expect(c: &InferCtx, i: usize, name: &str, want: &[usize], of: &str) -> Result<()> {
    let have = c.shape(i)?;
    if have[..] != *want {
        let want = Shape::from(want);
        return Err(c.invalid(format!("{name} has shape {have}, but {of} need {want}")));
    }
    Ok(())
}

impl CachedAttention {
    /// Reads and checks a node.
    pub fn of(c: &InferCtx) -> Result<CachedAttention> {
        let a = c.attrs;
        let size = |name: &str, default: Option<usize>| -> Result<usize> {
            match (a.get(name), default) {
                (None, Some(v)) => Ok(v),
                _ => usize::try_from(a.int(name, -1))
                    .map_err(|_| c.invalid(format!("attribute {name} must be 0 or more"))),
            }
        };
        let (heads, kv_heads) = (size("heads", None)?, size("kv_heads", None)?);
        let head_dim = size("head_dim", None)?;
        if kv_heads == 0 || head_dim == 0 || heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(c.invalid(format!(
                "{heads} query heads of {head_dim} elements do not share {kv_heads} key heads evenly"
            )));
        }
        let qkv = c.shape(QKV)?;
        let width = (heads + 2 * kv_heads) * head_dim;
        if qkv.rank() != 2 || qkv[1] != width {
            return Err(c.invalid(format!(
                "qkv has shape {qkv}, but {heads} query heads and twice {kv_heads} key heads of \
                 {head_dim} elements need [rows, {width}]"
            )));
        }
        let k = c.shape(K)?;
        if k.rank() != 3 {
            return Err(c.invalid(format!("the cache has shape {k} instead of [heads, slots, dh]")));
        }
        let context = k[1];
        let int8 = c.get(K_SCALES).is_some();
        let depth = if int8 { head_dim / 4 } else { head_dim };
        if int8 && !head_dim.is_multiple_of(4) {
            return Err(c.invalid(format!("int8 caches hold heads of 4n elements, not {head_dim}")));
        }
        let cache = [kv_heads, context, depth];
        let of = "these heads";
        expect(c, K, "k", &cache, of)?;
        expect(c, V, "v", &cache, of)?;
        for (i, name) in [(K, "k"), (V, "v")] {
            let d = c.dtype(i)?;
            if if int8 { d != DType::U32 } else { !d.is_float() } {
                let want = if int8 { "u32 beside scales" } else { "float without scales" };
                return Err(c.invalid(format!("{name} is {d}; it must be {want}")));
            }
        }
        if int8 {
            expect(c, K_SCALES, "ks", &cache[..2], of)?;
            expect(c, V_SCALES, "vs", &cache[..2], of)?;
        }
        for (i, name) in [(Q_GAMMA, "the scale of q"), (K_GAMMA, "the scale of k")] {
            if c.get(i).is_some() {
                expect(c, i, name, &[head_dim], of)?;
            }
        }
        if c.shape(PARAMS)?.elems() < 2 || c.dtype(PARAMS)? != DType::I32 {
            return Err(c.invalid("params must be i32 of 2 elements or more"));
        }
        let (mut rotary_dim, rope_switch) = (0, size("rope_switch", Some(0))?);
        if c.get(COS).is_some() {
            rotary_dim = size("rotary_dim", Some(head_dim))?;
            if rotary_dim > head_dim || !rotary_dim.is_multiple_of(2) || rotary_dim == 0 {
                return Err(c.invalid(format!(
                    "rotary_dim {rotary_dim} is not an even part of a head of {head_dim}"
                )));
            }
            let positions = c.shape_min_rank(COS, 2)?[0];
            let table = [positions.max(1), rotary_dim / 2];
            expect(c, COS, "cos", &table, "rotated elements")?;
            expect(c, SIN, "sin", &table, "rotated elements")?;
            if rope_switch > 0 && (!positions.is_multiple_of(2) || c.shape(PARAMS)?.elems() <= TEXT)
            {
                return Err(c.invalid(format!(
                    "rope_switch needs two tables of equal length, not {positions} rows, and the \
                     length of the text in params"
                )));
            }
        }
        let window = size("window", Some(0))?;
        let rows = qkv[0];
        if window > 0 && context < window + rows - 1 {
            return Err(c.invalid(format!(
                "a cache of {context} slots is too short for a window of {window} and {rows} rows \
                 at a time: it needs {}",
                window + rows - 1
            )));
        }
        if context < rows {
            return Err(c.invalid(format!("{rows} rows do not fit a cache of {context} slots")));
        }
        Ok(CachedAttention {
            rows,
            heads,
            kv_heads,
            head_dim,
            context,
            rotary_dim,
            rope_switch,
            interleaved: a.int("interleaved", 0) != 0,
            window,
            softcap: a.float("softcap", 0.0),
            scale: a.float("scale", 1.0 / (head_dim as f64).sqrt()),
            norm_eps: a.float("norm_eps", 1e-6),
            int8,
        })
    }

    /// Query heads per key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// The scales of the normalization come alone or with the sizes a norm needs; the attributes of a
/// node as the builder of a model writes them.
pub fn attrs(a: &CachedAttention) -> Attrs {
    Attrs::new()
        .with("heads", a.heads as i64)
        .with("kv_heads", a.kv_heads as i64)
        .with("head_dim", a.head_dim as i64)
        .with("rotary_dim", a.rotary_dim as i64)
        .with("rope_switch", a.rope_switch as i64)
        .with("interleaved", i64::from(a.interleaved))
        .with("window", a.window as i64)
        .with("softcap", a.softcap)
        .with("scale", a.scale)
        .with("norm_eps", a.norm_eps)
}

fn infer(c: &InferCtx) -> Result<Vec<TensorType>> {
    let a = CachedAttention::of(c)?;
    let same = |i: usize| Ok((c.dtype(i)?, c.shape(i)?.clone()));
    let out = Shape::from(&[a.rows, a.heads * a.head_dim][..]);
    let mut results = vec![(c.dtype(QKV)?, out), same(K)?, same(V)?];
    if a.int8 {
        results.extend([same(K_SCALES)?, same(V_SCALES)?]);
    }
    Ok(results)
}

/// One cache on the host: elements as numbers, and for int8 the bytes and scales as stored.
struct Cache {
    /// `[kv_heads, C, dh]`
    values: Vec<f64>,
    /// `[kv_heads, C]`; empty for float caches.
    scales: Vec<f64>,
    bytes: Vec<i8>,
}

impl Cache {
    fn of(c: &RefCtx, i: usize, scales: usize) -> Result<Cache> {
        let t = c.tensor(i)?;
        let Some(s) = c.get(scales) else {
            return Ok(Cache { values: t.to_f64s(), scales: Vec::new(), bytes: Vec::new() });
        };
        let bytes: Vec<i8> = t.bytes().iter().map(|b| *b as i8).collect();
        let scales = s.to_f64s();
        let per = bytes.len() / scales.len().max(1);
        let values = (0..bytes.len()).map(|i| f64::from(bytes[i]) * scales[i / per]).collect();
        Ok(Cache { values, scales, bytes })
    }

    /// Writes token number `at` (head and slot together).
    fn write(&mut self, at: usize, x: &[f64]) {
        let to = at * x.len();
        self.values[to..to + x.len()].copy_from_slice(x);
        if self.scales.is_empty() {
            return;
        }
        let most = x.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let scale = most / 127.0;
        self.scales[at] = scale;
        for (i, v) in x.iter().enumerate() {
            let q = if scale == 0.0 { 0.0 } else { (v / scale).round_ties_even() };
            self.bytes[to + i] = q as i8;
            self.values[to + i] = q * scale;
        }
    }

    fn tensors(&self, c: &RefCtx, i: usize, scales: usize) -> (Tensor, Option<Tensor>) {
        let (dtype, shape) = &c.results[i];
        if self.scales.is_empty() {
            return (Tensor::from_f64s(*dtype, shape.clone(), &self.values), None);
        }
        let bytes: Vec<u8> = self.bytes.iter().map(|b| *b as u8).collect();
        let t = Tensor::from_bytes(*dtype, shape.clone(), bytes.into()).expect("as many bytes");
        let (dtype, shape) = &c.results[scales];
        (t, Some(Tensor::from_f64s(*dtype, shape.clone(), &self.scales)))
    }
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let types: Vec<_> =
        c.operands.iter().map(|t| t.as_ref().map(|t| (t.dtype, t.shape.clone()))).collect();
    let a = CachedAttention::of(&InferCtx {
        op: c.op,
        path: c.path,
        attrs: c.attrs,
        operands: &types,
        body: c.body,
    })?;
    let params = c.tensor(PARAMS)?.to_i64s();
    let (p0, active) = (params[0].max(0) as usize, (params[1].max(0) as usize).min(a.rows));
    if a.window == 0 && p0 + active > a.context {
        return Err(c.invalid(format!(
            "{active} rows at position {p0} do not fit a cache of {} tokens",
            a.context
        )));
    }
    let (dh, group) = (a.head_dim, a.group());
    let qkv = c.tensor(QKV)?.to_f64s();
    let table = |i: usize| c.get(i).map(Tensor::to_f64s).unwrap_or_default();
    let (cos, sin) = (table(COS), table(SIN));
    let gamma = |i: usize| c.get(i).map(Tensor::to_f64s);
    let (q_gamma, k_gamma) = (gamma(Q_GAMMA), gamma(K_GAMMA));
    let width = (a.heads + 2 * a.kv_heads) * dh;
    let text = (p0 + active).max(params.get(TEXT).map_or(0, |n| (*n).max(0) as usize));
    // rows of the tables before those in force
    let above =
        if a.rope_switch > 0 && text > a.rope_switch { c.tensor(COS)?.shape[0] / 2 } else { 0 };
    // a head of a row, normalized and rotated
    let head = |row: usize, head: usize, gamma: &Option<Vec<f64>>| {
        let mut x = qkv[row * width + head * dh..][..dh].to_vec();
        if let Some(gamma) = gamma {
            rms(&mut x, gamma, a.norm_eps);
        }
        if a.rotary_dim > 0 {
            let half = a.rotary_dim / 2;
            let at = (above + p0 + row) * half;
            let (Some(cos), Some(sin)) = (cos.get(at..at + half), sin.get(at..at + half)) else {
                return Err(c.invalid(format!("no cos and sin for position {}", p0 + row)));
            };
            rotate(&mut x, cos, sin, a.interleaved);
        }
        Ok(x)
    };
    let mut k = Cache::of(c, K, K_SCALES)?;
    let mut v = Cache::of(c, V, V_SCALES)?;
    for row in 0..active {
        let slot = (p0 + row) % a.context;
        for h in 0..a.kv_heads {
            k.write(h * a.context + slot, &head(row, a.heads + h, &k_gamma)?);
            let from = row * width + (a.heads + a.kv_heads + h) * dh;
            v.write(h * a.context + slot, &qkv[from..from + dh]);
        }
    }
    let mut out = vec![0.0; a.rows * a.heads * dh];
    for row in 0..active {
        let p = p0 + row;
        let first = if a.window == 0 { 0 } else { (p + 1).saturating_sub(a.window) };
        for h in 0..a.heads {
            let q = head(row, h, &q_gamma)?;
            let at = |t: usize| ((h / group) * a.context + t % a.context) * dh;
            let mut scores: Vec<f64> = (first..=p)
                .map(|t| {
                    let key = &k.values[at(t)..][..dh];
                    let s = a.scale * q.iter().zip(key).map(|(x, y)| x * y).sum::<f64>();
                    if a.softcap > 0.0 { a.softcap * (s / a.softcap).tanh() } else { s }
                })
                .collect();
            softmax(&mut scores);
            let to = &mut out[(row * a.heads + h) * dh..][..dh];
            for (t, p) in (first..).zip(&scores) {
                to.iter_mut().zip(&v.values[at(t)..]).for_each(|(o, v)| *o += p * v);
            }
        }
    }
    let (k, ks) = k.tensors(c, 1, 3);
    let (v, vs) = v.tensors(c, 2, 4);
    Ok([Some(c.float_result(&out)), Some(k), Some(v), ks, vs].into_iter().flatten().collect())
}

/// Softmax in place; rows of which nothing is visible become zero.
pub fn softmax(scores: &mut [f64]) {
    let most = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
    if most == f64::NEG_INFINITY {
        return scores.fill(0.0);
    }
    scores.iter_mut().for_each(|s| *s = (*s - most).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|s| *s /= sum);
}
