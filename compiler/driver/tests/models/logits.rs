//! Logits at every position against PyTorch transformers in f64: pieces of prefill, then decode,
//! across the edge of every window.

use crate::common::{Session, error, exact, ids, npy, shared};
use drift_ops::fuse::{FuseOptions, canonicalize, fuse};
use std::path::Path;

/// The reference evaluator rounds to f32 between operators; the references are exact. Anything
/// larger than this is a difference in the network.
const TOLERANCE: f64 = 1e-4;

/// Runs `ids`, of which the session knows how many they are, with the first `prefilled` in pieces of at most `chunk` rows, the rest by decode.
fn all_logits(session: &mut Session, ids: &[i64], prefilled: usize, chunk: usize) -> Vec<f64> {
    let mut all = Vec::new();
    session.announce(ids.len());
    for piece in ids[..prefilled].chunks(chunk) {
        all.extend(session.step("prefill", piece, true));
    }
    for id in &ids[prefilled..] {
        all.extend(session.step("decode", &[*id], false));
    }
    all.concat()
}

/// Cases of `refs.json`: ids, expected logits, and the greedy continuation.
fn check(folder: &Path) {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let refs = std::fs::read_to_string(folder.join("refs.json")).unwrap();
    let refs: serde_json::Value = serde_json::from_str(&refs).unwrap();
    for case in refs["cases"].as_array().unwrap() {
        let ids = ids(&folder.join(case["ids"].as_str().unwrap()));
        let (want, shape) = npy(&folder.join(case["logits"].as_str().unwrap()));
        let vocab = *shape.last().unwrap();
        assert_eq!(want.len(), ids.len() * vocab, "{name}");
        // rotations may depend on the length of the text, which is less than either context
        let short = case["context"].as_u64().map_or(64, |n| n as usize);
        // the ring of a small window wraps around within the text
        let pieces = [(ids.len(), 64), (ids.len() * 2 / 3, 7), (0, 7)];
        for (context, (prefilled, chunk)) in
            pieces.map(|p| (64, p)).into_iter().chain((short < 64).then_some((short, pieces[1])))
        {
            let mut session = Session::open(folder, &exact(context, chunk));
            let got = all_logits(&mut session, &ids, prefilled, chunk);
            let e = error(&got, &want);
            println!("{name}: {} ids, {prefilled} prefilled by {chunk}: {e:.2e}", ids.len());
            assert!(e <= TOLERANCE, "{name}: error {e:.2e}, {prefilled} prefilled by {chunk}");
        }
    }
    let number = |v: &serde_json::Value| v.as_i64().unwrap();
    let Some(from) = refs["greedy_from"].as_array() else { return };
    let from: Vec<i64> = from.iter().map(number).collect();
    let want: Vec<i64> = refs["greedy_ids"].as_array().unwrap().iter().map(number).collect();
    let mut session = Session::open(folder, &exact(64, 8));
    session.announce(from.len());
    for piece in from.chunks(8) {
        session.step("prefill", piece, false);
    }
    let mut got = vec![session.sampled()];
    while got.len() < want.len() {
        session.step("decode", &[*got.last().unwrap()], false);
        got.push(session.sampled());
    }
    assert_eq!(got, want, "{name}: greedy tokens");
}

fn check_shared(name: &str) {
    if let Some(folder) = shared(name) {
        check(&folder);
    }
}

#[test]
fn shared_llama3() {
    check_shared("hf_llama3_tiny");
}

#[test]
fn shared_gemma() {
    check_shared("hf_gemma_tiny");
}

#[test]
fn shared_mistral() {
    check_shared("hf_mistral_tiny");
}

#[test]
fn shared_gpt2() {
    check_shared("hf_gpt2_tiny");
}

