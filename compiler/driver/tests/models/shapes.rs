//! Real models by their names and shapes: every stored tensor is read, in its shape.

use crate::common::shared;
use drift_driver::models::{Config, Options, Quantize, describe, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

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

/// Graphs of a model of true size are built without reading its weights: the file has holes for
/// data.
#[test]
fn a_model_of_true_size_is_built_from_a_hollow_checkpoint() {
    let Some((config, tensors)) = model("llama-3.1-8b", "LlamaForCausalLM") else { return };
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

    let checkpoint = open(folder.path()).unwrap();
    assert_eq!(checkpoint.store.total_bytes(), 16_060_522_496);
    for quantize in ["none", "q8", "8/4/4", "q4"] {
        let quantize = Quantize::parse(quantize).unwrap();
        let options = Options { quantize, ..Options::default() };
        let module = checkpoint.module(&options).unwrap();
        let names: Vec<&str> = module.entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["decode", "prefill", "prefill_128", "prefill_16", "head"]);
        // embedding, last row, last norm, head, sample; per layer 2 norms, 4 products, attention
        // and 2 additions
        assert_eq!(module.entries[0].1.node_count(), 5 + 32 * 9);
    }
}
