//! Host-side packing of weights and constants into their final GPU layout, and back.

use super::layout::LayoutError;
use super::{Elem, Layout};
use bytes_of::{Half, Word};
use drift_ir::{DType, Shape, Tensor};

/// Packs a host tensor into `layout` as elements of `elem`; padding is zero.
///
/// Floats round to nearest even; integers and bools of other widths saturate into i32 / u32.
/// The result has [`Elem::extent_bytes`] of [`Layout::extent_elems`] bytes.
pub fn pack(layout: &Layout, elem: Elem, src: &Tensor) -> Result<Vec<u8>, LayoutError> {
    let shape = &src.shape;
    layout.check(shape)?;
    let bytes = elem.extent_bytes(layout.extent_elems(shape)) as usize;
    let mut out = vec![0u8; bytes];
    match elem {
        Elem::F32 => scatter(layout, shape, &mut out, &floats(src), |v| Word(v.to_bits())),
        Elem::F16 | Elem::F16Packed => match src.dtype {
            DType::F16 => {
                let v: Vec<u16> =
                    src.bytes().chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
                scatter(layout, shape, &mut out, &v, Half);
            }
            _ => scatter(layout, shape, &mut out, &floats(src), |v| Half(crate::f16_bits(v))),
        },
        Elem::I32 => scatter(layout, shape, &mut out, &src.to_i64s(), |v| {
            Word(v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32 as u32)
        }),
        Elem::U32 => scatter(layout, shape, &mut out, &src.to_i64s(), |v| {
            Word(v.clamp(0, i64::from(u32::MAX)) as u32)
        }),
    }
    Ok(out)
}

/// Reads a packed object back: an f32, i32 or u32 tensor of `shape`.
pub fn unpack(
    layout: &Layout,
    elem: Elem,
    shape: &Shape,
    bytes: &[u8],
) -> Result<Tensor, LayoutError> {
    layout.check(shape)?;
    let want = elem.extent_bytes(layout.extent_elems(shape));
    if (bytes.len() as u64) < want {
        return Err(LayoutError(format!(
            "layout {layout} on shape {shape}: {want} bytes expected, {} given",
            bytes.len()
        )));
    }
    let mut out = vec![0u8; shape.elems() * 4];
    layout.for_each(shape, |row, element| {
        let e = element as usize;
        let word = match elem {
            Elem::F16 | Elem::F16Packed => {
                let half = u16::from_le_bytes([bytes[2 * e], bytes[2 * e + 1]]);
                half::f16::from_bits(half).to_f32().to_le_bytes()
            }
            _ => [bytes[4 * e], bytes[4 * e + 1], bytes[4 * e + 2], bytes[4 * e + 3]],
        };
        out[4 * row..4 * row + 4].copy_from_slice(&word);
    });
    let dtype = match elem {
        Elem::I32 => DType::I32,
        Elem::U32 => DType::U32,
        _ => DType::F32,
    };
    Tensor::from_bytes(dtype, shape.clone(), out.into())
        .ok_or_else(|| LayoutError(format!("shape {shape} has too many elements")))
}

fn floats(src: &Tensor) -> Vec<f32> {
    src.to_f32s()
}

fn scatter<T: Copy, B: bytes_of::Store>(
    layout: &Layout,
    shape: &Shape,
    out: &mut [u8],
    src: &[T],
    convert: impl Fn(T) -> B,
) {
    layout.for_each(shape, |row, element| convert(src[row]).store(out, element as usize));
}

mod bytes_of {
    //! One element in little-endian bytes.
    pub struct Word(pub u32);
    pub struct Half(pub u16);
    pub trait Store {
        fn store(self, out: &mut [u8], index: usize);
    }
    impl Store for Word {
        fn store(self, out: &mut [u8], index: usize) {
            out[4 * index..4 * index + 4].copy_from_slice(&self.0.to_le_bytes());
        }
    }
    impl Store for Half {
        fn store(self, out: &mut [u8], index: usize) {
            out[2 * index..2 * index + 2].copy_from_slice(&self.0.to_le_bytes());
        }
    }
}
