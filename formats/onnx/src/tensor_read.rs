//! `TensorProto` to [`Tensor`]: sizes checked, typed fields packed.

use bytes::Bytes;
use prost::Message;

use crate::error::{OnnxError, clip};
use crate::external::ExternalData;
use crate::tensor::count;
use crate::wire::{Msg, scan};
use crate::{ElemType, Tensor, pb};

/// Reads a bare `TensorProto`, such as the `input_0.pb` files of ONNX test data.
///
/// # Errors
/// As for an initializer of a model; external data is refused.
pub fn tensor_from_pb(bytes: impl Into<Bytes>) -> Result<Tensor, OnnxError> {
    let bytes = bytes.into();
    scan(&bytes, Msg::Tensor)?;
    let proto = pb::TensorProto::decode(bytes)
        .map_err(|err| OnnxError::Decode { detail: err.to_string() })?;
    read_tensor(proto, "tensor", &mut ExternalData::none())
}

/// `place` names the tensor in messages when it has no name of its own.
pub(crate) fn read_tensor(
    proto: pb::TensorProto,
    place: &str,
    external: &mut ExternalData,
) -> Result<Tensor, OnnxError> {
    let label = if proto.name.is_empty() {
        place.to_string()
    } else {
        format!("tensor `{}`", clip(&proto.name, 200))
    };
    let problem = |problem: String| OnnxError::Tensor { tensor: label.clone(), problem };

    let dtype = ElemType::from_code(proto.data_type)
        .ok_or_else(|| OnnxError::ElemType { place: label.clone(), code: proto.data_type })?;
    if proto.segment.is_some() {
        return Err(OnnxError::Unsupported { place: label, what: "a tensor in segments".into() });
    }
    let bad_shape = |problem| OnnxError::TensorShape {
        tensor: label.clone(),
        dims: proto.dims.iter().copied().take(16).collect(),
        problem,
    };
    let dims = read_dims(&proto.dims).map_err(bad_shape)?;
    let elems = count(&dims).ok_or_else(|| bad_shape("the number of elements overflows"))?;

    if dtype == ElemType::String {
        if proto.data_location == 1 || proto.raw_data.is_some_and(|raw| !raw.is_empty()) {
            return Err(problem("strings cannot be stored as raw or external data".into()));
        }
        if proto.string_data.len() as u64 != elems {
            let have = proto.string_data.len();
            return Err(problem(format!(
                "shape {dims:?} takes {elems} strings, {have} are stored"
            )));
        }
        return Ok(Tensor {
            name: proto.name,
            dtype,
            dims,
            data: Bytes::new(),
            strings: proto.string_data,
        });
    }

    let expected = dtype.packed_bytes(elems).ok_or_else(|| bad_shape("the size overflows"))?;
    let data = match proto.data_location {
        0 => stored_data(&proto, dtype, elems).map_err(problem)?,
        1 => external.read(&label, &proto.external_data, expected)?,
        other => return Err(problem(format!("data location {other} is not known"))),
    };
    if data.len() as u64 != expected {
        let actual = data.len() as u64;
        return Err(OnnxError::TensorSize { tensor: label, dims, dtype, expected, actual });
    }
    Ok(Tensor { name: proto.name, dtype, dims, data, strings: Vec::new() })
}

pub(crate) fn read_dims(dims: &[i64]) -> Result<Vec<u64>, &'static str> {
    dims.iter()
        .map(|d| u64::try_from(*d).map_err(|_| "a constant's dimensions cannot be negative"))
        .collect()
}

/// Raw data as it is, or the one typed field that the element type uses, packed.
fn stored_data(proto: &pb::TensorProto, dtype: ElemType, elems: u64) -> Result<Bytes, String> {
    use ElemType::*;
    let raw = proto.raw_data.clone().unwrap_or_default();
    let typed = [
        ("float_data", proto.float_data.len()),
        ("int32_data", proto.int32_data.len()),
        ("int64_data", proto.int64_data.len()),
        ("double_data", proto.double_data.len()),
        ("uint64_data", proto.uint64_data.len()),
    ];
    let used = match dtype {
        F32 | Complex64 => "float_data",
        F64 | Complex128 => "double_data",
        I64 => "int64_data",
        U32 | U64 => "uint64_data",
        _ => "int32_data",
    };
    if let Some((other, _)) = typed.iter().find(|(name, len)| *len > 0 && *name != used) {
        return Err(format!("elements of {dtype} are stored in {other}"));
    }
    let stored = typed.iter().find(|(name, _)| *name == used).map_or(0, |(_, len)| *len as u64);
    if stored == 0 {
        return Ok(raw);
    }
    if !raw.is_empty() {
        return Err(format!("both raw_data and {used} are set"));
    }
    let per_elem = if matches!(dtype, Complex64 | Complex128) { 2 } else { 1 };
    let wanted = match dtype.bits() {
        bits @ (2 | 4) => Some(elems.div_ceil(u64::from(8 / bits))),
        _ => elems.checked_mul(per_elem),
    };
    if wanted != Some(stored) {
        return Err(format!("{elems} elements of {dtype} do not fit {stored} numbers in {used}"));
    }
    let misfit =
        |v: &dyn core::fmt::Display| format!("{used} holds {v}, which does not fit {dtype}");
    let mut data = Vec::new();
    match used {
        "float_data" => data.extend(proto.float_data.iter().flat_map(|v| v.to_le_bytes())),
        "double_data" => data.extend(proto.double_data.iter().flat_map(|v| v.to_le_bytes())),
        "int64_data" => data.extend(proto.int64_data.iter().flat_map(|v| v.to_le_bytes())),
        "uint64_data" if dtype == U64 => {
            data.extend(proto.uint64_data.iter().flat_map(|v| v.to_le_bytes()));
        }
        "uint64_data" => {
            for v in &proto.uint64_data {
                data.extend(u32::try_from(*v).map_err(|_| misfit(v))?.to_le_bytes());
            }
        }
        _ => {
            // Bit patterns (f16, f8) and packed small integers come as unsigned numbers, integers
            // as signed ones; a writer that sign-extends a bit pattern is understood too.
            let width = dtype.bits().max(8);
            for v in &proto.int32_data {
                let value = i64::from(*v);
                if width < 32 && !(-(1 << (width - 1))..1 << width).contains(&value) {
                    return Err(misfit(v));
                }
                data.extend_from_slice(&v.to_le_bytes()[..width as usize / 8]);
            }
        }
    }
    Ok(data.into())
}
