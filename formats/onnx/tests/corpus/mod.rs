//! Hostile models and what each must be refused with.
//!
//! `cargo run -p drift-onnx --features write --example write_corpus -- FOLDER` writes them as files,
//! for the command line's tests and as seeds of the fuzzers.
#![allow(dead_code)]

use drift_onnx::builder::{GraphBuilder, ModelBuilder, node};
use drift_onnx::pb::{self, AttributeProto, GraphProto, ModelProto, NodeProto};
use drift_onnx::{ElemType, Node};
use prost::Message;

use crate::common;

/// One broken model.
pub struct Case {
    /// Unique, fit for a file name.
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// The reader's message, whole.
    pub message: String,
    /// The file may be right, the reader is the limit (exit code 3 rather than 2).
    pub unsupported: bool,
}

fn case(name: &'static str, bytes: Vec<u8>, message: &str) -> Case {
    Case { name, bytes, message: message.to_string(), unsupported: false }
}

fn unsupported(name: &'static str, bytes: Vec<u8>, message: &str) -> Case {
    Case { unsupported: true, ..case(name, bytes, message) }
}

/// The small model with an edit.
pub fn edited(edit: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut proto = common::small_cnn().to_proto();
    edit(&mut proto);
    proto.encode_to_vec()
}

/// The small model with an edit of its graph.
pub fn edited_graph(edit: impl FnOnce(&mut GraphProto)) -> Vec<u8> {
    edited(|proto| edit(proto.graph.as_mut().unwrap()))
}

/// Everything that the reader refuses.
pub fn cases() -> Vec<Case> {
    let mut all = foreign();
    all.extend(wire());
    all.extend(nesting());
    all.extend(versions());
    all.extend(names());
    all.extend(cycles());
    all.extend(inner_graphs());
    all.extend(attributes());
    all.extend(sizes());
    all
}

/// Models that are sound as files, and that no compiler can accept: name and bytes.
pub fn sound_but_impossible() -> Vec<(&'static str, Vec<u8>)> {
    let alpha = |value: f32| edited_graph(|g| g.node[1].attribute[0].f = Some(value));
    let input_dim = |size: i64| {
        edited_graph(|g| {
            for axis in 0..4 {
                *dim(g, axis) = Some(pb::DimensionValue::Value(size));
            }
        })
    };
    vec![
        ("attribute_nan", alpha(f32::NAN)),
        ("attribute_infinite", alpha(f32::INFINITY)),
        ("unknown_operator", edited_graph(|g| g.node[1].op_type = "LeakyRleu".into())),
        ("unknown_opset", edited(|m| m.opset_import[0].version = 9999)),
        ("too_few_operands", edited_graph(|g| g.node[0].input.truncate(1))),
        ("negative_pads", edited_graph(|g| g.node[0].attribute[1].ints = vec![-100; 4])),
        ("huge_pads", edited_graph(|g| g.node[0].attribute[1].ints = vec![i64::MAX; 4])),
        ("input_of_2_pow_40_per_axis", input_dim(1 << 40)),
        ("input_of_i64_max_per_axis", input_dim(i64::MAX)),
    ]
}

