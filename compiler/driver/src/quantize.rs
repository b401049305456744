//! Products with constant matrices become `linear` nodes: with `--quantize`, which makes them read
//! their weights in few bits, and without it in transformers, where `linear` takes the norm before it
//! and the gate behind it, and has kernels for few rows.
//!
//! So does a matrix that spans more bytes than a binding of some target.
//!
//! Builders of language models choose a scheme per role themselves; here every large constant
//! matrix of an imported graph gets the same one.

use crate::error::{Result, StageError};
use drift_ir::{
    Arg, Attrs, Body, Def, Graph, LazyTensor, NodeId, Operand, PointwiseOp as P, Tensor, ValueId,
    text,
};
use drift_ops::lower::FEW_ROWS;
use drift_ops::quant::{Group, Interleaved, Part, RowSource, Scheme, parts};
use std::io;
use std::sync::Arc;

/// The scheme of `--quantize` for the matrices of an imported graph: one for all of them.
pub fn graph_scheme(name: Option<&str>) -> Result<Option<Scheme>> {
    Ok(match name {
        None | Some("none") => None,
        Some("q4") => Some(Scheme::Q4Groups(Group::G32)),
        Some("q4c") => Some(Scheme::Q4),
        Some("8/4/4") => {
            let m = "--quantize 8/4/4 needs a language model in a folder";
            return Err(StageError::invalid("options", m)
                .help("of a graph, attention and feed-forward look alike: choose q8 or q4"));
        }
        Some(name) => Some(Scheme::parse(name).ok_or_else(|| {
            let names: Vec<&str> = Scheme::ALL.iter().map(|s| s.name()).collect();
            StageError::invalid("options", format!("--quantize {name}: there is no such scheme"))
                .help(format!("schemes: none, {}, q4c, 8/4/4", names.join(", ")))
        })?),
    })
}

/// Weights of at least this many rows and columns are quantized; smaller ones cost little.
const MIN_SIDE: usize = 32;

/// Columns of a constant `[K, N]` as the rows of `W [N, K]`.
struct Columns {
    tensor: Tensor,
    rows: usize,
    columns: usize,
}

impl RowSource for Columns {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
        let size = self.tensor.dtype.bytes();
        let count = out.len() / self.columns;
        for k in 0..self.columns {
            let at = (k * self.rows + first) * size;
            let bytes = self.tensor.bytes().slice(at..at + count * size);
            let line = Tensor::from_bytes(self.tensor.dtype, [count], bytes)
                .ok_or_else(|| io::Error::other("a constant is shorter than its shape"))?;
            for (i, v) in line.to_f32s().into_iter().enumerate() {
                out[i * self.columns + k] = v;
            }
        }
        Ok(())
    }
}

/// Rewrites products with constant matrices into `linear` nodes of `scheme`; gives how many.
pub fn quantize(graph: &mut Graph, scheme: Scheme) -> usize {
    let products: Vec<NodeId> = graph.node_ids().filter(|id| fits(graph, *id)).collect();
    rewrite_all(graph, &products, scheme, &|_, _| true);
    products.len()
}

/// The same for matrices of more than `limit` bytes, which no binding of a target spans: `linear`
/// reads its weights in parts. `scheme` as in [`transformer_products`].
pub fn large_products(graph: &mut Graph, scheme: Scheme, limit: u64) {
    let large = |id: &NodeId| {
        weights(graph, *id).is_some_and(|t| {
            let bytes = if scheme == Scheme::F32 { 4 } else { 2 };
            fits(graph, *id) && t.elems() as u64 * bytes > limit
        })
    };
    let products: Vec<NodeId> = graph.node_ids().filter(large).collect();
    for id in products {
        rewrite(graph, id, scheme);
    }
    graph.remove_dead_nodes();
}

/// The same in graphs with attention: gates, and whatever has few rows (a decoding step). `scheme` is
/// that of the weights as they would be stored anyway.
pub fn transformer_products(graph: &mut Graph, scheme: Scheme) {
    if !graph.node_ids().any(|id| graph.node(id).op == "attention") {
        return;
    }
    let products: Vec<NodeId> = graph.node_ids().filter(|id| fits(graph, *id)).collect();
    rewrite_all(graph, &products, scheme, &few_rows);
}

