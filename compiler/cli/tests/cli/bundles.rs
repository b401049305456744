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