fn foreign() -> Vec<Case> {
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut safetensors = 16u64.to_le_bytes().to_vec();
    safetensors.extend(b"{\"a\":{}}        ");
    let files: &[(&'static str, &[u8], &str)] = &[
        ("empty", b"", "an empty file"),
        ("zeros", &[0; 100], "a file of zeros"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer to a model"),
        ("gzip", &[0x1f, 0x8b, 8, 0], "a gzip archive"),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0], "a zstd archive"),
        ("xz", b"\xfd7zXZ\0", "a compressed archive"),
        ("tar", &tar, "a tar archive"),
        ("torch", b"PK\x03\x04........archive/data.pkl", "a PyTorch checkpoint (.pt, .pth)"),
        (
            "zip",
            b"PK\x03\x04........model.onnx",
            "a zip archive (or a PyTorch, Keras or Core ML file)",
        ),
        ("pickle", &[0x80, 2, 0x8a, 10], "a Python pickle, probably an old PyTorch checkpoint"),
        ("tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        ("ort", b"\x1c\0\0\0ORTM", "an ONNX Runtime .ort file"),
        ("keras", b"\x89HDF\r\n\x1a\n", "a Keras HDF5 file"),
        ("gguf", b"GGUF\x03\0\0\0", "a GGUF file"),
        ("npy", b"\x93NUMPY\x01", "a NumPy array"),
        ("drift", b"\x89DRFT\r\n\x1a\n", "a compiled .drift bundle"),
        ("safetensors", &safetensors, "a safetensors checkpoint: weights without a graph"),
        (
            "graphdef",
            b"\n\x0a\n\x05const",
            "another protobuf message, such as a TensorFlow GraphDef (.pb) or a bare ONNX graph",
        ),
        ("html", b"<!DOCTYPE html><html>", "a web page (HTML)"),
        ("html_upper", b"  <HTML>", "a web page (HTML)"),
        ("xml", b"<?xml version='1.0'?>", "XML: an error page, or an OpenVINO network"),
        ("json", b"{\"error\":\"not found\"}", "JSON text"),
    ];
    files
        .iter()
        .map(|(name, bytes, what)| {
            case(name, bytes.to_vec(), &format!("this is not an ONNX model but {what}"))
        })
        .collect()
}

fn wire() -> Vec<Case> {
    // graph { node { attribute { ints: a number that never ends } } }
    let mut endless = vec![0x08, 8, 0x3a, 9, 0x0a, 7, 0x2a, 5, 0x40];
    endless.extend([0xff; 4]);
    let end = "the data ends inside a number";
    let whole = common::small_cnn().to_bytes();
    let graph_at = whole.len() - 12;
    vec![
        case(
            "endless_number",
            endless,
            &format!("the file is damaged at byte 9 (graph.node[0].attribute[0]): {end}"),
        ),
        case(
            "group",
            vec![8, 8, 0x3b],
            "the file is damaged at byte 2: field 7 has wire type 3, which ONNX never uses",
        ),
        case("field_0", vec![8, 8, 0x02, 0], "the file is damaged at byte 2: field number 0"),
        case(
            "long_number",
            [&[8u8, 8, 0x10][..], &[0xff; 10]].concat(),
            "the file is damaged at byte 3: a number of more than 64 bits",
        ),
        case(
            "cut_number",
            vec![8, 8, 0x25, 0, 0],
            &format!("the file is damaged at byte 3: {end}"),
        ),
        case(
            "raw_data_of_2_pow_40_bytes",
            vec![8, 8, 0x3a, 10, 0x2a, 8, 0x4a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0],
            "the file is damaged at byte 13 (graph.initializer[0].raw_data): \
             1099511627776 bytes are announced but only 1 are left",
        ),
        // The metadata entry is last in the file; the cut goes through its value.
        case("truncated", whole[..graph_at].to_vec(), &truncated_message(&whole, graph_at)),
    ]
}

/// The last field of the small model is its metadata entry: key `author`, value `drift`.
fn truncated_message(whole: &[u8], cut: usize) -> String {
    let body = b"\x0a\x06author\x12\x05drift";
    assert!(whole.ends_with(body));
    let at = whole.len() - body.len();
    let (len, left) = (body.len(), cut - at);
    format!(
        "the file is damaged at byte {at} (metadata_props[0]): \
         {len} bytes are announced but only {left} are left"
    )
}

fn nesting() -> Vec<Case> {
    let mut graph = GraphProto::default();
    for _ in 0..40 {
        let attribute =
            AttributeProto { name: "g".into(), g: Some(Box::new(graph)), ..Default::default() };
        let node = NodeProto { attribute: vec![attribute], ..Default::default() };
        graph = GraphProto { node: vec![node], ..Default::default() };
    }
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() };
    let graphs = model.encode_to_vec();

    // A sequence of sequences of …
    let wrap = |tag: u8, bytes: Vec<u8>| {
        let mut out = vec![tag];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend(bytes);
        out
    };
    let types = (0..200).fold(Vec::new(), |inner, _| wrap(0x22, wrap(0x0a, inner)));
    let graph = wrap(0x3a, wrap(0x5a, wrap(0x12, types)));
    let types = [vec![8, 8], graph].concat();

    // The offset depends on lengths of lengths; the message is compared from the place on.
    let limit = |bytes: &[u8], place: &str| {
        let text = drift_onnx::Model::from_bytes(bytes.to_vec(), None).unwrap_err().to_string();
        let offset: String = text
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        format!("the file is refused at byte {offset} ({place}): messages nest more than 80 deep")
    };
    let deep_graphs = limit(
        &graphs,
        "graph.node[0].attribute[0].g.node[0].attribute[0].g.….attribute[0].g.node[0].attribute[0]",
    );
    let deep_types = limit(
        &types,
        "graph.input[0].type.sequence_type.elem_type.sequence_type.elem_type.….\
         sequence_type.elem_type.sequence_type.elem_type",
    );
    vec![case("deep_graphs", graphs, &deep_graphs), case("deep_types", types, &deep_types)]
}

