//! Products in transformers: what becomes of them, and that it computes the same.

use drift_driver::quantize::transformer_products;
use drift_ir::{Arg, Attrs, Body, DType, Graph, PointwiseOp as P, Shape, Step, ValueId};
use drift_ops::data::sample;
use drift_ops::eval_graph;
use drift_ops::fuse::{FuseOptions, fuse};
use drift_ops::quant::Scheme;

/// A graph under construction; every value is f32.
struct Net(Graph);

impl Net {
    fn node(&mut self, op: &'static str, attrs: Attrs, from: &[ValueId], to: &[usize]) -> ValueId {
        let operands = from.iter().map(|v| Some((*v).into())).collect();
        let result = vec![(op.to_owned(), DType::F32, Shape::from(to))];
        let id = self.0.add_node(op, attrs, operands, result, op);
        self.0.node(id).results[0]
    }

    fn step(&mut self, op: P, from: &[ValueId]) -> ValueId {
        let shape = self.0.value(from[0]).shape.clone();
        let y = self.node("pointwise", Attrs::new(), from, &shape);
        let id = self.0.producer(y).unwrap();
        let args = (0..from.len()).map(Arg::Operand).collect();
        let steps = vec![Step { op, args, dtype: DType::F32 }];
        let node = self.0.node_mut(id);
        (node.epilogue, node.epilogue_operands) = (Body { steps, results: vec![Arg::Step(0)] }, 0);
        y
    }

    fn weights(&mut self, seed: u64, shape: &[usize]) -> ValueId {
        self.0.add_const(format!("w{seed}"), sample(seed, DType::F32, shape))
    }

    fn product(&mut self, seed: u64, x: ValueId, n: usize) -> ValueId {
        let mut shape = self.0.value(x).shape.to_vec();
        let w = self.weights(seed, &[shape[2], n]);
        shape[2] = n;
        self.node("matmul", Attrs::new(), &[x, w], &shape)
    }
}

/// A layer of `rows` rows: norm, attention over itself, norm, gated feed-forward.
fn layer(rows: usize, attention: bool) -> Graph {
    let mut net = Net(Graph::new("layer"));
    let x = net.0.add_input("x", DType::F32, [1, rows, 32]);
    let norm = |net: &mut Net, x, seed| {
        let gamma = net.weights(seed, &[32]);
        let attrs = Attrs::new().with("axis", 2i64).with("epsilon", 1e-5);
        net.node("rms_norm", attrs, &[x, gamma], &[1, rows, 32])
    };
    let h = norm(&mut net, x, 1);
    let q = net.product(2, h, 32);
    let y = if attention {
        let heads = Attrs::new().with("shape", vec![1usize, 1, rows, 32]);
        let q = net.node("reshape", heads, &[q], &[1, 1, rows, 32]);
        let attrs = Attrs::new().with("scale", 0.2);
        let y = net.node("attention", attrs, &[q, q, q], &[1, 1, rows, 32]);
        let flat = Attrs::new().with("shape", vec![1usize, rows, 32]);
        net.node("reshape", flat, &[y], &[1, rows, 32])
    } else {
        q
    };
    let x = net.step(P::Add, &[x, y]);
    let h = norm(&mut net, x, 3);
    let (gate, up) = (net.product(4, h, 48), net.product(5, h, 48));
    let s = net.step(P::Sigmoid, &[gate]);
    let s = net.step(P::Mul, &[gate, s]);
    let y = net.step(P::Mul, &[s, up]);
    let y = net.product(6, y, 32);
    let y = net.step(P::Add, &[x, y]);
    net.0.outputs.push(("y".into(), y));
    net.0
}

fn ops(g: &Graph) -> Vec<&'static str> {
    let mut ops: Vec<_> = g.node_ids().map(|id| g.node(id).op).collect();
    ops.sort_unstable();
    ops
}

fn fused(mut g: Graph, scheme: Option<Scheme>) -> Graph {
    if let Some(scheme) = scheme {
        transformer_products(&mut g, scheme);
    }
    fuse(g, &FuseOptions::default()).unwrap().0
}

#[test]
fn a_layer_of_one_row_is_three_products_and_an_attention() {
    let g = fused(layer(1, true), Some(Scheme::F32));
    assert_eq!(ops(&g), ["attention", "linear", "linear", "linear"]);
    let gate = g.node_ids().find(|id| g.node(*id).attrs.str("gate") == Some("silu"));
    assert_eq!(g.node(gate.unwrap()).attrs.str("norm"), Some("rms"));
}

#[test]
fn of_many_rows_only_the_gate_is_joined() {
    let g = fused(layer(40, true), Some(Scheme::F32));
    assert_eq!(ops(&g), ["attention", "linear", "matmul", "matmul", "rms_norm", "rms_norm"]);
}

#[test]
fn nothing_changes_without_attention() {
    let (plain, same) = (layer(1, false), layer(1, false));
    assert_eq!(fused(plain, Some(Scheme::F32)), fused(same, None));
}

#[test]
fn both_forms_compute_the_same() {
    for (scheme, rows, tolerance) in
        [(Scheme::F32, 3, 1e-6), (Scheme::F16, 3, 2e-3), (Scheme::F32, 40, 1e-6)]
    {
        let x = [sample(9, DType::F32, [1, rows, 32])];
        let want = eval_graph(&fused(layer(rows, true), None), &x).unwrap()[0].to_f64s();
        let got = eval_graph(&fused(layer(rows, true), Some(scheme)), &x).unwrap()[0].to_f64s();
        let scale = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= tolerance * scale, "{scheme}: {g}, not {w}");
        }
    }
}
