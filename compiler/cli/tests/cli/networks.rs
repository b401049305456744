//! Real networks through the command line, where they are.

use crate::common::shared_models;
use crate::program::{driftc, has_gpu};

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
