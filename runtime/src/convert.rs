//! Element conversion between the model's types and those inside GPU objects.
//!
//! i64, u64 and bool live as 32-bit integers on the device, small integers widen to 32 bits, f64, f16
//! and bf16 live as f32 (or f16): see [`drift_bundle::plan::Io`]. A value that does not fit is an error
//! that names the element.

use crate::{
    error::{Result, RuntimeError},
    tensor::{TensorData, TensorRef},
};
use drift_bundle::plan::{ElemType, Io};
use half::{bf16, f16};

/// One element on its way.
#[derive(Clone, Copy)]
enum Value {
    Float(f64),
    /// Holds every i64 and u64.
    Int(i128),
}

/// Writes `tensor` as `io.device_elem` into `dst`, which has exactly the bytes of the device tensor.
pub fn write_input(io: &Io, tensor: &TensorRef<'_>, dst: &mut [u8]) -> Result<()> {
    let what = || format!("input {:?}", io.name);
    if let Some(shape) = tensor.shape
        && shape != io.shape
    {
        let message = format!("has shape {shape:?}, the model takes {:?}", io.shape);
        return Err(RuntimeError::Input { what: what(), message });
    }
    let elems = io.elems().unwrap_or(0) as usize;
    let whole = match tensor.data {
        TensorData::Bytes(elem, bytes) => bytes.len() == elems * elem.bytes() as usize,
        data => data.len() == elems,
    };
    if !whole {
        let message = format!(
            "{} {:?} elements given, the model takes {elems} (shape {:?})",
            tensor.data.len(),
            tensor.data.elem(),
            io.shape
        );
        return Err(RuntimeError::Input { what: what(), message });
    }
    let given = tensor.data.elem();
    if is_float(given) != is_float(io.elem) {
        let message = format!("{given:?} given, the model takes {:?}", io.elem);
        return Err(RuntimeError::Input { what: what(), message });
    }
    if copy_same(tensor.data, io, dst) {
        return Ok(());
    }
    let size = io.device_elem.bytes() as usize;
    for (i, out) in dst.chunks_exact_mut(size).enumerate() {
        let value = element(tensor.data, i);
        // First into the model's own type (which may be narrower), then into the device's.
        let fits = fits(value, io.elem) && put(value, io.device_elem, out);
        if !fits {
            // Floats always fit.
            let Value::Int(shown) = value else { continue };
            let narrow = if self::fits(value, io.elem) { io.device_elem } else { io.elem };
            let message = format!("element {i} is {shown}, which does not fit {narrow:?}");
            return Err(RuntimeError::Input { what: what(), message });
        }
    }
    Ok(())
}

/// Plain copies, which is what nearly all inputs are.
fn copy_same(data: TensorData<'_>, io: &Io, dst: &mut [u8]) -> bool {
    if data.elem() != io.elem {
        return false;
    }
    fn all<const N: usize, T: Copy>(src: &[T], dst: &mut [u8], le: impl Fn(T) -> [u8; N]) -> bool {
        let (chunks, _) = dst.as_chunks_mut::<N>();
        for (out, v) in chunks.iter_mut().zip(src) {
            *out = le(*v);
        }
        true
    }
    if io.device_elem != io.elem {
        return false;
    }
    match data {
        TensorData::Bytes(_, bytes) => {
            dst.copy_from_slice(bytes);
            true
        }
        TensorData::F32(v) => all(v, dst, f32::to_le_bytes),
        TensorData::I32(v) => all(v, dst, i32::to_le_bytes),
        TensorData::U32(v) => all(v, dst, u32::to_le_bytes),
        TensorData::U8(v) => {
            dst.copy_from_slice(v);
            true
        }
        _ => false,
    }
}

fn is_float(elem: ElemType) -> bool {
    matches!(elem, ElemType::F32 | ElemType::F16 | ElemType::F64 | ElemType::BF16)
}

