//! A part of the suites for an API that the default run tests beside Vulkan: some of every
//! operator's cases, some networks and a language model.

use crate::language::{
    Reference, begin, compile, data, error, folder, generator, ids_of, json, logits, npy_ids,
    npy_logits,
};
use crate::op_case::Setup;
use crate::suite::{Bench, Cases, in_images, setup};
use crate::{Loaded, Precision, shared};
use drift_bundle::caps::{Api, ImageKind};
use drift_driver::models::{KvCache, Options, Quantize};
use drift_kernel::tensor::Elem;

/// Operators in row-major buffers of f32.
pub fn buffers(api: Api, cases: Cases) {
    let Some(bench) = Bench::of(api) else { return };
    bench.check(&bench.setup("buffers, f32"), cases, |_| true);
}

/// Operators in buffers of slices of f16, with constants that the compiler packs.
pub fn slices_of_f16(api: Api, cases: Cases) {
    let Some(bench) = Bench::of(api) else { return };
    let base = bench.setup("slices, f16");
    let setup = Setup { float: Elem::F16, slices: true, constants: true, ..base };
    bench.check(&setup, cases, |_| true);
}

/// The same with f16 in pairs inside 32-bit words, which every device has.
pub fn slices_of_packed_f16(api: Api, cases: Cases) {
    let Some(bench) = Bench::of(api) else { return };
    let base = setup("slices, packed f16", bench.baseline);
    let setup = Setup { float: Elem::F16Packed, slices: true, constants: true, ..base };
    bench.check(&setup, cases, |_| true);
}

/// Operators whose tensors are cut into bindings of 512 bytes.
pub fn split(api: Api, cases: Cases) {
    let Some(bench) = Bench::of(api) else { return };
    let setup = Setup { max_object_bytes: 512, ..bench.setup("split, f32") };
    bench.check(&setup, cases, |_| true);
}

/// Operators in images.
pub fn images(api: Api, name: &'static str, kind: ImageKind, float: Elem, cases: Cases) {
    let Some(bench) = Bench::of(api) else { return };
    bench.check(&bench.images(name, kind, float), cases, in_images);
}

/// The first case of a network.
pub fn network(api: Api, name: &str, precision: Precision) {
    let (Some(network), Some(bench)) = (shared::network(name), Bench::of(api)) else { return };
    let mut loaded = Loaded::new(&bench.device, &network, 0, precision, bench.target)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let lines = loaded.check(&network, &network.case(0), precision);
    for line in lines.unwrap_or_else(|e| panic!("{name}: {e}")) {
        println!("{line}");
    }
}

/// Logits of a small model whose products are of integers where the device has them.
pub fn quantized(api: Api) {
    let Some(bench) = Bench::of(api) else { return };
    let folder = data().join("llama31");
    let o = Options {
        quantize: Quantize::parse("8/4/4").expect("a scheme"),
        context: Some(64),
        chunk: 16,
        kv_cache: KvCache::F32,
        precision: Precision::F32,
    };
    let ids = &npy_ids(&folder.join("ids.npy"))[..24];
    let want = Reference::new(&folder, &o).logits(ids);
    let mut g = generator(&bench.device, &compile(&folder, &o, bench.target));
    let got = logits(&mut g, ids, 20).unwrap_or_else(|e| panic!("{e}"));
    let e = error(&got, &want);
    println!("8/4/4: error {e:.1e}");
    assert!(e <= 5e-5, "{e:.2e}");
}

/// Logits by prefill and by decode steps, and greedy tokens, of a model of the real world.
pub fn stories(api: Api) {
    let (Some(folder), Some(bench)) = (folder("llm_stories260k_hf"), Bench::of(api)) else {
        return;
    };
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
