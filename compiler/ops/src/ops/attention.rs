//! Scaled dot-product attention without a cache: `softmax(q kᵀ scale + mask) v` per head.

mod grouped;
mod multi_head;
mod onnx;
pub mod parts;

use crate::Result;
use crate::data::{broadcast_to, sample, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, TensorType, ms, since};
use crate::import::ImportCtx;
use crate::ops::cached_attention::softmax;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: q `[B, hq, S, dh]`, k `[B, hkv, T, dh]`, v `[B, hkv, T, dv]` (hq a multiple of hkv: head
/// h of q meets head `h / (hq / hkv)`), and a mask that broadcasts to `[B, hq, S, T]`, or none: added
/// to the scores, or bool with true where a row sees a key. Result: `[B, hq, S, dv]`. Rows that see
/// nothing give zero.
///
/// Attributes: `scale` of the scores, `causal` 0/1 (row r sees t <= r + T - S), `window` (0 = none;
/// of those, the last so many), `softcap` (0 = none; of the scores before the mask).
pub static OP: OpDef = OpDef {
    name: "attention",
    onnx: &[
        since("Attention", 23),
        ms("Attention"),
        ms("MultiHeadAttention"),
        ms("GroupQueryAttention"),
    ],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    match (c.domain.as_str(), c.op_type.as_str()) {
        ("", _) => onnx::import(c),
        (_, "GroupQueryAttention") => grouped::import(c),
        (_, "MultiHeadAttention") => multi_head::import(c),
        _ => multi_head::projected(c),
    }
}

pub const MASK: usize = 3;

/// Attributes and dims of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    pub batch: usize,
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    pub kv_heads: usize,
    pub rows: usize,
    pub keys: usize,
    /// Elements of a query and a key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    pub scale: f64,
    pub causal: bool,
    /// 0 = none.
    pub window: usize,
    /// 0 = none.
    pub softcap: f64,
}

impl Attention {
    /// Reads and checks a node.
    pub fn of(c: &InferCtx) -> Result<Attention> {
        let (q, k, v) = (c.shape(0)?, c.shape(1)?, c.shape(2)?);
        if q.rank() != 4 || k.rank() != 4 || v.rank() != 4 {
            return Err(c.invalid(format!(
                "q {q}, k {k} and v {v} must be [batch, heads, rows, elements]"
            )));
        }
        let fits = k[0] == q[0] && v[0] == q[0] && v[1] == k[1] && v[2] == k[2] && k[3] == q[3];
        if !fits || k[1] == 0 || !q[1].is_multiple_of(k[1]) {
            return Err(c.invalid(format!("q {q}, k {k} and v {v} do not fit together")));
        }
        for i in 0..3 {
            if !c.dtype(i)?.is_float() || c.dtype(i)? != c.dtype(0)? {
                return Err(c.invalid(format!(
                    "q, k and v are {}, {} and {}; they must be one float type",
                    c.dtype(0)?,
                    c.dtype(1)?,
                    c.dtype(2)?
                )));
            }
        }
        if let Some((dtype, mask)) = c.get(MASK) {
            let scores = Shape::from([q[0], q[1], q[2], k[2]]);
            if mask.broadcast(&scores).as_ref() != Some(&scores) {
                return Err(c.invalid(format!("a mask of {mask} does not spread to {scores}")));
            }
            if !dtype.is_float() && *dtype != DType::Bool {
                return Err(c.invalid(format!("the mask is {dtype}; it must be float or bool")));
            }
        }
        let a = c.attrs;
        let causal = a.int("causal", 0) != 0;
        let window = usize::try_from(a.int("window", 0))
            .map_err(|_| c.invalid("attribute window must be 0 or more"))?;
        if causal && k[2] < q[2] {
            return Err(c.invalid(format!(
                "causal attention of {} rows over {} keys: the first rows would see nothing",
                q[2], k[2]
            )));
        }
        Ok(Attention {
            batch: q[0],
            heads: q[1],
            kv_heads: k[1],
            rows: q[2],
            keys: k[2],
            head_dim: q[3],
            value_dim: v[3],
            scale: a.float("scale", 1.0 / (q[3] as f64).sqrt()),
            causal,
            window,
            softcap: a.float("softcap", 0.0),
        })
    }

    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The keys that row `r` sees, as far as causality and window tell.
    pub fn visible(&self, r: usize) -> std::ops::Range<usize> {
        let at = r + self.keys.saturating_sub(self.rows);
        let end = if self.causal { at + 1 } else { self.keys };
        let start = if self.window == 0 { 0 } else { (at + 1).saturating_sub(self.window) };
        start.min(end)..end
    }
}

