//! Broken and hostile models, and the message that each must give.
//!
//! A message names the place (byte, node, tensor, file); `is_unsupported` decides the exit code.

mod common;

use std::fs;
use std::path::Path;

use drift_onnx::builder::{GraphBuilder, ModelBuilder};
use drift_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto};
use drift_onnx::{ElemType, Model, OnnxError, Tensor};
use prost::Message;

fn refuse(bytes: impl Into<bytes::Bytes>, text: &str) -> OnnxError {
    match Model::from_bytes(bytes, None) {
        Ok(_) => panic!("accepted; expected: {text}"),
        Err(err) => {
            assert_eq!(err.to_string(), text);
            err
        }
    }
}

/// The small model with an edit.
fn edited(edit: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut proto = common::small_cnn().to_proto();
    edit(&mut proto);
    proto.encode_to_vec()
}

fn edited_graph(edit: impl FnOnce(&mut GraphProto)) -> Vec<u8> {
    edited(|proto| edit(proto.graph.as_mut().unwrap()))
}

#[test]
fn foreign_files_are_recognized() {
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut safetensors = 16u64.to_le_bytes().to_vec();
    safetensors.extend(b"{\"a\":{}}        ");
    let cases: &[(&[u8], &str, &str)] = &[
        (b"", "an empty file", "repeat"),
        (&[0; 100], "a file of zeros", "repeat"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "a Git LFS pointer to a model",
            "git lfs pull",
        ),
        (&[0x1f, 0x8b, 8, 0], "a gzip archive", "unpack"),
        (&[0x28, 0xb5, 0x2f, 0xfd, 0], "a zstd archive", "unpack"),
        (&tar, "a tar archive", "unpack"),
        (
            b"PK\x03\x04........archive/data.pkl",
            "a PyTorch checkpoint (.pt, .pth)",
            "torch.onnx.export",
        ),
        (
            b"PK\x03\x04........model.onnx",
            "a zip archive (or a PyTorch, Keras or Core ML file)",
            "unpack",
        ),
        (
            &[0x80, 2, 0x8a, 10],
            "a Python pickle, probably an old PyTorch checkpoint",
            "torch.onnx.export",
        ),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model", "--tflite"),
        (b"\x1c\0\0\0ORTM", "an ONNX Runtime .ort file", ".onnx"),
        (b"\x89HDF\r\n\x1a\n", "a Keras HDF5 file", "tf2onnx"),
        (b"GGUF\x03\0\0\0", "a GGUF file", "safetensors"),
        (b"\x93NUMPY\x01", "a NumPy array", "inputs"),
        (b"\x89DRFT\r\n\x1a\n", "a compiled .drift bundle", "run it"),
        (&safetensors, "a safetensors checkpoint: weights without a graph", "config.json"),
        (
            b"\n\x0a\n\x05const",
            "another protobuf message, such as a TensorFlow GraphDef (.pb) or a bare ONNX graph",
            "tf2onnx",
        ),
        (b"<!DOCTYPE html><html>", "a web page (HTML)", "link"),
        (b"  <HTML>", "a web page (HTML)", "link"),
        (b"<?xml version='1.0'?>", "XML: an error page, or an OpenVINO network", "link"),
        (b"{\"error\":\"not found\"}", "JSON text", "link"),
    ];
    for (bytes, what, help) in cases {
        let err = refuse(bytes.to_vec(), &format!("this is not an ONNX model but {what}"));
        assert!(err.help().unwrap().contains(help), "{what}: {:?}", err.help());
        assert!(!err.is_unsupported());
    }
}

