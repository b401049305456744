//! What stays in f32 at mixed precision, chosen by measurement on a network's inputs: the error that
//! was predicted, and the one on the device, beside those of other choices.
//!
//! `DRIFT_FULL=1` measures all networks and prints the table of docs/models.md.

use drift_conformance::network::{self, Precision};
use drift_conformance::{gpu, shared, worst};
use drift_driver::layouts::wide_nodes;
use drift_driver::rounding::{self, GOAL, Inputs};
use drift_driver::{Calibration, Stage};
use std::time::Instant;

/// Small ones: what `DRIFT_FULL=1` is not needed for.
const FEW: [&str; 3] = ["audio_silero_vad_16k_op15", "cls_mnist8", "cls_resnet20_cifar10"];

macro_rules! networks {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            measure(stringify!($name));
        }
    )*};
}

networks! {
    audio_basic_pitch audio_dtln_1 audio_silero_vad_16k_op15 cls_mnist8 cls_resnet20_cifar10
    cls_shufflenetv2_int8 det_yolox_nano face_ultralight_rfb320 face_yunet_n_320
    graph_sd1_tiny_text_encoder graph_sd1_tiny_unet graph_sd1_tiny_vae_decoder graph_tiny_bert
    hand_palm_lite llm_stories260k_kv llm_stories260k_prefill mlperf_tiny_ad01 mlperf_tiny_vww
    sd_taesd_decoder seg_selfie_landscape sr_superres10
}

fn measure(name: &str) {
    if !gpu::full() && !FEW.contains(&name) {
        return println!("skipped: {name} without DRIFT_FULL=1");
    }
    let (Some(network), Some(device)) = (shared::network(name), gpu::device()) else { return };
    let case = network.case(0);
    let inputs: Inputs = case.inputs.iter().map(|(n, a)| (n.clone(), a.value())).collect();
    let target = network::target_for(&device);
    let options = |precision, calibration| drift_driver::CompileOptions {
        calibration,
        ..network::options(
            network.input_shapes(0),
            precision,
            network::targets(&[target]),
            Stage::Package,
        )
    };
    // largest error of an output as a share of its largest value
    let on_device = |options: &drift_driver::CompileOptions| {
        let compiled = network::compile(&network, options).unwrap_or_else(|e| panic!("{e}"));
        let mut session = network::load(&device, &compiled).unwrap_or_else(|e| panic!("{e}"));
        let fed: Vec<_> = case.inputs.iter().map(|(n, a)| (n.as_str(), a.tensor())).collect();
        let outputs = session.run(&fed).unwrap_or_else(|e| panic!("{e}"));
        let share = |(name, want): &(String, drift_conformance::Array)| {
            let got: Vec<f64> =
                outputs[name.as_str()].to_f32().into_iter().map(f64::from).collect();
            let w = worst(&got, &want.to_f64());
            if w.scale > 0.0 { w.error / w.scale } else { w.error }
        };
        (compiled, case.outputs.iter().map(share).fold(0.0, f64::max))
    };
    let start = Instant::now();
    let calibrated = options(Precision::Mixed, Calibration::Inputs(inputs.clone()));
    let (compiled, measured_error) = on_device(&calibrated);
    let time = start.elapsed();
    let rounding = &compiled.rounding[0];
    let graph = &compiled.entries[0].graph;
    let early = wide_nodes(graph);
    let predicted = rounding::errors(graph, &inputs, &early).unwrap_or_else(|e| panic!("{e}"));
    let early_error = predicted.iter().copied().fold(0.0, f64::max);
    let (_, on_early) = on_device(&options(Precision::Mixed, Calibration::None));
    let (_, on_none) = on_device(&options(Precision::F16, Calibration::None));
    let nodes = graph.node_count();
    println!(
        "| {} | {} | {:.1e} | {on_none:.1e} | {} | {early_error:.1e} | {on_early:.1e} | {} | {:.1e} | \
         {measured_error:.1e} | {:.1} s |",
        network.name,
        nodes,
        rounding.all_f16,
        early.len(),
        rounding.wide.len(),
        rounding.chosen,
        time.as_secs_f64(),
    );
    println!("{}", compiled.notes.last().map_or("", String::as_str));
    assert!(rounding.chosen <= rounding.all_f16.max(GOAL), "{}", network.name);
    assert!(rounding.wide.len() <= rounding.candidates, "{}", network.name);
    // the bound of the tests of networks, or what f16 throughout gives where that is more
    assert!(measured_error <= on_none.max(2e-2), "{}: {measured_error:.1e}", network.name);
    gpu::check_validation(&device).unwrap_or_else(|e| panic!("{e}"));
}