/// Element `i` of a tensor; `i` is in range.
fn element(data: TensorData<'_>, i: usize) -> Value {
    match data {
        TensorData::F32(v) => Value::Float(f64::from(v[i])),
        TensorData::F64(v) => Value::Float(v[i]),
        TensorData::I8(v) => Value::Int(i128::from(v[i])),
        TensorData::U8(v) => Value::Int(i128::from(v[i])),
        TensorData::I16(v) => Value::Int(i128::from(v[i])),
        TensorData::U16(v) => Value::Int(i128::from(v[i])),
        TensorData::I32(v) => Value::Int(i128::from(v[i])),
        TensorData::U32(v) => Value::Int(i128::from(v[i])),
        TensorData::I64(v) => Value::Int(i128::from(v[i])),
        TensorData::U64(v) => Value::Int(i128::from(v[i])),
        TensorData::Bool(v) => Value::Int(i128::from(v[i])),
        TensorData::Bytes(elem, bytes) => {
            let size = elem.bytes() as usize;
            get(elem, &bytes[i * size..(i + 1) * size])
        }
    }
}

/// Reads one little-endian element; `b` has its size.
fn get(elem: ElemType, b: &[u8]) -> Value {
    let mut raw = [0u8; 8];
    raw[..b.len()].copy_from_slice(b);
    let bits = u64::from_le_bytes(raw);
    match elem {
        ElemType::F32 => Value::Float(f64::from(f32::from_bits(bits as u32))),
        ElemType::F16 => Value::Float(f16::from_bits(bits as u16).to_f64()),
        ElemType::BF16 => Value::Float(bf16::from_bits(bits as u16).to_f64()),
        ElemType::F64 => Value::Float(f64::from_bits(bits)),
        ElemType::I8 => Value::Int(i128::from(bits as i8)),
        ElemType::I16 => Value::Int(i128::from(bits as i16)),
        ElemType::I32 => Value::Int(i128::from(bits as i32)),
        ElemType::I64 => Value::Int(i128::from(bits as i64)),
        ElemType::Bool => Value::Int(i128::from(bits != 0)),
        ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::U64 => {
            Value::Int(i128::from(bits))
        }
    }
}

/// Whether an integer lies in the range of `elem`; floats always fit (they round or overflow to
/// infinity as usual).
fn fits(value: Value, elem: ElemType) -> bool {
    let Value::Int(v) = value else { return true };
    let (low, high) = match elem {
        ElemType::I8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        ElemType::U8 => (0, i128::from(u8::MAX)),
        ElemType::I16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        ElemType::U16 => (0, i128::from(u16::MAX)),
        ElemType::I32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        ElemType::U32 => (0, i128::from(u32::MAX)),
        ElemType::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        ElemType::U64 => (0, i128::from(u64::MAX)),
        ElemType::Bool => (0, 1),
        ElemType::F32 | ElemType::F16 | ElemType::F64 | ElemType::BF16 => return true,
    };
    (low..=high).contains(&v)
}

/// Writes one element as `elem`; false when it does not fit. `out` has the element's size.
fn put(value: Value, elem: ElemType, out: &mut [u8]) -> bool {
    if !fits(value, elem) {
        return false;
    }
    let bits = match (value, elem) {
        (Value::Float(v), ElemType::F32) => u64::from((v as f32).to_bits()),
        (Value::Float(v), ElemType::F16) => u64::from(f16::from_f64(v).to_bits()),
        (Value::Float(v), ElemType::BF16) => u64::from(bf16::from_f64(v).to_bits()),
        (Value::Float(v), ElemType::F64) => v.to_bits(),
        // Two's complement: the low bytes are the same in every width that fits.
        (Value::Int(v), _) => v as u64,
        (Value::Float(_), _) => return false,
    };
    let n = out.len();
    out.copy_from_slice(&bits.to_le_bytes()[..n]);
    true
}