fn versions() -> Vec<Case> {
    let ir = |version| edited(|m| m.ir_version = version);
    let too_old = "is not supported; 3 and newer are";
    let no_import = "but the model imports no version of it";
    let second_import = edited(|m| {
        let mut second = m.opset_import[0].clone();
        second.domain = "ai.onnx".into();
        second.version = 9;
        m.opset_import.push(second);
    });
    vec![
        unsupported("ir_2", ir(Some(2)), &format!("IR version 2 {too_old}")),
        case("ir_negative", ir(Some(-1)), &format!("IR version -1 {too_old}")),
        case(
            "ir_absent",
            ir(None),
            "the model: no IR version is given; this may not be an ONNX file",
        ),
        case("no_graph", edited(|m| m.graph = None), "the model holds no graph"),
        case(
            "no_opset",
            edited(|m| m.opset_import.clear()),
            &format!("node `/conv` (Conv) needs operator set `ai.onnx`, {no_import}"),
        ),
        case(
            "opset_0",
            edited(|m| m.opset_import[0].version = 0),
            "operator set `ai.onnx`: version 0 is imported; versions start at 1",
        ),
        case(
            "opset_twice",
            second_import,
            "operator set `ai.onnx`: versions 17 and 9 are imported",
        ),
        case(
            "unknown_domain",
            edited_graph(|g| g.node[2].domain = "com.acme".into()),
            &format!("node `#2 Reshape` needs operator set `com.acme`, {no_import}"),
        ),
    ]
}

