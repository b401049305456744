//! Rows of a weight matrix for the tokens of a step of a language model.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx};
use crate::ops::linear::{check_matrix, matrix_attrs};
use crate::quant::{Scheme, host};
use drift_ir::{Attrs, DType, Shape, Tensor};

/// Operands: tokens I32 `[T]`, ids by position, or none; params I32 `[16]`, whose element 0 is the
/// position p of the first row; data and scales of the matrix `[n, k]` ([`crate::quant`]).
/// Result F32 `[rows, k]`: row r is `W[tokens[p + r]] * scale`, or `W[p + r] * scale` without
/// tokens (a learned table of positions). Positions and ids beyond the end mean the last one.
/// Attributes: `scheme`, `n`, `k`, `rows`, `scale` (1 by default).
pub static OP: OpDef = OpDef {
    name: "embedding",
    onnx: &[],
    import: |c| Err(c.unsupported("`embedding` is made by model builders")),
    infer,
    reference,
    accuracy: Accuracy::ROUNDED,
    cases,
};

/// Operands by number.
pub const TOKENS: usize = 0;
pub const PARAMS: usize = 1;
pub const DATA: usize = 2;
pub const SCALES: usize = 3;

/// Elements of the state `params`.
pub const PARAMS_LEN: usize = 16;

/// Checks that operand `i` is the state `params`.
pub fn check_params(c: &InferCtx, i: usize) -> Result<()> {
    let (dtype, shape) = (c.dtype(i)?, c.shape(i)?);
    if dtype != DType::I32 || **shape != [PARAMS_LEN] {
        return Err(c.invalid(format!("params are {dtype}{shape}, not i32[{PARAMS_LEN}]")));
    }
    Ok(())
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let matrix = matrix_attrs(c.attrs).map_err(|e| c.invalid(e))?;
    let rows = usize::try_from(c.attrs.int("rows", 0)).unwrap_or(0);
    if rows == 0 {
        return Err(c.invalid("attribute rows is missing or not positive"));
    }
    if let Some((dtype, shape)) = c.get(TOKENS)
        && (*dtype != DType::I32 || shape.rank() != 1 || shape.elems() == 0)
    {
        return Err(c.invalid(format!("tokens are {dtype}{shape}, not a list of i32")));
    }
    check_params(c, PARAMS)?;
    check_matrix(c, DATA, matrix)?;
    Ok(vec![(DType::F32, [rows, matrix.2].into())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (scheme, n, k) = matrix_attrs(c.attrs).map_err(|e| c.invalid(e))?;
    let w = host::dequantized(scheme, n, k, c.tensor(DATA)?, c.get(SCALES))
        .ok_or_else(|| c.invalid("data and scales do not fit the scheme"))?;
    let first = c.tensor(PARAMS)?.to_i64s()[0];
    let tokens = c.get(TOKENS).map(Tensor::to_i64s);
    let clamped = |i: i64, n: usize| usize::try_from(i).unwrap_or(0).min(n - 1);
    let scale = c.attrs.float("scale", 1.0);
    let mut out = Vec::with_capacity(c.result_shape().elems());
    for r in 0..c.result_shape()[0] as i64 {
        let id = match &tokens {
            Some(t) => t[clamped(first + r, t.len())],
            None => first + r,
        };
        let row = clamped(id, n);
        out.extend(w[row * k..(row + 1) * k].iter().map(|w| f64::from(*w) * scale));
    }
    Ok(vec![c.float_result(&out)])
}

/// The state `params` of a step at position `first` with `active` rows; `index` is the row that
/// the entry point `head` reads.
pub fn params(first: i64, active: i64, index: i64) -> Tensor {
    let mut v = [0; PARAMS_LEN];
    v[..3].copy_from_slice(&[first, active, index]);
    Tensor::from_i64s(DType::I32, [PARAMS_LEN], &v)
}

fn cases() -> Vec<Case> {
    let case = |scheme: Scheme, rows: usize, k: usize, first: i64, tokens: Option<&[i64]>| {
        let n = 11;
        let (data, scales) = host::tensors(scheme, k, &sample_f32(5, [n, k]).to_f32s());
        let attrs = Attrs::new()
            .with("scheme", scheme.name())
            .with("n", n as i64)
            .with("k", k as i64)
            .with("rows", rows as i64)
            .with("scale", if k == 36 { 6.0 } else { 1.0 });
        let by = if tokens.is_some() { "tokens" } else { "positions" };
        let tokens = tokens.map(|t| Tensor::from_i64s(DType::I32, [t.len()], t));
        let operands = vec![tokens, Some(params(first, 1, 0)), Some(data), scales];
        let name = format!("{scheme} {rows}x{k} by {by} from {first}");
        Case { operands, ..Case::new(name, attrs, vec![]) }
    };
    let tokens: &[i64] = &[3, 10, 0, 7, 99, -1, 2];
    let mut out = Vec::new();
    for scheme in Scheme::ALL {
        out.push(case(scheme, 1, 36, 3, Some(tokens)));
        out.push(case(scheme, 4, 160, 2, Some(tokens)));
        out.push(case(scheme, 3, 33, 9, None));
    }
    // rows beyond the last token: padding of a step
    out.push(case(Scheme::F32, 5, 8, 4, Some(tokens)));
    out
}
