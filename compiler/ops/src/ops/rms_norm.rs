//! Root-mean-square normalization over the trailing axes.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, OpDef, RefCtx, ai, ms};
use crate::import::ImportCtx;
use crate::ops::layer_norm::{fit, infer, normalize_rows};
use drift_ir::{Attrs, PointwiseOp as P, Shape, Tensor, ValueId};

/// Operands: input and scale of shape `input[axis..]`. Attributes: `axis`, `epsilon`.
pub static OP: OpDef = OpDef {
    name: "rms_norm",
    onnx: &[
        ai("RMSNormalization"),
        // onnxruntime registers this one under both domains
        ai("SimplifiedLayerNormalization"),
        ms("SimplifiedLayerNormalization"),
        ms("SkipSimplifiedLayerNormalization"),
    ],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let mut x = c.input(0)?;
    let skip = c.op_type == "SkipSimplifiedLayerNormalization";
    if skip {
        x = c.binary(P::Add, x, c.input(1)?)?;
        if let Some(b) = c.opt(3) {
            x = c.binary(P::Add, x, b)?;
        }
    }
    let axis = c.axis(c.attrs.int("axis", -1), c.rank(x))?;
    let norm = Shape::from(&c.shape(x)[axis..]);
    let scale = c.input(if skip { 2 } else { 1 })?;
    let scale = fit(c, scale, &norm)?;
    let attrs = Attrs::new().with("axis", axis as i64).with("epsilon", c.float("epsilon", 1e-5)?);
    let y = c.emit("rms_norm", attrs, &[x, scale])?;
    if skip && c.wants(3) && !c.wants(1) && !c.wants(2) {
        return Ok(vec![y, x, x, x]);
    }
    Ok(vec![y])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let eps = c.attrs.float("epsilon", 1e-5);
    normalize_rows(c, |row| {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
        (0.0, 1.0 / (mean + eps).sqrt())
    })
}

fn cases() -> Vec<Case> {
    let attrs = |axis: i64| Attrs::new().with("axis", axis).with("epsilon", 1e-6);
    vec![
        Case::new("rows", attrs(2), vec![sample_f32(1, [2, 3, 24]), sample_f32(2, [24])]),
        Case::new("odd", attrs(1), vec![sample_f32(1, [3, 37]), sample_f32(2, [37])]),
    ]
}
