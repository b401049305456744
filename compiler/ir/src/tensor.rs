//! Host tensors: constants of the graph and operands of the reference evaluator.

use crate::{DType, Shape};
use bytes::Bytes;
use half::{bf16, f16};

/// A dense row-major little-endian host tensor. Cloning shares the bytes.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    pub dtype: DType,
    pub shape: Shape,
    data: Bytes,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor {}{} ({} bytes)", self.dtype, self.shape, self.data.len())
    }
}

impl Tensor {
    /// `None` when the byte count does not fit dtype and shape.
    pub fn from_bytes(dtype: DType, shape: impl Into<Shape>, data: Bytes) -> Option<Tensor> {
        let shape = shape.into();
        let want = shape.checked_elems()?.checked_mul(dtype.bytes())?;
        (want == data.len()).then_some(Tensor { dtype, shape, data })
    }

    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    pub fn elems(&self) -> usize {
        self.shape.elems()
    }

    /// Same data under another shape of equal element count.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Option<Tensor> {
        Tensor::from_bytes(self.dtype, shape, self.data.clone())
    }

    /// Panics when the count does not fit the shape: use for shapes the caller computed.
    pub fn from_f32(shape: impl Into<Shape>, v: &[f32]) -> Tensor {
        let b: Vec<u8> = v.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::from_bytes(DType::F32, shape, b.into()).expect("element count fits the shape")
    }

    /// Panics when the count does not fit the shape: use for shapes the caller computed.
    pub fn from_i64(shape: impl Into<Shape>, v: &[i64]) -> Tensor {
        let b: Vec<u8> = v.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor::from_bytes(DType::I64, shape, b.into()).expect("element count fits the shape")
    }

    /// Rounds f64 values to `dtype` (integers saturate, bool is `!= 0`).
    /// Panics when the count does not fit the shape.
    pub fn from_f64s(dtype: DType, shape: impl Into<Shape>, v: &[f64]) -> Tensor {
        let mut b = Vec::with_capacity(v.len() * dtype.bytes());
        for &x in v {
            match dtype {
                DType::F32 => b.extend((x as f32).to_le_bytes()),
                DType::F16 => b.extend(f16::from_f64(x).to_le_bytes()),
                DType::BF16 => b.extend(bf16::from_f64(x).to_le_bytes()),
                DType::F64 => b.extend(x.to_le_bytes()),
                DType::I8 => b.extend((x as i8).to_le_bytes()),
                DType::U8 => b.extend((x as u8).to_le_bytes()),
                DType::I16 => b.extend((x as i16).to_le_bytes()),
                DType::U16 => b.extend((x as u16).to_le_bytes()),
                DType::I32 => b.extend((x as i32).to_le_bytes()),
                DType::U32 => b.extend((x as u32).to_le_bytes()),
                DType::I64 => b.extend((x as i64).to_le_bytes()),
                DType::U64 => b.extend((x as u64).to_le_bytes()),
                DType::Bool => b.push(u8::from(x != 0.0)),
            }
        }
        Tensor::from_bytes(dtype, shape, b.into()).expect("element count fits the shape")
    }

    /// Wraps i64 values into an integer (or bool, or float) dtype, two's complement on overflow.
    /// Panics when the count does not fit the shape.
    pub fn from_i64s(dtype: DType, shape: impl Into<Shape>, v: &[i64]) -> Tensor {
        if dtype.is_float() {
            let f: Vec<f64> = v.iter().map(|&x| x as f64).collect();
            return Tensor::from_f64s(dtype, shape, &f);
        }
        let mut b = Vec::with_capacity(v.len() * dtype.bytes());
        for &x in v {
            match dtype {
                DType::Bool => b.push(u8::from(x != 0)),
                _ => b.extend(&x.to_le_bytes()[..dtype.bytes()]),
            }
        }
        Tensor::from_bytes(dtype, shape, b.into()).expect("element count fits the shape")
    }

    /// Every element as f64 (i64 and u64 may round).
    pub fn to_f64s(&self) -> Vec<f64> {
        let n = self.dtype.bytes();
        let it = self.data.chunks_exact(n);
        match self.dtype {
            DType::F32 => {
                it.map(|c| f64::from(f32::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            DType::F64 => it.map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect(),
            DType::F16 => it.map(|c| f16::from_le_bytes(c.try_into().unwrap()).to_f64()).collect(),
            DType::BF16 => {
                it.map(|c| bf16::from_le_bytes(c.try_into().unwrap()).to_f64()).collect()
            }
            DType::U64 => it.map(|c| u64::from_le_bytes(c.try_into().unwrap()) as f64).collect(),
            _ => self.to_i64s().into_iter().map(|x| x as f64).collect(),
        }
    }

    /// Every element as f32.
    pub fn to_f32s(&self) -> Vec<f32> {
        match self.dtype {
            DType::F32 => self
                .data
                .chunks_exact(4)
                .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
                .collect(),
            _ => self.to_f64s().into_iter().map(|x| x as f32).collect(),
        }
    }

    /// Every element as i64 (floats truncate and saturate, u64 wraps).
    pub fn to_i64s(&self) -> Vec<i64> {
        let n = self.dtype.bytes();
        let it = self.data.chunks_exact(n);
        match self.dtype {
            DType::I8 => it.map(|c| i64::from(c[0] as i8)).collect(),
            DType::U8 => it.map(|c| i64::from(c[0])).collect(),
            DType::Bool => it.map(|c| i64::from(c[0] != 0)).collect(),
            DType::I16 => {
                it.map(|c| i64::from(i16::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            DType::U16 => {
                it.map(|c| i64::from(u16::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            DType::I32 => {
                it.map(|c| i64::from(i32::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            DType::U32 => {
                it.map(|c| i64::from(u32::from_le_bytes(c.try_into().unwrap()))).collect()
            }
            DType::I64 | DType::U64 => {
                it.map(|c| i64::from_le_bytes(c.try_into().unwrap())).collect()
            }
            _ => self.to_f64s().into_iter().map(|x| x as i64).collect(),
        }
    }

    /// The one element of a tensor with exactly one element.
    pub fn scalar_f64(&self) -> Option<f64> {
        (self.elems() == 1).then(|| self.to_f64s()[0])
    }

    /// The value all elements share, if they do (and there is at least one).
    pub fn splat_f64(&self) -> Option<f64> {
        let n = self.dtype.bytes();
        let first = self.data.get(..n)?;
        self.data.chunks_exact(n).all(|c| c == first).then(|| {
            Tensor { dtype: self.dtype, shape: Shape::scalar(), data: self.data.slice(..n) }
                .to_f64s()[0]
        })
    }
}
