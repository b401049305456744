//! The table as a whole: every operator has a unique name, and its conformance cases are sound.

use drift_ir::{Attrs, Body, DType, Graph, Operand, Tensor};
use drift_ops::{ErrorKind, ImportCtx, OPS, eval_node, find_onnx, find_op, import_node};
use std::collections::HashSet;

#[test]
fn names_are_unique() {
    let mut names = HashSet::new();
    let mut onnx = HashSet::new();
    for op in OPS {
        assert!(names.insert(op.name), "{} is listed twice", op.name);
        for n in op.onnx {
            assert!(onnx.insert((n.domain, n.name)), "{}: imported twice", n.name);
            assert!(find_onnx(n.domain, n.name, n.since).is_ok());
        }
        assert_eq!(find_op(op.name).unwrap().name, op.name);
    }
    assert!(onnx.len() > 150);
}

/// Inference and reference agree on every case, through a graph node as the back ends build it,
/// and floats stay finite (a case that gives NaN everywhere would prove nothing).
#[test]
fn cases_evaluate() {
    let mut count = 0;
    for op in OPS {
        let mut seen = HashSet::new();
        for case in (op.cases)() {
            let place = format!("{} / {}", op.name, case.name);
            assert!(seen.insert(case.name.clone()), "{place}: the name is used twice");
            let mut graph = Graph::new("case");
            let operands: Vec<Option<Operand>> = case
                .operands
                .iter()
                .map(|t| {
                    let t = t.as_ref()?;
                    Some(Operand::from(graph.add_input("x", t.dtype, t.shape.clone())))
                })
                .collect();
            let types: Vec<_> = case
                .operands
                .iter()
                .map(|t| t.as_ref().map(|t| (t.dtype, t.shape.clone())))
                .collect();
            let results =
                drift_ops::eval::infer_op(op.name, &place, &case.attrs, &types, &case.body)
                    .unwrap_or_else(|e| panic!("{place}: {e}"));
            let named = results.into_iter().map(|(d, s)| ("y".to_owned(), d, s)).collect();
            let id = graph.add_node(op.name, case.attrs.clone(), operands, named, &place);
            if op.name == "pointwise" {
                graph.node_mut(id).epilogue = case.body.clone();
                graph.node_mut(id).epilogue_operands = 0;
            }
            let out = eval_node(&graph, graph.node(id), &case.operands)
                .unwrap_or_else(|e| panic!("{place}: {e}"));
            for t in out.iter().filter(|t| t.dtype.is_float()) {
                assert!(t.elems() > 0, "{place}: an empty result");
                assert!(t.to_f64s().iter().all(|x| x.is_finite()), "{place}: not finite");
            }
            count += 1;
        }
    }
    assert!(count > 150, "only {count} cases");
}

fn import(op_type: &str, opset: i64, attrs: Attrs) -> drift_ops::OpError {
    let mut graph = Graph::new("t");
    let x = graph.add_input("x", DType::F32, [1, 3, 8, 8]);
    let index = graph.add_input("i", DType::I64, [4]);
    let mut ctx = ImportCtx {
        graph: &mut graph,
        op_type: op_type.to_owned(),
        domain: String::new(),
        opset,
        attrs,
        inputs: vec![Some(x), Some(index)],
        output_names: vec!["y".to_owned()],
        path: "model/node_7".to_owned(),
    };
    import_node(&mut ctx).expect_err("must be refused")
}

#[test]
fn errors_help() {
    let e = import("Convv", 17, Attrs::new());
    assert_eq!(e.kind, ErrorKind::Unsupported);
    assert!(e.help.as_deref().unwrap().contains("Conv"), "{e:?}");
    assert!(e.to_string().contains("model/node_7"));

    let e = import("GridSample", 11, Attrs::new());
    assert!(e.to_string().contains("opset 11"), "{e}");
    assert!(e.help.as_deref().unwrap().contains("16 and later"), "{e:?}");

    let e = import("Reshape", 17, Attrs::new());
    assert_eq!(e.kind, ErrorKind::Unsupported);
    assert!(e.to_string().contains("must be known at compile time"), "{e}");
    assert!(e.help.is_some());

    let e = import("MatMul", 17, Attrs::new());
    assert_eq!(e.kind, ErrorKind::Invalid);
}

/// Shape arithmetic disappears at import: Shape -> Gather -> Unsqueeze -> Concat -> Reshape leaves
/// one reshape node.
#[test]
fn shape_arithmetic_folds() {
    let mut graph = Graph::new("t");
    let x = graph.add_input("x", DType::F32, [2, 3, 4]);
    let zero = graph.add_const("zero", Tensor::from_i64([], &[0]));
    let rest = graph.add_const("rest", Tensor::from_i64([1], &[-1]));
    let axes = graph.add_const("axes", Tensor::from_i64([1], &[0]));
    let mut run = |op: &str, attrs: Attrs, inputs: Vec<drift_ir::ValueId>| {
        let mut ctx = ImportCtx {
            graph: &mut graph,
            op_type: op.to_owned(),
            domain: String::new(),
            opset: 17,
            attrs,
            inputs: inputs.into_iter().map(Some).collect(),
            output_names: vec![format!("{op}_out")],
            path: op.to_owned(),
        };
        import_node(&mut ctx).unwrap()[0]
    };
    let shape = run("Shape", Attrs::new(), vec![x]);
    let dim = run("Gather", Attrs::new(), vec![shape, zero]);
    let dim = run("Unsqueeze", Attrs::new(), vec![dim, axes]);
    let target = run("Concat", Attrs::new().with("axis", 0i64), vec![dim, rest]);
    let y = run("Reshape", Attrs::new(), vec![x, target]);
    assert_eq!(graph.value(y).shape.0, [2, 12]);
    assert_eq!(graph.value(y).name, "Reshape_out");
    assert_eq!(graph.node_count(), 1);
}

/// An epilogue runs on the node's own coordinates, before the store view.
#[test]
fn epilogue_then_store_view() {
    use drift_ir::{Arg, PointwiseOp, Step, View, ViewStep};
    let mut graph = Graph::new("t");
    let a = graph.add_input("a", DType::F32, [2, 2]);
    let b = graph.add_input("b", DType::F32, [2, 3]);
    let bias = graph.add_input("bias", DType::F32, [3]);
    let id = graph.add_node(
        "matmul",
        Attrs::new(),
        vec![Some(a.into()), Some(b.into())],
        vec![("y".to_owned(), DType::F32, [3, 2].into())],
        "n",
    );
    let node = graph.node_mut(id);
    let wide = View::identity().then(ViewStep::Broadcast { shape: [2, 3].into() });
    node.operands.push(Some(Operand { value: bias, view: wide }));
    node.epilogue = Body {
        steps: vec![
            Step { op: PointwiseOp::Add, args: vec![Arg::Acc, Arg::Operand(2)], dtype: DType::F32 },
            Step { op: PointwiseOp::Relu, args: vec![Arg::Step(0)], dtype: DType::F32 },
        ],
        results: vec![Arg::Step(1)],
    };
    node.store_view = View::identity().then(ViewStep::Transpose { perm: vec![1, 0] });
    let operands = [
        Some(Tensor::from_f32([2, 2], &[1., 0., 0., 1.])),
        Some(Tensor::from_f32([2, 3], &[1., 2., 3., -4., -5., -6.])),
        Some(Tensor::from_f32([3], &[10., 0., 5.])),
    ];
    let y = eval_node(&graph, graph.node(id), &operands).unwrap();
    assert_eq!(y[0].to_f32s(), [11., 6., 2., 0., 8., 0.]);
}
