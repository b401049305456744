//! Whole matrices as host tensors: for references, tests and matrices that are small.

use super::Scheme;
use drift_ir::{DType, Shape, Tensor};

/// The operands *data* and *scales* of a matrix of `w.len() / k` rows.
pub fn tensors(scheme: Scheme, k: usize, w: &[f32]) -> (Tensor, Option<Tensor>) {
    let n = w.len() / k.max(1);
    let (data_bytes, scale_bytes) = (scheme.data_row_bytes(k), scheme.scales_row_bytes(k));
    let (mut data, mut scales) = (vec![0; n * data_bytes], vec![0; n * scale_bytes]);
    for (i, row) in w.chunks_exact(k.max(1)).enumerate() {
        let scales = &mut scales[i * scale_bytes..][..scale_bytes];
        scheme.search_row(row, scales);
        scheme.pack_row(row, scales, &mut data[i * data_bytes..][..data_bytes]);
    }
    let tensor = |(dtype, shape): (DType, Shape), bytes: Vec<u8>| {
        Tensor::from_bytes(dtype, shape, bytes.into()).expect("rows fill the operand")
    };
    let data = tensor(scheme.data_type(n, k), data);
    (data, scheme.scales_type(n, k).map(|t| tensor(t, scales)))
}

/// The weights `[n, k]` that the operands stand for, row-major. `None` when the operands are not
/// those of such a matrix.
pub fn dequantized(
    scheme: Scheme,
    n: usize,
    k: usize,
    data: &Tensor,
    scales: Option<&Tensor>,
) -> Option<Vec<f32>> {
    let fits = |t: &Tensor, (dtype, shape): (DType, Shape)| t.dtype == dtype && t.shape == shape;
    let empty = bytes::Bytes::new();
    let scales = match (scheme.scales_type(n, k), scales) {
        (Some(ty), Some(s)) if fits(s, ty.clone()) => s.bytes(),
        (None, _) => &empty,
        _ => return None,
    };
    if !fits(data, scheme.data_type(n, k)) {
        return None;
    }
    let (data_bytes, scale_bytes) = (scheme.data_row_bytes(k), scheme.scales_row_bytes(k));
    let mut w = vec![0.0; n * k];
    for (i, row) in w.chunks_exact_mut(k.max(1)).enumerate() {
        let data = &data.bytes()[i * data_bytes..][..data_bytes];
        scheme.unpack_row(data, &scales[i * scale_bytes..][..scale_bytes], row);
    }
    Some(w)
}
