//! Broken and hostile models, and the message that each must give.
//!
//! A message names the place (byte, node, tensor, file); `is_unsupported` decides the exit code.

mod common;
mod corpus;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use corpus::edited_graph;
use drift_onnx::builder::{GraphBuilder, ModelBuilder};
use drift_onnx::pb::StringStringEntryProto;
use drift_onnx::{ElemType, Model, Tensor};

#[test]
fn every_case_gives_its_message() {
    let mut names = HashSet::new();
    for case in corpus::cases() {
        let name = case.name;
        assert!(names.insert(name), "two cases are called {name}");
        let Err(err) = Model::from_bytes(case.bytes, None) else {
            panic!("{name} was accepted; expected: {}", case.message)
        };
        assert_eq!(err.to_string(), case.message, "{name}");
        assert_eq!(err.is_unsupported(), case.unsupported, "{name}: {err}");
    }
    assert!(names.len() >= 60, "{} cases", names.len());
}

#[test]
fn impossible_models_are_sound_files() {
    for (name, bytes) in corpus::sound_but_impossible() {
        let result = Model::from_bytes(bytes, None);
        assert!(result.is_ok(), "{name}: {:?}", result.err());
    }
}

#[test]
fn messages_say_what_to_do() {
    let help = |name: &str| {
        let case = corpus::cases().into_iter().find(|case| case.name == name).unwrap();
        Model::from_bytes(case.bytes, None).unwrap_err().help().unwrap_or_default()
    };
    for (name, part) in [
        ("lfs", "git lfs pull"),
        ("torch", "torch.onnx.export"),
        ("tflite", "--tflite"),
        ("graphdef", "tf2onnx"),
        ("html", "link"),
        ("safetensors", "config.json"),
        ("truncated", "checksum"),
        ("no_opset", "make_opsetid(\"\", version)"),
        ("unknown_domain", "make_opsetid(\"com.acme\", version)"),
        ("cycle_of_two", "onnx.checker"),
        ("ir_2", "newer exporter"),
    ] {
        assert!(help(name).contains(part), "{name}: {}", help(name));
    }
}

#[test]
fn wrong_field_types_are_refused() {
    // A number where the producer's name belongs.
    let err = Model::from_bytes(vec![8, 8, 0x10, 0], None).unwrap_err();
    assert!(err.to_string().starts_with("this does not decode as an ONNX model: "), "{err}");
}

#[test]
fn long_cycles_are_cut() {
    let mut ring = ModelBuilder::new(13).output("v0", ElemType::F32, &[1]);
    for i in 0..1000 {
        let (from, to) = (format!("v{i}"), format!("v{}", (i + 1) % 1000));
        ring = ring.node("Relu", &[&from], &[&to], &[]);
    }
    let text = Model::from_bytes(ring.to_bytes(), None).unwrap_err().to_string();
    assert!(text.ends_with("… (1000 nodes)") && text.len() < 400, "{text}");
}

/// The small model with `w` in an external file.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    edited_graph(|g| {
        let w = &mut g.initializer[0];
        w.raw_data = None;
        w.data_location = 1;
        w.external_data = entries
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: key.to_string(),
                value: value.to_string(),
            })
            .collect();
    })
}

