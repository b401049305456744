//! Limits of the real device: a tensor larger than one binding may span.

use drift_conformance::language::{
    Reference, begin, error, generator, graphs, ids_of, json, logits,
};
use drift_conformance::network::{self, Precision};
use drift_conformance::{gpu, shared};
use drift_driver::models::{KvCache, Options, Quantize};
use drift_driver::target::TargetSpec;
use drift_driver::{Compiled, Stage, pipeline};
use drift_onnx::builder::ModelBuilder;
use drift_onnx::{ElemType, Tensor};
use drift_runtime::plan::{Bind, Plan, Step};
use drift_runtime::{Device, TensorRef};
use std::path::Path;
use std::time::Instant;

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
    // its largest intermediates have 147,456 bytes
    let spec = limited(&device, 64 << 10);
    let shapes = network.input_shapes(0);
    let options = network::options(shapes, Precision::F32, vec![spec], Stage::Package);
    let compiled = network::compile(&network, &options).unwrap_or_else(|e| panic!("{e}"));
    let session = network::load(&device, &compiled).unwrap_or_else(|e| panic!("{e}"));
    let mut loaded = drift_conformance::Loaded { compiled, session };
    let case = network.case(0);
    let lines = loaded.check(&network, &case, Precision::F32).unwrap_or_else(|e| panic!("{e}"));
    assert!(!lines.is_empty());
    check_bindings(loaded.session.plan(), 64 << 10);
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}

/// The target of a device, with bindings of at most `bytes`.
fn limited(device: &Device, bytes: u64) -> TargetSpec {
    let mut spec = network::targets(&[network::target_for(device)]).remove(0);
    spec.caps.limits.storage_range_bytes = bytes;
    spec
}

/// No dispatch binds more bytes at once, or more buffers than WebGPU guarantees.
fn check_bindings(plan: &Plan, limit: u64) {
    for step in plan.entry_points.iter().flat_map(|e| &e.steps) {
        let Step::Dispatch { binds, label, .. } = step else { continue };
        let label = &plan.labels[*label as usize];
        assert!(binds.len() <= 8, "{label} has {} bindings", binds.len());
        for bind in binds {
            let Bind::Buffer { bytes, .. } = bind else { continue };
            assert!(*bytes <= limit, "{label} binds {bytes} bytes");
        }
    }
}

/// Dispatches of an entry point whose label has `part`.
fn dispatches(compiled: &Compiled, entry: &str, part: &str) -> usize {
    let plan = &compiled.variants[0].planned.as_ref().expect("planned").plan;
    let entry = plan.entry_points.iter().find(|e| e.name == entry).expect("an entry point");
    let labels = entry.steps.iter().filter_map(|s| match s {
        Step::Dispatch { label, .. } => Some(&plan.labels[*label as usize]),
        _ => None,
    });
    labels.filter(|l| l.contains(part)).count()
}

/// A trained language model whose tied head and embedding table have 16 times the bytes of a
/// binding, and its feed-forward matrices six times: prefill, decode steps and the head by itself.
#[test]
fn a_vocabulary_in_small_bindings() {
    const LIMIT: u64 = 12 << 10;
    let Some(device) = gpu::device() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tales");
    let answers = json(&folder.join("greedy_f64.json"));
    let (prompt, told) = (ids_of(&answers[0]["prompt_ids"]), ids_of(&answers[0]["greedy_ids"]));
    let ids: Vec<u32> = prompt.iter().chain(&told).take(24).copied().collect();
    for (scheme, parts) in [("f32", 16), ("q8", 4), ("f16", 8)] {
        if scheme == "f16" && !gpu::full() {
            println!("skipped: {scheme} without DRIFT_FULL=1");
            continue;
        }
        let o = Options {
            context: Some(64),
            chunk: 16,
            kv_cache: KvCache::F32,
            precision: Precision::F32,
            quantize: Quantize::parse(scheme).expect("a scheme"),
        };
        let targets = vec![limited(&device, LIMIT)];
        let options = network::options(Vec::new(), Precision::F32, targets, Stage::Package);
        let module = graphs(&folder, &o);
        let compiled =
            pipeline::compile_module(module, &options, Instant::now(), &mut |_, _, _| {})
                .unwrap_or_else(|e| panic!("{scheme}: {e}"));
        let plan = &compiled.variants[0].planned.as_ref().expect("planned").plan;
        check_bindings(plan, LIMIT);
        for (entry, part) in [("decode", "head"), ("head", "head"), ("decode", "embedding")] {
            let n = dispatches(&compiled, entry, part);
            assert!(n >= parts, "{scheme}: {n} dispatches of {part} in {entry}");
        }
        let want = Reference::new(&folder, &o).logits(&ids);
        let mut g = generator(&device, &compiled);
        for prefilled in [20, 0] {
            let got = logits(&mut g, &ids, prefilled).unwrap_or_else(|e| panic!("{scheme}: {e}"));
            let e = error(&got, &want);
            println!("{scheme}, {prefilled} by prefill: error {e:.1e}");
            assert!(e <= 5e-5, "{scheme}, {prefilled} by prefill: {e:.2e}");
        }
        if scheme == "f32" {
            begin(&mut g, prompt.len())
                .and_then(|()| g.prefill(&prompt))
                .unwrap_or_else(|e| panic!("{e}"));
            let more = g.decode(20).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(more, told[..20]);
        }
    }
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}