#[test]
fn wire_damage_is_located() {
    let bytes = common::small_cnn().to_bytes();
    let cut = bytes[..bytes.len() - 30].to_vec();
    let err = Model::from_bytes(cut, None).unwrap_err();
    let text = err.to_string();
    assert!(text.starts_with("the file is damaged at byte "), "{text}");
    assert!(text.contains("bytes are announced but only"), "{text}");
    assert!(err.help().unwrap().contains("checksum"));

    // graph { node { attribute { ints: varint that never ends } } }
    let mut bytes = vec![0x08, 8, 0x3a, 9, 0x0a, 7, 0x2a, 5, 0x40];
    bytes.extend([0xff; 4]);
    refuse(
        bytes,
        "the file is damaged at byte 9 (graph.node[0].attribute[0]): the data ends inside a number",
    );
    refuse(
        vec![8, 8, 0x3b],
        "the file is damaged at byte 2: field 7 has wire type 3, which ONNX never uses",
    );
    refuse(vec![8, 8, 0x02, 0], "the file is damaged at byte 2: field number 0");
    refuse(
        [&[8u8, 8, 0x10][..], &[0xff; 10]].concat(),
        "the file is damaged at byte 3: a number of more than 64 bits",
    );
    refuse(vec![8, 8, 0x25, 0, 0], "the file is damaged at byte 3: the data ends inside a number");
    // 2^40 bytes of raw data are announced by 14 bytes.
    refuse(
        vec![8, 8, 0x3a, 10, 0x2a, 8, 0x4a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0],
        "the file is damaged at byte 13 (graph.initializer[0].raw_data): 1099511627776 bytes are announced but only 1 are left",
    );
    // A number where text belongs.
    let err = Model::from_bytes(vec![8, 8, 0x10, 0], None).unwrap_err();
    assert!(matches!(err, OnnxError::Decode { .. }), "{err}");
}

#[test]
fn nesting_is_bounded() {
    let mut graph = GraphProto::default();
    for _ in 0..40 {
        let attribute =
            AttributeProto { name: "g".into(), g: Some(Box::new(graph)), ..Default::default() };
        graph = GraphProto {
            node: vec![NodeProto { attribute: vec![attribute], ..Default::default() }],
            ..Default::default()
        };
    }
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() };
    let err = Model::from_bytes(model.encode_to_vec(), None).unwrap_err();
    assert!(matches!(err, OnnxError::Limit { .. }), "{err}");
    assert!(err.to_string().contains("messages nest more than 80 deep"), "{err}");
    // Types nest too.
    let mut depth_bytes = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x22];
        prost::encoding::encode_varint(depth_bytes.len() as u64 + 8, &mut outer);
        let mut inner = vec![0x0a];
        prost::encoding::encode_varint(depth_bytes.len() as u64, &mut inner);
        inner.extend(depth_bytes);
        outer = vec![0x22];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        depth_bytes = outer;
    }
    let wrap = |tag: u8, bytes: Vec<u8>| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend(bytes);
        out
    };
    let graph = wrap(0x3a, wrap(0x5a, wrap(0x12, depth_bytes)));
    let err = Model::from_bytes([vec![8, 8], graph].concat(), None).unwrap_err();
    assert!(err.to_string().contains("messages nest more than 80 deep"), "{err}");
}

#[test]
fn versions_and_operator_sets() {
    let err = refuse(
        edited(|m| m.ir_version = Some(2)),
        "IR version 2 is not supported; 3 and newer are",
    );
    assert!(err.is_unsupported());
    let err = refuse(
        edited(|m| m.ir_version = Some(-1)),
        "IR version -1 is not supported; 3 and newer are",
    );
    assert!(!err.is_unsupported());
    refuse(
        edited(|m| m.ir_version = None),
        "the model: no IR version is given; this may not be an ONNX file",
    );
    refuse(edited(|m| m.graph = None), "the model holds no graph");
    let err = refuse(
        edited(|m| m.opset_import.clear()),
        "node `/conv` (Conv) needs operator set `ai.onnx`, but the model imports no version of it",
    );
    assert!(err.help().unwrap().contains("make_opsetid(\"\", version)"));
    refuse(
        edited(|m| m.opset_import[0].version = 0),
        "operator set `ai.onnx`: version 0 is imported; versions start at 1",
    );
    refuse(
        edited(|m| {
            let mut second = m.opset_import[0].clone();
            second.domain = "ai.onnx".into();
            second.version = 9;
            m.opset_import.push(second);
        }),
        "operator set `ai.onnx`: versions 17 and 9 are imported",
    );
    refuse(
        edited_graph(|g| g.node[2].domain = "com.acme".into()),
        "node `#2 Reshape` needs operator set `com.acme`, but the model imports no version of it",
    );
}

