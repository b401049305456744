//! Options: what is quantized how, and the entry points that come of it.

use crate::common::{Session, error, exact, ids, npy, shared};
use drift_driver::models::{KvCache, Options, Quantize, module};
use drift_driver::target::Precision;
use drift_ir::DType;
use std::collections::BTreeSet;

/// Schemes of the products of a graph, by the last word of their paths.
fn schemes(options: &Options) -> Option<BTreeSet<(String, String)>> {
    let module = module(&shared("hf_llama3_tiny")?, options).unwrap();
    let graph = &module.entries[0].1;
    let nodes = graph.node_ids().map(|id| graph.node(id));
    let of = nodes.filter_map(|n| {
        let word = n.path.rsplit('/').next().unwrap().to_owned();
        Some((word, n.attrs.str("scheme")?.to_owned()))
    });
    Some(of.collect())
}

#[test]
fn the_papers_mixture_gives_each_role_its_scheme() {
    let quantize = Quantize::parse("8/4/4").unwrap();
    let Some(got) = schemes(&Options { quantize, ..Options::default() }) else { return };
    let want = [
        ("embedding", "q4"),
        ("head", "q4"),
        ("qkv", "q8"),
        ("out", "q8"),
        ("up", "q4"),
        ("down", "q4"),
    ];
    assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    let mixed = schemes(&Options::default()).unwrap();
    assert!(mixed.iter().all(|(_, s)| s == "f16"), "{mixed:?}");
    let full = schemes(&Options { precision: Precision::F32, ..Options::default() }).unwrap();
    assert!(full.iter().all(|(_, s)| s == "f32"), "{full:?}");
}

#[test]
fn every_name_of_quantize_is_known() {
    for name in Quantize::NAMES {
        assert!(Quantize::parse(name).is_some(), "{name}");
    }
    assert_eq!(Quantize::parse("q5"), None);
    assert_eq!(Quantize::parse("q4"), Quantize::parse("q4g32"));
}

/// Quantized weights and caches are near the exact logits: a wrong row or scale would not be.
#[test]
fn quantized_logits_are_near() {
    let Some(folder) = shared("llm_stories260k_hf") else { return };
    let text = ids(&folder.join("logits_ids.npy"));
    let (want, shape) = npy(&folder.join("logits_f64_as_f32.npy"));
    let last = &want[want.len() - shape[shape.len() - 1]..];
    // measured: 3.6e-4, 2.8e-2, 1.3e-2
    for (name, kv_cache, bound) in
        [("f16", KvCache::F16, 1e-3), ("q8", KvCache::Int8, 4e-2), ("q8g32", KvCache::F16, 2e-2)]
    {
        let quantize = Quantize::parse(name).unwrap();
        let options = Options { quantize, kv_cache, ..exact(64, 16) };
        let mut session = Session::open(&folder, &options);
        session.step("prefill", &text[..16], false);
        session.step("prefill", &text[16..], false);
        let e = error(&session.logits(), last);
        println!("{name}: {e:.2e}");
        assert!(e < bound, "{name}: {e:.2e}");
    }
}

/// All entry points see the same states: types and (but for the rows of `hidden`) shapes.
#[test]
fn entry_points_share_states() {
    let Some(folder) = shared("hf_mistral_tiny") else { return };
    let options = Options { context: Some(512), chunk: 200, ..Options::default() };
    let module = module(&folder, &options).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for (entry, graph) in &module.entries {
        let after = graph.outputs.iter().map(|(name, id)| (name.clone(), *id));
        let before = graph.inputs.iter().map(|id| (graph.value(*id).name.clone(), *id));
        for (name, id) in before.chain(after) {
            assert!(graph.is_state(&name), "{entry}: {name} is no state");
            let v = graph.value(id);
            let shape = match name.as_str() {
                "hidden" => v.shape[1..].to_vec(),
                _ => v.shape.to_vec(),
            };
            let first = seen.entry(name.clone()).or_insert((v.dtype, shape.clone()));
            assert_eq!(*first, (v.dtype, shape), "{entry}: {name}");
        }
    }
    // a window of 16 and a chunk of 200: a ring of 256 slots
    assert_eq!(seen["k.0"], (DType::F16, vec![2, 256, 16]));
    assert_eq!(seen["tokens"], (DType::I32, vec![513]));
    assert_eq!(seen["logits"], (DType::F32, vec![1, 384]));
}
