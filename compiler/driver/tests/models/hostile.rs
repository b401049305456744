//! Folders that are wrong: each gets an error that names the file, the key or the tensor, and the
//! way out.

use drift_driver::ErrorKind;
use drift_driver::models::{Config, Options, describe, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 64, "tie_word_embeddings": true,
    })
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

/// What `describe` says about a configuration.
fn refused(config: &Value) -> (ErrorKind, String) {
    let config = Config::parse(Path::new("config.json"), &config.to_string()).unwrap();
    let e = describe(&config, &|_| true).expect_err("must be refused");
    (e.kind, format!("{}; {}", e.message, e.help.unwrap_or_default()))
}

#[test]
fn configurations() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    let cases = [
        ("num_attention_heads", json!(0), "`num_attention_heads` is 0, expected a whole number"),
        ("num_attention_heads", json!(-2), "`num_attention_heads` is -2"),
        ("num_attention_heads", json!("two"), "`num_attention_heads` is \"two\""),
        ("num_attention_heads", json!(3), "(3) does not divide hidden_size (4)"),
        ("num_key_value_heads", json!(3), "(3) does not divide num_attention_heads (2)"),
        ("num_hidden_layers", json!(1 << 20), "more than 1024"),
        ("hidden_size", json!(1u64 << 60), "expected a whole number from 1 to 2^24"),
        ("hidden_size", json!(1e300), "expected a whole number"),
        ("vocab_size", json!(1.5), "expected a whole number"),
        ("head_dim", json!(3), "`head_dim` (3) is too small to rotate pairs"),
        ("head_dim", json!(1 << 20), "more than 1024"),
        ("rms_norm_eps", json!(0), "`rms_norm_eps` is 0, expected a number above 0"),
        ("rope_theta", json!(-1), "`rope_theta` is -1"),
        ("rope_theta", json!(1), "`rope_theta` must be above 1"),
        ("rope_scaling", json!(7), "`rope_scaling` is 7, expected an object"),
        ("rope_scaling", json!({"rope_type": "magic"}), "rope type `magic` is not supported"),
        ("rope_scaling", json!({"type": "linear"}), "`rope_scaling.factor` is missing"),
        ("rope_scaling", llama3, "must be above low_freq_factor"),
        (
            "rope_scaling",
            json!({"type": "longrope", "short_factor": [1, 2, 3], "long_factor": [1]}),
            "`rope_scaling.short_factor` has 3 numbers, 1 pairs are rotated",
        ),
        ("hidden_act", json!("snake"), "the activation `snake` (hidden_act) is not supported"),
        ("architectures", json!(["MambaForCausalLM"]), "supported architectures: LlamaForCausalLM"),
        ("architectures", json!([]), "`architectures` is missing"),
        ("architectures", json!([1]), "expected a list of strings"),
        (
            "quantization_config",
            json!({"quant_method": "gptq", "bits": 4}),
            "quantized already, by gptq; give the original",
        ),
        ("quantization_config", json!({"load_in_4bit": true}), "by bitsandbytes"),
    ];
    for (key, value, expected) in cases {
        let (_, message) = refused(&with(llama(), key, value.clone()));
        assert!(message.contains(expected), "{key} = {value}: {message}");
    }
    let (kind, _) = refused(&with(llama(), "architectures", json!(["MambaForCausalLM"])));
    assert_eq!(kind, ErrorKind::Unsupported);
}

#[test]
fn configurations_of_other_families() {
    let named = |name: &str| with(llama(), "architectures", json!([name]));
    let qwen = with(named("Qwen2ForCausalLM"), "use_sliding_window", json!(true));
    let cases = [
        (with(named("GemmaForCausalLM"), "use_bidirectional_attention", json!(true)), "only false"),
        (with(qwen, "layer_types", json!(["chunked_attention"])), "`chunked_attention`"),
        (with(named("SmolLM3ForCausalLM"), "no_rope_layers", json!([])), "names 0 layers of 1"),
        (with(named("SmolLM3ForCausalLM"), "no_rope_layers", json!([7])), "a list of 0 and 1"),
        (with(named("Gemma2ForCausalLM"), "query_pre_attn_scalar", json!(0)), "above 0"),
        (named("Gemma3ForConditionalGeneration"), "`text_config` is missing"),
        (with(named("GPT2LMHeadModel"), "n_head", json!(7)), "(7) does not divide n_embd (768)"),
    ];
    for (config, expected) in cases {
        let (_, message) = refused(&config);
        assert!(message.contains(expected), "{config}: {message}");
    }
}

