//! Stored tensors as the constants of a graph. Matrices stay in the mapped files until the bundle
//! is written; vectors are small and are read at once.

use super::config::{invalid, unsupported};
use super::spec::{Decoder, Matrix, Order, Part, Vector};
use crate::error::Result;
use drift_ir::{DType, LazyTensor, Shape, Tensor};
use drift_ops::quant::{Interleaved, RowSource, Scheme, Stacked, parts};
use drift_weights::{DType as Stored, Pages, WeightStore};
use std::io;
use std::sync::Arc;

/// Rows of a stored matrix, read from its mapped file as f32.
struct MappedRows {
    data: Pages,
    dtype: Stored,
    part: Part,
}

impl RowSource for MappedRows {
    fn rows(&self) -> usize {
        self.part.rows
    }

    fn columns(&self) -> usize {
        self.part.k()
    }

    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let (k, size) = (self.columns(), self.dtype.bytes() as usize);
        let row = self.part.first + first;
        if !self.part.transposed {
            let start = row * k * size;
            let bytes = start..start + out.len() * size;
            floats(self.dtype, &self.data[bytes.clone()], |i, v| out[i] = v)?;
            // whoever reads on has no need of these rows; a second reading finds them in the
            // system's file cache
            self.data.release(bytes);
            return Ok(());
        }
        let (stride, rows) = (self.part.shape[1], out.len() / k);
        for column in 0..k {
            let bytes = &self.data[(column * stride + row) * size..][..rows * size];
            floats(self.dtype, bytes, |i, v| out[i * k + column] = v)?;
        }
        Ok(())
    }
}

