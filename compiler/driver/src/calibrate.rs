//! Ranges of intermediate values on a calibration prompt, for the choice between f16 and f32.
//!
//! f16 ends at 65504 and language models trained in bf16 may go beyond (Gemma's residual stream
//! does). One short prefill runs on the host, in f32 and with the weights streamed, so that models
//! larger than memory can be calibrated; what comes near the end of f16 is stored in f32.

use crate::error::{Result, StageError};
use drift_ir::{Def, Graph, LazyTensor, Node, NodeId, Tensor, ValueId};
use drift_ops::ops::{embedding, linear};
use drift_ops::pointwise_eval::float_op;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

const STAGE: &str = "calibrate";

/// Other prompts reach further than this one; beyond 1/8 of f16's range a value is f32.
pub const HEADROOM: f64 = 8.0;
const F16_MAX: f64 = 65504.0;

/// The largest magnitude of every intermediate value, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges(pub BTreeMap<String, f64>);

impl Ranges {
    /// Values that f16 does not hold with headroom, with their largest magnitudes.
    pub fn beyond_f16(&self) -> impl Iterator<Item = (&str, f64)> {
        let beyond = |v: &f64| v.is_nan() || *v * HEADROOM > F16_MAX;
        self.0.iter().filter(move |(_, v)| beyond(v)).map(|(n, v)| (n.as_str(), *v))
    }

    /// Nodes of a fused graph with a result that needs f32.
    pub fn wide_nodes(&self, graph: &Graph) -> BTreeSet<NodeId> {
        let names: BTreeSet<&str> = self.beyond_f16().map(|(name, _)| name).collect();
        let wide = |id: &NodeId| {
            graph.node(*id).results.iter().any(|r| names.contains(graph.value(*r).name.as_str()))
        };
        graph.node_ids().filter(wide).collect()
    }
}

/// Runs the prefill `graph` (before fusion) on `ids` and gives the ranges of what leads to its
/// state `hidden`. Rows of the graph beyond the ids repeat the prompt.
pub fn ranges(graph: &Graph, ids: &[i32], progress: &mut dyn FnMut(f32)) -> Result<Ranges> {
    let internal = |m: String| StageError::internal(STAGE, m);
    let hidden = graph.outputs.iter().find(|(name, _)| name == "hidden").map(|(_, v)| *v);
    let hidden = hidden.ok_or_else(|| internal(format!("`{}` is no prefill", graph.name)))?;
    let rows = graph.value(hidden).shape[0];
    if ids.is_empty() {
        return Err(StageError::invalid(STAGE, "the calibration prompt has no tokens"));
    }
    let order = graph.topo_order().map_err(|_| internal("cycle in the graph".into()))?;
    let needed = ancestors(graph, hidden);
    let order: Vec<NodeId> = order.into_iter().filter(|id| needed.contains(id)).collect();
    let mut reads = vec![0usize; graph.value_count()];
    for operand in order.iter().flat_map(|id| graph.node(*id).operands.iter().flatten()) {
        reads[operand.value.0 as usize] += 1;
    }
    let mut values: Vec<Option<Tensor>> = vec![None; graph.value_count()];
    for &input in &graph.inputs {
        let v = graph.value(input);
        let mut data = vec![0i64; v.shape.elems()];
        match v.name.as_str() {
            "params" => data[1] = rows as i64,
            "tokens" => {
                data.iter_mut().zip(ids.iter().cycle()).for_each(|(t, i)| *t = i64::from(*i))
            }
            _ => {}
        }
        values[input.0 as usize] = Some(Tensor::from_i64s(v.dtype, v.shape.clone(), &data));
    }
    let mut out = Ranges::default();
    for (done, &id) in order.iter().enumerate() {
        progress(done as f32 / order.len() as f32);
        let node = graph.node(id);
        let results = eval(graph, node, &values)
            .map_err(|e| internal(format!("{} at {}: {e}", node.op, node.path)))?;
        for o in node.operands.iter().flatten() {
            let i = o.value.0 as usize;
            reads[i] -= 1;
            if reads[i] == 0 {
                values[i] = None;
            }
        }
        for (&r, t) in node.results.iter().zip(results) {
            if t.dtype.is_float() {
                out.0.insert(graph.value(r).name.clone(), largest(&t));
            }
            values[r.0 as usize] = (reads[r.0 as usize] > 0).then_some(t);
        }
    }
    Ok(out)
}

