//! Sound models: what is read is what was written.

mod common;

use drift_onnx::builder::ModelBuilder;
use drift_onnx::pb::{Segment, TensorProto};
use drift_onnx::{
    Attribute, AttributeRef, Dim, ElemType, Model, OnnxError, SparseTensor, Tensor, ValueKind,
    tensor_from_pb, write,
};
use prost::Message;

#[test]
fn a_small_model_reads_back() {
    let model = common::small_cnn().build().unwrap();
    assert_eq!(model.opset(""), Some(17));
    assert_eq!(model.opset("ai.onnx"), Some(17));
    assert_eq!(model.opset("ai.onnx.ml"), None);
    assert_eq!(model.producer, "drift");
    assert_eq!(model.metadata["author"], "drift");
    assert!(model.warnings.is_empty());

    let graph = &model.graph;
    let paths: Vec<&str> = graph.nodes.iter().map(|n| n.path.as_str()).collect();
    assert_eq!(paths, ["/conv", "#1 LeakyRelu", "#2 Reshape"]);
    assert_eq!(graph.nodes[0].label(), "node `/conv` (Conv)");
    assert_eq!(graph.nodes[1].label(), "node `#1 LeakyRelu`");
    assert_eq!(graph.nodes[0].attr_ints("pads").unwrap(), Some(&[1i64, 1, 1, 1][..]));
    assert_eq!(graph.nodes[0].attr_str("auto_pad").unwrap(), Some("NOTSET"));
    assert_eq!(graph.nodes[0].attr_int("group").unwrap(), None);
    assert_eq!(graph.nodes[1].attr_float("alpha").unwrap(), Some(0.1));

    let input = graph.runtime_inputs().next().unwrap();
    assert_eq!((input.kind, input.elem_type), (ValueKind::Tensor, Some(ElemType::F32)));
    let dims = input.dims.as_ref().unwrap();
    assert_eq!(dims[..2], [Dim::Symbol("batch".into()), Dim::Known(3)]);
    assert_eq!(graph.outputs[0].dims.as_ref().unwrap()[2], Dim::Unknown);

    let (name, shape) = &graph.initializers[2];
    assert_eq!((name.as_str(), &shape.dims[..]), ("shape", &[3u64][..]));
    assert_eq!(shape.to_i64s().unwrap(), [0, 2, -1]);
    assert_eq!(graph.initializers[3].1.to_f32s().unwrap(), [0.5]);
    assert!(graph.initializers[3].1.to_i64s().is_err());
}

#[test]
fn raw_data_is_a_view_of_the_file() {
    let bytes = bytes::Bytes::from(common::small_cnn().to_bytes());
    let file = bytes.as_ptr_range();
    let model = Model::from_bytes(bytes.clone(), None).unwrap();
    for (name, tensor) in &model.graph.initializers {
        assert!(file.contains(&tensor.data.as_ptr()), "{name} was copied");
    }
}

#[test]
fn writing_is_the_inverse_of_reading() {
    for builder in [common::small_cnn(), common::branches_and_function()] {
        let model = builder.build().unwrap();
        let again = Model::from_bytes(write::encode(&model), None).unwrap();
        assert_eq!(format!("{model:?}"), format!("{again:?}"));
        assert_eq!(model.graph, again.graph);
    }
}

#[test]
fn subgraphs_capture_outer_values() {
    let model = common::branches_and_function().build().unwrap();
    let choose = &model.graph.nodes[1];
    let mut captures = choose.captures.clone();
    captures.sort();
    assert_eq!(captures, ["h", "x"]);
    assert_eq!(model.graph.total_nodes(), 6);
    let then_branch = choose.attr_graph("then_branch").unwrap().unwrap();
    assert_eq!(then_branch.nodes[0].path, "choose/then_branch/#0 Mul");
    let function = model.function(&model.graph.nodes[2]).unwrap();
    assert_eq!(function.nodes[0].path, "Shift/#0 Constant");
    let by = &function.nodes[0].attributes["value_float"];
    assert_eq!(by, &Attribute::Ref(AttributeRef { name: "by".into(), type_code: 1 }));
    assert!(model.function(choose).is_none());

    // The call gives 3, the default is 1.
    let value = |call| function.body_for(call)[0].attr_float("value_float").unwrap();
    let call = &model.graph.nodes[2];
    assert_eq!(value(call), Some(3.0));
    let mut bare = call.clone();
    bare.attributes.clear();
    assert_eq!(value(&bare), Some(1.0));
    let mut function = function.clone();
    function.attribute_defaults.clear();
    assert!(function.body_for(&bare)[0].attributes.is_empty());
}