fn infer(c: &InferCtx) -> Result<Vec<TensorType>> {
    let a = Attention::of(c)?;
    Ok(vec![(c.dtype(0)?, Shape::from([a.batch, a.heads, a.rows, a.value_dim]))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let types: Vec<_> =
        c.operands.iter().map(|t| t.as_ref().map(|t| (t.dtype, t.shape.clone()))).collect();
    let a = Attention::of(&InferCtx {
        op: c.op,
        path: c.path,
        attrs: c.attrs,
        operands: &types,
        body: c.body,
    })?;
    let (q, k, v) = (c.tensor(0)?.to_f64s(), c.tensor(1)?.to_f64s(), c.tensor(2)?.to_f64s());
    let (heads, keys) = (a.batch * a.heads, a.keys);
    let scores = Shape::from([a.batch, a.heads, a.rows, keys]);
    let mask = match c.get(MASK) {
        None => None,
        Some(m) => {
            let values = broadcast_to(m, &scores)
                .ok_or_else(|| c.invalid("the mask does not spread to the scores"))?
                .to_f64s();
            let hidden = |x: f64| if x == 0.0 { f64::NEG_INFINITY } else { 0.0 };
            Some(if m.dtype == DType::Bool {
                values.into_iter().map(hidden).collect::<Vec<f64>>()
            } else {
                values
            })
        }
    };
    let mut out = vec![0.0; heads * a.rows * a.value_dim];
    for h in 0..heads {
        let from = h / a.heads * a.kv_heads + h % a.heads / a.group();
        for r in 0..a.rows {
            let row = h * a.rows + r;
            let q = &q[row * a.head_dim..][..a.head_dim];
            let visible = a.visible(r);
            let mut p: Vec<f64> = visible
                .clone()
                .map(|t| {
                    let k = &k[(from * keys + t) * a.head_dim..][..a.head_dim];
                    let s = a.scale * q.iter().zip(k).map(|(x, y)| x * y).sum::<f64>();
                    let s = if a.softcap > 0.0 { a.softcap * (s / a.softcap).tanh() } else { s };
                    s + mask.as_ref().map_or(0.0, |m| m[row * keys + t])
                })
                .collect();
            softmax(&mut p);
            let to = &mut out[row * a.value_dim..][..a.value_dim];
            for (t, p) in visible.zip(&p) {
                let v = &v[(from * keys + t) * a.value_dim..];
                to.iter_mut().zip(v).for_each(|(o, v)| *o += p * v);
            }
        }
    }
    Ok(vec![c.float_result(&out)])
}

fn cases() -> Vec<Case> {
    let qkv = |q: [usize; 4], kv: [usize; 3], dv: usize| {
        let [hkv, t, dh] = kv;
        vec![sample_f32(1, q), sample_f32(2, [q[0], hkv, t, dh]), sample_f32(3, [q[0], hkv, t, dv])]
    };
    let attrs = || Attrs::new().with("scale", 0.3);
    let case = |name: &str, attrs: Attrs, q, kv, dv, mask: Option<Tensor>| {
        let mut operands: Vec<Option<Tensor>> = qkv(q, kv, dv).into_iter().map(Some).collect();
        operands.push(mask);
        Case { name: name.into(), attrs, operands, body: drift_ir::Body::default() }
    };
    let causal = || attrs().with("causal", 1i64);
    // everything but a few keys of a few rows, one row without any
    let bools = |r: usize, t: usize| {
        let v: Vec<i64> = (0..r * t)
            .map(|i| i64::from(!(i / t + i % t).is_multiple_of(3) && i / t != 1))
            .collect();
        Tensor::from_i64s(DType::Bool, [1, 1, r, t], &v)
    };
    let lowest = |t: usize, hidden: f64| {
        let v: Vec<f64> = (0..t).map(|i| if i % 4 == 3 { hidden } else { 0.0 }).collect();
        Tensor::from_f64s(DType::F32, [1, 1, 1, t], &v)
    };
    vec![
        case("one head", attrs(), [1, 1, 5, 8], [1, 7, 8], 8, None),
        case("heads", attrs(), [2, 3, 9, 16], [3, 9, 16], 16, None),
        case("grouped", attrs(), [1, 6, 5, 12], [2, 11, 12], 20, None),
        case("one row", attrs(), [1, 4, 1, 32], [4, 40, 32], 32, None),
        case("causal", causal(), [1, 4, 20, 16], [2, 20, 16], 16, None),
        case("causal tail", causal(), [1, 2, 6, 16], [2, 21, 16], 16, None),
        case("window", causal().with("window", 4i64), [1, 2, 20, 8], [2, 20, 8], 8, None),
        case("softcap", attrs().with("softcap", 0.7), [1, 2, 6, 8], [2, 6, 8], 8, None),
        case(
            "mask",
            attrs(),
            [2, 2, 6, 8],
            [2, 5, 8],
            8,
            Some(sample(4, DType::F32, [2, 1, 6, 5])),
        ),
        case(
            "mask of keys",
            attrs(),
            [1, 2, 6, 8],
            [2, 9, 8],
            8,
            Some(lowest(9, f64::from(f32::MIN))),
        ),
        case(
            "infinite mask",
            attrs(),
            [1, 2, 6, 8],
            [2, 9, 8],
            8,
            Some(lowest(9, f64::NEG_INFINITY)),
        ),
        case("bool mask", attrs(), [1, 2, 6, 8], [1, 9, 8], 8, Some(bools(6, 9))),
        case("odd", attrs(), [1, 2, 7, 10], [2, 13, 10], 6, None),
        case("long", attrs(), [1, 2, 33, 64], [1, 150, 64], 64, None),
        case("tiles", attrs(), [1, 2, 64, 64], [2, 64, 64], 64, None),
        case("causal tiles", causal(), [1, 4, 48, 32], [2, 96, 32], 32, None),
    ]
}
