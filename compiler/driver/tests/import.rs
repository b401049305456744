//! Dims, control flow and outputs, on models built here.

use drift_driver::dims::DimBindings;
use drift_driver::import::{import, materialize_outputs};
use drift_driver::{ErrorKind, StageError};
use drift_ir::{DType, Shape, Tensor};
use drift_onnx::builder::{GraphBuilder, ModelBuilder};
use drift_onnx::{Attribute, Dim, ElemType, Model, Tensor as OnnxTensor};

fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.into())
}

/// y = relu(x), x of the given dims.
fn relu(dims: &[Dim]) -> Model {
    ModelBuilder::new(17)
        .input_dims("x", ElemType::F32, dims)
        .node("Relu", &["x"], &["y"], &[])
        .output_dims("y", ElemType::F32, dims)
        .build()
        .expect("a valid model")
}

fn shape(model: &Model, bindings: &DimBindings) -> Result<(Shape, Vec<String>), StageError> {
    let imported = import(model, bindings)?;
    let input = imported.graph.inputs[0];
    Ok((imported.graph.value(input).shape.clone(), imported.notes))
}

#[test]
fn an_open_leading_dim_is_one_and_said_so() {
    let model = relu(&[symbol("batch"), Dim::Known(3)]);
    let (shape, notes) = shape(&model, &DimBindings::default()).expect("the batch has a default");
    assert_eq!(shape, [1, 3].into());
    assert!(notes.iter().any(|n| n.contains("`batch`")), "{notes:?}");
}

#[test]
fn other_open_dims_have_to_be_given() {
    let model = relu(&[symbol("batch"), symbol("length")]);
    let error = shape(&model, &DimBindings::default()).expect_err("`length` is open");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("`length`"), "{error}");
    assert!(error.help.is_some_and(|h| h.contains("--dim length=N")));

    let mut bindings = DimBindings::default();
    bindings.dims.insert("length".into(), 7);
    let (shape, _) = shape(&model, &bindings).expect("all dims are known");
    assert_eq!(shape, [1, 7].into());
}

#[test]
fn names_and_shapes_that_do_not_fit_are_refused() {
    let model = relu(&[symbol("batch"), Dim::Known(3)]);
    let mut bindings = DimBindings::default();
    bindings.dims.insert("bacth".into(), 2);
    let error = shape(&model, &bindings).expect_err("a misspelled dim");
    assert!(error.help.is_some_and(|h| h.contains("batch")));

    let mut bindings = DimBindings::default();
    bindings.shapes.insert("x".into(), vec![2, 4]);
    let error = shape(&model, &bindings).expect_err("3 is declared");
    assert!(error.message.contains("[batch, 3]"), "{error}");
}

/// `If` over a constant; the branches add different constants to x.
fn branches(cond: bool) -> Model {
    let branch = |value: f32| {
        let c = OnnxTensor::from_f32(&[1], &[value]).expect("one value");
        let graph = GraphBuilder::new("branch")
            .initializer("c", c)
            .node("Add", &["x", "c"], &["sum"], &[])
            .output("sum", ElemType::F32, &[2])
            .finish();
        Attribute::Graph(Box::new(graph))
    };
    let cond = OnnxTensor::from_bool(&[], &[cond]).expect("one value");
    let attributes = [("then_branch", branch(1.0)), ("else_branch", branch(-1.0))];
    ModelBuilder::new(17)
        .input("x", ElemType::F32, &[2])
        .initializer("cond", cond)
        .node("If", &["cond"], &["y"], &attributes)
        .output("y", ElemType::F32, &[2])
        .build()
        .expect("a valid model")
}

fn answer(model: &Model, x: &[f32]) -> Vec<f32> {
    let imported = import(model, &DimBindings::default()).expect("it imports");
    let x = Tensor::from_f32([x.len()], x);
    let outputs = drift_ops::eval_graph(&imported.graph, &[x]).expect("it evaluates");
    outputs[0].to_f32s()
}