#[test]
fn nodes_out_of_order_are_sorted_and_reported() {
    let model = ModelBuilder::new(13)
        .input("x", ElemType::F32, &[1])
        .node("Exp", &["b"], &["y"], &[])
        .node("Relu", &["a"], &["b"], &[])
        .node("Neg", &["x"], &["a"], &[])
        .output("y", ElemType::F32, &[1])
        .build()
        .unwrap();
    let ops: Vec<&str> = model.graph.nodes.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!(ops, ["Neg", "Relu", "Exp"]);
    // Paths keep the position in the file.
    assert_eq!(model.graph.nodes[0].path, "#2 Neg");
    assert_eq!(model.warnings, ["the main graph: nodes are not in dependency order; sorted"]);
}

#[test]
fn a_subgraph_can_force_the_order() {
    // The branch reads `late`, which a later node defines.
    let branch = |_| {
        drift_onnx::builder::GraphBuilder::new("b").node("Neg", &["late"], &["r"], &[]).output(
            "r",
            ElemType::F32,
            &[1],
        )
    };
    let model = ModelBuilder::new(13)
        .input("x", ElemType::F32, &[1])
        .input("c", ElemType::Bool, &[])
        .node(
            "If",
            &["c"],
            &["y"],
            &[("then_branch", branch(0).into()), ("else_branch", branch(1).into())],
        )
        .node("Relu", &["x"], &["late"], &[])
        .output("y", ElemType::F32, &[1])
        .build()
        .unwrap();
    assert_eq!(model.graph.nodes[0].op_type, "Relu");
    assert_eq!(model.graph.nodes[1].captures, ["late"]);
}

#[test]
fn initializers_that_are_inputs_are_constants() {
    let model = ModelBuilder::new(7)
        .ir_version(3)
        .input("x", ElemType::F32, &[1])
        .input("w", ElemType::F32, &[1])
        .initializer("w", Tensor::from_f32(&[1], &[1.0]).unwrap())
        .node("Add", &["x", "w"], &["y"], &[])
        .output("y", ElemType::F32, &[1])
        .build()
        .unwrap();
    assert_eq!(model.graph.inputs.len(), 2);
    let fed: Vec<&str> = model.graph.runtime_inputs().map(|v| v.name.as_str()).collect();
    assert_eq!(fed, ["x"]);
}

#[test]
fn a_newer_ir_version_is_a_warning() {
    let model = common::small_cnn().ir_version(99).build().unwrap();
    assert_eq!(model.warnings.len(), 1, "{:?}", model.warnings);
    assert!(model.warnings[0].contains("IR version 99 is newer"));
}

#[test]
fn minus_one_is_an_unknown_dimension() {
    let mut proto = common::small_cnn().to_proto();
    let input = &mut proto.graph.as_mut().unwrap().input[0];
    let Some(drift_onnx::pb::TypeValue::Tensor(tensor)) = &mut input.r#type.as_mut().unwrap().value
    else {
        panic!()
    };
    tensor.shape.as_mut().unwrap().dim[0].value = Some(drift_onnx::pb::DimensionValue::Value(-1));
    let model = Model::from_bytes(proto.encode_to_vec(), None).unwrap();
    assert_eq!(model.graph.inputs[0].dims.as_ref().unwrap()[0], Dim::Unknown);
}

fn tensor(proto: TensorProto) -> Result<Tensor, OnnxError> {
    tensor_from_pb(proto.encode_to_vec())
}

fn with_ints(dtype: ElemType, dims: &[i64], values: &[i32]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: dtype.code(),
        int32_data: values.to_vec(),
        ..Default::default()
    }
}