/// Every element of `bytes` as f32.
fn floats(dtype: Stored, bytes: &[u8], mut each: impl FnMut(usize, f32)) -> io::Result<()> {
    match dtype {
        Stored::F32 => {
            for (i, b) in bytes.chunks_exact(4).enumerate() {
                each(i, f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            }
        }
        Stored::F16 => {
            for (i, b) in bytes.chunks_exact(2).enumerate() {
                each(i, half::f16::from_le_bytes([b[0], b[1]]).to_f32());
            }
        }
        Stored::BF16 => {
            for (i, b) in bytes.chunks_exact(2).enumerate() {
                each(i, half::bf16::from_le_bytes([b[0], b[1]]).to_f32());
            }
        }
        Stored::F64 => {
            for (i, b) in bytes.chunks_exact(8).enumerate() {
                let b = <[u8; 8]>::try_from(b).expect("eight bytes");
                each(i, f64::from_le_bytes(b) as f32);
            }
        }
        other => {
            let message = format!("weights of type {other} are not floats");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

fn is_float(dtype: Stored) -> bool {
    matches!(dtype, Stored::F32 | Stored::F16 | Stored::BF16 | Stored::F64)
}

/// Checks that the store has every tensor the decoder reads, in its shape and as floats.
/// Gives the names of stored tensors that nothing reads.
pub fn check<'a>(decoder: &Decoder, store: &'a WeightStore) -> Result<Vec<&'a str>> {
    let needed = decoder.tensors();
    let mut missing = Vec::new();
    for (name, shape) in &needed {
        let Ok(view) = store.get(name) else {
            missing.push(format!("{name} {shape:?}"));
            continue;
        };
        if !view.shape.iter().copied().eq(shape.iter().map(|d| *d as u64)) {
            return Err(invalid(format!(
                "tensor `{name}` has shape {:?}, but config.json makes it {shape:?}",
                view.shape
            ))
            .help("config.json and the checkpoint must be of the same model"));
        }
        if !is_float(view.dtype) {
            return Err(unsupported(format!(
                "tensor `{name}` is stored as {}: the checkpoint is quantized already",
                view.dtype
            ))
            .help(
                "give the checkpoint in f32, f16 or bf16; driftc quantizes itself (--quantize)",
            ));
        }
    }
    if !missing.is_empty() {
        let count = missing.len();
        missing.truncate(3);
        let rest = if count > 3 { ", …" } else { "" };
        let mut error = invalid(format!(
            "the checkpoint lacks {count} of {} tensors of this {} model: {}{rest}",
            needed.len(),
            decoder.family,
            missing.join(", ")
        ));
        if store.names().any(|n| n.contains(".lora_") || n.ends_with(".qweight")) {
            error = error.help(
                "this is an adapter or a quantized checkpoint; merge it or give the original",
            );
        }
        return Err(error);
    }
    let read: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
    Ok(store.names().filter(|n| read.binary_search(n).is_err()).collect())
}

/// A matrix as operands of a node.
#[derive(Clone, Debug)]
pub struct Operands {
    pub scheme: Scheme,
    pub n: usize,
    pub k: usize,
    pub data: (DType, Shape, LazyTensor),
    pub scales: Option<(DType, Shape, LazyTensor)>,
}

/// `matrix` in `scheme`; [`check`] has been passed.
pub fn operands(store: &WeightStore, matrix: &Matrix, scheme: Scheme) -> Result<Operands> {
    let mut sources: Vec<Arc<dyn RowSource>> = Vec::with_capacity(matrix.parts.len());
    let mut key = format!("{:?}", matrix.order);
    for part in &matrix.parts {
        let view = store.get(&part.tensor).map_err(|e| invalid(e.to_string()))?;
        let data = store.pages(&part.tensor).map_err(|e| invalid(e.to_string()))?;
        key.push_str(&format!(" {}[{}..+{}]", part.tensor, part.first, part.rows));
        sources.push(Arc::new(MappedRows { data, dtype: view.dtype, part: part.clone() }));
    }
    let source = combine(sources, matrix.order).ok_or_else(|| {
        let names: Vec<&str> = matrix.parts.iter().map(|p| p.tensor.as_str()).collect();
        invalid(format!("tensors {} do not make one matrix", names.join(", ")))
    })?;
    let parts = parts(source, scheme);
    let operand = |part: drift_ops::quant::Part, what: &str| {
        let write = part.write;
        let lazy = LazyTensor::new(format!("{key} {scheme} {what}"), move |out| write(out));
        (part.dtype, part.shape, lazy)
    };
    Ok(Operands {
        scheme,
        n: matrix.n,
        k: matrix.k,
        data: operand(parts.data, "data"),
        scales: parts.scales.map(|p| operand(p, "scales")),
    })
}

fn combine(mut sources: Vec<Arc<dyn RowSource>>, order: Order) -> Option<Arc<dyn RowSource>> {
    match order {
        _ if sources.len() == 1 => sources.pop(),
        Order::Stacked => Some(Arc::new(Stacked::new(sources)?)),
        Order::Alternating => {
            let [even, odd] = <[_; 2]>::try_from(sources).ok()?;
            Some(Arc::new(Interleaved::new(even, odd)?))
        }
    }
}

/// `vector` as f32 [len]; [`check`] has been passed.
pub fn vector(store: &WeightStore, vector: &Vector) -> Result<Tensor> {
    let mut parts = Vec::with_capacity(vector.parts.len());
    for (name, len) in &vector.parts {
        let view = store.get(name).map_err(|e| invalid(e.to_string()))?;
        let mut part = vec![0.0f32; *len];
        floats(view.dtype, view.data, |i, v| part[i] = v)
            .map_err(|e| invalid(format!("tensor `{name}`: {e}")))?;
        if let Some(v) = part.iter().find(|v| !v.is_finite()) {
            return Err(invalid(format!("tensor `{name}` holds {v}")));
        }
        parts.push(part);
    }
    let all: Vec<f32> = match vector.order {
        Order::Stacked => parts.concat(),
        Order::Alternating => (0..parts.iter().map(Vec::len).min().unwrap_or(0))
            .flat_map(|i| parts.iter().map(move |p| p[i]))
            .collect(),
    };
    // in f64: 1 + gamma is rounded once
    let all: Vec<f32> = all.iter().map(|v| (f64::from(*v) + vector.offset) as f32).collect();
    Ok(Tensor::from_f32([all.len()], &all))
}