fn names() -> Vec<Case> {
    let twice = |name: &str, by: &str| {
        format!("the main graph: the name `{name}` is defined twice, by {by}")
    };
    let undefined = |user: &str, name: &str| {
        format!("{user} uses `{name}`, but no input, initializer or node defines it")
    };
    let input_twice = edited_graph(|g| {
        let input = g.input[0].clone();
        g.input.push(input);
    });
    vec![
        case(
            "initializer_twice",
            edited_graph(|g| g.initializer[1].name = "w".into()),
            &twice("w", "an initializer and by an initializer"),
        ),
        case(
            "result_twice",
            edited_graph(|g| g.node[1].output[0] = "c".into()),
            &twice("c", "node `/conv` (Conv) and by node `#1 LeakyRelu`"),
        ),
        case(
            "result_is_initializer",
            edited_graph(|g| g.node[1].output[0] = "w".into()),
            &twice("w", "an initializer and by node `#1 LeakyRelu`"),
        ),
        case("input_twice", input_twice, &twice("x", "a graph input and by a graph input")),
        case(
            "undefined_operand",
            edited_graph(|g| g.node[0].input[1] = "weight".into()),
            &undefined("node `/conv` (Conv)", "weight"),
        ),
        case(
            "undefined_output",
            edited_graph(|g| g.output[0].name = "z".into()),
            &undefined("the result list of the main graph", "z"),
        ),
        case(
            "unnamed_output",
            edited_graph(|g| g.output[0].name.clear()),
            "the main graph: output 0 has no name",
        ),
        case("no_outputs", edited_graph(|g| g.output.clear()), "the main graph: it has no outputs"),
        case(
            "unnamed_initializer",
            edited_graph(|g| g.initializer[0].name.clear()),
            "the main graph: initializer 0 has no name",
        ),
        case(
            "no_operator",
            edited_graph(|g| g.node[0].op_type.clear()),
            "node `/conv`: it names no operator",
        ),
        case(
            "untyped_input",
            edited_graph(|g| g.input[0].r#type = None),
            "graph input `x`: it has no element type",
        ),
    ]
}

fn cycles() -> Vec<Case> {
    let ring = |nodes: &str| {
        format!("the main graph: these nodes depend on each other in a cycle: {nodes}")
    };
    // Through a subgraph: the branch reads what the If feeds.
    let branch =
        GraphBuilder::new("b").node("Neg", &["z"], &["r"], &[]).output("r", ElemType::F32, &[1]);
    let through_branch = ModelBuilder::new(13)
        .input("c", ElemType::Bool, &[])
        .named_node("if", "If", &["c"], &["y"], &[("then_branch", branch.into())])
        .node("Relu", &["y"], &["z"], &[])
        .output("y", ElemType::F32, &[1]);
    vec![
        case(
            "cycle_of_one",
            edited_graph(|g| g.node[1].input[0] = "r".into()),
            &ring("`#1 LeakyRelu` -> `#1 LeakyRelu`"),
        ),
        case(
            "cycle_of_two",
            edited_graph(|g| g.node[0].input[2] = "r".into()),
            &ring("`/conv` -> `#1 LeakyRelu` -> `/conv`"),
        ),
        case("cycle_through_branch", through_branch.to_bytes(), &ring("`if` -> `#1 Relu` -> `if`")),
    ]
}

fn inner_graphs() -> Vec<Case> {
    let undefined = |user: &str, name: &str| {
        format!("node `{user} uses `{name}`, but no input, initializer or node defines it")
    };
    let branch = GraphBuilder::new("b").node("Neg", &["nowhere"], &["r"], &[]).output(
        "r",
        ElemType::F32,
        &[1],
    );
    let in_branch = ModelBuilder::new(13)
        .input("c", ElemType::Bool, &[])
        .node("If", &["c"], &["y"], &[("then_branch", branch.into())])
        .output("y", ElemType::F32, &[1]);
    let function = |edit: fn(&mut drift_onnx::Function)| {
        let mut function = common::shift_function();
        edit(&mut function);
        common::small_cnn().function(function).to_bytes()
    };
    let twice =
        common::small_cnn().function(common::shift_function()).function(common::shift_function());
    let itself = function(|f| {
        f.nodes[1].op_type = "Shift".into();
        f.nodes[1].domain = "local".into();
        f.nodes[1].inputs.truncate(1);
    });
    // Each function calls the next one several times: 10^12 nodes, or 100 calls deep.
    let chain = |functions: usize, calls: usize| {
        let mut model = common::small_cnn();
        for i in 0..functions {
            let mut function = common::shift_function();
            function.name = format!("F{i}");
            if i + 1 < functions {
                function.nodes = (0..calls)
                    .map(|call| {
                        let from = if call == 0 { "a".to_string() } else { format!("v{call}") };
                        let to =
                            if call + 1 == calls { "out".into() } else { format!("v{}", call + 1) };
                        let node = node(&format!("F{}", i + 1), &[&from], &[&to], &[]);
                        Node { domain: "local".into(), ..node }
                    })
                    .collect();
            }
            model = model.function(function);
        }
        model.to_bytes()
    };
    vec![
        case(
            "function_calls_itself",
            itself,
            "function `local::Shift`: it calls itself, directly or through other functions",
        ),
        unsupported(
            "function_explosion",
            chain(13, 10),
            "function `local::F6`: a model of more than 2000000 nodes after inlining is not supported",
        ),
        unsupported(
            "function_chain",
            chain(100, 1),
            "function `local::F34`: a chain of more than 64 function calls is not supported",
        ),
        case(
            "undefined_in_branch",
            in_branch.to_bytes(),
            &undefined("#0 If/then_branch/#0 Neg`", "nowhere"),
        ),
        case(
            "undefined_in_function",
            function(|f| f.nodes[1].inputs[0] = "x".into()),
            &undefined("Shift/#1 Add`", "x"),
        ),
        case(
            "unnamed_function",
            function(|f| f.name.clear()),
            "function `local::`: it has no name",
        ),
        case("function_twice", twice.to_bytes(), "function `local::Shift`: it is defined twice"),
    ]
}

fn attributes() -> Vec<Case> {
    let attribute =
        |edit: fn(&mut AttributeProto)| edited_graph(|g| edit(&mut g.node[1].attribute[0]));
    let at = |problem: &str| format!("node `#1 LeakyRelu`: attribute `alpha`: {problem}");
    let twice = edited_graph(|g| {
        let copy = g.node[1].attribute[0].clone();
        g.node[1].attribute.push(copy);
    });
    vec![
        case(
            "attribute_no_tensor",
            attribute(|a| a.r#type = 4),
            &at("it is declared as a tensor but holds none"),
        ),
        case(
            "attribute_no_graph",
            attribute(|a| a.r#type = 5),
            &at("it is declared as a graph but holds none"),
        ),
        case(
            "attribute_type_99",
            attribute(|a| a.r#type = 99),
            &at("attribute type 99 is not known"),
        ),
        case(
            "attribute_unnamed",
            attribute(|a| a.name.clear()),
            "node `#1 LeakyRelu`: attribute ``: it has no name",
        ),
        case("attribute_twice", twice, &at("it is given twice")),
        case(
            "attribute_reference",
            attribute(|a| a.ref_attr_name = "by".into()),
            &at("it refers to the function attribute `by` outside of any function"),
        ),
    ]
}

fn dim(graph: &mut GraphProto, axis: usize) -> &mut Option<pb::DimensionValue> {
    match &mut graph.input[0].r#type.as_mut().unwrap().value {
        Some(pb::TypeValue::Tensor(tensor)) => &mut tensor.shape.as_mut().unwrap().dim[axis].value,
        _ => unreachable!("the input of the small model is a tensor"),
    }
}

fn sizes() -> Vec<Case> {
    let weights = |dims: &[i64]| edited_graph(|g| g.initializer[0].dims = dims.to_vec());
    vec![
        case(
            "shape_too_large",
            weights(&[3, 3, 3, 3]),
            "tensor `w`: shape [3, 3, 3, 3] of f32 takes 324 bytes, but 216 bytes are stored",
        ),
        case(
            "shape_too_small",
            weights(&[1]),
            "tensor `w`: shape [1] of f32 takes 4 bytes, but 216 bytes are stored",
        ),
        case(
            "shape_2_pow_40",
            weights(&[1 << 40]),
            "tensor `w`: shape [1099511627776] of f32 takes 4398046511104 bytes, \
             but 216 bytes are stored",
        ),
        case(
            "shape_overflow",
            weights(&[1 << 32, 1 << 32]),
            "tensor `w`: shape [4294967296, 4294967296]: the number of elements overflows",
        ),
        case(
            "shape_bytes_overflow",
            weights(&[1 << 62]),
            "tensor `w`: shape [4611686018427387904]: the size overflows",
        ),
        case(
            "shape_negative",
            weights(&[2, -3, 3, 3]),
            "tensor `w`: shape [2, -3, 3, 3]: a constant's dimensions cannot be negative",
        ),
        unsupported(
            "element_type_40",
            edited_graph(|g| g.initializer[0].data_type = 40),
            "tensor `w`: element type 40 is not known",
        ),
        case(
            "element_type_0",
            edited_graph(|g| g.initializer[0].data_type = 0),
            "tensor `w`: element type 0 is not known",
        ),
        case(
            "input_dim_negative",
            edited_graph(|g| *dim(g, 1) = Some(pb::DimensionValue::Value(-7))),
            "input `x` of the main graph: its dimension -7 is negative",
        ),
    ]
}
