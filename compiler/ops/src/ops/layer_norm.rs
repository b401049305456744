//! Layer normalization over the trailing axes.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai, ms};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// Operands: input, scale and optional bias of the normalized shape `input[axis..]`.
/// Attributes: `axis` (normalized over it and everything after), `epsilon`.
/// Statistics are in f32 whatever the storage.
pub static OP: OpDef = OpDef {
    name: "layer_norm",
    onnx: &[ai("LayerNormalization"), ms("LayerNormalization"), ms("SkipLayerNormalization")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let mut x = c.input(0)?;
    let mut out = Vec::new();
    let (mut scale, mut bias) = (1, 2);
    if c.op_type == "SkipLayerNormalization" {
        (scale, bias) = (2, 3);
        x = c.binary(P::Add, x, c.input(1)?)?;
        if let Some(b) = c.opt(4) {
            x = c.binary(P::Add, x, b)?;
        }
    } else if c.wants(1) || c.wants(2) {
        return with_statistics(c, x);
    }
    let rank = c.rank(x);
    let default = -1;
    let axis = c.axis(c.attrs.int("axis", default), rank)?;
    let eps = c.float("epsilon", if bias == 3 { 1e-12 } else { 1e-5 })?;
    let scale = match c.opt(scale) {
        Some(s) => s,
        None => return Err(c.invalid("the scale is missing")),
    };
    let norm = Shape::from(&c.shape(x)[axis..]);
    let scale = fit(c, scale, &norm)?;
    let bias = match c.opt(bias) {
        Some(b) => Some(fit(c, b, &norm)?),
        None => None,
    };
    let attrs = Attrs::new().with("axis", axis as i64).with("epsilon", eps);
    out.push(c.emit_multi("layer_norm", attrs, &[Some(x), Some(scale), bias])?[0]);
    if c.op_type == "SkipLayerNormalization" && c.wants(3) {
        if c.wants(1) || c.wants(2) {
            return Err(c.unsupported("the outputs mean and inv_std_var"));
        }
        out.extend([x, x, x]);
    }
    Ok(out)
}

/// Scale or bias as a value of exactly the normalized shape.
pub fn fit(c: &mut ImportCtx, v: ValueId, norm: &Shape) -> Result<ValueId> {
    let shape = c.shape(v);
    if shape == *norm {
        return Ok(v);
    }
    if shape.elems() == norm.elems() {
        return c.reshape(v, norm.clone());
    }
    if norm.broadcast(&shape).as_ref() != Some(norm) {
        return Err(c.invalid(format!("a parameter of shape {shape} does not fit {norm}")));
    }
    c.expand(v, norm.clone())
}

/// When a model also reads mean and inverse deviation, everything is written out.
fn with_statistics(c: &mut ImportCtx, x: ValueId) -> Result<Vec<ValueId>> {
    let (rank, dtype) = (c.rank(x), c.dtype(x));
    let axis = c.axis(c.attrs.int("axis", -1), rank)?;
    let eps = c.float("epsilon", 1e-5)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let f = c.cast(x, DType::F32)?;
    let mean = super::reduce::emit(c, "mean", f, axes.clone(), true)?;
    let d = c.binary(P::Sub, f, mean)?;
    let sq = c.binary(P::Mul, d, d)?;
    let var = super::reduce::emit(c, "mean", sq, axes, true)?;
    let var = c.binary_const(P::Add, var, eps)?;
    let inv = c.unary(P::Rsqrt, var)?;
    let y = c.binary(P::Mul, d, inv)?;
    let y = c.cast(y, dtype)?;
    let y = c.binary(P::Mul, y, c.input(1)?)?;
    let y = match c.opt(2) {
        Some(b) => c.binary(P::Add, y, b)?,
        None => y,
    };
    Ok(vec![y, mean, inv])
}

pub fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 1)?;
    let axis = c.axis(x.rank())?;
    for i in 1..3 {
        if let Some((d, s)) = c.get(i)
            && (s.as_slice() != &x[axis..] || !d.is_float())
        {
            return Err(c.invalid(format!(
                "operand {i} is {d}{s}, the normalized part of {x} is {:?}",
                &x[axis..]
            )));
        }
    }
    Ok(vec![(c.dtype(0)?, x.clone())])
}

/// `f(row) -> (offset, factor)`: each row becomes `(row - offset) * factor * scale + bias`.
pub fn normalize_rows(c: &RefCtx, f: impl Fn(&[f64]) -> (f64, f64)) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let axis = c.axis(x.shape.rank())?;
    let n: usize = x.shape[axis..].iter().product();
    let scale = c.get(1).map(Tensor::to_f64s);
    let bias = c.get(2).map(Tensor::to_f64s);
    let mut v = x.to_f64s();
    for row in v.chunks_exact_mut(n.max(1)) {
        let (offset, factor) = f(row);
        for (i, e) in row.iter_mut().enumerate() {
            *e = (*e - offset) * factor;
            *e = *e * scale.as_ref().map_or(1.0, |s| s[i]) + bias.as_ref().map_or(0.0, |b| b[i]);
        }
    }
    Ok(vec![c.float_result(&v)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let eps = c.attrs.float("epsilon", 1e-5);
    normalize_rows(c, |row| {
        let n = row.len() as f64;
        let mean = row.iter().sum::<f64>() / n;
        let var = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        (mean, 1.0 / (var + eps).sqrt())
    })
}

fn cases() -> Vec<Case> {
    let attrs = |axis: i64| Attrs::new().with("axis", axis).with("epsilon", 1e-5);
    vec![
        Case::new(
            "rows",
            attrs(2),
            vec![sample_f32(1, [2, 3, 16]), sample_f32(2, [16]), sample_f32(3, [16])],
        ),
        Case::new("no bias", attrs(1), vec![sample_f32(1, [3, 37]), sample_f32(2, [37])]),
        Case::new(
            "two axes",
            attrs(1),
            vec![sample_f32(1, [2, 4, 5]), sample_f32(2, [4, 5]), sample_f32(3, [4, 5])],
        ),
    ]
}
