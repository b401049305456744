//! Language models on the GPU: logits at every position against PyTorch in f64, greedy tokens,
//! and what generation does with them.

use drift_conformance::language::{
    Reference, begin, compile, data, error, folder, generator, ids_of, json, logits, npy_ids,
    npy_logits,
};
use drift_conformance::network::target_for;
use drift_conformance::results::{Suite, Tally};
use drift_conformance::{Precision, gpu};
use drift_driver::models::{KvCache, Options, Quantize};
use drift_runtime::Device;
use serde_json::Value;
use std::path::Path;

/// The issue asks for 1e-3 of the largest logit in f32; sums of 30 to 100 terms in f32 are
/// nearer: 2e-6 was measured.
const EXACT: f32 = 5e-5;

/// f32 everywhere, prompts in pieces of 16.
fn exact(context: usize) -> Options {
    Options {
        context: Some(context),
        chunk: 16,
        kv_cache: KvCache::F32,
        precision: Precision::F32,
        ..Options::default()
    }
}

fn tally(device: &Device, model: &str, way: &str) -> Tally {
    Tally::new(device, Suite::LanguageModels, model, way)
}

fn checked(device: &Device) {
    gpu::check_validation(device).unwrap_or_else(|e| panic!("{e}"));
}

/// Cases and greedy tokens of a folder's `refs.json`.
fn check(name: &str) {
    let (Some(folder), Some(device)) = (folder(name), gpu::device()) else { return };
    let mut tally = tally(&device, name, "f32");
    let refs = json(&folder.join("refs.json"));
    let context = refs["context"].as_u64().map_or(64, |n| n as usize);
    let compiled = compile(&folder, &exact(context), target_for(&device));
    let mut g = generator(&device, &compiled);
    let file = |v: &Value| folder.join(v.as_str().expect("the name of a file"));
    for case in refs["cases"].as_array().expect("cases") {
        let (ids, want) = (npy_ids(&file(&case["ids"])), npy_logits(&file(&case["logits"])));
        // all in pieces; two pieces and the rest step by step, across the edge of every window
        for prefilled in [ids.len(), ids.len() * 2 / 3] {
            let got = logits(&mut g, &ids, prefilled).unwrap_or_else(|e| panic!("{name}: {e}"));
            let e = error(&got, &want);
            println!("{name}: {} ids, {prefilled} by prefill: error {e:.1e}", ids.len());
            assert!(e <= EXACT, "{name}: {} ids, {prefilled} by prefill: {e:.2e}", ids.len());
            tally.pass();
        }
    }
    let (from, want) = (ids_of(&refs["greedy_from"]), ids_of(&refs["greedy_ids"]));
    begin(&mut g, from.len()).and_then(|()| g.prefill(&from)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(g.decode(want.len()).unwrap_or_else(|e| panic!("{e}")), want, "{name}: greedy");
    tally.pass();
    checked(&device);

    // a text several times as long as the rings, which hold a window and a piece of the prompt
    let long = &refs["long"];
    let Some(context) = long["context"].as_u64() else { return };
    let o = exact(context as usize);
    let mut g = generator(&device, &compile(&folder, &o, target_for(&device)));
    let (ids, want) = (npy_ids(&file(&long["ids"])), npy_logits(&file(&long["logits"])));
    for prefilled in [ids.len(), 80] {
        let got = logits(&mut g, &ids, prefilled).unwrap_or_else(|e| panic!("{name}: {e}"));
        let e = error(&got[got.len() - want.len()..], &want);
        println!("{name}: {} ids, {prefilled} by prefill: error {e:.1e}", ids.len());
        assert!(e <= EXACT, "{name}: {} ids, {prefilled} by prefill: {e:.2e}", ids.len());
        tally.pass();
    }
    checked(&device);
}

/// One test per model of `data/llm`, by the name of its folder.
macro_rules! families {
    ($($name:ident)*) => {
        const FAMILIES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

families! {
    llama2 llama31 llama31_v5 llama_bias llama_yarn smollm2 smollm3 mistral
    gemma gemma2 gemma3 gemma3_v5 qwen2 qwen2_v5 qwen3 phi3 phi3_longrope phi4 gpt2
}

#[test]
fn every_model_has_its_test() {
    let entries = std::fs::read_dir(data()).expect("data/llm");
    let folders = entries.map(|e| e.expect("an entry").path()).filter(|p| p.is_dir());
    let mut names: Vec<String> = folders
        .filter(|p| p.join("refs.json").exists())
        .map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut tested: Vec<&str> = FAMILIES.to_vec();
    tested.sort_unstable();
    assert_eq!(names, tested);
}

#[test]
fn shared_llama3() {
    check("hf_llama3_tiny");
}

#[test]
fn shared_gemma() {
    check("hf_gemma_tiny");
}

#[test]
fn shared_mistral() {
    check("hf_mistral_tiny");
}

#[test]
fn shared_gpt2() {
    check("hf_gpt2_tiny");
}

/// Continuations of a file of prompts: all tokens up to the first near tie.
fn check_greedy(name: &str, folder: &Path, answers: &Path, least: usize) {
    let Some(device) = gpu::device() else { return };
    let mut tally = tally(&device, name, "f32");
    let compiled = compile(folder, &exact(512), target_for(&device));
    let mut g = generator(&device, &compiled);
    for answer in json(answers).as_array().expect("a list") {
        let (prompt, want) = (ids_of(&answer["prompt_ids"]), ids_of(&answer["greedy_ids"]));
        let margins = answer["margins"].as_array().expect("margins");
        let clear = margins.iter().take_while(|m| m.as_f64().expect("a margin") > 1e-3).count();
        assert!(clear >= least.min(want.len()), "only {clear} clear choices");
        g.truncate(0).and_then(|()| g.prefill(&prompt)).unwrap_or_else(|e| panic!("{e}"));
        let got = g.decode(want.len()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(got[..clear], want[..clear], "behind {:?}", answer["prompt"]);
        tally.pass();
    }
    checked(&device);
}

/// A trained model, 200 tokens behind each of four prompts.
#[test]
fn stories() {
    let Some(folder) = folder("llm_stories260k_hf") else { return };
    check_greedy("stories260k", &folder, &data().join("stories260k_greedy_200.json"), 20);
}

/// The model that `driftc demo` speaks with.
#[test]
fn tales() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tales");
    check_greedy("tales", &folder, &folder.join("greedy_f64.json"), 100);
}

/// Quantized weights and caches: kernels against the references of the same operators on the same
/// integers, which are f64 of the dequantized weights.
#[test]
fn quantized() {
    let Some(device) = gpu::device() else { return };
    let folder = data().join("llama31");
    let ids = npy_ids(&folder.join("ids.npy"));
    let ids = &ids[..24];
    for (scheme, kv_cache) in [
        ("q8", KvCache::F32),
        ("q4g32", KvCache::F16),
        ("8/4/4", KvCache::Int8),
        ("q8g64", KvCache::F32),
        ("q4g128", KvCache::F32),
    ] {
        let cache = format!("{kv_cache:?}").to_lowercase();
        let mut tally = tally(&device, "llama31", &format!("{scheme}, {cache} cache"));
        let quantize = Quantize::parse(scheme).expect("a scheme");
        let o = Options { quantize, kv_cache, ..exact(64) };
        let want = Reference::new(&folder, &o).logits(ids);
        let compiled = compile(&folder, &o, target_for(&device));
        let mut g = generator(&device, &compiled);
        // an f16 or int8 cache rounds what f32 sums differ in by a bit to different values
        let bound = if kv_cache == KvCache::F32 { EXACT } else { 5e-3 };
        for prefilled in [20, 0] {
            let got = logits(&mut g, ids, prefilled).unwrap_or_else(|e| panic!("{e}"));
            let e = error(&got, &want);
            println!("{scheme}, cache {kv_cache:?}, {prefilled} by prefill: error {e:.1e}");
            assert!(e <= bound, "{scheme}, cache {kv_cache:?}, {prefilled} by prefill: {e:.2e}");
            tally.pass();
        }
    }
    checked(&device);
}

/// f16 storage, f16 weights and cache: what it costs on models that were not trained for it.
#[test]
fn mixed() {
    let Some(device) = gpu::device() else { return };
    // measured: 7e-4 at most
    for name in ["llama31", "gemma2", "gpt2"] {
        let mut tally = tally(&device, name, "mixed");
        let folder = data().join(name);
        let o = Options { context: Some(64), chunk: 16, ..Options::default() };
        let compiled = compile(&folder, &o, target_for(&device));
        let mut g = generator(&device, &compiled);
        let ids = npy_ids(&folder.join("ids.npy"));
        let got = logits(&mut g, &ids, 30).unwrap_or_else(|e| panic!("{name}: {e}"));
        let e = error(&got, &npy_logits(&folder.join("logits.npy")));
        println!("{name}, mixed: error {e:.1e}");
        assert!(e <= 5e-3, "{name}: {e:.2e}");
        tally.pass();
    }
    checked(&device);
}

/// What people run: quantized weights, f16 storage and cache, integer products where the device has
/// them; on a trained model, against the f64 reference of the same integers and the text it tells.
#[test]
fn quantized_tales() {
    let Some(device) = gpu::device() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tales");
    let answers = json(&folder.join("greedy_f64.json"));
    let (prompt, told) = (ids_of(&answers[1]["prompt_ids"]), ids_of(&answers[1]["greedy_ids"]));
    let ids: Vec<u32> = prompt.iter().chain(&told[..20]).copied().collect();
    // integer products round activations to 255 levels: measured 1.1e-2 behind five layers. The text
    // stays what the unquantized model tells for as long as 8 bits hold the trained weights.
    for (scheme, bound, told_alike) in [("q8", 3e-2, 20), ("q4g32", 3e-2, 0), ("8/4/4", 3e-2, 0)] {
        let mut tally = tally(&device, "tales", &format!("{scheme}, mixed"));
        let quantize = Quantize::parse(scheme).expect("a scheme");
        let o = Options { quantize, context: Some(256), chunk: 16, ..Options::default() };
        let want = Reference::new(&folder, &o).logits(&ids);
        let compiled = compile(&folder, &o, target_for(&device));
        let mut g = generator(&device, &compiled);
        let got = logits(&mut g, &ids, 24).unwrap_or_else(|e| panic!("{e}"));
        let e = error(&got, &want);
        begin(&mut g, prompt.len())
            .and_then(|()| g.prefill(&prompt))
            .unwrap_or_else(|e| panic!("{e}"));
        let more = g.decode(60).unwrap_or_else(|e| panic!("{e}"));
        let same = more.iter().zip(&told).take_while(|(a, b)| a == b).count();
        println!("{scheme}: error {e:.1e}, {same} tokens as in f64");
        assert!(e <= bound, "{scheme}: {e:.2e}");
        assert!(same >= told_alike, "{scheme}: only {same} tokens are as in f64: {more:?}");
        tally.pass();
    }
    checked(&device);
}

/// Going back, saving and restoring give the same tokens as starting anew, with rings that have
/// been overwritten and with whole caches.
#[test]
fn going_back() {
    let Some(device) = gpu::device() else { return };
    for (name, file, context) in [("llama31", "ids.npy", 64), ("mistral", "ids_long.npy", 192)] {
        let folder = data().join(name);
        let from = npy_ids(&folder.join(file));
        let compiled = compile(&folder, &exact(context), target_for(&device));
        let mut g = generator(&device, &compiled);
        let mut run = || -> drift_runtime::Result<()> {
            g.prefill(&from)?;
            let want = g.decode(16)?;
            g.truncate(0)?;
            g.prefill(&from)?;
            assert_eq!(g.decode(5)?, want[..5], "{name}");
            let saved = g.save()?;
            assert_eq!(g.decode(11)?, want[5..], "{name}");
            // other text behind the prompt, then what was there
            g.truncate(from.len() + 8)?;
            g.prefill(&[7, 8, 9])?;
            g.decode(2)?;
            g.restore(&saved)?;
            assert_eq!(g.position(), from.len() + 5, "{name}");
            assert_eq!(g.decode(11)?, want[5..], "{name}: restored");
            g.truncate(from.len() + 3)?;
            assert_eq!(g.decode(13)?, want[3..], "{name}: truncated");
            Ok(())
        };
        run().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    checked(&device);
}
