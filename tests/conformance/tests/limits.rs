//! Limits of the real device: a tensor larger than one binding may span.

use drift_conformance::network::{self, Precision};
use drift_conformance::{gpu, shared};
use drift_driver::{Stage, pipeline};
use drift_onnx::builder::ModelBuilder;
use drift_onnx::{ElemType, Tensor};
use drift_runtime::TensorRef;
use drift_runtime::plan::{Bind, Step};

/// `y = relu(x + r)`, where x and y are larger than a binding and r is one row of them.
#[test]
fn a_tensor_larger_than_a_binding() {
    let Some(device) = gpu::device() else { return };
    let limit = device.capabilities().limits.storage_range_bytes;
    const COLUMNS: u64 = 4096;
    let rows = limit / 4 / COLUMNS + 100;
    if limit > 256 << 20 {
        println!("skipped: this device binds {limit} bytes at once");
        return;
    }
    let row: Vec<f32> = (0..COLUMNS).map(|i| (i % 7) as f32 - 3.0).collect();
    let shape = [rows as i64, COLUMNS as i64];
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &shape)
        .initializer("r", Tensor::from_f32(&[COLUMNS], &row).expect("a row"))
        .node("Add", &["x", "r"], &["a"], &[])
        .node("Relu", &["a"], &["y"], &[])
        .output("y", ElemType::F32, &shape)
        .build()
        .unwrap_or_else(|e| panic!("{e}"));
    let targets = network::targets(&[network::target_for(&device)]);
    let options = network::options(Vec::new(), Precision::F32, targets, Stage::Package);
    let compiled =
        pipeline::compile(&model, &options, &mut |_, _, _| {}).unwrap_or_else(|e| panic!("{e}"));
    let mut session = network::load(&device, &compiled).unwrap_or_else(|e| panic!("{e}"));
    for step in &session.plan().entry_points[0].steps {
        let Step::Dispatch { binds, .. } = step else { continue };
        assert!(binds.len() >= 4, "x and y take two bindings each: {binds:?}");
        for bind in binds {
            let Bind::Buffer { bytes, .. } = bind else { continue };
            assert!(*bytes <= limit, "{bind:?}");
        }
    }
    let value = |i: u64| ((i % 1021) as f32 - 500.0) / 16.0;
    let x: Vec<f32> = (0..rows * COLUMNS).map(value).collect();
    let input = TensorRef::from(&x);
    let y = session.run(&[("x", input)]).unwrap_or_else(|e| panic!("{e}"));
    for (i, y) in y["y"].bytes.as_chunks::<4>().0.iter().enumerate() {
        let want = (x[i] + row[i % COLUMNS as usize]).max(0.0);
        assert_eq!(f32::from_le_bytes(*y), want, "element {i}");
    }
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}

/// A network whose tensors and weights are cut into bindings of 64 KiB.
#[test]
fn a_network_in_small_bindings() {
    let (Some(network), Some(device)) = (shared::network("mlperf_tiny_vww"), gpu::device()) else {
        return;
    };
    let mut spec = network::targets(&[network::target_for(&device)]).remove(0);
    // its largest intermediates have 147,456 bytes
    spec.caps.limits.storage_range_bytes = 64 << 10;
    let shapes = network.input_shapes(0);
    let options = network::options(shapes, Precision::F32, vec![spec], Stage::Package);
    let compiled = network::compile(&network, &options).unwrap_or_else(|e| panic!("{e}"));
    let session = network::load(&device, &compiled).unwrap_or_else(|e| panic!("{e}"));
    let mut loaded = drift_conformance::Loaded { compiled, session };
    let case = network.case(0);
    let lines = loaded.check(&network, &case, Precision::F32).unwrap_or_else(|e| panic!("{e}"));
    assert!(!lines.is_empty());
    let largest = loaded.session.plan().entry_points[0].steps.iter().flat_map(|s| match s {
        Step::Dispatch { binds, .. } => binds.clone(),
        _ => Vec::new(),
    });
    let largest = largest.map(|b| if let Bind::Buffer { bytes, .. } = b { bytes } else { 0 }).max();
    assert!(largest.is_some_and(|b| b <= 64 << 10), "{largest:?}");
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}
