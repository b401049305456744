//! Models that several test files use.
#![allow(dead_code)]

use std::path::PathBuf;

use drift_onnx::builder::{GraphBuilder, ModelBuilder, node};
use drift_onnx::{Attribute, AttributeRef, Dim, ElemType, Function, Node, Tensor};

/// The folder of shared models; `None`, with a visible line, where it is absent.
pub fn shared_models() -> Option<PathBuf> {
    let shared = std::env::var_os("DRIFT_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let models = shared.join("models");
    if models.join("MANIFEST.json").exists() {
        return Some(models);
    }
    println!("skipped: ../shared/models not present");
    None
}

/// Convolution, bias and activation; 4 initializers of several types, symbolic batch.
pub fn small_cnn() -> ModelBuilder {
    let batch = Dim::Symbol("batch".into());
    let image = [batch.clone(), Dim::Known(3), Dim::Known(4), Dim::Known(4)];
    let result = [batch, Dim::Known(2), Dim::Unknown];
    let weights: Vec<f32> = (0..54).map(|i| i as f32 / 54.0).collect();
    ModelBuilder::new(17)
        .metadata("author", "drift")
        .input_dims("x", ElemType::F32, &image)
        .initializer("w", Tensor::from_f32(&[2, 3, 3, 3], &weights).unwrap())
        .initializer("b", Tensor::from_f32(&[2], &[0.5, -0.5]).unwrap())
        .initializer("shape", Tensor::from_i64(&[3], &[0, 2, -1]).unwrap())
        .initializer("half", Tensor::from_f16(&[1], &[0.5]).unwrap())
        .named_node(
            "/conv",
            "Conv",
            &["x", "w", "b"],
            &["c"],
            &[("pads", vec![1i64, 1, 1, 1].into()), ("auto_pad", "NOTSET".into())],
        )
        .node("LeakyRelu", &["c"], &["r"], &[("alpha", 0.1f32.into())])
        .node("Reshape", &["r", "shape"], &["y"], &[])
        .value_info("c", ElemType::F32, &[-1, 2, 4, 4])
        .output_dims("y", ElemType::F32, &result)
}

/// An `If` with two branches that read outer values, and a call of a local function.
pub fn branches_and_function() -> ModelBuilder {
    let constant = Tensor::from_f32(&[1], &[2.0]).unwrap();
    let then_branch = GraphBuilder::new("then")
        .initializer("k", constant.clone())
        .node("Mul", &["x", "k"], &["t"], &[])
        .output("t", ElemType::F32, &[4]);
    let else_branch = GraphBuilder::new("else")
        .named_node("twice", "Constant", &[], &["k"], &[("value", constant.into())])
        .node("Add", &["h", "k"], &["e"], &[])
        .output("e", ElemType::F32, &[4]);
    let call = node("Shift", &["s"], &["y"], &[("by", 3.0f32.into())]);
    ModelBuilder::new(18)
        .ir_version(9)
        .opset("local", 1)
        .input("x", ElemType::F32, &[4])
        .input("flag", ElemType::Bool, &[])
        .node("Relu", &["x"], &["h"], &[])
        .named_node(
            "choose",
            "If",
            &["flag"],
            &["s"],
            &[("then_branch", then_branch.into()), ("else_branch", else_branch.into())],
        )
        .push(Node { domain: "local".into(), ..call })
        .function(shift_function())
        .output("y", ElemType::F32, &[4])
}

/// `Shift(a) = a + by`.
pub fn shift_function() -> Function {
    let by = [("value_float", Attribute::Ref(AttributeRef { name: "by".into(), type_code: 1 }))];
    Function {
        domain: "local".into(),
        name: "Shift".into(),
        overload: String::new(),
        inputs: vec!["a".into()],
        outputs: vec!["out".into()],
        attributes: vec![],
        attribute_defaults: [("by".to_string(), Attribute::Float(1.0))].into(),
        nodes: vec![node("Constant", &[], &["c"], &by), node("Add", &["a", "c"], &["out"], &[])],
        opsets: vec![(String::new(), 18)],
        value_info: vec![],
    }
}
