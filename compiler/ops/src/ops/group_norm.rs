//! Group normalization: over groups of channels and the spatial axes.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, MICROSOFT, OpDef, RefCtx, ms, since};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, PointwiseOp, Shape, Tensor, ValueId};

/// Operands `[N, C, spatial..]`, scale `[C]`, bias `[C]`; attributes `groups`, `epsilon`.
pub static OP: OpDef = OpDef {
    name: "group_norm",
    onnx: &[since("GroupNormalization", 18), ms("GroupNorm")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (mut x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let contrib = c.domain == MICROSOFT;
    let groups = c.attrs.int(if contrib { "groups" } else { "num_groups" }, 0);
    let attrs = Attrs::new().with("epsilon", c.float("epsilon", 1e-5)?).with("groups", groups);
    if contrib {
        // channels last, with an optional SiLU
        let last = c.attrs.int("channels_last", 1) != 0;
        let rank = c.rank(x);
        if rank < 3 {
            return Err(c.invalid(format!("needs rank 3 or more, not {}", c.shape(x))));
        }
        if last {
            let mut perm: Vec<usize> = vec![0, rank - 1];
            perm.extend(1..rank - 1);
            x = c.transpose(x, &perm)?;
        }
        let mut y = c.emit("group_norm", attrs, &[x, scale, bias])?;
        if c.attrs.int("activation", 0) == 1 {
            y = c.unary(PointwiseOp::Silu, y)?;
        }
        if last {
            let mut perm: Vec<usize> = vec![0];
            perm.extend(2..rank);
            perm.push(1);
            y = c.transpose(y, &perm)?;
        }
        return Ok(vec![y]);
    }
    // before opset 21 scale and bias are per group
    let (channels, g) = (c.shape(x).get(1).copied().unwrap_or(0), groups.max(1) as usize);
    let wide = |c: &mut ImportCtx, v: ValueId| -> Result<ValueId> {
        if c.opset >= 21 || c.shape(v).as_slice() != [g] || channels % g != 0 {
            return Ok(v);
        }
        let v = c.reshape(v, vec![g, 1])?;
        let v = c.expand(v, vec![g, channels / g])?;
        c.reshape(v, vec![channels])
    };
    let scale = wide(c, scale)?;
    let bias = wide(c, bias)?;
    Ok(vec![c.emit("group_norm", attrs, &[x, scale, bias])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let types = super::instance_norm::infer(c)?;
    let channels = types[0].1[1];
    let groups = c.attrs.int("groups", 0);
    match usize::try_from(groups) {
        Ok(g) if g > 0 && channels % g == 0 => Ok(types),
        _ => Err(c.invalid(format!("{groups} groups do not divide {channels} channels"))),
    }
}

/// Normalizes each of `groups` groups of channels, then scales and shifts per channel.
pub fn normalize_groups(c: &RefCtx, groups: usize) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let (scale, bias) = (c.tensor(1)?.to_f64s(), c.tensor(2)?.to_f64s());
    let eps = c.attrs.float("epsilon", 1e-5);
    let channels = x.shape[1];
    let inner: usize = x.shape[2..].iter().product();
    let mut v = x.to_f64s();
    if v.is_empty() {
        return Ok(vec![x.clone()]);
    }
    for (g, chunk) in v.chunks_exact_mut((channels / groups * inner).max(1)).enumerate() {
        let n = chunk.len() as f64;
        let mean = chunk.iter().sum::<f64>() / n;
        let var = chunk.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let factor = 1.0 / (var + eps).sqrt();
        for (i, e) in chunk.iter_mut().enumerate() {
            let k = g % groups * (channels / groups) + i / inner;
            *e = (*e - mean) * factor * scale[k] + bias[k];
        }
    }
    Ok(vec![c.float_result(&v)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    normalize_groups(c, c.attrs.int("groups", 1) as usize)
}

fn cases() -> Vec<Case> {
    let c = |name: &str, s: &[usize], groups: i64| {
        let operands = vec![sample_f32(1, s), sample_f32(2, [s[1]]), sample_f32(3, [s[1]])];
        Case::new(name, Attrs::new().with("epsilon", 1e-5).with("groups", groups), operands)
    };
    vec![c("two groups", &[2, 6, 4, 5], 2), c("one group", &[1, 4, 9], 1)]
}
