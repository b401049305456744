//! OpenCL in the default run: a part of every operator's cases, some networks and a language model.
//! Everything else runs there by `cargo xtask test --full`, which does `ops`, `models`, `llm` and
//! `limits` with `DRIFT_BACKEND=opencl`. PoCL takes half a second for each kernel that it has not
//! compiled before, and keeps what it has compiled.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::language::{
    begin, compile, data, error, folder, generator, ids_of, json, logits, npy_ids, npy_logits,
};
use drift_conformance::op_case::Setup;
use drift_conformance::suite::{Bench, Cases, in_images};
use drift_conformance::{Loaded, Precision, shared};
use drift_driver::models::{KvCache, Options};
use drift_kernel::tensor::Elem;

fn bench() -> Option<Bench> {
    Bench::of(Api::OpenCl)
}

#[test]
fn operators_in_buffers() {
    let Some(bench) = bench() else { return };
    bench.check(&bench.setup("buffers, f32"), Cases::Some(3), |_| true);
}

#[test]
fn operators_in_slices_of_f16() {
    let Some(bench) = bench() else { return };
    let base = bench.setup("slices, f16");
    let setup = Setup { float: Elem::F16, slices: true, constants: true, ..base };
    bench.check(&setup, Cases::Some(1), |_| true);
}

fn images(name: &'static str, kind: ImageKind, float: Elem) {
    let Some(bench) = bench() else { return };
    bench.check(&bench.images(name, kind, float), Cases::Some(1), in_images);
}

#[test]
fn operators_in_texel_buffers() {
    images("texel buffers, f16", ImageKind::TexelBuffer, Elem::F16);
}

#[test]
fn operators_in_textures() {
    images("2D textures, f32", ImageKind::Texture2d, Elem::F32);
}

#[test]
fn operators_in_texture_arrays() {
    images("texture arrays, f16", ImageKind::Texture2dArray, Elem::F16);
}

#[test]
fn operators_in_volumes() {
    images("3D textures, f32", ImageKind::Texture3d, Elem::F32);
}

fn network(name: &str, precision: Precision) {
    let (Some(network), Some(bench)) = (shared::network(name), bench()) else { return };
    let mut loaded = Loaded::new(&bench.device, &network, 0, precision, bench.target)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let lines = loaded.check(&network, &network.case(0), precision);
    for line in lines.unwrap_or_else(|e| panic!("{name}: {e}")) {
        println!("{line}");
    }
}

#[test]
fn cls_mnist8() {
    network("cls_mnist8", Precision::F32);
}

#[test]
fn mlperf_tiny_vww() {
    network("mlperf_tiny_vww", Precision::Mixed);
}

#[test]
fn audio_dtln_1() {
    network("audio_dtln_1", Precision::F32);
}

#[test]
fn graph_tiny_bert() {
    network("graph_tiny_bert", Precision::F32);
}

/// Logits by prefill and by decode steps, and greedy tokens, of a model of the real world.
#[test]
fn stories() {
    let (Some(folder), Some(bench)) = (folder("llm_stories260k_hf"), bench()) else { return };
    if !folder.is_dir() {
        return println!("skipped: no {}", folder.display());
    }
    let o = Options {
        context: Some(256),
        chunk: 16,
        kv_cache: KvCache::F32,
        precision: Precision::F32,
        ..Options::default()
    };
    let mut g = generator(&bench.device, &compile(&folder, &o, bench.target));
    let ids = npy_ids(&folder.join("logits_ids.npy"));
    let want = npy_logits(&folder.join("logits_f64_as_f32.npy"));
    for prefilled in [ids.len(), 9] {
        let got = logits(&mut g, &ids, prefilled).unwrap_or_else(|e| panic!("{e}"));
        let e = error(&got, &want);
        println!("{} ids, {prefilled} by prefill: error {e:.1e}", ids.len());
        assert!(e <= 5e-5, "{} ids, {prefilled} by prefill: {e:.2e}", ids.len());
    }
    let answer = &json(&data().join("stories260k_greedy_200.json"))[0];
    let (prompt, want) = (ids_of(&answer["prompt_ids"]), ids_of(&answer["greedy_ids"]));
    // up to the first near tie
    let margins = answer["margins"].as_array().expect("margins");
    let clear = margins.iter().take_while(|m| m.as_f64().expect("a margin") > 1e-3).count();
    let clear = clear.min(100);
    assert!(clear >= 20, "only {clear} clear choices");
    begin(&mut g, prompt.len()).and_then(|()| g.prefill(&prompt)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(g.decode(clear).unwrap_or_else(|e| panic!("{e}")), want[..clear]);
}