fn few_rows(graph: &Graph, id: NodeId) -> bool {
    let shape = &graph.value(graph.node(id).results[0]).shape;
    let rows = shape.rank().checked_sub(1).map(|last| shape[..last].iter().product::<usize>());
    rows.is_some_and(|r| r <= FEW_ROWS)
}

/// `alone`: whether a product that is no side of a gate is rewritten, too.
fn rewrite_all(
    graph: &mut Graph,
    products: &[NodeId],
    scheme: Scheme,
    alone: &dyn Fn(&Graph, NodeId) -> bool,
) {
    let gated = gates(graph, products);
    for gate in &gated {
        rewrite_gated(graph, gate, scheme);
    }
    for &id in products {
        if !gated.iter().any(|g| g.gate == id || g.up == id) && alone(graph, id) {
            rewrite(graph, id, scheme);
        }
    }
    graph.remove_dead_nodes();
}

/// A product of rows with a constant matrix that is worth it.
fn fits(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let Some(Some(w)) = node.operands.get(1) else { return false };
    let Some(t) = graph.const_of(w.value) else { return false };
    let shape = &t.shape;
    node.op == "matmul"
        && w.view.is_identity()
        && t.dtype.is_float()
        && shape.rank() == 2
        && shape.iter().all(|d| *d >= MIN_SIDE)
}

/// `act(x Wg) * (x Wu)`.
struct Gate {
    gate: NodeId,
    up: NodeId,
    /// The node of the product of both.
    joined: NodeId,
    act: &'static str,
}

/// Pairs of `products` that are the two sides of a gate, read by nothing else.
fn gates(graph: &Graph, products: &[NodeId]) -> Vec<Gate> {
    let users = graph.users();
    let only = |v: ValueId, by: &[NodeId]| users[v.0 as usize] == by && !graph.is_output(v);
    let product = |v: ValueId| graph.producer(v).filter(|id| products.contains(id));
    let x = |id: NodeId| graph.node(id).operands[0].clone();
    let mut found = Vec::new();
    for joined in graph.node_ids() {
        let Some((P::Mul, &[a, b])) = step(graph, joined).as_ref().map(|(p, v)| (*p, &v[..]))
        else {
            continue;
        };
        for (acted, up) in [(a, b), (b, a)] {
            let Some((act, gate)) = activation(graph, acted, &only, joined) else { continue };
            let (Some(g), Some(u)) = (product(gate), product(up)) else { continue };
            let alike = weights(graph, g).map(|t| &t.shape) == weights(graph, u).map(|t| &t.shape)
                && weights(graph, g).map(|t| t.dtype) == weights(graph, u).map(|t| t.dtype);
            if g != u && alike && x(g) == x(u) && only(up, &[joined]) {
                found.push(Gate { gate: g, up: u, joined, act });
                break;
            }
        }
    }
    found
}

/// The activation that `v` is, which `reader` alone reads, and the value it is of.
fn activation(
    graph: &Graph,
    v: ValueId,
    only: &dyn Fn(ValueId, &[NodeId]) -> bool,
    reader: NodeId,
) -> Option<(&'static str, ValueId)> {
    let id = graph.producer(v).filter(|_| only(v, &[reader]))?;
    let (op, args) = step(graph, id)?;
    let name = match op {
        P::Silu => "silu",
        P::Gelu => "gelu",
        P::GeluTanh => "gelu_tanh",
        P::Mul => {
            // g * sigmoid(g)
            let &[a, b] = args.as_slice() else { return None };
            return [(a, b), (b, a)].into_iter().find_map(|(g, s)| {
                let sigmoid = graph.producer(s).filter(|_| only(s, &[id]))?;
                let same = step(graph, sigmoid)? == (P::Sigmoid, vec![g]);
                (same && only(g, &[sigmoid, id])).then_some(("silu", g))
            });
        }
        _ => return None,
    };
    let &[g] = args.as_slice() else { return None };
    only(g, &[id]).then_some((name, g))
}