/// A trained model: logits of a text, of a longer one, and the first greedy tokens.
#[test]
fn shared_stories() {
    let Some(folder) = shared("llm_stories260k_hf") else { return };
    let text = ids(&folder.join("logits_ids.npy"));
    let (want, _) = npy(&folder.join("logits_f64_as_f32.npy"));
    let mut session = Session::open(&folder, &exact(512, 16));
    let e = error(&all_logits(&mut session, &text, 20, 16), &want);
    println!("stories: {e:.2e}");
    assert!(e <= TOLERANCE, "{e:.2e}");

    let long = ids(&folder.join("long_ids.npy"));
    let (want, _) = npy(&folder.join("long_logits_last.npy"));
    let mut session = Session::open(&folder, &exact(512, 128));
    for piece in long.chunks(128) {
        session.step("prefill", piece, false);
    }
    let e = error(&session.logits(), &want);
    println!("stories, 300 tokens: {e:.2e}");
    assert!(e <= TOLERANCE, "{e:.2e}");

    let greedy = std::fs::read_to_string(folder.join("greedy_f64.json")).unwrap();
    let greedy: serde_json::Value = serde_json::from_str(&greedy).unwrap();
    let list = |v: &serde_json::Value| -> Vec<i64> {
        v.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
    };
    let (prompt, want) = (list(&greedy[0]["prompt_ids"]), list(&greedy[0]["greedy_ids"]));
    let mut session = Session::open(&folder, &exact(512, 16));
    session.step("prefill", &prompt, false);
    for want in &want[..40] {
        assert_eq!(session.sampled(), *want);
        session.step("decode", &[*want], false);
    }
}

/// Models made for these tests: every family, with what its configurations can vary.
#[test]
fn conformance_models() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/llm");
    let mut names: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("refs.json").exists())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for folder in names {
        check(&folder);
    }
}

/// Rewrite rules keep what a network computes. The rules are tested by themselves on graphs of their
/// own; here they meet whole decoders.
#[test]
fn fused_graphs_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/llm");
    for name in ["llama_bias", "gemma2", "gemma3", "qwen3", "phi4", "gpt2"] {
        let folder = root.join(name);
        let ids = ids(&folder.join("ids.npy"));
        let (want, _) = npy(&folder.join("logits.npy"));
        let mut module = drift_driver::models::module(&folder, &exact(64, 16)).unwrap();
        for (entry, graph) in &mut module.entries {
            let before = graph.node_count();
            let options = FuseOptions::default();
            let (clean, _) = canonicalize(std::mem::take(graph), &options).unwrap();
            *graph = fuse(clean, &options).unwrap().0;
            println!("{name}: {entry} has {} nodes of {before}", graph.node_count());
        }
        let mut session = Session::of(module);
        let e = error(&all_logits(&mut session, &ids, 32, 16), &want);
        println!("{name}: {e:.2e}");
        assert!(e <= TOLERANCE, "{name}: {e:.2e}");
    }
}

/// The language model inside a model for text and images gives the same logits as alone, under the
/// names of transformers 4 and of 5; what sees images is noted and left.
#[test]
fn gemma3_with_images() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/llm");
    let text = root.join("gemma3");
    let ids = ids(&text.join("ids.npy"));
    let want = all_logits(&mut Session::open(&text, &exact(64, 64)), &ids, ids.len(), 64);
    let config = std::fs::read_to_string(text.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let file = std::fs::read(text.join("model.safetensors")).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    for prefix in ["language_model.model.", "model.language_model."] {
        let folder = tempfile::tempdir().unwrap();
        let mut renamed = serde_json::Map::new();
        for (name, entry) in header.as_object().unwrap() {
            renamed.insert(name.replace("model.", prefix), entry.clone());
        }
        let end = data.len();
        let eye = serde_json::json!({"dtype": "U8", "shape": [4], "data_offsets": [end, end + 4]});
        renamed.insert("vision_tower.embeddings".into(), eye);
        let header = serde_json::Value::Object(renamed).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(data);
        file.extend_from_slice(&[0; 4]);
        std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
        let outer = serde_json::json!({
            "architectures": ["Gemma3ForConditionalGeneration"], "text_config": config,
        });
        std::fs::write(folder.path().join("config.json"), outer.to_string()).unwrap();
        let notes = drift_driver::models::open(folder.path()).unwrap().notes;
        assert!(notes[0].contains("vision_tower.embeddings"), "{notes:?}");
        let mut session = Session::open(folder.path(), &exact(64, 64));
        assert_eq!(all_logits(&mut session, &ids, ids.len(), 64), want, "{prefix}");
    }
}