#[test]
fn external_data_stays_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.bin");
    let home = folder.path().join("model");
    fs::create_dir_all(home.join("sub")).unwrap();
    let weights: Vec<u8> = (0..54).flat_map(|i| (i as f32).to_le_bytes()).collect();
    fs::write(&secret, &weights).unwrap();
    fs::write(home.join("w.bin"), &weights).unwrap();
    fs::write(home.join("sub/w.bin"), [&[7u8; 16][..], &weights].concat()).unwrap();
    fs::write(home.join("empty.bin"), b"").unwrap();

    let read = |entries: &[(&str, &str)]| Model::from_bytes(external(entries), Some(&home));
    let first = |model: Model| model.graph.initializers[0].1.to_f32s().unwrap()[53];
    assert_eq!(first(read(&[("location", "w.bin")]).unwrap()), 53.0);
    assert_eq!(
        first(read(&[("location", "./sub/w.bin"), ("offset", "16"), ("length", "216")]).unwrap()),
        53.0
    );

    let refuse = |entries: &[(&str, &str)], problem: &str| {
        let err = read(entries).unwrap_err();
        let location = entries.iter().find(|(key, _)| *key == "location").map_or("", |e| e.1);
        assert_eq!(
            err.to_string(),
            format!("tensor `w`: external data file `{location}`: {problem}")
        );
        assert!(err.help().is_some() && !err.is_unsupported());
    };
    refuse(&[], "no location is given");
    refuse(&[("location", "../secret.bin")], "the path holds `..`; refused");
    refuse(&[("location", "sub/../../secret.bin")], "the path holds `..`; refused");
    refuse(&[("location", "..\\secret.bin")], "the path is absolute or holds `..`; refused");
    refuse(&[("location", "C:\\secret.bin")], "the path is absolute or holds `..`; refused");
    refuse(&[("location", "/etc/passwd")], "the path is absolute; refused");
    refuse(&[("location", "none.bin")], &format!("not found in {}", home.display()));
    refuse(&[("location", "sub")], "this is a folder, not a file");
    let beyond = "bytes 16 + 216 lie beyond the file's end (216 bytes)";
    refuse(&[("location", "w.bin"), ("offset", "16")], beyond);
    refuse(&[("location", "empty.bin")], "bytes 0 + 216 lie beyond the file's end (0 bytes)");
    refuse(
        &[("location", "w.bin"), ("offset", "18446744073709551615")],
        "bytes 18446744073709551615 + 216 lie beyond the file's end (216 bytes)",
    );
    refuse(
        &[("location", "w.bin"), ("length", "8")],
        "length is given as 8 bytes, but the tensor's shape takes 216",
    );
    refuse(&[("location", "w.bin"), ("offset", "-1")], "offset `-1` is not a number");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, home.join("link.bin")).unwrap();
        refuse(
            &[("location", "link.bin")],
            "the path is a link that leads out of the model's folder; refused",
        );
        refuse(&[("location", "w.bin\0x")], "file name contained an unexpected NUL byte");
    }
    let err = Model::from_bytes(external(&[("location", "w.bin")]), None).unwrap_err();
    assert!(err.to_string().ends_with("the model was given without a folder to find it in"));
}

#[test]
fn models_open_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs");
    let snapshot = folder.path().join("snapshot");
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(blobs.join("m"), external(&[("location", "w.bin")])).unwrap();
    fs::write(blobs.join("d"), [0u8; 216]).unwrap();
    // A hub cache: model and data are links to neighbours elsewhere.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(blobs.join("m"), snapshot.join("model.onnx")).unwrap();
        std::os::unix::fs::symlink(blobs.join("d"), snapshot.join("w.bin")).unwrap();
        assert!(Model::open(snapshot.join("model.onnx")).is_ok());
    }
    let open = |path: &Path| Model::open(path).unwrap_err();
    let err = open(&folder.path().join("none.onnx"));
    assert!(err.to_string().starts_with("cannot read "), "{err}");
    assert!(err.help().unwrap().contains("check the path"));
    let err = open(folder.path());
    assert!(err.to_string().ends_with("this is a folder, not a file"), "{err}");
    fs::write(folder.path().join("empty.onnx"), b"").unwrap();
    let err = open(&folder.path().join("empty.onnx"));
    assert_eq!(err.to_string(), "this is not an ONNX model but an empty file");
}

#[test]
fn long_names_do_not_multiply() {
    // One name of 100 kB above 2,000 unnamed nodes.
    let mut branch = GraphBuilder::new("b").output("v0", ElemType::F32, &[1]);
    for i in 0..2000 {
        let out = format!("v{i}");
        branch = branch.node("Neg", &["x"], &[&out], &[]);
    }
    let name = "é".repeat(50_000);
    let model = ModelBuilder::new(13)
        .input("x", ElemType::F32, &[1])
        .named_node(&name, "If", &["x"], &["y"], &[("then_branch", branch.into())])
        .output("y", ElemType::F32, &[1])
        .build()
        .unwrap();
    let branch = model.graph.nodes[0].attr_graph("then_branch").unwrap().unwrap();
    assert!(branch.nodes.iter().all(|n| n.path.len() < 300));
    let bad = ModelBuilder::new(13)
        .named_node(
            &name,
            &name,
            &[&name],
            &["y"],
            &[(&name, Tensor::from_f32(&[1], &[0.0]).unwrap().into())],
        )
        .output("y", ElemType::F32, &[1]);
    assert!(Model::from_bytes(bad.to_bytes(), None).unwrap_err().to_string().len() < 1000);
}