/// Converts a device tensor to the model's element type, little-endian.
pub fn read_output(io: &Io, src: &[u8]) -> Vec<u8> {
    if io.elem == io.device_elem {
        return src.to_vec();
    }
    let (from, to) = (io.device_elem.bytes() as usize, io.elem.bytes() as usize);
    let mut out = vec![0; src.len() / from * to];
    for (src, dst) in src.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        let value = match (get(io.device_elem, src), io.elem) {
            (Value::Int(v), ElemType::Bool) => Value::Int(i128::from(v != 0)),
            // What a kernel computed is stored modulo the type's width, as integer casts do.
            (Value::Int(v), elem) if !fits(Value::Int(v), elem) => {
                dst.copy_from_slice(&(v as u64).to_le_bytes()[..to]);
                continue;
            }
            (value, _) => value,
        };
        put(value, io.elem, dst);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(elem: ElemType, device_elem: ElemType, n: u64) -> Io {
        Io { name: "x".into(), elem, device_elem, shape: vec![n], object: 0, offset: 0 }
    }

    #[test]
    fn every_type_survives_the_trip() {
        use ElemType::*;
        for (elem, device) in [
            (F32, F32),
            (F32, F16),
            (F16, F32),
            (F64, F32),
            (BF16, F32),
            (F16, F16),
            (I8, I32),
            (U8, U32),
            (U8, I32),
            (I16, I32),
            (U16, U32),
            (I32, I32),
            (U32, U32),
            (I64, I32),
            (U64, U32),
            (Bool, U32),
            (U8, U8),
            (I64, I64),
        ] {
            let io = io(elem, device, 2);
            // 1 and 0 exist in every type.
            let mut host = vec![0; 2 * elem.bytes() as usize];
            let one = if is_float(elem) { Value::Float(1.0) } else { Value::Int(1) };
            assert!(put(one, elem, &mut host[..elem.bytes() as usize]));
            let mut dev = vec![0xaa; 2 * device.bytes() as usize];
            write_input(&io, &TensorRef::from_bytes(elem, &host, &[2]), &mut dev).unwrap();
            assert_eq!(read_output(&io, &dev), host, "{elem:?} as {device:?}");
        }
    }

    #[test]
    fn what_does_not_fit_names_the_element() {
        let big = [1i64, 1 << 40];
        let e = write_input(&io(ElemType::I64, ElemType::I32, 2), &big[..].into(), &mut [0; 8])
            .unwrap_err();
        assert_eq!(
            e.to_string(),
            "input \"x\": element 1 is 1099511627776, which does not fit I32"
        );
        let e = write_input(&io(ElemType::U8, ElemType::U32, 1), &[300i32][..].into(), &mut [0; 4])
            .unwrap_err();
        assert_eq!(e.to_string(), "input \"x\": element 0 is 300, which does not fit U8");
        let e = write_input(&io(ElemType::F32, ElemType::F32, 1), &[1i32][..].into(), &mut [0; 4])
            .unwrap_err();
        assert_eq!(e.to_string(), "input \"x\": I32 given, the model takes F32");
        let e = write_input(&io(ElemType::F32, ElemType::F32, 3), &[1f32][..].into(), &mut [0; 12])
            .unwrap_err();
        assert_eq!(
            e.to_string(),
            "input \"x\": 1 F32 elements given, the model takes 3 (shape [3])"
        );
        let shaped = TensorRef::new(TensorData::F32(&[0.0; 3]), &[1, 3]);
        let e =
            write_input(&io(ElemType::F32, ElemType::F32, 3), &shaped, &mut [0; 12]).unwrap_err();
        assert_eq!(e.to_string(), "input \"x\": has shape [1, 3], the model takes [3]");
        // A byte string that is not a whole number of elements.
        let ragged = TensorRef { data: TensorData::Bytes(ElemType::F32, &[0; 13]), shape: None };
        assert!(write_input(&io(ElemType::F32, ElemType::F32, 3), &ragged, &mut [0; 12]).is_err());
    }

    #[test]
    fn negative_integers_and_wrapping_outputs() {
        let io = io(ElemType::I8, ElemType::I32, 2);
        let mut dev = [0; 8];
        write_input(&io, &[-1i8, -128][..].into(), &mut dev).unwrap();
        assert_eq!(dev, [0xff, 0xff, 0xff, 0xff, 0x80, 0xff, 0xff, 0xff]);
        let over: Vec<u8> = [300i32, -1].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read_output(&io, &over), [44, 255]);
        let flags: Vec<u8> = [7u32, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(
            read_output(&super::tests::io(ElemType::Bool, ElemType::U32, 2), &flags),
            [1, 0]
        );
    }
}
