//! Random graphs through all rewrite rules: the same outputs before and after, no view node left,
//! and a second run that finds nothing to do. Seeds are fixed, so a failure repeats.

use drift_ir::{
    Arg, Attrs, Body, DType, Graph, Operand, PointwiseOp as P, Shape, Step, Tensor, ValueId, View,
    ViewStep, print,
};
use drift_ops::data::sample;
use drift_ops::eval_graph;
use drift_ops::fuse::{FuseOptions, canonicalize, fuse, verify_graph};

/// splitmix64
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        sample(self.next(), DType::F32, Shape::from(shape))
    }
}

struct Maker {
    g: Graph,
    rng: Rng,
    values: Vec<ValueId>,
}

impl Maker {
    fn shape(&self, v: ValueId) -> Shape {
        self.g.value(v).shape.clone()
    }

    fn constant(&mut self, shape: &[usize]) -> ValueId {
        let t = self.rng.tensor(shape);
        self.g.add_const("c", t)
    }

    /// A node of which inference says the type; nothing when it does not fit.
    fn node(&mut self, op: &'static str, attrs: Attrs, operands: Vec<Option<Operand>>, body: Body) {
        let types: Vec<_> = operands
            .iter()
            .map(|o| {
                let o = o.as_ref()?;
                let v = self.g.value(o.value);
                Some((v.dtype, o.view.apply(&v.shape)?))
            })
            .collect();
        let Ok(results) = drift_ops::eval::infer_op(op, "random", &attrs, &types, &body) else {
            return;
        };
        if results[0].1.elems() > 2000 || results[0].1.elems() == 0 {
            return;
        }
        let n = self.g.node_count();
        let named = results.into_iter().map(|(d, s)| (format!("v{n}"), d, s)).collect::<Vec<_>>();
        let id = self.g.add_node(op, attrs, operands, named, format!("n{n}"));
        if op == "pointwise" {
            let node = self.g.node_mut(id);
            node.epilogue_operands = 0;
            node.epilogue = body;
        }
        self.values.extend(&self.g.node(id).results);
    }

    fn plain(&mut self, op: &'static str, attrs: Attrs, operands: &[ValueId]) {
        let operands = operands.iter().map(|v| Some((*v).into())).collect();
        self.node(op, attrs, operands, Body::default());
    }

    fn unary(&mut self, x: ValueId) {
        let ops = [P::Relu, P::Tanh, P::Sigmoid, P::Neg, P::Abs, P::Erf];
        let step = match self.rng.below(9) {
            0 => (P::Mul, vec![Arg::Operand(0), Arg::Const(0.5)]),
            1 => (P::Add, vec![Arg::Const(1.0), Arg::Operand(0)]),
            2 => (P::Clip, vec![Arg::Operand(0), Arg::Const(-0.5), Arg::Const(0.75)]),
            k => (ops[k - 3], vec![Arg::Operand(0)]),
        };
        let body = one(step.0, step.1);
        self.node("pointwise", Attrs::new(), vec![Some(x.into())], body);
    }

    fn binary(&mut self, x: ValueId) {
        let shape = self.shape(x);
        let mut same: Vec<ValueId> = self.values.clone();
        same.retain(|v| self.g.value(*v).shape.broadcast(&shape).as_ref() == Some(&shape));
        let y = match self.rng.below(4) {
            0 if shape.rank() > 1 => {
                let mut s = vec![1; shape.rank()];
                s[1] = shape[1];
                s.drain(..self.rng.below(2));
                self.constant(&s)
            }
            1 => self.constant(&shape[shape.rank().saturating_sub(1)..]),
            _ => self.rng.pick(&same),
        };
        let op = self.rng.pick(&[P::Add, P::Mul, P::Sub, P::Max]);
        let view = match self.g.value(y).shape == shape {
            true => View::identity(),
            false => View::identity().then(ViewStep::Broadcast { shape }),
        };
        let mut operands = vec![Some(x.into()), Some(Operand { value: y, view })];
        if self.rng.below(2) == 0 {
            operands.swap(0, 1);
        }
        let body = one(op, vec![Arg::Operand(0), Arg::Operand(1)]);
        self.node("pointwise", Attrs::new(), operands, body);
    }

