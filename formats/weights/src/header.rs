//! The header of one safetensors file.
//!
//! The file is: 8 bytes of header length, that many bytes of JSON, then the data without holes.
//! The `safetensors` crate gives the entry type; its reader is not used, for three reasons: it says
//! that *a* tensor is wrong and not which one, a name given twice silently loses its first entry,
//! and an end offset near 2^64 overflows its last addition (a panic in debug builds).
//! tests/agreement.rs compares the two readers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::DType;
use crate::error::{WeightError, clip};

/// The format's own limit on the header's length.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// One tensor of a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) tensors: BTreeMap<String, Entry>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Checks a whole file. `path` is for messages only.
pub(crate) fn read(bytes: &Bytes, path: &Path) -> Result<File, WeightError> {
    let fail = |problem: String| WeightError::Header { path: path.to_path_buf(), problem };
    if let Some((what, help)) = foreign(bytes) {
        return Err(WeightError::NotSafetensors { path: path.to_path_buf(), what, help });
    }
    let Some((len, _)) = bytes.split_first_chunk::<8>() else {
        return Err(fail(format!("{} bytes are too few for a header", bytes.len())));
    };
    let len = u64::from_le_bytes(*len);
    if len > MAX_HEADER_BYTES {
        return Err(fail(format!(
            "a header of {len} bytes is announced, the format allows {MAX_HEADER_BYTES}"
        )));
    }
    let data_start = 8 + len as usize;
    let Some(header) = bytes.get(8..data_start) else {
        return Err(fail(format!(
            "a header of {len} bytes is announced, but the file has {} bytes",
            bytes.len()
        )));
    };
    let header: Header = serde_json::from_slice(header)
        .map_err(|err| fail(format!("the header is not as it should be: {err}")))?;
    let tensors = place(header.tensors, bytes.slice(data_start..), path)?;
    Ok(File { tensors, metadata: header.metadata })
}

/// Checks that the tensors fill the data from its first byte to its last, without holes.
fn place(
    tensors: BTreeMap<String, TensorInfo>,
    data: Bytes,
    path: &Path,
) -> Result<BTreeMap<String, Entry>, WeightError> {
    let fail = |tensor: &str, problem: String| WeightError::Tensor {
        path: path.to_path_buf(),
        tensor: clip(tensor, 200),
        problem,
    };
    let mut order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0usize;
    for (name, info) in order {
        let (start, end) = info.data_offsets;
        if start > end {
            return Err(fail(name, format!("its data offsets {start}..{end} run backwards")));
        }
        if end > data.len() {
            return Err(fail(
                name,
                format!(
                    "its data end at byte {end}, but the file holds {} bytes of data",
                    data.len()
                ),
            ));
        }
        if start < at {
            return Err(fail(name, format!("its data {start}..{end} overlap another tensor's")));
        }
        if start > at {
            return Err(fail(
                name,
                format!("bytes {at}..{start} before its data belong to nobody"),
            ));
        }
        at = end;
    }
    if at != data.len() {
        return Err(WeightError::Header {
            path: path.to_path_buf(),
            problem: format!("the last {} bytes of data belong to no tensor", data.len() - at),
        });
    }

    let mut entries = BTreeMap::new();
    for (name, info) in tensors {
        let dtype = DType::from_stored(info.dtype).ok_or_else(|| WeightError::DType {
            path: path.to_path_buf(),
            tensor: clip(&name, 200),
            dtype: info.dtype.to_string(),
        })?;
        let shape: Vec<u64> = info.shape.iter().map(|d| *d as u64).collect();
        let (start, end) = info.data_offsets;
        let stored = (end - start) as u64;
        let size = if shape.contains(&0) {
            Some(0)
        } else {
            shape.iter().try_fold(dtype.bytes(), |n, d| n.checked_mul(*d))
        };
        if size != Some(stored) {
            let size = size.map_or("more than 2^64".to_string(), |size| size.to_string());
            let shape = &shape[..shape.len().min(16)];
            return Err(fail(
                &name,
                format!("shape {shape:?} of {dtype} takes {size} bytes, but {stored} are stored"),
            ));
        }
        entries.insert(name, Entry { dtype, shape, data: data.slice(start..end) });
    }
    Ok(entries)
}

/// Files that are given by mistake.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const TORCH: &str = "convert it: model.save_pretrained(dir, safe_serialization=True)";
    const PAGE: &str =
        "the download link led to a page instead of the file: use the `resolve` link";
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if bytes.is_empty() {
        return Some(("an empty file", "the download did not finish: repeat it"));
    }
    if starts(b"version https://git-lfs") {
        return Some(("a Git LFS pointer to a checkpoint", "fetch the file itself: git lfs pull"));
    }
    if starts(b"PK\x03\x04") || starts(&[0x80, 2, 0x8a]) || starts(&[0x80, 2, b'}']) {
        return Some(("a PyTorch checkpoint", TORCH));
    }
    if starts(b"GGUF") {
        return Some(("a GGUF file", "give the safetensors checkpoint it was made from"));
    }
    if starts(&[0x1f, 0x8b]) || starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some(("a compressed archive", "unpack it first"));
    }
    if starts(b"\x89HDF\r\n") {
        return Some(("a Keras HDF5 file", "convert it to safetensors"));
    }
    if bytes.trim_ascii_start().first() == Some(&b'<') {
        return Some(("a web page", PAGE));
    }
    if starts(b"{\"") || starts(b"{\n") {
        return Some((
            "JSON text",
            "the index of a checkpoint in shards must be named *.safetensors.index.json",
        ));
    }
    None
}

#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensor entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    if header.tensors.contains_key(&name) {
                        map.next_value::<IgnoredAny>()?;
                        let name = clip(&name, 200);
                        return Err(A::Error::custom(format!("tensor `{name}` is given twice")));
                    }
                    let info: TensorInfo = map.next_value()?;
                    header.tensors.insert(name, info);
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
