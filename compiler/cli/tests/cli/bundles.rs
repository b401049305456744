//! Bundles that were damaged, cut, or are something else.

use crate::program::{Folder, driftc, driftc_in_little_memory, small_bundle};

/// Positions worth changing: the header and the table whole, the rest in steps.
fn positions(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 60).max(1);
    (0..len.min(320)).step_by(3).chain((320..len).step_by(step))
}

#[test]
fn every_flipped_byte_is_found() {
    let folder = Folder::new();
    let bundle = small_bundle(&folder);
    let whole = std::fs::read(&bundle).expect("just written");
    driftc(&["inspect", &bundle]).ok();
    for i in positions(whole.len()) {
        let mut flipped = whole.clone();
        flipped[i] ^= 0xff;
        let path = folder.write("flipped.drift", &flipped);
        let ran = driftc_in_little_memory(&["inspect", &path]);
        assert!(ran.status == 2, "byte {i}: status {}, {}{}", ran.status, ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("flipped.drift"), "byte {i}: {}", ran.stderr);
    }
}

#[test]
fn cut_bundles_say_so() {
    let folder = Folder::new();
    let whole = std::fs::read(small_bundle(&folder)).expect("just written");
    for i in positions(whole.len()).step_by(4) {
        let path = folder.write("cut.drift", &whole[..i]);
        driftc_in_little_memory(&["inspect", &path]).fails(2, &["cut.drift"]);
    }
    let mut longer = whole.clone();
    longer.extend([0; 8]);
    let path = folder.write("longer.drift", &longer);
    driftc(&["inspect", &path]).fails(2, &["longer.drift"]);
}

#[test]
fn run_and_bench_refuse_a_damaged_bundle() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(small_bundle(&folder)).expect("just written");
    let middle = bytes.len() / 2;
    for at in [9, 40, middle] {
        bytes[at] ^= 0x10;
        let path = folder.write("bad.drift", &bytes);
        let x = folder.npy_f32("x.npy", &[1, 3, 4, 4], &[0.5; 48]);
        let out = folder.arg("out");
        let input = format!("x={x}");
        let run = ["run", &path, "--backend", "reference", "--input", &input, "--output-dir", &out];
        driftc(&run).fails(2, &["bad.drift"]);
        driftc(&["bench", &path, "--backend", "reference"]).fails(2, &["bad.drift"]);
        bytes[at] ^= 0x10;
    }
}

/// Opening leaves the weights alone, as they may be large; an answer from damaged ones would be wrong.
#[test]
fn run_refuses_damaged_weights() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(small_bundle(&folder)).expect("just written");
    let weights = {
        let bundle = drift_bundle::Bundle::parse(&bytes).expect("a bundle");
        let mut table = bundle.sections().iter();
        let section = table.find(|s| s.section == drift_bundle::Section::Weights);
        let section = section.expect("the network has weights");
        section.offset as usize..(section.offset + section.bytes) as usize
    };
    let x = folder.npy_f32("x.npy", &[1, 3, 4, 4], &[0.5; 48]);
    let input = format!("x={x}");
    for at in [weights.start, (weights.start + weights.end) / 2, weights.end - 1] {
        bytes[at] ^= 0x10;
        let path = folder.write("bad.drift", &bytes);
        let out = folder.arg("out");
        let run = ["run", &path, "--backend", "reference", "--input", &input, "--output-dir", &out];
        driftc(&run).fails(2, &["bad.drift", "WEIGHTS", "checksum"]);
        bytes[at] ^= 0x10;
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let folder = Folder::new();
    let empty = folder.write("empty", b"");
    driftc(&["inspect", &empty]).fails(2, &["empty"]);
    let model = folder.write("m.onnx", &crate::common::small_cnn().to_bytes());
    driftc(&["inspect", &model]).fails(2, &["m.onnx"]);
    let bundle = small_bundle(&folder);
    driftc(&["compile", &bundle, "-o", &folder.arg("x")]).fails(2, &["a compiled .drift bundle"]);
    driftc(&["inspect", &folder.arg("missing.drift")]).fails(2, &["missing.drift"]);
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let folder = Folder::new();
    let first = std::fs::read(small_bundle(&folder)).expect("just written");
    let second = std::fs::read(small_bundle(&folder)).expect("just written");
    assert!(first == second, "two compilations of one model differ");
}

#[test]
fn inspect_tells_all_as_text_and_as_json() {
    let folder = Folder::new();
    let bundle = small_bundle(&folder);
    let text = driftc(&["inspect", &bundle]).ok().stdout;
    for part in ["sections", "reference", "arena"] {
        assert!(text.contains(part), "`{part}` is missing from: {text}");
    }
    let json = driftc(&["inspect", &bundle, "--json"]).ok().stdout;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(value.is_object());
}

/// A bundle for several targets says which one runs here, and of the others what is missing.
#[test]
fn explain_names_what_is_unmet() {
    let folder = Folder::new();
    let bundle = folder.arg("several.drift");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shapes/shapes.onnx");
    let targets = ["vulkan-baseline", "lavapipe", "nvidia-h200", "apple-m1"];
    let mut compile = vec!["compile", model, "-o", &bundle, "--precision", "mixed"];
    targets.iter().for_each(|t| compile.extend(["--target", t]));
    driftc(&compile).ok();
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&driftc(args).ok().stdout).expect("JSON")
    };
    let listed = json(&["devices", "--json"]);
    let devices = listed["devices"].as_array().expect("devices");
    let Some(lavapipe) = devices.iter().find(|d| {
        d["api"] == "vulkan" && d["name"].as_str().is_some_and(|n| n.contains("llvmpipe"))
    }) else {
        return println!("skipped: no lavapipe");
    };
    let index = lavapipe["index"].to_string();
    let explain = ["run", &bundle, "--explain", "--device", &index];
    let said = json(&[&explain[..], &["--json"]].concat());
    let device = said["devices"].as_array().expect("devices").iter().find(|d| d["chosen"] == true);
    let variants = device.expect("a chosen device")["variants"].as_array().expect("variants");
    let of = |target: &str| {
        variants.iter().find(|v| v["target"] == target).unwrap_or_else(|| panic!("no {target}"))
    };
    assert_eq!(of("lavapipe")["verdict"], "chosen");
    assert_eq!(of("vulkan-baseline")["verdict"], "fits");
    assert_eq!(of("nvidia-h200")["verdict"], "rejected");
    assert!(of("lavapipe")["rank"].as_u64() > of("vulkan-baseline")["rank"].as_u64());
    let metal = &of("apple-m1")["unmet"][0];
    assert_eq!(metal["field"], "api");
    assert_eq!((&metal["needed"], &metal["offered"]), (&"metal".into(), &"vulkan".into()));
    let subgroups = of("nvidia-h200")["unmet"].to_string();
    assert!(subgroups.contains("subgroup_sizes") || subgroups.contains("features"), "{subgroups}");

    let text = driftc(&explain).ok();
    for part in ["lavapipe", "chosen", "rejected", "needs", "another API: apple-m1 (metal)"] {
        assert!(text.stdout.contains(part), "no {part:?} in {}", text.stdout);
    }
    driftc(&["run", &bundle, "--explain", "--backend", "reference"]).fails(2, &["interpreter"]);
    driftc(&["run", &bundle]).fails(2, &["--output-dir"]);
}