/// The largest magnitude; NaN where there is one.
fn largest(t: &Tensor) -> f64 {
    let most = |a: f64, b: f64| if b.is_nan() || a.is_nan() { f64::NAN } else { a.max(b.abs()) };
    t.to_f64s().into_iter().fold(0.0, most)
}

/// Nodes that a value depends on.
fn ancestors(graph: &Graph, value: ValueId) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut stack: Vec<NodeId> = graph.producer(value).into_iter().collect();
    while let Some(id) = stack.pop() {
        if seen.insert(id) {
            let operands = graph.node(id).operands.iter().flatten();
            stack.extend(operands.filter_map(|o| graph.producer(o.value)));
        }
    }
    seen
}

fn eval(
    graph: &Graph,
    node: &Node,
    values: &[Option<Tensor>],
) -> std::result::Result<Vec<Tensor>, String> {
    let lazy = |i: usize| match node.operands.get(i)?.as_ref() {
        Some(o) => match &graph.value(o.value).def {
            Def::Lazy(lazy) => Some(lazy),
            _ => None,
        },
        None => None,
    };
    let plain = node.epilogue.is_empty() && node.store_view.is_identity();
    match (node.op, plain) {
        ("linear", true) if let Some(data) = lazy(linear::DATA) => {
            let spec = linear::Spec::of(&node.attrs)?;
            let x = operand(graph, node, linear::X, values)?;
            if spec.norm.is_some() {
                return Err("a fused norm".into());
            }
            let matrix = Matrix { scheme: spec.scheme, n: spec.n, k: spec.k };
            let y = product(&matrix, data, lazy(linear::SCALES), &x.to_f32s())
                .map_err(|e| e.to_string())?;
            let y = gated(&spec, y);
            let result = graph.value(node.results[0]);
            Ok(vec![Tensor::from_f32(result.shape.clone(), &y)])
        }
        ("embedding", true) if let Some(data) = lazy(embedding::DATA) => {
            let (scheme, n, k) = linear::matrix_attrs(&node.attrs)?;
            let result = graph.value(node.results[0]);
            let rows = result.shape[0];
            let ids: Vec<usize> = match node.operands[embedding::TOKENS] {
                Some(_) => {
                    let tokens = operand(graph, node, embedding::TOKENS, values)?.to_i64s();
                    let clamped = |i: i64| usize::try_from(i).unwrap_or(0).min(n - 1);
                    tokens[..rows].iter().map(|i| clamped(*i)).collect()
                }
                None => (0..rows).map(|r| r.min(n - 1)).collect(),
            };
            let scale = node.attrs.float("scale", 1.0) as f32;
            let mut y = vec![0.0; rows * k];
            let matrix = Matrix { scheme, n, k };
            let each = |row: usize, w: &[f32]| {
                for (r, _) in ids.iter().enumerate().filter(|(_, id)| **id == row) {
                    y[r * k..][..k].iter_mut().zip(w).for_each(|(y, w)| *y = w * scale);
                }
            };
            stream_rows(&matrix, data, lazy(embedding::SCALES), each).map_err(|e| e.to_string())?;
            Ok(vec![Tensor::from_f32(result.shape.clone(), &y)])
        }
        _ => {
            let operands = (0..node.operands.len())
                .map(|i| match node.operands[i] {
                    Some(_) => operand(graph, node, i, values).map(Some),
                    None => Ok(None),
                })
                .collect::<std::result::Result<Vec<_>, _>>()?;
            drift_ops::eval_node(graph, node, &operands).map_err(|e| e.to_string())
        }
    }
}

