#![no_main]

use bytes::Bytes;
use drift_onnx::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Model::from_bytes(Bytes::copy_from_slice(bytes), None);
});