/// Zeros of the shapes that the Llama above needs, and whatever is changed.
struct Folder {
    dir: tempfile::TempDir,
    config: Value,
    tensors: BTreeMap<String, (&'static str, Vec<usize>)>,
}

impl Folder {
    fn new() -> Folder {
        let config = llama();
        let parsed = Config::parse(Path::new("config.json"), &config.to_string()).unwrap();
        let decoder = describe(&parsed, &|_| true).unwrap();
        let tensors = decoder.tensors().into_iter();
        let tensors = tensors.map(|(name, shape)| (name.to_owned(), ("F32", shape))).collect();
        Folder { dir: tempfile::tempdir().unwrap(), config, tensors }
    }

    fn write(&self) -> &Path {
        let mut at = 0;
        let mut entries = serde_json::Map::new();
        for (name, (dtype, shape)) in &self.tensors {
            let bytes = if *dtype == "F32" { 4 } else { 1 };
            let start = at;
            at += bytes * shape.iter().product::<usize>();
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, at]});
            entries.insert(name.clone(), entry);
        }
        let header = Value::Object(entries).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + at, 0);
        std::fs::write(self.dir.path().join("model.safetensors"), file).unwrap();
        std::fs::write(self.dir.path().join("config.json"), self.config.to_string()).unwrap();
        self.dir.path()
    }

    fn refused(&self, expected: &str) {
        let e = open(self.write()).expect_err(expected);
        let message = format!("{}; {}", e.message, e.help.unwrap_or_default());
        assert!(message.contains(expected), "expected `{expected}`: {message}");
    }
}

const QUERY: &str = "model.layers.0.self_attn.q_proj.weight";

#[test]
fn checkpoints() {
    let checkpoint = open(Folder::new().write()).unwrap();
    assert!(checkpoint.notes.is_empty(), "{:?}", checkpoint.notes);

    let mut f = Folder::new();
    f.tensors.remove(QUERY);
    f.refused(
        "lacks 1 of 11 tensors of this Llama model: model.layers.0.self_attn.q_proj.weight [4, 4]",
    );
    f.tensors.insert("model.layers.0.self_attn.q_proj.qweight".into(), ("U8", vec![4]));
    f.refused("an adapter or a quantized checkpoint");

    let mut f = Folder::new();
    f.tensors.insert(QUERY.into(), ("F32", vec![4, 5]));
    f.refused("has shape [4, 5], but config.json makes it [4, 4]");
    f.tensors.insert(QUERY.into(), ("I8", vec![4, 4]));
    f.refused("is stored as i8: the checkpoint is quantized already");

    let mut f = Folder::new();
    f.tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), ("F32", vec![4]));
    f.refused("has a tensor `model.layers.0.self_attn.q_proj.bias`, which a Llama model");

    // what old versions saved, a copy of the tied head, and other parts of a larger model
    let mut f = Folder::new();
    f.tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), ("F32", vec![1]));
    f.tensors.insert("lm_head.weight".into(), ("F32", vec![8, 4]));
    f.tensors.insert("vision.patches".into(), ("F32", vec![2]));
    let notes = open(f.write()).unwrap().notes;
    assert_eq!(notes, ["1 tensors of the checkpoint are not used, the first is vision.patches"]);
}

#[test]
fn folders() {
    let dir = tempfile::tempdir().unwrap();
    let message = |dir: &Path| {
        let e = open(dir).expect_err("must be refused");
        format!("{}; {}", e.message, e.help.unwrap_or_default())
    };
    assert!(message(dir.path()).contains("no config.json is here"));
    std::fs::write(dir.path().join("adapter_config.json"), "{}").unwrap();
    assert!(message(dir.path()).contains("merge it into its model"));
    std::fs::write(dir.path().join("config.json"), "[1]").unwrap();
    assert!(message(dir.path()).contains("a JSON object is expected"));
    std::fs::write(dir.path().join("config.json"), "{\"architectures\": [").unwrap();
    assert!(message(dir.path()).contains("config.json: not valid JSON"));
    std::fs::write(dir.path().join("config.json"), llama().to_string()).unwrap();
    assert!(message(dir.path()).contains("no safetensors file is here"));
}

