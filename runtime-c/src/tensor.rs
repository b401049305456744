//! Tensors at the boundary: row-major, dense, little-endian.

use crate::error::{Failure, Result};
use drift_runtime::plan::{ElemType, Io};
use std::ffi::{CString, c_char};

/// Element types. `Bool` is a byte: 0 or 1.
#[repr(u32)]
pub enum Type {
    F32 = 1,
    F16 = 2,
    F64 = 3,
    I8 = 4,
    U8 = 5,
    I16 = 6,
    U16 = 7,
    I32 = 8,
    U32 = 9,
    I64 = 10,
    U64 = 11,
    Bool = 12,
    Bf16 = 13,
}

/// The element type with this number.
pub fn type_of(number: u32) -> Result<ElemType> {
    use ElemType::*;
    [F32, F16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, BF16]
        .into_iter()
        .find(|t| *t as u32 == number)
        .ok_or_else(|| Failure::argument(format!("there is no element type {number}")))
}

/// An input, output or state. What it points to lives as long as its session.
#[repr(C)]
pub struct TensorInfo {
    /// The model's name, UTF-8, 0 at its end.
    name: *const c_char,
    /// DRIFT_TYPE_...
    elem_type: u32,
    rank: u32,
    /// `rank` sizes.
    shape: *const u64,
    /// Bytes of all elements.
    bytes: usize,
}

/// What a [`TensorInfo`] points to.
pub struct Tensor {
    pub name: String,
    c_name: CString,
    elem: ElemType,
    shape: Vec<u64>,
    bytes: usize,
}

impl Tensor {
    /// At the boundary: the type is the model's.
    pub fn of(io: &Io) -> Tensor {
        Tensor::with(io, io.elem)
    }

    /// On the device, where states stay.
    pub fn of_state(io: &Io) -> Tensor {
        Tensor::with(io, io.device_elem)
    }

    fn with(io: &Io, elem: ElemType) -> Tensor {
        let bytes = io.elems().unwrap_or(0) * elem.bytes();
        Tensor {
            name: io.name.clone(),
            c_name: CString::new(io.name.replace('\0', " ")).unwrap_or_default(),
            elem,
            shape: io.shape.clone(),
            bytes: bytes as usize,
        }
    }

    pub fn info(&self) -> TensorInfo {
        TensorInfo {
            name: self.c_name.as_ptr(),
            elem_type: self.elem as u32,
            rank: self.shape.len() as u32,
            shape: self.shape.as_ptr(),
            bytes: self.bytes,
        }
    }
}
