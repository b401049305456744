//! Recognizes files that are given by mistake, from their first bytes.

use crate::error::OnnxError;

const CONVERT_TORCH: &str = "export it with torch.onnx.export(model, args, \"model.onnx\")";
const CONVERT_TF: &str = "convert it: python -m tf2onnx.convert --help";
const DOWNLOAD: &str =
    "the download link led to a page instead of the file: use the `raw` or `resolve` link";
const UNPACK: &str = "unpack it first and give the .onnx file inside";

/// `Err` when the bytes are surely of another format; `Ok` says nothing.
pub(crate) fn sniff(bytes: &[u8]) -> Result<(), OnnxError> {
    let Some((what, help)) = foreign(bytes) else { return Ok(()) };
    Err(OnnxError::NotOnnx { what, help })
}

fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at = |offset: usize, magic: &[u8]| {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    if bytes.is_empty() {
        return Some(("an empty file", "the export or download did not finish: repeat it"));
    }
    if bytes.iter().take(64).all(|b| *b == 0) {
        return Some(("a file of zeros", "the download or copy did not finish: repeat it"));
    }
    if starts(b"version https://git-lfs") {
        return Some(("a Git LFS pointer to a model", "fetch the file itself: git lfs pull"));
    }
    if starts(&[0x1f, 0x8b]) {
        return Some(("a gzip archive", UNPACK));
    }
    if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some(("a zstd archive", UNPACK));
    }
    if starts(b"\xfd7zXZ\0") || starts(b"7z\xbc\xaf\x27\x1c") || starts(b"BZh") {
        return Some(("a compressed archive", UNPACK));
    }
    if at(257, b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    if starts(b"PK\x03\x04") {
        // PyTorch archives begin with `<name>/data.pkl` or `<name>/version`.
        let head = &bytes[..bytes.len().min(128)];
        let torch = [&b"data.pkl"[..], b"/version", b"/byteorder", b".format_version"]
            .iter()
            .any(|needle| head.windows(needle.len()).any(|w| w == *needle));
        return Some(if torch {
            ("a PyTorch checkpoint (.pt, .pth)", CONVERT_TORCH)
        } else {
            ("a zip archive (or a PyTorch, Keras or Core ML file)", UNPACK)
        });
    }
    if starts(&[0x80, 2, b'}']) || starts(&[0x80, 2, b'c']) || starts(&[0x80, 2, 0x8a]) {
        return Some(("a Python pickle, probably an old PyTorch checkpoint", CONVERT_TORCH));
    }
    if at(4, b"TFL3") {
        return Some((
            "a TensorFlow Lite model",
            "convert it: python -m tf2onnx.convert --tflite model.tflite --output model.onnx",
        ));
    }
    if at(4, b"ORTM") {
        return Some(("an ONNX Runtime .ort file", "give the .onnx file it was made from"));
    }
    if starts(b"\x89HDF\r\n") {
        return Some(("a Keras HDF5 file", CONVERT_TF));
    }
    if starts(b"GGUF") {
        return Some(("a GGUF file", "give the safetensors checkpoint it was made from"));
    }
    if starts(b"\x93NUMPY") {
        return Some(("a NumPy array", "give the model; arrays are inputs of a run"));
    }
    if starts(b"\x89DRFT") {
        return Some(("a compiled .drift bundle", "it needs no compiling: inspect or run it"));
    }
    if safetensors(bytes) {
        return Some((
            "a safetensors checkpoint: weights without a graph",
            "give the folder that holds it and config.json",
        ));
    }
    if bytes[0] == 0x0a && bytes.len() > 2 {
        // Field 1 as text or message: ModelProto's field 1 is a number.
        return Some((
            "another protobuf message, such as a TensorFlow GraphDef (.pb) or a bare ONNX graph",
            CONVERT_TF,
        ));
    }
    let text = bytes.trim_ascii_start();
    let starts_text =
        |tag: &[u8]| text.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    if starts_text(b"<!doctype") || starts_text(b"<html") || starts_text(b"<head") {
        return Some(("a web page (HTML)", DOWNLOAD));
    }
    if starts_text(b"<?xml") || starts_text(b"<net") {
        return Some(("XML: an error page, or an OpenVINO network", DOWNLOAD));
    }
    if starts_text(b"{\"") || starts_text(b"{\n") || starts_text(b"{ ") {
        return Some(("JSON text", DOWNLOAD));
    }
    None
}

/// 8 bytes of header length, then that much JSON.
fn safetensors(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let len = u64::from_le_bytes(*len);
    len >= 2 && len <= rest.len() as u64 && rest[0] == b'{'
}
