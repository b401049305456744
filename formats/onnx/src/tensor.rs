//! Constant tensors.

use bytes::Bytes;
use half::{bf16, f16};

use crate::ElemType;
use crate::error::{OnnxError, clip};

/// A constant tensor: an initializer, an attribute, or a test input.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// The tensor's own name; often empty in attributes.
    pub name: String,
    pub dtype: ElemType,
    /// Outermost axis first; empty for a scalar.
    pub dims: Vec<u64>,
    /// Elements in row-major order, little-endian, packed (4-bit types: two per byte, low half
    /// first). Exactly as long as `dims` and `dtype` say. Empty for strings.
    pub data: Bytes,
    /// The elements of a string tensor, one per element; empty for all other types.
    pub strings: Vec<Bytes>,
}

impl core::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tensor({:?}, {} {:?}", self.name, self.dtype, self.dims)?;
        match self.dtype {
            ElemType::String => write!(f, ", {} strings)", self.strings.len()),
            _ => write!(f, ", {} bytes)", self.data.len()),
        }
    }
}

/// Product of the dims; 0 if any is 0, `None` on overflow.
pub(crate) fn count(dims: &[u64]) -> Option<u64> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
}

impl Tensor {
    /// A tensor over packed little-endian bytes.
    ///
    /// # Errors
    /// When `data` is not exactly as long as `dims` and `dtype` say, or `dtype` is `String`.
    pub fn new(dtype: ElemType, dims: &[u64], data: impl Into<Bytes>) -> Result<Tensor, OnnxError> {
        let data = data.into();
        let place = || "tensor".to_string();
        let expected =
            count(dims).and_then(|n| dtype.packed_bytes(n)).ok_or_else(|| OnnxError::Tensor {
                tensor: place(),
                problem: format!("{dtype} {dims:?} has no size in bytes"),
            })?;
        if expected != data.len() as u64 {
            return Err(OnnxError::TensorSize {
                tensor: place(),
                dims: dims.to_vec(),
                dtype,
                expected,
                actual: data.len() as u64,
            });
        }
        Ok(Tensor { name: String::new(), dtype, dims: dims.to_vec(), data, strings: Vec::new() })
    }

    /// An `f32` tensor. Errors like [`Tensor::new`].
    pub fn from_f32(dims: &[u64], values: &[f32]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::F32, dims, pack(values, f32::to_le_bytes))
    }

    /// An `i64` tensor. Errors like [`Tensor::new`].
    pub fn from_i64(dims: &[u64], values: &[i64]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::I64, dims, pack(values, i64::to_le_bytes))
    }

    /// An `i32` tensor. Errors like [`Tensor::new`].
    pub fn from_i32(dims: &[u64], values: &[i32]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::I32, dims, pack(values, i32::to_le_bytes))
    }

    /// An `f16` tensor, each value rounded to nearest. Errors like [`Tensor::new`].
    pub fn from_f16(dims: &[u64], values: &[f32]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::F16, dims, pack(values, |v| f16::from_f32(v).to_le_bytes()))
    }

    /// A `u8` tensor. Errors like [`Tensor::new`].
    pub fn from_u8(dims: &[u64], values: &[u8]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::U8, dims, values.to_vec())
    }

    /// An `i8` tensor. Errors like [`Tensor::new`].
    pub fn from_i8(dims: &[u64], values: &[i8]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::I8, dims, pack(values, i8::to_le_bytes))
    }

    /// A `bool` tensor. Errors like [`Tensor::new`].
    pub fn from_bool(dims: &[u64], values: &[bool]) -> Result<Tensor, OnnxError> {
        Tensor::new(ElemType::Bool, dims, pack(values, |v| [u8::from(v)]))
    }

    /// The same tensor under another name.
    pub fn named(mut self, name: &str) -> Tensor {
        self.name = name.to_string();
        self
    }

    /// Number of elements.
    pub fn elems(&self) -> u64 {
        // Checked when the tensor was made.
        count(&self.dims).unwrap_or(0)
    }

    /// How messages call this tensor.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            "tensor".to_string()
        } else {
            format!("tensor `{}`", clip(&self.name, 200))
        }
    }

    /// All elements as `f32`: from f16, bf16, f32, and f64 (rounded).
    ///
    /// # Errors
    /// For every other element type.
    pub fn to_f32s(&self) -> Result<Vec<f32>, OnnxError> {
        let data = &self.data;
        Ok(match self.dtype {
            ElemType::F32 => unpack(data, f32::from_le_bytes),
            ElemType::F16 => unpack(data, |b| f16::from_le_bytes(b).to_f32()),
            ElemType::BF16 => unpack(data, |b| bf16::from_le_bytes(b).to_f32()),
            ElemType::F64 => unpack(data, |b| f64::from_le_bytes(b) as f32),
            _ => return Err(self.wrong_type("floating-point numbers")),
        })
    }

    /// All elements as `i64`: from bool and integers of 4 to 64 bits.
    ///
    /// # Errors
    /// For every other element type, and for `u64` values above `i64::MAX`.
    pub fn to_i64s(&self) -> Result<Vec<i64>, OnnxError> {
        let data = &self.data;
        Ok(match self.dtype {
            ElemType::I64 => unpack(data, i64::from_le_bytes),
            ElemType::I32 => unpack(data, |b| i64::from(i32::from_le_bytes(b))),
            ElemType::I16 => unpack(data, |b| i64::from(i16::from_le_bytes(b))),
            ElemType::I8 => unpack(data, |b| i64::from(i8::from_le_bytes(b))),
            ElemType::U32 => unpack(data, |b| i64::from(u32::from_le_bytes(b))),
            ElemType::U16 => unpack(data, |b| i64::from(u16::from_le_bytes(b))),
            ElemType::U8 => unpack(data, |[b]: [u8; 1]| i64::from(b)),
            ElemType::Bool => unpack(data, |[b]: [u8; 1]| i64::from(b != 0)),
            ElemType::U64 => {
                let values = unpack(data, u64::from_le_bytes);
                values.into_iter().map(i64::try_from).collect::<Result<_, _>>().map_err(|_| {
                    OnnxError::Tensor {
                        tensor: self.label(),
                        problem: "a u64 value does not fit i64".into(),
                    }
                })?
            }
            ElemType::U4 => self.nibbles(i64::from),
            ElemType::I4 => self.nibbles(|n| i64::from((n << 4) as i8 >> 4)),
            _ => return Err(self.wrong_type("integers")),
        })
    }

    fn nibbles(&self, value: impl Fn(u8) -> i64) -> Vec<i64> {
        let elems = usize::try_from(self.elems()).unwrap_or(usize::MAX);
        self.data.iter().flat_map(|b| [b & 15, b >> 4]).take(elems).map(value).collect()
    }

    fn wrong_type(&self, wanted: &str) -> OnnxError {
        OnnxError::Tensor {
            tensor: self.label(),
            problem: format!("{wanted} are expected, but its elements are {}", self.dtype),
        }
    }
}

fn pack<T: Copy, const N: usize>(values: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|v| to_bytes(*v)).collect()
}

fn unpack<T, const N: usize>(data: &[u8], from_bytes: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|chunk| from_bytes(*chunk)).collect()
}
