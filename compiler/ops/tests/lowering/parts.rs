//! Matrices of weights that span more bytes than a binding may.

use drift_ir::{Attrs, DType, PointwiseOp, Tensor};
use drift_ops::Case;
use drift_ops::data::sample_f32;
use drift_ops::ops::embedding;
use drift_ops::ops::linear::{self, Spec};
use drift_ops::quant::{Group, Scheme, host};

/// The most bytes that a binding spans: 16 rows of 64 floats.
pub const LIMIT: u64 = 4096;

/// Operands that are a matrix of weights or go with its rows.
pub fn weights(op: &str) -> &'static [usize] {
    match op {
        "linear" => &[linear::DATA, linear::SCALES, linear::GAMMA, linear::POST_GAMMA],
        "embedding" => &[embedding::DATA, embedding::SCALES],
        _ => &[0],
    }
}

/// Cases of an operator whose matrix is cut.
pub fn of(op: &str) -> Vec<Case> {
    match op {
        "linear" => products(),
        "embedding" => embeddings(),
        "gather" => gathers(),
        _ => Vec::new(),
    }
}

/// Rows of weights that no part divides evenly.
const ROWS: usize = 610;

fn products() -> Vec<Case> {
    let plain = |scheme| Spec { scheme, n: ROWS, k: 64, norm: None, post: None, gate: None };
    let q4 = plain(Scheme::Q4Groups(Group::G32));
    let mut out = Vec::new();
    for scheme in Scheme::ALL {
        out.push(linear::case(1, &plain(scheme)));
        out.push(linear::case(3, &plain(scheme)));
    }
    for m in [1, 2, 20] {
        let gate = Some(PointwiseOp::Silu);
        out.push(linear::case(m, &Spec { gate, ..q4 }));
        out.push(linear::case(m, &Spec { norm: Some(1e-5), ..plain(Scheme::Q8) }));
        // x is made once, by a kernel before all parts
        let post = Spec { norm: Some(1e-5), post: Some(1e-6), ..plain(Scheme::F16) };
        out.push(linear::case(m, &post));
    }
    // an odd number of rows in the last part, and of columns
    out.push(linear::case(1, &Spec { n: 203, k: 36, ..plain(Scheme::F32) }));
    out.push(linear::case(37, &Spec { n: 203, k: 36, ..plain(Scheme::F32) }));
    let mut batched = linear::case(6, &plain(Scheme::Q8));
    batched.name = "q8 two batches of rows".into();
    let x = &mut batched.operands[linear::X];
    *x = x.take().and_then(|x| x.reshaped([2, 3, 64]));
    out.push(batched);
    out
}

fn embeddings() -> Vec<Case> {
    // in every part, at its ends, and beyond both ends of the matrix
    let tokens: Vec<i64> = vec![0, 609, 15, 16, 17, 300, -1, 7000, 255, 256, 511, 512, 40];
    let case = |scheme: Scheme, k: usize, tokens: Option<&[i64]>| {
        let (data, scales) = host::tensors(scheme, k, &sample_f32(5, [ROWS, k]).to_f32s());
        let attrs = Attrs::new()
            .with("scheme", scheme.name())
            .with("n", ROWS as i64)
            .with("k", k as i64)
            .with("rows", 13);
        let by = if tokens.is_some() { "tokens" } else { "positions" };
        let first = if tokens.is_some() { 0 } else { 600 };
        let tokens = tokens.map(|t| Tensor::from_i64s(DType::I32, [t.len()], t));
        let operands = vec![tokens, Some(embedding::params(first, 1, 0)), Some(data), scales];
        Case { operands, ..Case::new(format!("{scheme} {k} by {by}"), attrs, vec![]) }
    };
    let mut out = Vec::new();
    for scheme in Scheme::ALL {
        out.push(case(scheme, 64, Some(&tokens)));
        out.push(case(scheme, 40, Some(&tokens)));
    }
    out.push(case(Scheme::F32, 24, None));
    out
}

fn gathers() -> Vec<Case> {
    let case = |name: &str, data: &[usize], index: Tensor| {
        Case::new(name, Attrs::new().with("axis", 0), vec![sample_f32(1, data), index])
    };
    let ids: [i64; 6] = [0, 609, -1, -610, 300, 16];
    vec![
        case("rows", &[ROWS, 24], Tensor::from_i64([2, 3], &ids)),
        case("odd rows", &[ROWS, 7], Tensor::from_i64([6], &ids)),
        case("matrices", &[ROWS, 3, 8], Tensor::from_i64([3, 2], &ids)),
        case("single elements", &[3000], Tensor::from_i64([6], &[0, 2999, -1, 1024, 1023, -3000])),
    ]
}