    fn view(&mut self, x: ValueId) {
        let shape = self.shape(x);
        let rank = shape.rank();
        match self.rng.below(4) {
            0 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, self.rng.below(i + 1));
                }
                self.plain("transpose", Attrs::new().with("perm", perm), &[x]);
            }
            1 => {
                let mut dims = shape.0.clone();
                match self.rng.below(4) {
                    0 if rank > 1 => {
                        let i = self.rng.below(rank - 1);
                        let d = dims.remove(i);
                        dims[i] *= d;
                    }
                    1 if rank < 5 => dims.insert(self.rng.below(rank + 1), 1),
                    2 => dims.retain(|d| *d != 1),
                    _ if rank < 5 => {
                        let i = self.rng.below(rank.max(1));
                        if let Some(d) = dims.get(i).copied().filter(|d| d % 2 == 0 && *d > 0) {
                            dims[i] = d / 2;
                            dims.insert(i + self.rng.below(2), 2);
                        }
                    }
                    _ => {}
                }
                self.plain("reshape", Attrs::new().with("shape", dims), &[x]);
            }
            2 => {
                let (mut starts, mut sizes, mut steps) = (vec![], vec![], vec![]);
                for &d in shape.iter() {
                    let size = 1 + self.rng.below(d);
                    let start = self.rng.below(d - size + 1);
                    match self.rng.below(6) {
                        0 => {
                            starts.push(start + size - 1);
                            sizes.push(size);
                            steps.push(-1i64);
                        }
                        1 => {
                            starts.push(start);
                            sizes.push(size.div_ceil(2));
                            steps.push(2);
                        }
                        2 | 3 => {
                            starts.push(start);
                            sizes.push(size);
                            steps.push(1);
                        }
                        _ => {
                            starts.push(0);
                            sizes.push(d);
                            steps.push(1);
                        }
                    }
                }
                let attrs =
                    Attrs::new().with("starts", starts).with("sizes", sizes).with("steps", steps);
                self.plain("slice", attrs, &[x]);
            }
            _ => {
                let dims: Vec<usize> = shape
                    .iter()
                    .map(|d| if *d == 1 { 1 + self.rng.below(3) } else { *d })
                    .collect();
                self.plain("expand", Attrs::new().with("shape", dims), &[x]);
            }
        }
    }

    fn main_op(&mut self, x: ValueId) {
        let shape = self.shape(x);
        let rank = shape.rank();
        match self.rng.below(8) {
            0 | 1 if rank == 4 => {
                let k = self.rng.pick(&[1, 3]);
                let pad = self.rng.below(2) as i64 * (k as i64 / 2);
                let out = 1 + self.rng.below(4);
                let depthwise = self.rng.below(3) == 0;
                let (w, group) = match depthwise {
                    true => ([shape[1], 1, k, k], shape[1]),
                    false => ([out, shape[1], k, k], 1),
                };
                let w = self.constant(&w);
                let attrs = Attrs::new()
                    .with("dilations", vec![1i64, 1])
                    .with("strides", vec![1i64, 1 + self.rng.below(2) as i64])
                    .with("pads", vec![pad; 4])
                    .with("group", group as i64);
                self.node(
                    "conv",
                    attrs,
                    vec![Some(x.into()), Some(w.into()), None],
                    Body::default(),
                );
            }
            2 if rank >= 3 => {
                let c = shape[1];
                let mut p: Vec<ValueId> = (0..3).map(|_| self.constant(&[c])).collect();
                let var: Vec<f32> = (0..c).map(|i| 0.5 + i as f32).collect();
                p.push(self.g.add_const("var", Tensor::from_f32([c], &var)));
                p.insert(0, x);
                self.plain("batch_norm", Attrs::new().with("epsilon", 1e-5), &p);
            }
            3 if rank == 4 => {
                let attrs = Attrs::new()
                    .with("kind", self.rng.pick(&["max", "average"]))
                    .with("kernel", vec![2i64, 2])
                    .with("dilations", vec![1i64, 1])
                    .with("strides", vec![2i64, 2])
                    .with("pads", vec![self.rng.below(2) as i64; 4])
                    .with("ceil_mode", 0i64)
                    .with("count_include_pad", self.rng.below(2) as i64);
                self.plain("pool", attrs, &[x]);
            }
            4 if rank >= 1 => {
                let axis = self.rng.below(rank) as i64;
                self.plain("softmax", Attrs::new().with("axis", axis), &[x]);
            }
            5 if rank >= 1 => {
                let attrs = Attrs::new()
                    .with("kind", self.rng.pick(&["mean", "sum", "max"]))
                    .with("axes", vec![self.rng.below(rank) as i64])
                    .with("keepdims", self.rng.below(2) as i64);
                self.plain("reduce", attrs, &[x]);
            }
            6 if rank >= 1 => {
                let like = shape.clone();
                let axis = self.rng.below(rank);
                let fits = |s: &Shape| {
                    s.rank() == like.rank() && (0..rank).all(|i| i == axis || s[i] == like[i])
                };
                let all: Vec<ValueId> = self.values.clone();
                let all: Vec<ValueId> =
                    all.into_iter().filter(|v| fits(&self.g.value(*v).shape)).collect();
                let parts = [x, self.rng.pick(&all)];
                self.plain("concat", Attrs::new().with("axis", axis as i64), &parts);
            }
            7 if rank == 4 => {
                let mut pads = vec![0i64; 8];
                for i in [2, 3, 6, 7] {
                    pads[i] = self.rng.below(2) as i64;
                }
                let attrs =
                    Attrs::new().with("mode", "constant").with("pads", pads).with("value", 0.0);
                self.plain("pad", attrs, &[x]);
            }
            _ if rank >= 2 => {
                let n = 1 + self.rng.below(4);
                let w = self.constant(&[shape[rank - 1], n]);
                self.plain("matmul", Attrs::new(), &[x, w]);
            }
            _ => {}
        }
    }
}

