//! Real networks through the whole pipeline on the GPU, compared with what they should give.
//!
//! One test per network and precision. [`NOT_YET`] lists what is known not to work and why; a network
//! that works although it is listed fails its test, so that the list stays true.

use drift_conformance::network::{self, Loaded, Precision};
use drift_conformance::{gpu, shared};
use std::time::Instant;

/// Networks that do not work yet: name, precision (`None`: any), and a part of the message.
const NOT_YET: &[(&str, Option<Precision>, &str)] = &[];

fn check(name: &str, precision: Precision) {
    let (Some(network), Some(device)) = (shared::network(name), gpu::device()) else { return };
    let outcome = run(&network, &device, precision);
    let known = NOT_YET
        .iter()
        .find(|(n, p, _)| *n == name && p.is_none_or(|p| p == precision));
    match (outcome, known) {
        (Ok(()), None) => {}
        (Ok(()), Some((_, _, why))) => {
            panic!("{name} works now: take it off NOT_YET (it said: {why}) and out of docs/models.md")
        }
        (Err(e), Some((_, _, why))) if e.contains(why) => {
            println!("expected failure: {name} {precision}: {e}");
        }
        (Err(e), _) => panic!("{name} {precision}: {e}"),
    }
}

fn run(
    network: &shared::Network,
    device: &drift_runtime::Device,
    precision: Precision,
) -> Result<(), String> {
    // half precision changes kernels, not shapes: one case is enough unless all are asked for
    let cases = match precision {
        Precision::F32 => network.case_count(),
        _ if gpu::full() => network.case_count(),
        _ => 1,
    };
    assert!(network.case_count() > 0, "{} has no case", network.name);
    let mut loaded: Option<(Vec<(String, Vec<usize>)>, Loaded)> = None;
    for i in 0..cases {
        let shapes = network.input_shapes(i);
        if loaded.as_ref().is_none_or(|(s, _)| *s != shapes) {
            let start = Instant::now();
            let made = Loaded::new(device, network, i, precision)?;
            println!("{}: compiled and loaded in {:.2?}", network.name, start.elapsed());
            loaded = Some((shapes, made));
        }
        let Some((_, loaded)) = &mut loaded else { unreachable!("made above") };
        let start = Instant::now();
        let case = network.case(i);
        for line in loaded.check(network, &case, precision)? {
            println!("{line}");
        }
        println!("case {i}: {:.2?}", start.elapsed());
    }
    gpu::check_validation(device)
}

macro_rules! networks {
    ($($name:ident),+ $(,)?) => {
        mod f32 {
            $(#[test] fn $name() { super::check(stringify!($name), super::Precision::F32) })+
        }
        mod mixed {
            $(#[test] fn $name() { super::check(stringify!($name), super::Precision::Mixed) })+
        }
        const LISTED: &[&str] = &[$(stringify!($name)),+];
    };
}

networks!(
    audio_basic_pitch,
    audio_dtln_1,
    audio_silero_vad_16k_op15,
    cls_mnist8,
    cls_resnet20_cifar10,
    cls_shufflenetv2_int8,
    det_yolox_nano,
    face_ultralight_rfb320,
    face_yunet_n_320,
    graph_sd1_tiny_text_encoder,
    graph_sd1_tiny_unet,
    graph_sd1_tiny_vae_decoder,
    graph_tiny_bert,
    hand_palm_lite,
    llm_stories260k_kv,
    llm_stories260k_prefill,
    mlperf_tiny_ad01,
    mlperf_tiny_vww,
    sd_taesd_decoder,
    seg_selfie_landscape,
    sr_superres10,
);

#[test]
fn every_network_of_the_manifest_is_listed() {
    let Some(networks) = shared::networks() else { return };
    let missing: Vec<String> =
        networks.into_iter().map(|n| n.name).filter(|n| !LISTED.contains(&n.as_str())).collect();
    assert!(missing.is_empty(), "not tested: {missing:?}");
}

/// 98.9 % of the real test set; a part of it unless `DRIFT_FULL=1`.
#[test]
fn mnist_test_set() {
    let (Some(folder), Some(network), Some(device)) =
        (shared::folder(), shared::network("cls_mnist8"), gpu::device())
    else {
        return;
    };
    let data = folder.join("data_mnist_t10k");
    let images = gunzip(&data.join("t10k-images-idx3-ubyte.gz"));
    let labels = gunzip(&data.join("t10k-labels-idx1-ubyte.gz"));
    let (images, labels) = (&images[16..], &labels[8..]);
    assert_eq!(images.len(), labels.len() * 784);
    let count = if gpu::full() { labels.len() } else { 2000 };
    let mut loaded =
        Loaded::new(&device, &network, 0, Precision::F32).unwrap_or_else(|e| panic!("{e}"));
    let start = Instant::now();
    let mut right = 0;
    for (image, label) in images.chunks_exact(784).zip(labels).take(count) {
        let pixels: Vec<f32> = image.iter().map(|p| f32::from(*p)).collect();
        let out = loaded.session.run(&[("Input3", (&pixels).into())]).expect("runs");
        let logits = out["Plus214_Output_0"].to_f32();
        let best = (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("ten classes");
        right += usize::from(best == usize::from(*label));
    }
    let percent = 100.0 * right as f64 / count as f64;
    println!("{right} of {count} right: {percent:.2} %, in {:.2?}", start.elapsed());
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
    // the first 2000 images are a little harder than the rest
    let least = if gpu::full() { 98.9 } else { 98.0 };
    assert!(percent >= least, "{percent:.2} % < {least} %");
}

fn gunzip(path: &std::path::Path) -> Vec<u8> {
    use std::io::Read;
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut out).expect("gzip");
    out
}

/// Every shape of a network gives the same bytes each time, and targets share weights.
#[test]
fn bundles_are_deterministic_and_share_weights() {
    let Some(network) = shared::network("cls_mnist8") else { return };
    let compile = |ids: &[&str]| {
        let stop = drift_driver::Stage::Package;
        let options =
            network::options(network.input_shapes(0), Precision::F32, network::targets(ids), stop);
        let compiled = network::compile(&network, &options).unwrap_or_else(|e| panic!("{e}"));
        (network::bundle_bytes(&compiled).expect("packages"), compiled.weights.bytes())
    };
    let all = ["vulkan-modern", "vulkan-baseline", "webgpu-generic", "metal-generic", "reference"];
    let (first, several) = compile(&all);
    let (second, _) = compile(&all);
    assert!(first == second, "the same model gave different bundles");
    let (_, one) = compile(&["vulkan-modern"]);
    assert!(several < 2 * one, "five targets hold {several} bytes of weights, one holds {one}");
}
