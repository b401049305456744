//! Arguments that make no sense, and what is said about them.

use crate::common;
use crate::program::{Folder, demo_model, driftc, driftc_in_little_memory, driftc_with};

#[test]
fn unknown_words_and_missing_files() {
    driftc(&["compiel"]).fails(2, &["compiel"]);
    driftc(&["compile", "--frobnicate"]).fails(2, &["--frobnicate"]);
    driftc(&["compile"]).fails(2, &["MODEL"]);
    let folder = Folder::new();
    let out = folder.arg("o.drift");
    driftc(&["compile", &folder.arg("no.onnx"), "-o", &out]).fails(2, &["no.onnx"]);
    let model = demo_model();
    let with = |more: &[&str]| {
        let mut args = vec!["compile", model.as_str(), "-o", out.as_str()];
        args.extend(more);
        driftc(&args)
    };
    with(&["--target", "pixel-99"]).fails(2, &["pixel-99", "vulkan-modern"]);
    with(&["--target", "lavapipe:metal"]).fails(3, &["lavapipe:metal"]);
    with(&["--precision", "f17"]).fails(2, &["f17", "mixed"]);
    with(&["--quantize", "int3"]).fails(2, &["int3"]);
    with(&["--disable", "sleep"]).fails(2, &["sleep"]);
    with(&["--memory", "lavish"]).fails(2, &["lavish"]);
    with(&["--stop-after", "lunch"]).fails(2, &["lunch"]);
    with(&["--bisect", "-1"]).fails(2, &["-1"]);
    driftc(&["compile", &model, "--target", "reference"]).fails(2, &["-o"]);
}

#[test]
fn sizes_that_make_no_sense() {
    let model = demo_model();
    let folder = Folder::new();
    let out = folder.arg("o.drift");
    let with = |more: &[&str]| {
        let mut args = vec!["compile", model.as_str(), "--target", "reference", "-o", out.as_str()];
        args.extend(more);
        driftc_in_little_memory(&args)
    };
    with(&["--dim", "batch"]).fails(2, &["--dim batch"]);
    with(&["--dim", "batch=-1"]).fails(2, &["batch=-1"]);
    with(&["--dim", "batch=1e9"]).fails(2, &["batch=1e9"]);
    with(&["--dim", "batch=99999999999999999999999"]).fails(2, &["batch=9999"]);
    with(&["--dim", "batch=18446744073709551615"]).fails(2, &["picture"]);
    with(&["--dim", "batch=1099511627776"]).fails(2, &["picture"]);
    with(&["--dim", "bach=2"]).fails(2, &["bach", "batch"]);
    with(&["--input-shape", "picture=1x1x32"]).fails(2, &["picture"]);
    with(&["--input-shape", "picture=1x2x32x32"]).fails(2, &["picture"]);
    with(&["--input-shape", "photo=1x1x32x32"]).fails(2, &["photo", "picture"]);
    with(&["--input-shape", "picture=axb"]).fails(2, &["picture=axb"]);
}

#[test]
fn places_that_cannot_be_written() {
    let model = demo_model();
    let folder = Folder::new();
    let compile = |out: &str| driftc(&["compile", &model, "--target", "reference", "-o", out]);
    compile(&folder.arg("no/such/o.drift")).fails(2, &["no/such/o.drift"]);
    std::fs::create_dir(folder.at("folder")).expect("a folder");
    compile(&folder.arg("folder")).fails(2, &["folder"]);
    let left: Vec<_> = std::fs::read_dir(folder.at("")).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "unfinished files were left: {left:?}");
}

#[test]
fn target_files_that_are_wrong() {
    let folder = Folder::new();
    let model = demo_model();
    for (name, text) in [
        ("syntax.toml", "name = "),
        ("unknown_key.toml", "name = \"a\"\nvendor = \"b\"\nspeed = 9\n"),
        ("empty.toml", ""),
        ("cycle.toml", "name = \"a\"\nvendor = \"b\"\ninherits = [\"cycle.toml\"]\n"),
        ("binary.toml", "\u{0}\u{1}"),
    ] {
        let target = folder.write(name, text.as_bytes());
        let out = folder.arg("o.drift");
        driftc(&["compile", &model, "--target", &target, "-o", &out]).fails(2, &[name]);
    }
}

