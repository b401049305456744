//! Local response normalization across channels.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operand `[N, C, ..]`. Attributes `size` (channels in the window), `alpha`, `beta`, `bias`:
/// `x / (bias + alpha / size · Σ x²)^beta`.
pub static OP: OpDef = OpDef {
    name: "lrn",
    onnx: &[ai("LRN")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let attrs = Attrs::new()
        .with("size", c.attrs.int("size", 0))
        .with("alpha", c.float("alpha", 1e-4)?)
        .with("beta", c.float("beta", 0.75)?)
        .with("bias", c.float("bias", 1.0)?);
    Ok(vec![c.emit("lrn", attrs, &[x])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 2)?;
    if c.attrs.int("size", 0) < 1 {
        return Err(c.invalid("attribute size is not positive"));
    }
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let size = c.attrs.int("size", 1) as usize;
    let (alpha, beta) = (c.attrs.float("alpha", 1e-4), c.attrs.float("beta", 0.75));
    let bias = c.attrs.float("bias", 1.0);
    let (n, channels) = (x.shape[0], x.shape[1]);
    let inner: usize = x.shape[2..].iter().product();
    let v = x.to_f64s();
    let mut out = v.clone();
    for b in 0..n {
        for k in 0..channels {
            let from = k.saturating_sub((size - 1) / 2);
            let to = (k + size / 2).min(channels - 1);
            for i in 0..inner {
                let at = |k: usize| (b * channels + k) * inner + i;
                let sum: f64 = (from..=to).map(|k| v[at(k)] * v[at(k)]).sum();
                out[at(k)] = v[at(k)] / (bias + alpha / size as f64 * sum).powf(beta);
            }
        }
    }
    Ok(vec![c.float_result(&out)])
}

fn cases() -> Vec<Case> {
    let attrs = |size: i64| {
        Attrs::new().with("size", size).with("alpha", 0.02).with("beta", 0.5).with("bias", 2.0)
    };
    let x = sample_f32(1, [2, 7, 3, 3]);
    vec![Case::new("odd", attrs(5), vec![x.clone()]), Case::new("even", attrs(4), vec![x])]
}
