//! Tensors at the boundary: borrowed on the way in, owned on the way out. Row-major and dense.

use drift_bundle::plan::ElemType;
use half::{bf16, f16};
use std::ops::Index;

/// Elements of a borrowed tensor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TensorData<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I8(&'a [i8]),
    U8(&'a [u8]),
    I16(&'a [i16]),
    U16(&'a [u16]),
    I32(&'a [i32]),
    U32(&'a [u32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
    Bool(&'a [bool]),
    /// Little-endian elements of any type, as files hold them.
    Bytes(ElemType, &'a [u8]),
}

impl TensorData<'_> {
    pub fn elem(&self) -> ElemType {
        match self {
            TensorData::F32(_) => ElemType::F32,
            TensorData::F64(_) => ElemType::F64,
            TensorData::I8(_) => ElemType::I8,
            TensorData::U8(_) => ElemType::U8,
            TensorData::I16(_) => ElemType::I16,
            TensorData::U16(_) => ElemType::U16,
            TensorData::I32(_) => ElemType::I32,
            TensorData::U32(_) => ElemType::U32,
            TensorData::I64(_) => ElemType::I64,
            TensorData::U64(_) => ElemType::U64,
            TensorData::Bool(_) => ElemType::Bool,
            TensorData::Bytes(elem, _) => *elem,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            TensorData::F32(v) => v.len(),
            TensorData::F64(v) => v.len(),
            TensorData::I8(v) => v.len(),
            TensorData::U8(v) => v.len(),
            TensorData::I16(v) => v.len(),
            TensorData::U16(v) => v.len(),
            TensorData::I32(v) => v.len(),
            TensorData::U32(v) => v.len(),
            TensorData::I64(v) => v.len(),
            TensorData::U64(v) => v.len(),
            TensorData::Bool(v) => v.len(),
            TensorData::Bytes(elem, v) => v.len() / elem.bytes() as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A borrowed input. Without a shape only the number of elements is checked.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    pub data: TensorData<'a>,
    pub shape: Option<&'a [u64]>,
}

impl<'a> TensorRef<'a> {
    pub fn new(data: TensorData<'a>, shape: &'a [u64]) -> TensorRef<'a> {
        TensorRef { data, shape: Some(shape) }
    }
    /// Little-endian elements as files hold them.
    pub fn from_bytes(elem: ElemType, bytes: &'a [u8], shape: &'a [u64]) -> TensorRef<'a> {
        TensorRef { data: TensorData::Bytes(elem, bytes), shape: Some(shape) }
    }
}

macro_rules! from_slices {
    ($($ty:ty => $variant:ident),+) => {$(
        impl<'a> From<&'a [$ty]> for TensorRef<'a> {
            fn from(data: &'a [$ty]) -> Self {
                TensorRef { data: TensorData::$variant(data), shape: None }
            }
        }
        impl<'a> From<&'a Vec<$ty>> for TensorRef<'a> {
            fn from(data: &'a Vec<$ty>) -> Self {
                TensorRef { data: TensorData::$variant(data), shape: None }
            }
        }
    )+};
}
from_slices!(f32 => F32, f64 => F64, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32,
    i64 => I64, u64 => U64, bool => Bool);

/// A result: the model's name, type and shape, and little-endian elements.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputTensor {
    pub name: String,
    pub elem: ElemType,
    pub shape: Vec<u64>,
    pub bytes: Vec<u8>,
}

fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| convert(*c)).collect()
}

impl OutputTensor {
    /// The elements as f32, whatever their type (large integers round).
    pub fn to_f32(&self) -> Vec<f32> {
        let b = &self.bytes[..];
        match self.elem {
            ElemType::F32 => each(b, f32::from_le_bytes),
            ElemType::F16 => each(b, |c| f16::from_le_bytes(c).to_f32()),
            ElemType::BF16 => each(b, |c| bf16::from_le_bytes(c).to_f32()),
            ElemType::F64 => each(b, |c| f64::from_le_bytes(c) as f32),
            ElemType::I8 => each(b, |c| f32::from(i8::from_le_bytes(c))),
            ElemType::U8 | ElemType::Bool => each(b, |[c]: [u8; 1]| f32::from(c)),
            ElemType::I16 => each(b, |c| f32::from(i16::from_le_bytes(c))),
            ElemType::U16 => each(b, |c| f32::from(u16::from_le_bytes(c))),
            ElemType::I32 => each(b, |c| i32::from_le_bytes(c) as f32),
            ElemType::U32 => each(b, |c| u32::from_le_bytes(c) as f32),
            ElemType::I64 => each(b, |c| i64::from_le_bytes(c) as f32),
            ElemType::U64 => each(b, |c| u64::from_le_bytes(c) as f32),
        }
    }

    /// The elements as i64 if they are integers or bool; `None` for floats and for u64 beyond i64.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let b = &self.bytes[..];
        Some(match self.elem {
            ElemType::F32 | ElemType::F16 | ElemType::BF16 | ElemType::F64 => return None,
            ElemType::I8 => each(b, |c| i64::from(i8::from_le_bytes(c))),
            ElemType::U8 | ElemType::Bool => each(b, |[c]: [u8; 1]| i64::from(c)),
            ElemType::I16 => each(b, |c| i64::from(i16::from_le_bytes(c))),
            ElemType::U16 => each(b, |c| i64::from(u16::from_le_bytes(c))),
            ElemType::I32 => each(b, |c| i64::from(i32::from_le_bytes(c))),
            ElemType::U32 => each(b, |c| i64::from(u32::from_le_bytes(c))),
            ElemType::I64 => each(b, i64::from_le_bytes),
            ElemType::U64 => {
                return each(b, |c| i64::try_from(u64::from_le_bytes(c)).ok())
                    .into_iter()
                    .collect();
            }
        })
    }
}

/// All results of one run, in the entry point's order; indexed by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    pub tensors: Vec<OutputTensor>,
}

impl Outputs {
    pub fn get(&self, name: &str) -> Option<&OutputTensor> {
        self.tensors.iter().find(|t| t.name == name)
    }
    pub fn iter(&self) -> std::slice::Iter<'_, OutputTensor> {
        self.tensors.iter()
    }
}

impl Index<&str> for Outputs {
    type Output = OutputTensor;
    /// Panics when the bundle has no such output, as a map does; see [`Outputs::get`].
    fn index(&self, name: &str) -> &OutputTensor {
        match self.get(name) {
            Some(t) => t,
            None => panic!("no output named {name:?}"),
        }
    }
}

impl Index<usize> for Outputs {
    type Output = OutputTensor;
    fn index(&self, index: usize) -> &OutputTensor {
        &self.tensors[index]
    }
}
