//! The product with a weight matrix, quantized or not, that transformers are made of.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx};
use crate::pointwise_eval::float_op;
use crate::quant::{Scheme, host};
use drift_ir::{Attrs, DType, PointwiseOp, Shape, Tensor};

/// Operands: x `[.., K]`; data and scales of the weights `[n, K]` ([`crate::quant`]; no scales
/// for f32 and f16); gamma `[K]` with `norm`. Result `[.., n]`, or `[.., n / 2]` when gated:
/// `y = x Wᵀ`, `y[j] = gate(W[2j] x) * (W[2j+1] x)`.
/// With `post`, operand 0 is the result z of a block that is normalized before it is added to the
/// residual stream, operand 4 that stream r `[.., K]` and operand 5 the scale `[K]`: x is
/// `r + z / sqrt(mean(z²) + post_eps) * scale`, and the second result.
/// Attributes: `scheme`, `n`, `k`, `norm` (`""` or `"rms"`: x is divided by
/// `sqrt(mean(x²) + norm_eps)` and multiplied by gamma), `norm_eps`, `gate` (`""`, `"silu"`,
/// `"gelu"`, `"gelu_tanh"`), `post` (`""` or `"rms"`), `post_eps`.
pub static OP: OpDef = OpDef {
    name: "linear",
    onnx: &[],
    import: |c| Err(c.unsupported("`linear` is made by fusion and by model builders")),
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

/// Operands by number.
pub const X: usize = 0;
pub const DATA: usize = 1;
pub const SCALES: usize = 2;
pub const GAMMA: usize = 3;
pub const RESIDUAL: usize = 4;
pub const POST_GAMMA: usize = 5;

/// What the attributes of a `linear` node say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    pub scheme: Scheme,
    /// Rows of the weight matrix.
    pub n: usize,
    /// Columns of the weight matrix, without padding.
    pub k: usize,
    /// Epsilon of the root-mean-square normalization of x.
    pub norm: Option<f64>,
    /// Epsilon of the normalization of operand 0 before it is added to the residual stream.
    pub post: Option<f64>,
    /// Activation of the even rows, which multiplies the odd ones.
    pub gate: Option<PointwiseOp>,
}

impl Spec {
    /// `Err` says which attribute is wrong, and what it may be.
    pub fn of(attrs: &Attrs) -> std::result::Result<Spec, String> {
        let (scheme, n, k) = matrix_attrs(attrs)?;
        let rms = |name: &str, eps: &str| match attrs.str(name).unwrap_or("") {
            "" => Ok(None),
            "rms" => Ok(Some(attrs.float(eps, 1e-6))),
            other => Err(format!("attribute {name} is `{other}`, not empty or `rms`")),
        };
        let (norm, post) = (rms("norm", "norm_eps")?, rms("post", "post_eps")?);
        let gate = match attrs.str("gate").unwrap_or("") {
            "" => None,
            "silu" => Some(PointwiseOp::Silu),
            "gelu" => Some(PointwiseOp::Gelu),
            "gelu_tanh" => Some(PointwiseOp::GeluTanh),
            other => {
                return Err(format!(
                    "attribute gate is `{other}`, not empty, `silu`, `gelu` or `gelu_tanh`"
                ));
            }
        };
        if gate.is_some() && !n.is_multiple_of(2) {
            return Err(format!("a gated product has pairs of rows, but n is {n}"));
        }
        Ok(Spec { scheme, n, k, norm, post, gate })
    }

    /// Columns of the result.
    pub fn outputs(&self) -> usize {
        if self.gate.is_some() { self.n / 2 } else { self.n }
    }
}

/// The attributes of a weight matrix: scheme, rows and columns.
pub fn matrix_attrs(attrs: &Attrs) -> std::result::Result<(Scheme, usize, usize), String> {
    let name = attrs.str("scheme").unwrap_or("");
    let scheme = Scheme::parse(name).ok_or_else(|| {
        let known: Vec<_> = Scheme::ALL.iter().map(|s| s.name()).collect();
        format!("attribute scheme is `{name}`; there are {}", known.join(", "))
    })?;
    let size = |name: &str| {
        usize::try_from(attrs.int(name, 0))
            .ok()
            .filter(|v| *v > 0)
            .ok_or_else(|| format!("attribute {name} is missing or not positive"))
    };
    let (n, k) = (size("n")?, size("k")?);
    let elems = scheme.padded_k(k).checked_mul(n);
    elems
        .filter(|e| *e <= crate::def::MAX_ELEMS)
        .ok_or_else(|| format!("a matrix of {n} rows and {k} columns is too large"))?;
    Ok((scheme, n, k))
}

