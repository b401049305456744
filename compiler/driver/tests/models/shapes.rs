//! Real models by their names and shapes: every stored tensor is read, in its shape.

use crate::common::shared;
use drift_bundle::plan::{Bind, ObjectKind, Step};
use drift_driver::dims::DimBindings;
use drift_driver::memory::Strategy;
use drift_driver::models::{Config, Options, Quantize, describe, open};
use drift_driver::target::{self, Precision};
use drift_driver::{Calibration, CompileOptions, Stage, pipeline};
use drift_ir::Def;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const MODELS: [(&str, &str); 10] = [
    ("llama-3.1-8b", "LlamaForCausalLM"),
    ("llama-3.2-1b", "LlamaForCausalLM"),
    ("llama-3.2-3b", "LlamaForCausalLM"),
    ("smollm2-135m", "LlamaForCausalLM"),
    ("gemma-2b", "GemmaForCausalLM"),
    ("gemma-2-2b", "Gemma2ForCausalLM"),
    ("gemma-3-1b_UNVERIFIED", "Gemma3ForCausalLM"),
    ("qwen2.5-0.5b", "Qwen2ForCausalLM"),
    ("qwen3-0.6b_UNVERIFIED", "Qwen3ForCausalLM"),
    ("phi-3-mini-4k", "Phi3ForCausalLM"),
];

fn model(name: &str, architecture: &str) -> Option<(Value, BTreeMap<String, Vec<usize>>)> {
    let folder = shared("shapes_of_real_models")?;
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let model: Value = serde_json::from_str(&text).unwrap();
    let mut config = model["config"].clone();
    config["architectures"] = json!([architecture]);
    let dims = |v: &Value| -> Vec<usize> {
        v.as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
    };
    let tensors = model["tensors"].as_object().unwrap().iter();
    Some((config, tensors.map(|(name, shape)| (name.clone(), dims(shape))).collect()))
}

#[test]
fn names_and_shapes_of_real_models() {
    for (name, architecture) in MODELS {
        let Some((config, tensors)) = model(name, architecture) else { return };
        let config = Config::parse(Path::new(name), &config.to_string()).unwrap();
        let decoder = describe(&config, &|tensor| tensors.contains_key(tensor)).unwrap();
        let read: BTreeMap<String, Vec<usize>> =
            decoder.tensors().into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
        assert_eq!(read, tensors, "{name}");
    }
}

/// A checkpoint of true size whose file has holes for data.
fn hollow(config: &Value, tensors: &BTreeMap<String, Vec<usize>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let mut at = 0;
    let entries: serde_json::Map<String, Value> = tensors
        .iter()
        .map(|(name, shape)| {
            let start = at;
            at += 2 * shape.iter().product::<usize>();
            let entry = json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, at]});
            (name.clone(), entry)
        })
        .collect();
    let header = Value::Object(entries).to_string();
    let mut file = std::fs::File::create(folder.path().join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + at) as u64).unwrap();
    folder
}

/// Graphs of a model of true size are built without reading its matrices.
#[test]
fn a_model_of_true_size_is_built() {
    let Some((config, tensors)) = model("llama-3.1-8b", "LlamaForCausalLM") else { return };
    let folder = hollow(&config, &tensors);
    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.store.total_bytes(), 16_060_522_496);
    for quantize in ["none", "q8", "8/4/4", "q4"] {
        let quantize = Quantize::parse(quantize).unwrap();
        let options = Options { quantize, ..Options::default() };
        let module = checkpoint.module(&options).unwrap();
        let names: Vec<&str> = module.entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["decode", "prefill", "prefill_128", "prefill_16", "head"]);
        // embedding, last norm, head, sample; per layer 2 norms, 4 products, attention and 2
        // additions
        assert_eq!(module.entries[0].1.node_count(), 4 + 32 * 9);
    }
}

