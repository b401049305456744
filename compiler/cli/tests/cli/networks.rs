//! Real networks through the command line, where they are.

use crate::common::shared_models;
use crate::program::{Folder, driftc, has_gpu};

#[test]
fn verify_runs_a_real_network() {
    let Some(models) = shared_models() else { return };
    if !has_gpu() {
        return;
    }
    let file = |f: &str| models.join("cls_mnist8").join(f).display().to_string();
    let input = format!("Input3={}", file("case0/in_Input3.npy"));
    let expect = format!("Plus214_Output_0={}", file("case0/out_Plus214_Output_0.npy"));
    for precision in ["f32", "mixed"] {
        let args = ["verify", &file("model.onnx"), "--input", &input, "--expect", &expect];
        let mut args = args.to_vec();
        args.extend(["--precision", precision]);
        let out = driftc(&args).ok().stdout;
        assert!(out.contains("ok"), "{out}");
    }
    // another digit's answer
    let other = format!("Plus214_Output_0={}", file("case1/out_Plus214_Output_0.npy"));
    driftc(&["verify", &file("model.onnx"), "--input", &input, "--expect", &other])
        .fails(1, &["Plus214_Output_0"]);
}

/// What stays in f32 is chosen on a network's own input, and said.
#[test]
fn compile_calibrates_on_arrays() {
    let Some(models) = shared_models() else { return };
    let folder = models.join("audio_silero_vad_16k_op15");
    let entry = std::fs::read_dir(folder.join("case0")).expect("a case");
    let input = |file: &std::path::Path| {
        let name = file.file_name()?.to_str()?.strip_prefix("in_")?.strip_suffix(".npy")?;
        Some(format!("{name}={}", file.display()))
    };
    let mut inputs: Vec<String> = entry.flatten().filter_map(|f| input(&f.path())).collect();
    inputs.sort();
    let model = folder.join("model.onnx").display().to_string();
    let mut args = vec!["compile", &model, "--json", "--target", "vulkan-baseline"];
    let made = Folder::new();
    let bundle = made.arg("silero.drift");
    args.extend(["-o", &bundle, "--precision", "mixed"]);
    inputs.iter().for_each(|input| args.extend(["--calibrate", input]));
    let out = driftc(&args).ok().stdout;
    let said: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let said = &said["calibration"];
    let number = |key: &str| said[key].as_f64().expect("a number");
    assert!(number("error") <= number("error_f16"), "{said}");
    assert!(number("candidates") > 0.0, "{said}");
    let kept = said["kept_in_f32"].as_array().expect("a list");
    assert!(kept.iter().all(|k| k["node"].is_string()), "{said}");

    let refused = |more: &[&str], part: &str| {
        let all = [&["compile", &model, "-o", &bundle][..], more].concat();
        driftc(&all).fails(2, &[part]);
    };
    let mixed = ["--precision", "mixed", "--calibrate"];
    refused(&[&mixed[..], &[&inputs[0]]].concat(), "no calibration values for the input");
    refused(&["--calibrate", &inputs[0]], "--calibrate has no effect at --precision f32");
    let twice = [&mixed[..], &[&inputs[0], "--calibrate", &inputs[0]]].concat();
    refused(&twice, "is given twice");
    refused(&[&mixed[..], &["text.txt"]].concat(), "--calibrate text.txt: expected NAME=FILE");
}
