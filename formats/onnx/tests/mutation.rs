//! Random damage: the reader answers, whatever the bytes are.

mod common;

use std::sync::OnceLock;

use drift_onnx::{Model, tensor_from_pb, write};
use proptest::prelude::*;

/// Reads and walks everything that a consumer would touch.
fn read(bytes: &[u8]) {
    match Model::from_bytes(bytes.to_vec(), None) {
        Ok(model) => {
            for (_, tensor) in &model.graph.initializers {
                let _ = (tensor.elems(), tensor.to_f32s(), tensor.to_i64s());
            }
            let _ = (model.graph.runtime_inputs().count(), model.graph.total_nodes());
            // What was accepted can be written and is accepted again.
            let again = Model::from_bytes(write::encode(&model), None);
            assert!(again.is_ok(), "{:?}", again.err());
        }
        Err(err) => {
            assert!(!err.to_string().is_empty());
            let _ = (err.help(), err.is_unsupported());
        }
    }
}

fn samples() -> [Vec<u8>; 2] {
    [common::small_cnn().to_bytes(), common::branches_and_function().to_bytes()]
}

/// Models by four exporters, where the shared set is present; without their weights, so that the
/// edits hit names and structure.
fn exported() -> Option<&'static [Vec<u8>]> {
    static SAMPLES: OnceLock<Option<Vec<Vec<u8>>>> = OnceLock::new();
    let skeleton = |path: std::path::PathBuf| {
        let mut model = Model::open(path).unwrap();
        for (_, tensor) in &mut model.graph.initializers {
            if tensor.data.len() > 64 {
                (tensor.dims, tensor.data) = (vec![0], bytes::Bytes::new());
            }
        }
        write::encode(&model)
    };
    let load = || {
        let folder = common::shared_models()?;
        let names =
            ["cls_mnist8", "mlperf_tiny_vww", "audio_silero_vad_16k_op15", "graph_tiny_bert"];
        Some(names.map(|name| skeleton(folder.join(name).join("model.onnx"))).to_vec())
    };
    SAMPLES.get_or_init(load).as_deref()
}

#[test]
fn every_truncation_is_refused_or_sound() {
    for bytes in samples() {
        for len in 0..bytes.len() {
            read(&bytes[..len]);
        }
    }
}

#[test]
fn every_bit_flip_is_refused_or_sound() {
    for bytes in samples() {
        let mut bytes = bytes;
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                read(&bytes);
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn every_byte_at_its_extremes() {
    for bytes in samples() {
        let mut bytes = bytes;
        for at in 0..bytes.len() {
            let old = bytes[at];
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                bytes[at] = value;
                read(&bytes);
            }
            bytes[at] = old;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn several_edits(
        which in 0usize..2,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..8),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, action, value) in edits {
            let at = at.index(bytes.len());
            match action {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + usize::from(value)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        read(&bytes);
    }

    #[test]
    fn exported_models(
        which in 0usize..4,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let Some(samples) = exported() else { return Ok(()) };
        let mut bytes = samples[which].clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
        // Past the first-bytes check: an IR version, then anything.
        read(&[&[8u8, 8][..], &bytes].concat());
        let _ = tensor_from_pb(bytes);
    }
}