/// Whether the head is the embedding, when the configuration does not say.
#[test]
fn a_head_is_tied_when_the_checkpoint_has_none() {
    let mut f = Folder::new();
    f.config.as_object_mut().unwrap().remove("tie_word_embeddings");
    assert!(open(f.write()).unwrap().decoder.head.weights.is_none());
    f.tensors.insert("lm_head.weight".into(), ("F32", vec![8, 4]));
    assert!(open(f.write()).unwrap().decoder.head.weights.is_some());
    f.config["tie_word_embeddings"] = json!(false);
    f.tensors.remove("lm_head.weight");
    f.refused("lacks 1 of 12 tensors of this Llama model: lm_head.weight [8, 4]");
}

#[test]
fn contexts() {
    let dynamic = json!({"type": "dynamic", "factor": 2.0});
    let mut f = Folder::new();
    let build = |f: &Folder, options: Options| open(f.write()).unwrap().module(&options);
    let context = |n: usize| Options { context: Some(n), ..Options::default() };
    let module = build(&f, context(100)).unwrap();
    assert!(module.notes[0].contains("longer than the 64 positions"), "{:?}", module.notes);
    assert_eq!(
        module.entries.iter().map(|e| e.0.as_str()).collect::<Vec<_>>(),
        ["decode", "prefill", "prefill_16", "head"]
    );
    assert!(build(&f, context(0)).unwrap_err().message.contains("a context of 0 tokens"));
    assert!(build(&f, context(1 << 40)).is_err());
    f.config["rope_scaling"] = dynamic;
    assert!(build(&f, context(64)).is_ok());
    let e = build(&f, context(65)).unwrap_err();
    assert!(e.message.contains("changes with the length"), "{}", e.message);
    assert_eq!(e.help.as_deref(), Some("give --context 64 or less"));
}

/// Whatever stands under any key of a real configuration, it is understood or refused: no panic, no
/// empty network, no head without elements.
#[test]
fn any_key_may_hold_anything() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(0.5),
        json!(1e300),
        json!(u64::MAX),
        json!((1 << 24) - 1),
        json!(""),
        json!("full_attention"),
        json!([]),
        json!([0, 1, "x"]),
        json!(["sliding_attention"]),
        json!({}),
        json!({"rope_type": "yarn", "factor": 1e-300}),
        json!({"rope_type": "longrope", "short_factor": [1e300], "long_factor": [-1]}),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/llm");
    let (mut understood, mut refused) = (0, 0);
    for folder in std::fs::read_dir(root).unwrap() {
        let path = folder.unwrap().path().join("config.json");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let config: Value = serde_json::from_str(&text).unwrap();
        let mut tried = Vec::new();
        for (key, old) in config.as_object().unwrap() {
            tried.extend(values.iter().map(|v| with(config.clone(), key, v.clone())));
            for inner in old.as_object().into_iter().flat_map(|o| o.keys()) {
                tried.extend(values.iter().map(|v| {
                    let mut changed = config.clone();
                    changed[key][inner] = v.clone();
                    changed
                }));
            }
        }
        for config in tried {
            let parsed = Config::parse(&path, &config.to_string()).unwrap();
            let Ok(decoder) = describe(&parsed, &|_| true) else {
                refused += 1;
                continue;
            };
            understood += 1;
            assert!(!decoder.layers.is_empty() && decoder.heads >= decoder.kv_heads, "{config}");
            for (name, shape) in decoder.tensors() {
                let elems = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
                assert!(elems.is_some_and(|n| n > 0), "{config}: {name} {shape:?}");
            }
            for rope in &decoder.ropes {
                assert!(rope.dim <= decoder.head_dim, "{config}");
                // tables are finite
                if let Ok((angles, factor)) = rope.frequencies(64) {
                    let finite = angles.iter().chain([&factor]).all(|v| v.is_finite());
                    assert!(finite, "{config}: {angles:?} {factor}");
                }
            }
        }
    }
    assert!(understood > 1000 && refused > 1000, "{understood} understood, {refused} refused");
}