fn one(op: P, args: Vec<Arg>) -> Body {
    Body { steps: vec![Step { op, args, dtype: DType::F32 }], results: vec![Arg::Step(0)] }
}

fn random_graph(seed: u64) -> Graph {
    let mut m = Maker { g: Graph::new("random"), rng: Rng(seed), values: Vec::new() };
    let shapes: [&[usize]; 3] = [&[1, 4, 4, 6], &[2, 6], &[1, 3, 8]];
    let shape = m.rng.pick(&shapes);
    let x = m.g.add_input("x", DType::F32, shape);
    m.values.push(x);
    if m.rng.below(2) == 0 {
        let y = m.g.add_input("y", DType::F32, m.rng.pick(&shapes));
        m.values.push(y);
    }
    let steps = 4 + m.rng.below(20);
    for _ in 0..steps {
        // mostly the newest values, so that chains arise
        let n = m.values.len();
        let x = m.values[n - 1 - m.rng.below(n.min(3))];
        match m.rng.below(10) {
            0..=2 => m.unary(x),
            3 | 4 => m.binary(x),
            5 | 6 => m.view(x),
            _ => m.main_op(x),
        }
    }
    let last = *m.values.last().expect("there is an input");
    m.g.outputs.push(("last".into(), last));
    if m.rng.below(2) == 0 {
        let other = m.rng.pick(&m.values);
        m.g.outputs.push(("other".into(), other));
    }
    m.g
}

#[test]
fn random_graphs_keep_their_meaning() {
    let mut before_nodes = 0;
    let mut after_nodes = 0;
    for seed in 0..1500 {
        let g = random_graph(seed);
        verify_graph(&g).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let inputs: Vec<Tensor> = g
            .inputs
            .iter()
            .map(|v| sample(seed, g.value(*v).dtype, g.value(*v).shape.clone()))
            .collect();
        let options = FuseOptions::default();
        let fail = |e: &dyn std::fmt::Display| -> ! { panic!("seed {seed}: {e}\n{}", print(&g)) };
        let (canonical, _) = canonicalize(g.clone(), &options).unwrap_or_else(|e| fail(&e));
        let (fused, _) = fuse(canonical.clone(), &options).unwrap_or_else(|e| fail(&e));
        verify_graph(&fused).unwrap_or_else(|e| fail(&e));
        before_nodes += g.node_count();
        after_nodes += fused.node_count();
        for id in fused.node_ids() {
            let op = fused.node(id).op;
            if matches!(op, "reshape" | "transpose" | "slice" | "expand") {
                fail(&format!("{op} is left"));
            }
        }
        let want = eval_graph(&g, &inputs).unwrap_or_else(|e| fail(&e));
        for (what, graph) in [("canonicalize", &canonical), ("fuse", &fused)] {
            let got = eval_graph(graph, &inputs).unwrap_or_else(|e| fail(&e));
            for (w, o) in want.iter().zip(&got) {
                assert_eq!(w.shape, o.shape, "seed {seed}");
                let (w, o) = (w.to_f64s(), o.to_f64s());
                // sums that cancel keep the rounding of their summands
                let scale = w.iter().fold(0.1, |m: f64, v| m.max(v.abs()));
                let worst = w.iter().zip(&o).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                if worst.is_nan() || worst > 1e-5 * scale {
                    fail(&format!("{what}: off by {worst} of {scale}\n{}", print(graph)));
                }
            }
        }
        let (again, report) = fuse(fused.clone(), &options).unwrap_or_else(|e| fail(&e));
        if report.total() > 0 {
            fail(&format!("fusing again: {:?}\n{fused}\n{again}", report.applied));
        }
    }
    assert!(after_nodes * 2 < before_nodes, "{before_nodes} nodes became {after_nodes}");
}
