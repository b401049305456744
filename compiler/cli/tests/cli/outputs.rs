//! Files that commands write.

use crate::common;
use crate::program::{Folder, demo_model, driftc, has_gpu};
use drift_onnx::ElemType;
use drift_onnx::builder::ModelBuilder;

/// Two element-wise results under these names.
fn two_outputs(folder: &Folder, first: &str, second: &str) -> String {
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[2, 3])
        .node("Relu", &["x"], &[first], &[])
        .node("Neg", &["x"], &[second], &[])
        .output(first, ElemType::F32, &[2, 3])
        .output(second, ElemType::F32, &[2, 3]);
    let model = folder.write("two.onnx", &model.to_bytes());
    let bundle = folder.arg("two.drift");
    driftc(&["compile", &model, "--target", "reference", "-o", &bundle]).ok();
    bundle
}

fn run_two(folder: &Folder, bundle: &str) -> crate::program::Ran {
    let x = folder.npy_f32("x.npy", &[2, 3], &[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0]);
    let (x, out) = (format!("x={x}"), folder.arg("out"));
    driftc(&["run", bundle, "--backend", "reference", "--input", &x, "--output-dir", &out])
}

/// The f32 elements of an array file.
fn floats(path: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..head]).into_owned();
    assert!(text.contains("<f4"), "{text}");
    bytes[head..].as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c)).collect()
}

#[test]
fn odd_characters_in_names_become_underscores() {
    let folder = Folder::new();
    let bundle = two_outputs(&folder, "a/b:0 é", "../../up");
    run_two(&folder, &bundle).ok();
    let mut names: Vec<String> = std::fs::read_dir(folder.at("out"))
        .expect("the output folder")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["_.._up.npy", "a_b_0__.npy"]);
    assert_eq!(floats(&folder.at("out/a_b_0__.npy")), [0.0, 2.0, 0.0, 4.0, 0.0, 6.0]);
    assert_eq!(floats(&folder.at("out/_.._up.npy")), [1.0, -2.0, 3.0, -4.0, 5.0, -6.0]);
    assert!(!folder.at("up.npy").exists());
}

#[test]
fn two_outputs_never_share_a_file() {
    let folder = Folder::new();
    let bundle = two_outputs(&folder, "a/b", "a:b");
    run_two(&folder, &bundle).fails(2, &["a_b.npy"]);
}

#[test]
fn verify_says_how_far_off_it_is() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &common::small_cnn().to_bytes());
    let x = format!("x={}", folder.npy_f32("x.npy", &[1, 3, 4, 4], &[0.0; 48]));
    let verify = |expect: &str| {
        let expect = format!("y={expect}");
        let args =
            ["verify", &model, "--target", "reference", "--backend", "reference", "--input", &x];
        let mut args = args.to_vec();
        args.extend(["--expect", expect.as_str()]);
        driftc(&args)
    };
    // zeros in: bias 0.5 and -0.5, the latter through LeakyRelu(0.1)
    let mut y = vec![0.5f32; 16];
    y.extend([-0.05f32; 16]);
    verify(&folder.npy_f32("y.npy", &[1, 2, 16], &y)).ok();
    y[20] = 0.25;
    let wrong = folder.npy_f32("wrong.npy", &[1, 2, 16], &y);
    verify(&wrong).fails(1, &["`y`", "1 of 32", "element 20"]);
    let shape = folder.npy_f32("shape.npy", &[2, 16], &y);
    verify(&shape).fails(1, &["`y`", "shape"]);
    let args = ["verify", &model, "--input", &x, "--expect", &format!("z={wrong}")];
    let mut args = args.to_vec();
    args.extend(["--target", "reference", "--backend", "reference"]);
    driftc(&args).fails(2, &["`z`", "y"]);
}

/// The interpreter and the GPU run different variants of one bundle to the same answer.
#[test]
fn reference_equals_gpu_on_the_demo_model() {
    if !has_gpu() {
        return;
    }
    let folder = Folder::new();
    let bundle = folder.arg("shapes.drift");
    driftc(&["compile", &demo_model(), "-o", &bundle]).ok();
    let pixels: Vec<f32> = (0..1024).map(|i| ((i * 37) % 251) as f32).collect();
    let x = format!("picture={}", folder.npy_f32("x.npy", &[1, 1, 32, 32], &pixels));
    let mut results = Vec::new();
    for backend in ["vulkan", "reference"] {
        let out = folder.arg(backend);
        driftc(&["run", &bundle, "--backend", backend, "--input", &x, "--output-dir", &out]).ok();
        let mut files: Vec<_> = std::fs::read_dir(&out).expect("outputs").flatten().collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        results.push(files.iter().map(|f| floats(&f.path())).collect::<Vec<_>>());
    }
    let [gpu, reference] = &results[..] else { panic!("two back ends") };
    assert!(!gpu.is_empty() && gpu.len() == reference.len());
    for (g, r) in gpu.iter().zip(reference) {
        let scale = r.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(scale > 0.0 && g.len() == r.len());
        for (a, b) in g.iter().zip(r) {
            assert!((a - b).abs() <= 1e-5 * scale, "{a} on the GPU, {b} in the interpreter");
        }
    }
}

#[test]
fn a_probed_device_is_a_target() {
    if !has_gpu() {
        return;
    }
    let folder = Folder::new();
    let toml = driftc(&["devices", "--probe"]).ok().stdout;
    let target = folder.write("here.toml", toml.as_bytes());
    let bundle = folder.arg("m.drift");
    driftc(&["compile", &demo_model(), "--target", &target, "-o", &bundle]).ok();
    let x = format!("picture={}", folder.npy_f32("x.npy", &[1, 1, 32, 32], &[7.0; 1024]));
    driftc(&["run", &bundle, "--input", &x, "--output-dir", &folder.arg("out")]).ok();
    let json = driftc(&["devices", "--json"]).ok().stdout;
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
}

#[test]
fn the_report_is_one_file() {
    let folder = Folder::new();
    let html = folder.arg("report.html");
    let json = folder.arg("report.json");
    let model = demo_model();
    for report in [&html, &json] {
        driftc(&["compile", &model, "--target", "vulkan-modern", "--report", report]).ok();
    }
    let page = std::fs::read_to_string(&html).expect("the report");
    assert!(page.contains("<html") && page.contains("</html>"));
    for outside in ["src=\"http", "href=\"http", "@import", "src='http"] {
        assert!(!page.contains(outside), "the report reaches outside: {outside}");
    }
    let text = std::fs::read_to_string(&json).expect("the report");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[test]
fn every_stage_can_be_the_last() {
    let model = demo_model();
    for stage in drift_driver::Stage::ALL
        .into_iter()
        .filter(|s| !matches!(s, drift_driver::Stage::Read | drift_driver::Stage::Package))
    {
        let stage = stage.name();
        let args = ["compile", &model, "--target", "vulkan-modern", "--stop-after", stage];
        let ran = driftc(&args);
        assert!(ran.status == 0, "{stage}: {}", ran.stderr);
        assert!(!ran.stdout.trim().is_empty(), "{stage} printed nothing");
    }
    for emit in ["wgsl", "spirv", "msl", "dot", "text"] {
        let args = ["compile", &model, "--target", "vulkan-modern", "--emit", emit];
        let ran = driftc(&args);
        assert!(ran.status == 0 && ran.stdout.len() > 100, "{emit}: {}", ran.stderr);
    }
}