fn operand(
    graph: &Graph,
    node: &Node,
    i: usize,
    values: &[Option<Tensor>],
) -> std::result::Result<Tensor, String> {
    let missing = || format!("operand {i} has no value");
    let id = node.operands.get(i).and_then(Option::as_ref).ok_or_else(missing)?.value;
    let value = graph.value(id);
    match &value.def {
        Def::Const(t) => Ok(t.clone()),
        Def::Lazy(lazy) => lazy.tensor(value.dtype, &value.shape).map_err(|e| e.to_string()),
        _ => values[id.0 as usize].clone().ok_or_else(missing),
    }
}

/// A weight matrix `[n, k]` in a scheme.
struct Matrix {
    scheme: drift_ops::quant::Scheme,
    n: usize,
    k: usize,
}

/// `x Wᵀ`: x is [rows, k], the result [rows, n].
fn product(
    w: &Matrix,
    data: &LazyTensor,
    scales: Option<&LazyTensor>,
    x: &[f32],
) -> io::Result<Vec<f32>> {
    let mut y = vec![0.0; x.len() / w.k * w.n];
    stream_rows(w, data, scales, |row, weights| {
        for (r, x) in x.chunks_exact(w.k).enumerate() {
            y[r * w.n + row] = dot(x, weights);
        }
    })?;
    Ok(y)
}

/// Eight sums side by side, which compilers turn into vectors.
fn dot(x: &[f32], w: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (x, w) in x.chunks(8).zip(w.chunks(8)) {
        x.iter().zip(w).zip(&mut sums).for_each(|((x, w), s)| *s += x * w);
    }
    sums.iter().sum()
}

fn gated(spec: &linear::Spec, y: Vec<f32>) -> Vec<f32> {
    let Some(gate) = spec.gate else { return y };
    let act = |v: f32| float_op(gate, f64::from(v), 0.0, 0.0).unwrap_or(f64::NAN) as f32;
    y.chunks_exact(2).map(|p| act(p[0]) * p[1]).collect()
}

/// Calls `each` with every row of a matrix, as f32, while its bytes stream by.
fn stream_rows(
    w: &Matrix,
    data: &LazyTensor,
    scales: Option<&LazyTensor>,
    each: impl FnMut(usize, &[f32]),
) -> io::Result<()> {
    let mut all_scales = Vec::new();
    if let Some(s) = scales {
        s.write(&mut all_scales)?;
    }
    let (row_bytes, scale_bytes) = (w.scheme.data_row_bytes(w.k), w.scheme.scales_row_bytes(w.k));
    if all_scales.len() != scale_bytes * w.n {
        return Err(io::Error::other("scales of another length than the matrix has rows"));
    }
    let buffer = Vec::with_capacity(row_bytes);
    let row = vec![0.0; w.k];
    let mut sink = Rows { w, row_bytes, scale_bytes, all_scales, buffer, row, at: 0, each };
    data.write(&mut sink)
}

struct Rows<'a, F> {
    w: &'a Matrix,
    row_bytes: usize,
    scale_bytes: usize,
    all_scales: Vec<u8>,
    buffer: Vec<u8>,
    row: Vec<f32>,
    at: usize,
    each: F,
}

impl<F: FnMut(usize, &[f32])> Write for Rows<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(self.row_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..take]);
        if self.buffer.len() == self.row_bytes {
            if self.at == self.w.n {
                return Err(io::Error::other("more rows than the matrix has"));
            }
            let scales = &self.all_scales[self.at * self.scale_bytes..][..self.scale_bytes];
            self.w.scheme.unpack_row(&self.buffer, scales, &mut self.row);
            (self.each)(self.at, &self.row);
            self.at += 1;
            self.buffer.clear();
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