#[test]
fn names_that_lie() {
    refuse(
        edited_graph(|g| g.initializer[1].name = "w".into()),
        "the main graph: the name `w` is defined twice, by an initializer and by an initializer",
    );
    refuse(
        edited_graph(|g| g.node[1].output[0] = "c".into()),
        "the main graph: the name `c` is defined twice, by node `/conv` (Conv) and by node `#1 LeakyRelu`",
    );
    refuse(
        edited_graph(|g| g.node[1].output[0] = "w".into()),
        "the main graph: the name `w` is defined twice, by an initializer and by node `#1 LeakyRelu`",
    );
    refuse(
        edited_graph(|g| {
            let input = g.input[0].clone();
            g.input.push(input);
        }),
        "the main graph: the name `x` is defined twice, by a graph input and by a graph input",
    );
    let err = refuse(
        edited_graph(|g| g.node[0].input[1] = "weight".into()),
        "node `/conv` (Conv) uses `weight`, but no input, initializer or node defines it",
    );
    assert!(!err.is_unsupported());
    refuse(
        edited_graph(|g| g.output[0].name = "z".into()),
        "the result list of the main graph uses `z`, but no input, initializer or node defines it",
    );
    refuse(edited_graph(|g| g.output[0].name.clear()), "the main graph: output 0 has no name");
    refuse(edited_graph(|g| g.output.clear()), "the main graph: it has no outputs");
    refuse(
        edited_graph(|g| g.initializer[0].name.clear()),
        "the main graph: initializer 0 has no name",
    );
    refuse(edited_graph(|g| g.node[0].op_type.clear()), "node `/conv`: it names no operator");
    refuse(edited_graph(|g| g.input[0].r#type = None), "graph input `x`: it has no element type");
}

#[test]
fn cycles_are_spelled_out() {
    refuse(
        edited_graph(|g| g.node[1].input[0] = "r".into()),
        "the main graph: these nodes depend on each other in a cycle: `#1 LeakyRelu` -> `#1 LeakyRelu`",
    );
    let err = refuse(
        edited_graph(|g| g.node[0].input[2] = "r".into()),
        "the main graph: these nodes depend on each other in a cycle: `/conv` -> `#1 LeakyRelu` -> `/conv`",
    );
    assert!(!err.is_unsupported());
    // Through a subgraph: the branch reads what the If feeds.
    let branch =
        GraphBuilder::new("b").node("Neg", &["z"], &["r"], &[]).output("r", ElemType::F32, &[1]);
    let model = ModelBuilder::new(13)
        .input("c", ElemType::Bool, &[])
        .named_node("if", "If", &["c"], &["y"], &[("then_branch", branch.into())])
        .node("Relu", &["y"], &["z"], &[])
        .output("y", ElemType::F32, &[1]);
    refuse(
        model.to_bytes(),
        "the main graph: these nodes depend on each other in a cycle: `if` -> `#1 Relu` -> `if`",
    );
    // A long ring is cut.
    let mut ring = ModelBuilder::new(13).output("v0", ElemType::F32, &[1]);
    for i in 0..1000 {
        let (from, to) = (format!("v{i}"), format!("v{}", (i + 1) % 1000));
        ring = ring.node("Relu", &[&from], &[&to], &[]);
    }
    let text = Model::from_bytes(ring.to_bytes(), None).unwrap_err().to_string();
    assert!(text.ends_with("… (1000 nodes)") && text.len() < 400, "{text}");
}

#[test]
fn subgraphs_and_functions_are_checked_inside() {
    let branch = GraphBuilder::new("b").node("Neg", &["nowhere"], &["r"], &[]).output(
        "r",
        ElemType::F32,
        &[1],
    );
    let model = ModelBuilder::new(13)
        .input("c", ElemType::Bool, &[])
        .node("If", &["c"], &["y"], &[("then_branch", branch.into())])
        .output("y", ElemType::F32, &[1]);
    refuse(
        model.to_bytes(),
        "node `#0 If/then_branch/#0 Neg` uses `nowhere`, but no input, initializer or node defines it",
    );
    let function = |edit: fn(&mut drift_onnx::Function)| {
        let mut function = common::shift_function();
        edit(&mut function);
        common::small_cnn().function(function).to_bytes()
    };
    refuse(
        function(|f| f.nodes[1].inputs[0] = "x".into()),
        "node `Shift/#1 Add` uses `x`, but no input, initializer or node defines it",
    );
    refuse(function(|f| f.name.clear()), "function `local::`: it has no name");
    let twice =
        common::small_cnn().function(common::shift_function()).function(common::shift_function());
    refuse(twice.to_bytes(), "function `local::Shift`: it is defined twice");
    refuse(
        edited_graph(|g| g.node[1].attribute[0].ref_attr_name = "by".into()),
        "node `#1 LeakyRelu`: attribute `alpha`: it refers to the function attribute `by` outside of any function",
    );
}

#[test]
fn attributes_that_lie() {
    let attribute =
        |edit: fn(&mut AttributeProto)| edited_graph(|g| edit(&mut g.node[1].attribute[0]));
    let at = "node `#1 LeakyRelu`: attribute `alpha`: ";
    refuse(attribute(|a| a.r#type = 4), &format!("{at}it is declared as a tensor but holds none"));
    refuse(attribute(|a| a.r#type = 5), &format!("{at}it is declared as a graph but holds none"));
    refuse(attribute(|a| a.r#type = 99), &format!("{at}attribute type 99 is not known"));
    refuse(attribute(|a| a.name.clear()), "node `#1 LeakyRelu`: attribute ``: it has no name");
    refuse(
        edited_graph(|g| {
            let copy = g.node[1].attribute[0].clone();
            g.node[1].attribute.push(copy);
        }),
        &format!("{at}it is given twice"),
    );
}

#[test]
fn sizes_that_lie() {
    refuse(
        edited_graph(|g| g.initializer[0].dims[0] = 3),
        "tensor `w`: shape [3, 3, 3, 3] of f32 takes 324 bytes, but 216 bytes are stored",
    );
    refuse(
        edited_graph(|g| g.initializer[0].dims = vec![1 << 40]),
        "tensor `w`: shape [1099511627776] of f32 takes 4398046511104 bytes, but 216 bytes are stored",
    );
    refuse(
        edited_graph(|g| g.initializer[0].dims = vec![1 << 32, 1 << 32]),
        "tensor `w`: shape [4294967296, 4294967296]: the number of elements overflows",
    );
    refuse(
        edited_graph(|g| g.initializer[0].dims[1] = -3),
        "tensor `w`: shape [2, -3, 3, 3]: a constant's dimensions cannot be negative",
    );
    let err = refuse(
        edited_graph(|g| g.initializer[0].data_type = 40),
        "tensor `w`: element type 40 is not known",
    );
    assert!(err.is_unsupported());
    let err = refuse(
        edited_graph(|g| g.initializer[0].data_type = 0),
        "tensor `w`: element type 0 is not known",
    );
    assert!(!err.is_unsupported());
    refuse(
        edited_graph(|g| {
            let Some(drift_onnx::pb::TypeValue::Tensor(tensor)) =
                &mut g.input[0].r#type.as_mut().unwrap().value
            else {
                panic!()
            };
            tensor.shape.as_mut().unwrap().dim[1].value =
                Some(drift_onnx::pb::DimensionValue::Value(-7));
        }),
        "input `x` of the main graph: its dimension -7 is negative",
    );
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