#[test]
fn typed_fields_are_packed() {
    let floats = TensorProto {
        dims: vec![2],
        data_type: ElemType::F32.code(),
        float_data: vec![1.5, -2.0],
        ..Default::default()
    };
    assert_eq!(tensor(floats).unwrap().to_f32s().unwrap(), [1.5, -2.0]);

    let halves = tensor(with_ints(ElemType::F16, &[2], &[0x3c00, 0xc000])).unwrap();
    assert_eq!(&halves.data[..], [0x00, 0x3c, 0x00, 0xc0]);
    assert_eq!(halves.to_f32s().unwrap(), [1.0, -2.0]);

    let bytes = tensor(with_ints(ElemType::I8, &[3], &[-128, 0, 127])).unwrap();
    assert_eq!(&bytes.data[..], [0x80, 0, 0x7f]);
    assert_eq!(bytes.to_i64s().unwrap(), [-128, 0, 127]);

    let nibbles = tensor(with_ints(ElemType::I4, &[3], &[0xf7, 0x08])).unwrap();
    assert_eq!(&nibbles.data[..], [0xf7, 0x08]);
    assert_eq!(nibbles.to_i64s().unwrap(), [7, -1, -8]);

    let bools = tensor(with_ints(ElemType::Bool, &[2], &[1, 0])).unwrap();
    assert_eq!(bools.to_i64s().unwrap(), [1, 0]);

    let longs = TensorProto {
        data_type: ElemType::I64.code(),
        int64_data: vec![i64::MIN],
        ..Default::default()
    };
    let longs = tensor(longs).unwrap();
    assert_eq!((longs.dims.len(), longs.to_i64s().unwrap()), (0, vec![i64::MIN]));

    let words = |value| TensorProto {
        dims: vec![1],
        data_type: ElemType::U32.code(),
        uint64_data: vec![value],
        ..Default::default()
    };
    assert_eq!(tensor(words(4_000_000_000)).unwrap().to_i64s().unwrap(), [4_000_000_000]);
    assert!(tensor(words(1 << 32)).is_err());

    let doubles = TensorProto {
        dims: vec![1],
        data_type: ElemType::F64.code(),
        double_data: vec![0.25],
        ..Default::default()
    };
    assert_eq!(tensor(doubles).unwrap().to_f32s().unwrap(), [0.25]);
}

#[test]
fn unpacked_numbers_are_read_like_packed_ones() {
    // dims 2 and 3 packed in one field; float_data as two single fields; F32.
    let mut bytes = vec![0x0a, 2, 2, 1, 0x10, 1];
    for value in [1.0f32, 2.0] {
        bytes.push(4 << 3 | 5);
        bytes.extend(value.to_le_bytes());
    }
    let tensor = tensor_from_pb(bytes).unwrap();
    assert_eq!(
        (tensor.dims.as_slice(), tensor.to_f32s().unwrap()),
        (&[2u64, 1][..], vec![1.0, 2.0])
    );
}

#[test]
fn empty_and_string_tensors() {
    let empty = tensor(with_ints(ElemType::F32, &[0, 1 << 40, 1 << 40], &[])).unwrap();
    assert_eq!((empty.elems(), empty.data.len()), (0, 0));
    let strings = TensorProto {
        dims: vec![2],
        data_type: ElemType::String.code(),
        string_data: vec!["a".into(), "".into()],
        ..Default::default()
    };
    let strings = tensor(strings).unwrap();
    assert_eq!(strings.strings, ["a", ""]);
    assert!(strings.to_f32s().unwrap_err().to_string().contains("its elements are string"));
}