/// A matrix of 525 MB passes through little memory on its way into a bundle.
#[test]
fn weights_are_streamed() {
    let Some((config, tensors)) = model("llama-3.2-1b", "LlamaForCausalLM") else { return };
    let folder = hollow(&config, &tensors);
    let module = open(folder.path()).unwrap().module(&Options::default()).unwrap();
    let graph = &module.entries[0].1;
    let embedding = graph
        .value_ids()
        .find_map(|id| match &graph.value(id).def {
            Def::Lazy(lazy) if graph.value(id).name == "embedding.weight" => Some(lazy.clone()),
            _ => None,
        })
        .unwrap();
    let mut out = Watched { bytes: 0, most: 0 };
    let before = resident();
    embedding.write(&mut out).unwrap();
    assert_eq!(out.bytes, 2 * 128_256 * 2048);
    if let Some(before) = before {
        let most = out.most.saturating_sub(before);
        println!("{} MB more in memory at most", most >> 20);
        assert!(most < 128 << 20, "{most} bytes more in memory");
    }
}

/// Counts what is written and looks at the memory of this process.
struct Watched {
    bytes: usize,
    most: usize,
}

impl Write for Watched {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.bytes += data.len();
        self.most = self.most.max(resident().unwrap_or(0));
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes of this process in memory, mapped files included, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

/// Heads and embedding tables of more bytes than eight bindings of WebGPU's guaranteed 128 MiB:
/// several dispatches, each with one binding of weights, on buffers that such devices have.
#[test]
fn large_vocabularies_within_the_limits_of_webgpu() {
    let spec = &target::resolve(&["webgpu-generic".to_owned()]).unwrap()[0];
    let modern = &target::resolve(&["nvidia-h200:vulkan".to_owned()]).unwrap()[0];
    let (range, buffer) = (spec.caps.limits.storage_range_bytes, spec.caps.limits.buffer_bytes);
    for (name, architecture, precision, least) in [
        // 256,000 x 2304 in f16 and f32
        ("gemma-2-2b", "Gemma2ForCausalLM", Precision::Mixed, 9),
        ("gemma-2b", "GemmaForCausalLM", Precision::Mixed, 8),
        ("gemma-3-1b_UNVERIFIED", "Gemma3ForCausalLM", Precision::F32, 9),
    ] {
        let Some((config, tensors)) = model(name, architecture) else { return };
        let folder = hollow(&config, &tensors);
        let checkpoint = open(folder.path()).unwrap();
        let options = Options { precision, context: Some(1024), ..Options::default() };
        let mut module = checkpoint.module(&options).unwrap();
        module
            .entries
            .retain(|(name, _)| ["decode", "prefill_16", "head"].contains(&name.as_str()));
        // one of them also for a device that reads matrices at once
        let beside = (name == "gemma-2b").then_some(modern);
        let options = CompileOptions {
            bindings: DimBindings { dims: BTreeMap::new(), shapes: BTreeMap::new() },
            precision,
            disabled: Vec::new(),
            bisect_limit: None,
            quantize: None,
            calibration: Calibration::None,
            memory: Strategy::default(),
            targets: [spec].into_iter().chain(beside).cloned().collect(),
            stop_after: Stage::Emit,
        };
        let start = Instant::now();
        let compiled =
            pipeline::compile_module(module, &options, start, &mut |_, _, _| {}).unwrap();
        let bytes = if precision == Precision::F32 { 4 } else { 2 };
        let once = checkpoint.store.total_bytes() / 2 * bytes;
        let stored = compiled.weights.bytes();
        assert!(
            stored < once + once / 50,
            "{name}: {stored} bytes of weights, {once} in the model"
        );
        let plan = &compiled.variants[0].planned.as_ref().unwrap().plan;
        for object in &plan.objects {
            let ObjectKind::Buffer { bytes } = object.kind else { continue };
            assert!(bytes <= buffer, "{name}: an object of {bytes} bytes");
        }
        for entry in &plan.entry_points {
            let dispatches = entry.steps.iter().filter_map(|s| match s {
                Step::Dispatch { binds, label, .. } => Some((binds, &plan.labels[*label as usize])),
                _ => None,
            });
            let mut large = 0;
            for (binds, label) in dispatches {
                for bind in binds {
                    let Bind::Buffer { bytes, .. } = bind else { continue };
                    assert!(*bytes <= range, "{label}: a binding of {bytes} bytes");
                    large += usize::from(*bytes > 64 << 20);
                }
            }
            // once as a head, and once as a table of what goes in
            let least = if entry.name == "head" { least } else { 2 * least };
            assert!(large >= least, "{name}, {}: {large} large bindings", entry.name);
        }
    }
}
