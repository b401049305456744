//! Peak memory while reading hostile files stays within a constant factor of the file.
//!
//! One test only: the counter is global to the process.

mod common;

use drift_onnx::pb::{GraphProto, ModelProto, TensorProto};
use drift_onnx::{ElemType, Model};
use peak_alloc::PeakAlloc;
use prost::Message;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Peak bytes that reading takes beyond the file itself.
fn peak(bytes: Vec<u8>) -> usize {
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    let result = Model::from_bytes(bytes, None);
    let peak = PEAK.peak_usage();
    drop(result);
    peak.saturating_sub(before)
}

/// A file whose graph repeats one field.
fn repeated(field: &[u8], count: usize) -> Vec<u8> {
    let body = field.repeat(count);
    let mut bytes = vec![8, 8, 0x3a];
    prost::encoding::encode_varint(body.len() as u64, &mut bytes);
    bytes.extend(body);
    bytes
}

fn lying(dims: Vec<i64>, dtype: ElemType) -> Vec<u8> {
    let tensor = TensorProto {
        name: "w".into(),
        dims,
        data_type: dtype.code(),
        raw_data: Some(vec![0; 16].into()),
        ..Default::default()
    };
    let graph = GraphProto { initializer: vec![tensor], ..Default::default() };
    ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() }.encode_to_vec()
}

#[test]
fn memory_is_bounded_by_the_file() {
    let mut big = common::small_cnn().to_proto();
    big.graph.as_mut().unwrap().initializer[0].raw_data = Some(vec![1; 8 << 20].into());
    big.graph.as_mut().unwrap().initializer[0].dims = vec![2 << 20];
    let cases = [
        ("empty nodes", repeated(&[0x0a, 0], 500_000)),
        ("empty tensors", repeated(&[0x2a, 0], 500_000)),
        ("empty inputs", repeated(&[0x5a, 0], 500_000)),
        ("empty attributes", repeated(&[0x0a, 2, 0x2a, 0], 300_000)),
        ("small nodes", repeated(b"\x0a\x05\x12\x00\x22\x01a", 200_000)),
        ("omitted operands", repeated(b"\x0a\x0d\x0a\0\x0a\0\x0a\0\x0a\0\x0a\0\x22\x01a", 60_000)),
        ("2^40 elements", lying(vec![1 << 40], ElemType::F32)),
        ("2^40 strings", lying(vec![1 << 40], ElemType::String)),
        ("overflow", lying(vec![1 << 40, 1 << 40], ElemType::I8)),
        ("many dims", lying(vec![1; 100_000], ElemType::F32)),
    ];
    for (name, bytes) in cases {
        let len = bytes.len();
        let peak = peak(bytes);
        println!("{name}: file {len}, peak {peak}");
        assert!(peak <= (1 << 20) + 64 * len, "{name}: {peak} bytes for a file of {len}");
    }
    // Raw data is not copied at all.
    let bytes = big.encode_to_vec();
    let peak = peak(bytes);
    assert!(peak < 100_000, "{peak} bytes to read a model of 8 MiB");
}