#[test]
fn bad_tensors_are_named() {
    let expect = |proto: TensorProto, text: &str| {
        let err = tensor(TensorProto { name: "w".into(), ..proto }).unwrap_err();
        assert_eq!(err.to_string(), text);
    };
    expect(
        with_ints(ElemType::F32, &[3], &[]),
        "tensor `w`: shape [3] of f32 takes 12 bytes, but 0 bytes are stored",
    );
    expect(
        with_ints(ElemType::F32, &[1], &[1]),
        "tensor `w`: elements of f32 are stored in int32_data",
    );
    expect(
        with_ints(ElemType::U8, &[1], &[256]),
        "tensor `w`: int32_data holds 256, which does not fit u8",
    );
    expect(
        with_ints(ElemType::I32, &[3], &[1, 2]),
        "tensor `w`: 3 elements of i32 do not fit 2 numbers in int32_data",
    );
    expect(
        with_ints(ElemType::I32, &[-1], &[1]),
        "tensor `w`: shape [-1]: a constant's dimensions cannot be negative",
    );
    expect(
        with_ints(ElemType::F32, &[1 << 40], &[]),
        "tensor `w`: shape [1099511627776] of f32 takes 4398046511104 bytes, but 0 bytes are stored",
    );
    expect(
        with_ints(ElemType::F32, &[1 << 40, 1 << 40], &[]),
        "tensor `w`: shape [1099511627776, 1099511627776]: the number of elements overflows",
    );
    expect(
        with_ints(ElemType::F64, &[1 << 62], &[]),
        "tensor `w`: shape [4611686018427387904]: the size overflows",
    );
    let base = with_ints(ElemType::I32, &[1], &[1]);
    expect(
        TensorProto { raw_data: Some(vec![0; 4].into()), ..base.clone() },
        "tensor `w`: both raw_data and int32_data are set",
    );
    expect(
        TensorProto { data_location: 7, ..base.clone() },
        "tensor `w`: data location 7 is not known",
    );
    expect(
        TensorProto { data_type: 77, ..base.clone() },
        "tensor `w`: element type 77 is not known",
    );
    let segment = TensorProto { segment: Some(Segment::default()), ..base };
    assert!(tensor(segment).unwrap_err().is_unsupported());
}

#[test]
fn every_element_type_survives() {
    for dtype in ElemType::ALL {
        assert_eq!(ElemType::from_code(dtype.code()), Some(*dtype));
        let Some(bytes) = dtype.packed_bytes(5) else { continue };
        let data: Vec<u8> = (0..bytes as u8).collect();
        let tensor = Tensor::new(*dtype, &[5], data).unwrap();
        assert_eq!(tensor_from_pb(write::encode_tensor(&tensor)).unwrap(), tensor, "{dtype}");
    }
    assert_eq!(ElemType::from_code(0), None);
    assert_eq!(ElemType::I4.packed_bytes(5), Some(3));
    assert_eq!(ElemType::U2.packed_bytes(5), Some(2));
    assert_eq!(ElemType::F64.packed_bytes(1 << 62), None);
}

#[test]
fn sparse_initializers_define_names() {
    let mut model = common::small_cnn().build().unwrap();
    let sparse = SparseTensor {
        dims: vec![4],
        values: Tensor::from_f32(&[1], &[1.0]).unwrap().named("sp"),
        indices: Tensor::from_i64(&[1], &[2]).unwrap(),
    };
    model.graph.sparse_initializers.push(("sp".into(), sparse));
    model.graph.nodes[1].inputs.push("sp".into());
    let again = Model::from_bytes(write::encode(&model), None).unwrap();
    assert_eq!(again.graph.sparse_initializers, model.graph.sparse_initializers);
}

#[test]
fn attributes_are_type_checked() {
    let model = common::small_cnn().build().unwrap();
    let err = model.graph.nodes[0].attr_int("pads").unwrap_err().to_string();
    assert_eq!(
        err,
        "node `/conv` (Conv): attribute `pads`: an integer is expected, the model has a list of integers"
    );
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut model = model.clone();
        model.graph.nodes[1].attributes.insert("alpha".into(), bad.into());
        model.graph.nodes[1].attributes.insert("list".into(), vec![0.0, bad].into());
        let node = &model.graph.nodes[1];
        let err = node.attr_float("alpha").unwrap_err().to_string();
        assert_eq!(err, format!("node `#1 LeakyRelu`: attribute `alpha`: its value is {bad}"));
        let err = node.attr_floats("list").unwrap_err().to_string();
        assert!(err.ends_with(&format!("element 1 is {bad}")), "{err}");
    }
}

#[test]
fn attribute_types_can_be_left_out() {
    let mut proto = common::small_cnn().to_proto();
    let nodes = &mut proto.graph.as_mut().unwrap().node;
    for attribute in nodes.iter_mut().flat_map(|n| &mut n.attribute) {
        attribute.r#type = 0;
    }
    let model = Model::from_bytes(proto.encode_to_vec(), None).unwrap();
    assert_eq!(model.graph, common::small_cnn().build().unwrap().graph);
}