#[test]
fn inputs_that_do_not_fit() {
    let folder = Folder::new();
    let bundle = crate::program::small_bundle(&folder);
    let good = folder.npy_f32("good.npy", &[1, 3, 4, 4], &[0.5; 48]);
    let out = folder.arg("out");
    let run = |inputs: &[String]| {
        let mut args = vec!["run", &bundle, "--backend", "reference", "--output-dir", &out];
        for input in inputs {
            args.extend(["--input", input.as_str()]);
        }
        driftc_in_little_memory(&args)
    };
    run(&[format!("x={good}")]).ok();
    run(&[]).fails(2, &["x", "--input"]);
    run(std::slice::from_ref(&good)).fails(2, &["good.npy"]);
    run(&[format!("x={}", folder.arg("none.npy"))]).fails(2, &["none.npy"]);
    run(&[format!("x={good}"), format!("x={good}")]).fails(2, &["twice"]);
    run(&[format!("x={good}"), format!("y={good}")]).fails(2, &["y"]);
    let shape = folder.npy_f32("shape.npy", &[1, 3, 4, 5], &[0.5; 60]);
    run(&[format!("x={shape}")]).fails(2, &["x", "4, 5"]);
    let ints = folder.npy("ints.npy", "<i4", &[1, 3, 4, 4], &[0; 192]);
    run(&[format!("x={ints}")]).fails(2, &["x"]);
    let complex = folder.npy("complex.npy", "<c8", &[1, 3, 4, 4], &[0; 384]);
    run(&[format!("x={complex}")]).fails(2, &["complex.npy"]);
    let lies = folder.npy("lies.npy", "<f4", &[1 << 40, 1 << 20], &[0; 16]);
    run(&[format!("x={lies}")]).fails(2, &["lies.npy"]);
    let cut = folder.npy("cut.npy", "<f4", &[1, 3, 4, 4], &[0; 100]);
    run(&[format!("x={cut}")]).fails(2, &["cut.npy"]);
    let text = folder.write("text.npy", b"hello");
    run(&[format!("x={text}")]).fails(2, &["text.npy"]);
    let pb = folder.write("bad.pb", b"\x08\x04\x10\x01\x4a\xff\xff\xff\xff\x0f");
    run(&[format!("x={pb}")]).fails(2, &["bad.pb"]);
}

/// Loaders without drivers, where there are loaders at all.
const NO_DRIVER: [(&str, &str); 3] = [
    ("VK_ICD_FILENAMES", "/nonexistent.json"),
    ("VK_DRIVER_FILES", "/nonexistent.json"),
    ("OCL_ICD_VENDORS", "/nonexistent"),
];

#[test]
fn no_device_is_status_4() {
    let folder = Folder::new();
    let model = folder.write("m.onnx", &common::small_cnn().to_bytes());
    let bundle = folder.arg("m.drift");
    driftc(&["compile", &model, "--target", "vulkan-modern", "-o", &bundle]).ok();
    let x = format!("x={}", folder.npy_f32("x.npy", &[1, 3, 4, 4], &[0.5; 48]));
    let args = ["run", &bundle, "--input", &x, "--output-dir", &folder.arg("out")];
    driftc_with(&args, &NO_DRIVER).fails(4, &["--backend reference"]);
    driftc_with(&args, &[("DRIFT_DEVICE", "abacus")]).fails(4, &[]);
    let other =
        ["run", &bundle, "--backend", "metal", "--input", &x, "--output-dir", &folder.arg("out")];
    driftc(&other).fails(3, &["metal"]);
    let reference = ["run", &bundle, "--backend", "reference", "--input", &x, "--output-dir", "o"];
    driftc(&reference).fails(3, &["--target reference"]);
}

#[test]
fn the_demo_needs_no_driver() {
    let out = driftc_with(&["demo"], &NO_DRIVER).ok().stdout;
    assert!(out.contains("reference interpreter"), "{out}");
    assert!(out.contains("16 of 16 right"), "{out}");
}