/// The one step of an element-wise node that reads values as they are.
fn step(graph: &Graph, id: NodeId) -> Option<(P, Vec<ValueId>)> {
    let node = graph.node(id);
    let [step] = node.epilogue.steps.as_slice() else { return None };
    let plain = node.op == "pointwise"
        && node.store_view.is_identity()
        && node.epilogue.results == [Arg::Step(0)];
    let value = |arg: &Arg| match *arg {
        Arg::Operand(i) => {
            let o = node.operands[i].as_ref().filter(|o| o.view.is_identity())?;
            Some(o.value)
        }
        _ => None,
    };
    let args = step.args.iter().map(value).collect::<Option<_>>()?;
    plain.then_some((step.op, args))
}

/// The constant matrix `[K, N]` of a product.
fn weights(graph: &Graph, id: NodeId) -> Option<&Tensor> {
    graph.const_of(graph.node(id).operands.get(1)?.as_ref()?.value)
}

fn columns(tensor: &Tensor) -> Arc<dyn RowSource> {
    let (columns, rows) = (tensor.shape[0], tensor.shape[1]);
    Arc::new(Columns { tensor: tensor.clone(), rows, columns })
}

/// Adds the weights in `scheme`; data and scales as operands.
fn add_parts(
    graph: &mut Graph,
    source: Arc<dyn RowSource>,
    scheme: Scheme,
    key: &str,
    name: &str,
) -> [Option<Operand>; 2] {
    let parts = parts(source, scheme);
    let mut add = |part: Part, what: &str| {
        let write = part.write.clone();
        let lazy = LazyTensor::new(format!("{key}, {what}"), move |out| write(out));
        graph.add_value(format!("{name}/{what}"), part.dtype, part.shape, Def::Lazy(lazy))
    };
    let data = add(parts.data, "data");
    let scales = parts.scales.map(|p| add(p, "scales"));
    [Some(data.into()), scales.map(Into::into)]
}

fn attrs(scheme: Scheme, n: usize, k: usize, gate: &str) -> Attrs {
    Attrs::new()
        .with("scheme", scheme.name())
        .with("n", n as i64)
        .with("k", k as i64)
        .with("norm", "")
        .with("norm_eps", 0.0)
        .with("gate", gate)
}

fn rewrite_gated(graph: &mut Graph, g: &Gate, scheme: Scheme) {
    let (Some(gate), Some(up)) = (weights(graph, g.gate).cloned(), weights(graph, g.up).cloned())
    else {
        return;
    };
    let Some(both) = Interleaved::new(columns(&gate), columns(&up)) else { return };
    let (k, n) = (gate.shape[0], gate.shape[1]);
    let hash = text::content_hash;
    let key = format!("{scheme} of #{:016x} and #{:016x} in turn", hash(&gate), hash(&up));
    let name = format!("{}/gated", graph.node(g.joined).path);
    let [data, scales] = add_parts(graph, Arc::new(both), scheme, &key, &name);
    let x = graph.node(g.gate).operands[0].clone();
    let node = graph.node_mut(g.joined);
    node.op = "linear";
    node.attrs = attrs(scheme, 2 * n, k, g.act);
    node.operands = vec![x, data, scales, None];
    node.epilogue_operands = 4;
    node.epilogue = Body::default();
}

fn rewrite(graph: &mut Graph, id: NodeId, scheme: Scheme) {
    let Some(tensor) = weights(graph, id).cloned() else { return };
    let Some(w) = graph.node(id).operands[1].as_ref().map(|o| o.value) else { return };
    let name = graph.value(w).name.clone();
    let key = format!("{scheme} of #{:016x}", text::content_hash(&tensor));
    let [data, scales] = add_parts(graph, columns(&tensor), scheme, &key, &name);
    let node = graph.node_mut(id);
    node.op = "linear";
    node.attrs = attrs(scheme, tensor.shape[1], tensor.shape[0], "");
    // x, data, scales, gamma instead of x, w: what the epilogue reads moves by two
    let epilogue = node.operands.split_off(node.epilogue_operands);
    let x = node.operands[0].take();
    node.operands = vec![x, data, scales, None];
    node.operands.extend(epilogue);
    let moved = |a: &mut Arg| {
        if let Arg::Operand(i) = a {
            *i += 2;
        }
    };
    node.epilogue_operands += 2;
    node.epilogue.steps.iter_mut().flat_map(|s| &mut s.args).for_each(moved);
    node.epilogue.results.iter_mut().for_each(moved);
}
