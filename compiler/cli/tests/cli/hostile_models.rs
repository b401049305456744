//! Models that are broken, lie, or ask for the impossible.

use crate::common;
use crate::corpus;
use crate::program::{Folder, driftc, driftc_in_little_memory};
use drift_onnx::ElemType;
use drift_onnx::builder::ModelBuilder;
use drift_onnx::pb;
use prost::Message;

#[test]
fn what_the_reader_refuses_is_refused_with_its_message() {
    let folder = Folder::new();
    for case in corpus::cases() {
        let model = folder.write(&format!("{}.onnx", case.name), &case.bytes);
        let out = folder.arg("out.drift");
        let ran =
            driftc_in_little_memory(&["compile", &model, "--target", "reference", "-o", &out]);
        let status = if case.unsupported { 3 } else { 2 };
        assert_eq!(ran.status, status, "{}: {}", case.name, ran.stderr);
        assert!(ran.stderr.contains(&case.message), "{}: {}", case.name, ran.stderr);
        assert!(!folder.at("out.drift").exists(), "{}: a bundle was left", case.name);
    }
}

#[test]
fn sound_files_that_no_compiler_can_accept() {
    // status, and what the message must name
    let expected: &[(&str, i32, &[&str])] = &[
        ("attribute_nan", 2, &["LeakyRelu", "alpha"]),
        ("attribute_infinite", 2, &["LeakyRelu", "alpha"]),
        ("unknown_operator", 3, &["LeakyRleu"]),
        ("unknown_opset", 3, &["9999"]),
        ("too_few_operands", 2, &["/conv"]),
        ("negative_pads", 3, &["/conv"]),
        ("huge_pads", 2, &["/conv"]),
        ("input_of_2_pow_40_per_axis", 2, &["`x`"]),
        ("input_of_i64_max_per_axis", 2, &["`x`"]),
    ];
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for (name, bytes) in corpus::sound_but_impossible() {
        let Some((_, status, parts)) = expected.iter().find(|(n, ..)| *n == name) else {
            wrong.push(format!("{name}: is new; say here what it must be refused with"));
            continue;
        };
        let model = folder.write(&format!("{name}.onnx"), &bytes);
        let out = folder.arg("out.drift");
        let ran =
            driftc_in_little_memory(&["compile", &model, "--target", "reference", "-o", &out]);
        let named = parts.iter().all(|p| ran.stderr.contains(p));
        if ran.status != *status || !named {
            wrong.push(format!("{name}: status {} ({status}), {}", ran.status, ran.stderr.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A model of one node over `x` of this shape, with constants as further operands.
fn one_node(op: &str, shape: &[i64], ints: &[(&str, &[i64])], result: &[i64]) -> ModelBuilder {
    let mut model = ModelBuilder::new(17).input("x", ElemType::F32, shape);
    let mut operands = vec!["x"];
    for (name, values) in ints {
        let tensor = drift_onnx::Tensor::from_i64(&[values.len() as u64], values);
        model = model.initializer(name, tensor.expect("a list"));
        operands.push(name);
    }
    model.named_node("/bad", op, &operands, &["y"], &[]).output("y", ElemType::F32, result)
}

#[test]
fn shapes_that_explode_in_the_middle_of_a_graph() {
    let big: i64 = 1 << 40;
    let models: Vec<(&str, ModelBuilder)> = vec![
        ("expand", one_node("Expand", &[1, 1], &[("s", &[big, big])], &[-1, -1])),
        ("expand_2_pow_40", one_node("Expand", &[1], &[("s", &[big])], &[-1])),
        ("tile", one_node("Tile", &[64, 64], &[("s", &[big, 64])], &[-1, -1])),
        ("pad", one_node("Pad", &[4], &[("s", &[0, i64::MAX])], &[-1])),
        ("reshape", one_node("Reshape", &[4, 4], &[("s", &[3, 5])], &[-1, -1])),
        ("reshape_two_open", one_node("Reshape", &[4, 4], &[("s", &[-1, -1])], &[-1, -1])),
        ("reshape_negative", one_node("Reshape", &[4, 4], &[("s", &[-4, -4])], &[-1, -1])),
        ("squeeze", one_node("Squeeze", &[4, 4], &[("s", &[7])], &[-1])),
        ("unsqueeze", one_node("Unsqueeze", &[4, 4], &[("s", &[i64::MIN])], &[-1])),
        (
            "slice_step_0",
            one_node("Slice", &[9], &[("a", &[0]), ("b", &[9]), ("c", &[0]), ("d", &[0])], &[-1]),
        ),
        ("gather", one_node("Gather", &[4], &[("s", &[99])], &[-1])),
    ];
    let folder = Folder::new();
    let mut wrong = Vec::new();
    for (name, model) in models {
        let model = folder.write(&format!("{name}.onnx"), &model.to_bytes());
        let out = folder.arg("out.drift");
        let ran =
            driftc_in_little_memory(&["compile", &model, "--target", "reference", "-o", &out]);
        // an index beyond the axis is found at run time, where it is clamped
        let refused = matches!(ran.status, 2 | 3) && ran.stderr.contains("/bad");
        if !refused && name != "gather" {
            wrong.push(format!("{name}: status {}, {}", ran.status, ran.stderr.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn external_data_stays_in_its_folder() {
    let folder = Folder::new();
    folder.write("secret.bin", &[0; 216]);
    let weights = |location: &str| {
        let mut proto = common::small_cnn().to_proto();
        let w = &mut proto.graph.as_mut().expect("a graph").initializer[0];
        w.raw_data = None;
        w.float_data.clear();
        w.data_location = 1;
        let entry = pb::StringStringEntryProto { key: "location".into(), value: location.into() };
        w.external_data = vec![entry];
        proto.encode_to_vec()
    };
    let secret = folder.arg("secret.bin");
    for location in ["../secret.bin", "a/../../secret.bin", secret.as_str(), "missing.bin"] {
        let model = folder.write("models/m.onnx", &weights(location));
        let ran =
            driftc(&["compile", &model, "--target", "reference", "-o", &folder.arg("o.drift")]);
        ran.fails(2, &["`w`", location]);
    }
    folder.write("models/here.bin", &[0; 216]);
    let model = folder.write("models/m.onnx", &weights("here.bin"));
    driftc(&["compile", &model, "--target", "reference", "-o", &folder.arg("o.drift")]).ok();
}

#[test]
fn cut_and_flipped_models_never_panic() {
    let whole = common::small_cnn().to_bytes();
    let folder = Folder::new();
    let out = folder.arg("out.drift");
    for i in (0..whole.len()).step_by(11) {
        let mut flipped = whole.clone();
        flipped[i] ^= 0x15;
        for (name, bytes) in [("cut.onnx", &whole[..i]), ("flipped.onnx", &flipped[..])] {
            let model = folder.write(name, bytes);
            let ran =
                driftc_in_little_memory(&["compile", &model, "--target", "reference", "-o", &out]);
            assert!(matches!(ran.status, 0 | 2 | 3), "{name} {i}: {}", ran.status);
            assert!(name != "cut.onnx" || ran.status != 0, "cut at {i}: accepted");
        }
    }
}