/// Checks the operands `first` (data) and `first + 1` (scales) of a weight matrix.
pub fn check_matrix(
    c: &InferCtx,
    first: usize,
    (scheme, n, k): (Scheme, usize, usize),
) -> Result<()> {
    let wanted = [Some(scheme.data_type(n, k)), scheme.scales_type(n, k)];
    for (i, (want, what)) in wanted.iter().zip(["data", "scales"]).enumerate() {
        let got = c.get(first + i);
        if got != want.as_ref() {
            let show = |t: Option<&(DType, Shape)>| match t {
                Some((dtype, shape)) => format!("{dtype}{shape}"),
                None => "absent".to_owned(),
            };
            return Err(c.invalid(format!(
                "operand {} ({what}) of a matrix {n} x {k} in {scheme} is {}, not {}",
                first + i,
                show(got),
                show(want.as_ref())
            )));
        }
    }
    Ok(())
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let spec = Spec::of(c.attrs).map_err(|e| c.invalid(e))?;
    let x = c.shape_min_rank(X, 1)?;
    let (dtype, last) = (c.dtype(X)?, x[x.rank() - 1]);
    if !dtype.is_float() || last != spec.k {
        return Err(c.invalid(format!("x is {dtype}{x}, but must be floats [.., {}]", spec.k)));
    }
    check_matrix(c, DATA, (spec.scheme, spec.n, spec.k))?;
    match (spec.norm, c.get(GAMMA)) {
        (None, None) => {}
        (Some(_), Some((d, s))) if d.is_float() && **s == [spec.k] => {}
        (None, Some(_)) => return Err(c.invalid("gamma is given, but attribute norm is empty")),
        (Some(_), got) => {
            let got = got.map_or("absent".to_owned(), |(d, s)| format!("{d}{s}"));
            return Err(c.invalid(format!("gamma is {got}, but must be floats [{}]", spec.k)));
        }
    }
    let mut out = x.clone();
    let r = out.rank();
    out[r - 1] = spec.outputs();
    if spec.post.is_none() {
        return Ok(vec![(dtype, out)]);
    }
    let got = [RESIDUAL, POST_GAMMA].map(|i| c.get(i));
    match got {
        [Some((d, r)), Some((e, g))]
            if d.is_float() && e.is_float() && r == x && **g == [spec.k] => {}
        _ => {
            let wanted = format!("operands 4 and 5 must be floats {x} and [{}]", spec.k);
            return Err(c.invalid(format!("attribute post is given: {wanted}")));
        }
    }
    Ok(vec![(dtype, out), (dtype, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let spec = Spec::of(c.attrs).map_err(|e| c.invalid(e))?;
    let w = host::dequantized(spec.scheme, spec.n, spec.k, c.tensor(DATA)?, c.get(SCALES))
        .ok_or_else(|| c.invalid("data and scales do not fit the scheme"))?;
    let gamma = c.get(GAMMA).map(Tensor::to_f64s);
    let mut out = Vec::with_capacity(c.result_shape().elems());
    let mut x = c.tensor(X)?.to_f64s();
    if let Some(eps) = spec.post {
        let [residual, scale] = [RESIDUAL, POST_GAMMA].map(|i| c.tensor(i).map(Tensor::to_f64s));
        let (residual, scale) = (residual?, scale?);
        for (row, r) in x.chunks_exact_mut(spec.k).zip(residual.chunks_exact(spec.k)) {
            let normal = normalized(Some(eps), row, Some(&scale));
            row.iter_mut().zip(normal.iter().zip(r)).for_each(|(x, (z, r))| *x = r + z);
        }
    }
    for row in x.chunks_exact(spec.k) {
        let row = normalized(spec.norm, row, gamma.as_deref());
        let dots: Vec<f64> = w
            .chunks_exact(spec.k)
            .map(|w| w.iter().zip(&row).map(|(w, x)| f64::from(*w) * x).sum())
            .collect();
        match spec.gate {
            None => out.extend(dots),
            Some(gate) => out.extend(dots.chunks_exact(2).map(|d| {
                float_op(gate, d[0], 0.0, 0.0).expect("gates are functions of one float") * d[1]
            })),
        }
    }
    let mut results = vec![c.float_result(&out)];
    if spec.post.is_some() {
        let residual = c.tensor(RESIDUAL)?;
        results.push(Tensor::from_f64s(residual.dtype, residual.shape.clone(), &x));
    }
    Ok(results)
}

fn normalized(eps: Option<f64>, row: &[f64], gamma: Option<&[f64]>) -> Vec<f64> {
    let (Some(eps), Some(gamma)) = (eps, gamma) else { return row.to_vec() };
    let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
    let factor = 1.0 / (mean + eps).sqrt();
    row.iter().zip(gamma).map(|(x, g)| x * factor * g).collect()
}

/// A case of `m` rows with weights of about 1 / sqrt(k).
pub fn case(m: usize, spec: &Spec) -> Case {
    let (n, k) = (spec.n, spec.k);
    let size = 1.0 / (k as f32).sqrt();
    let w: Vec<f32> = sample_f32(2, [n, k]).to_f32s().iter().map(|w| w * size).collect();
    let (data, scales) = host::tensors(spec.scheme, k, &w);
    let mut attrs = Attrs::new()
        .with("scheme", spec.scheme.name())
        .with("n", n as i64)
        .with("k", k as i64)
        .with("norm", if spec.norm.is_some() { "rms" } else { "" })
        .with("gate", spec.gate.map_or("", PointwiseOp::name));
    if let Some(eps) = spec.norm {
        attrs.set("norm_eps", eps);
    }
    let mut operands = vec![
        Some(sample_f32(1, [m, k])),
        Some(data),
        scales,
        spec.norm.map(|_| sample_f32(3, [k])),
    ];
    if let Some(eps) = spec.post {
        attrs.set("post", "rms");
        attrs.set("post_eps", eps);
        operands.extend([Some(sample_f32(4, [m, k])), Some(sample_f32(5, [k]))]);
    }
    let post = if spec.post.is_some() { " post" } else { "" };
    let norm = if spec.norm.is_some() { " rms" } else { "" };
    let gate = spec.gate.map_or(String::new(), |g| format!(" {g}"));
    let name = format!("{} {m}x{n}x{k}{norm}{post}{gate}", spec.scheme);
    Case { operands, ..Case::new(name, attrs, vec![]) }
}

fn cases() -> Vec<Case> {
    let plain = |scheme, n, k| Spec { scheme, n, k, norm: None, post: None, gate: None };
    let mut out = Vec::new();
    for scheme in Scheme::ALL {
        // padded and unpadded rows of weights, odd and even counts
        out.push(case(1, &plain(scheme, 7, 70)));
        out.push(case(3, &plain(scheme, 8, 288)));
        let gate = Some(PointwiseOp::Silu);
        out.push(case(1, &Spec { norm: Some(1e-5), gate, ..plain(scheme, 12, 96) }));
        out.push(case(37, &plain(scheme, 20, 64)));
    }
    let q4 = plain(Scheme::parse("q4g32").unwrap_or(Scheme::Q4), 10, 64);
    out.push(case(16, &Spec { norm: Some(1e-6), ..q4 }));
    out.push(case(5, &Spec { gate: Some(PointwiseOp::GeluTanh), ..q4 }));
    out.push(case(2, &Spec { gate: Some(PointwiseOp::Gelu), ..plain(Scheme::Q8, 6, 33) }));
    out.push(case(1, &plain(Scheme::F16, 5, 3)));
    let post = |spec| Spec { norm: Some(1e-5), post: Some(1e-6), ..spec };
    out.push(case(1, &post(plain(Scheme::Q8, 10, 100))));
    out.push(case(1, &post(Spec { gate: Some(PointwiseOp::GeluTanh), ..q4 })));
    // a row of several turns of a workgroup, and several rows
    out.push(case(1, &post(plain(Scheme::F16, 6, 1500))));
    out.push(case(3, &post(plain(Scheme::Q4, 6, 64))));
    out.push(case(20, &Spec { norm: None, ..post(plain(Scheme::F32, 6, 64)) }));
    // several rows of workgroups
    out.push(case(1, &plain(Scheme::Q4, 300, 40)));
    let mut batched = case(6, &plain(Scheme::Q8, 9, 40));
    batched.name = "q8 two batches of rows".into();
    batched.operands[X] = batched.operands[X].take().and_then(|x| x.reshaped([2, 3, 40]));
    out.push(batched);
    out
}