#[test]
fn a_decided_branch_is_inlined() {
    assert_eq!(answer(&branches(true), &[1.0, 2.0]), [2.0, 3.0]);
    assert_eq!(answer(&branches(false), &[1.0, 2.0]), [0.0, 1.0]);
}

#[test]
fn a_branch_on_data_is_refused_with_a_way_out() {
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[2])
        .input("cond", ElemType::Bool, &[])
        .node(
            "If",
            &["cond"],
            &["y"],
            &[
                ("then_branch", Attribute::Graph(Box::new(identity_branch()))),
                ("else_branch", Attribute::Graph(Box::new(identity_branch()))),
            ],
        )
        .output("y", ElemType::F32, &[2])
        .build()
        .expect("a valid model");
    let error = import(&model, &DimBindings::default()).expect_err("the condition is an input");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("run time"), "{error}");
}

fn identity_branch() -> drift_onnx::Graph {
    GraphBuilder::new("branch")
        .node("Identity", &["x"], &["same"], &[])
        .output("same", ElemType::F32, &[2])
        .finish()
}

/// x doubled `trips` times by a Loop.
#[test]
fn a_counted_loop_is_written_out() {
    let body = GraphBuilder::new("body")
        .input("i", ElemType::I64, &[])
        .input("go_in", ElemType::Bool, &[])
        .input("v", ElemType::F32, &[2])
        .node("Identity", &["go_in"], &["go"], &[])
        .node("Add", &["v", "v"], &["twice"], &[])
        .output("go", ElemType::Bool, &[])
        .output("twice", ElemType::F32, &[2])
        .finish();
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[2])
        .initializer("trips", OnnxTensor::from_i64(&[], &[3]).expect("one value"))
        .initializer("go", OnnxTensor::from_bool(&[], &[true]).expect("one value"))
        .node("Loop", &["trips", "go", "x"], &["y"], &[("body", Attribute::Graph(Box::new(body)))])
        .output("y", ElemType::F32, &[2])
        .build()
        .expect("a valid model");
    assert_eq!(answer(&model, &[1.0, -3.0]), [8.0, -24.0]);
}

#[test]
fn every_output_is_written_by_a_node_of_its_own() {
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[2])
        .initializer("c", OnnxTensor::from_f32(&[2], &[5.0, 6.0]).expect("two values"))
        .node("Identity", &["x"], &["a"], &[])
        .node("Identity", &["c"], &["b"], &[])
        .node("Relu", &["x"], &["r"], &[])
        .node("Identity", &["r"], &["again"], &[])
        .output("a", ElemType::F32, &[2])
        .output("b", ElemType::F32, &[2])
        .output("r", ElemType::F32, &[2])
        .output("again", ElemType::F32, &[2])
        .build()
        .expect("a valid model");
    let mut graph = import(&model, &DimBindings::default()).expect("it imports").graph;
    materialize_outputs(&mut graph);
    let values: std::collections::BTreeSet<_> = graph.outputs.iter().map(|(_, v)| *v).collect();
    assert_eq!(values.len(), 4, "no value is two outputs");
    assert!(graph.outputs.iter().all(|(_, v)| graph.producer(*v).is_some()));
    assert!(graph.outputs.iter().all(|(_, v)| graph.value(*v).dtype == DType::F32));
    let x = Tensor::from_f32([2], &[-1.0, 2.0]);
    let outputs = drift_ops::eval_graph(&graph, &[x]).expect("it evaluates");
    let floats: Vec<Vec<f32>> = outputs.iter().map(Tensor::to_f32s).collect();
    assert_eq!(floats, [vec![-1.0, 2.0], vec![5.0, 6.0], vec![0.0, 2.0], vec![0.0, 2.0]]);
}

#[test]
fn an_unknown_operator_set_is_refused() {
    let model = ModelBuilder::new(9999)
        .input("x", ElemType::F32, &[2])
        .node("Relu", &["x"], &["y"], &[])
        .output("y", ElemType::F32, &[2])
        .build()
        .expect("a valid file");
    let error = import(&model, &DimBindings::default()).expect_err("nobody knows that version");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("9999"), "{error}");
}