/// `x = table[ids]`, `y = relu(x W)` of an ONNX model, with a table of 26 bindings and a matrix of 7.
#[test]
fn a_table_and_a_matrix_in_small_bindings() {
    const LIMIT: u64 = 12 << 10;
    const ROWS: usize = 610;
    const WIDTH: usize = 128;
    const COLUMNS: usize = 150;
    let Some(device) = gpu::device() else { return };
    let f32s = |shape: &[u64], v: &[f32]| Tensor::from_f32(shape, v).expect("a tensor");
    let table: Vec<f32> = (0..ROWS * WIDTH).map(|i| (i % 17) as f32 - 8.0).collect();
    let matrix: Vec<f32> = (0..WIDTH * COLUMNS).map(|i| (i % 13) as f32 - 6.0).collect();
    let model = ModelBuilder::new(17)
        .input("ids", ElemType::I64, &[2, 10])
        .initializer("table", f32s(&[ROWS as u64, WIDTH as u64], &table))
        .initializer("matrix", f32s(&[WIDTH as u64, COLUMNS as u64], &matrix))
        .node("Gather", &["table", "ids"], &["x"], &[])
        .node("MatMul", &["x", "matrix"], &["z"], &[])
        .node("Relu", &["z"], &["y"], &[])
        .output("x", ElemType::F32, &[2, 10, WIDTH as i64])
        .output("y", ElemType::F32, &[2, 10, COLUMNS as i64])
        .build()
        .unwrap_or_else(|e| panic!("{e}"));
    let targets = vec![limited(&device, LIMIT)];
    let options = network::options(Vec::new(), Precision::F32, targets, Stage::Package);
    let compiled =
        pipeline::compile(&model, &options, &mut |_, _, _| {}).unwrap_or_else(|e| panic!("{e}"));
    let mut session = network::load(&device, &compiled).unwrap_or_else(|e| panic!("{e}"));
    check_bindings(session.plan(), LIMIT);
    for (kernel, least) in [("gather", 26), ("linear", 7)] {
        let n = dispatches(&compiled, "main", kernel);
        assert!(n >= least, "{n} dispatches of {kernel}");
    }
    let edges = [0, 609, -1, 300, 41, 42, 43, -610, 511, 512];
    let ids: Vec<i64> = edges.into_iter().chain(100..110).collect();
    let y = session.run(&[("ids", (&ids).into())]).unwrap_or_else(|e| panic!("{e}"));
    let (x, y) = (y["x"].to_f32(), y["y"].to_f32());
    for (i, id) in ids.iter().enumerate() {
        let row = &table[id.rem_euclid(ROWS as i64) as usize * WIDTH..][..WIDTH];
        assert_eq!(&x[i * WIDTH..][..WIDTH], row, "row {i}");
        for c in 0..COLUMNS {
            let sum: f32 = (0..WIDTH).map(|k| row[k] * matrix[k * COLUMNS + c]).sum();
            // sums of small integers are exact
            assert_eq!(y[i * COLUMNS + c], sum.max(0.0), "row {i}, column {c}");
        }
    }
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}
