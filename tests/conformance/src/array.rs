//! Arrays of the test data: `.npy` files, format version 1, little-endian and row-major.

use drift_runtime::TensorRef;
use drift_runtime::plan::ElemType;
use std::path::Path;

/// A dense row-major array.
#[derive(Clone, Debug)]
pub struct Array {
    pub elem: ElemType,
    pub shape: Vec<u64>,
    /// Little-endian elements.
    pub bytes: Vec<u8>,
}

impl Array {
    /// Reads a file whose header says what the manifest said; test data that disagree with their
    /// own manifest are an error of the data, so this panics.
    pub fn read(path: &Path, dtype: &str, shape: &[u64]) -> Array {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}: not npy 1.0", path.display());
        let header_end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let header = String::from_utf8_lossy(&bytes[10..header_end]);
        let (elem, descr) = match dtype {
            "float32" => (ElemType::F32, "<f4"),
            "float16" => (ElemType::F16, "<f2"),
            "int32" => (ElemType::I32, "<i4"),
            "int64" => (ElemType::I64, "<i8"),
            "uint8" => (ElemType::U8, "|u1"),
            "int8" => (ElemType::I8, "|i1"),
            "bool" => (ElemType::Bool, "|b1"),
            other => panic!("{}: element type {other}", path.display()),
        };
        assert!(header.contains(descr), "{}: {header} is not {dtype}", path.display());
        let flat = shape.len() < 2 || header.contains("'fortran_order': False");
        assert!(flat, "{}: {header}", path.display());
        let data = bytes[header_end..].to_vec();
        let elems: u64 = shape.iter().product();
        assert_eq!(data.len() as u64, elems * elem.bytes(), "{}: {shape:?}", path.display());
        Array { elem, shape: shape.to_vec(), bytes: data }
    }

    pub fn tensor(&self) -> TensorRef<'_> {
        TensorRef::from_bytes(self.elem, &self.bytes, &self.shape)
    }

    /// As the compiler's own kind of array.
    pub fn value(&self) -> drift_ir::Tensor {
        let value = drift_driver::rounding::value(self.elem, &self.shape, self.bytes.clone());
        value.expect("as many bytes as the shape says")
    }

    /// Elements as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        let n = self.elem.bytes() as usize;
        let word = |c: &[u8]| {
            let mut b = [0u8; 8];
            b[..n].copy_from_slice(c);
            u64::from_le_bytes(b)
        };
        let bits = self.bytes.chunks_exact(n).map(word);
        match self.elem {
            ElemType::F32 => bits.map(|b| f64::from(f32::from_bits(b as u32))).collect(),
            ElemType::I32 => bits.map(|b| f64::from(b as u32 as i32)).collect(),
            ElemType::I64 => bits.map(|b| b as i64 as f64).collect(),
            ElemType::F64 => bits.map(f64::from_bits).collect(),
            ElemType::F16 => bits.map(|b| half::f16::from_bits(b as u16).to_f64()).collect(),
            ElemType::BF16 => bits.map(|b| half::bf16::from_bits(b as u16).to_f64()).collect(),
            ElemType::I8 => bits.map(|b| f64::from(b as u8 as i8)).collect(),
            ElemType::I16 => bits.map(|b| f64::from(b as u16 as i16)).collect(),
            ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::U64 | ElemType::Bool => {
                bits.map(|b| b as f64).collect()
            }
        }
    }
}
