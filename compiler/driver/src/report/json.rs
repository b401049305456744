//! The report as JSON.

use super::layout::{NODE_HEIGHT, NODE_WIDTH, layout_graph};
use super::view::{GraphView, MemoryView, PortView, Report, TensorView, VariantView};
use serde_json::{Value, json};

/// Longest name or shape, in characters; the rest is cut.
const MAX_NAME: usize = 160;
/// Longest line of detail.
const MAX_DETAIL: usize = 400;
/// Longest text of one shader, and of all shaders together, in bytes.
const MAX_SHADER: usize = 64 << 10;
const MAX_SHADERS: usize = 2 << 20;
/// Longest lists.
const MAX_NODES: usize = 20_000;
const MAX_ROWS: usize = 20_000;
const MAX_OPERANDS: usize = 64;
const MAX_DETAILS: usize = 32;

/// At most this many characters, with an ellipsis for the rest; controls become spaces.
fn cut(text: &str, most: usize) -> String {
    // Line separators, and marks that make the text around them read backwards.
    let misleads = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean = |c: char| if c.is_control() || misleads(c) { ' ' } else { c };
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(most).map(clean).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

fn name(text: &str) -> String {
    cut(text, MAX_NAME)
}

impl Report {
    /// The report for programs. Keys are stable; lists and texts are cut as on the page, with
    /// `…_left_out` saying how many entries a list lost.
    pub fn to_json(&self) -> Value {
        let mut shader_budget = MAX_SHADERS;
        json!({
            "format": 1,
            "generator": name(&self.generator),
            "model": {
                "name": name(&self.model.name),
                "source": name(&self.model.source),
                "inputs": ports(&self.model.inputs),
                "outputs": ports(&self.model.outputs),
                "parameters": self.model.parameters,
                "notes": pairs(&self.model.notes),
            },
            "bundle_bytes": self.bundle_bytes,
            "stages": self.stages.iter().take(MAX_ROWS).map(|s| json!({
                "name": name(&s.name),
                "description": cut(&s.description, MAX_DETAIL),
                "millis": if s.millis.is_finite() { s.millis.max(0.0) } else { 0.0 },
                "nodes": s.nodes,
                "note": cut(&s.note, MAX_DETAIL),
            })).collect::<Vec<_>>(),
            "graph_before": graph(&self.graph_before),
            "graph_after": graph(&self.graph_after),
            "variants": self.variants.iter()
                .map(|v| variant(v, &mut shader_budget)).collect::<Vec<_>>(),
            "weights": self.weights.iter().take(MAX_ROWS).map(|w| json!({
                "name": name(&w.name),
                "shape": name(&w.shape),
                "dtype": name(&w.dtype),
                "stored_as": name(&w.stored_as),
                "bytes": w.bytes,
            })).collect::<Vec<_>>(),
            "weights_left_out": self.weights.len().saturating_sub(MAX_ROWS),
            "weight_bytes": sum(self.weights.iter().map(|w| w.bytes)),
        })
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

fn pairs(list: &[(String, String)]) -> Value {
    let pair = |(key, value): &(String, String)| json!([name(key), cut(value, MAX_DETAIL)]);
    list.iter().take(MAX_DETAILS).map(pair).collect()
}

fn ports(list: &[PortView]) -> Value {
    list.iter()
        .take(MAX_OPERANDS)
        .map(|p| json!({"name": name(&p.name), "dtype": name(&p.dtype), "shape": name(&p.shape)}))
        .collect()
}

fn tensors(list: &[TensorView]) -> Value {
    list.iter()
        .take(MAX_OPERANDS)
        .map(|t| {
            json!({
                "name": name(&t.name),
                "shape": name(&t.shape),
                "dtype": name(&t.dtype),
                "layout": name(&t.layout),
                "storage": name(&t.storage),
                "bytes": t.bytes,
            })
        })
        .collect()
}

/// Nodes with their place in the drawing, and edges as `[from, to, x, y, x, y, …]`.
fn graph(view: &GraphView) -> Value {
    let left_out = view.nodes.len().saturating_sub(MAX_NODES);
    let shown;
    let view = if left_out == 0 {
        view
    } else {
        shown = GraphView { nodes: view.nodes[..MAX_NODES].to_vec() };
        &shown
    };
    let layout = layout_graph(view);
    let pixel = |v: f32| v.round() as i64;
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .zip(&layout.centers)
        .map(|(node, &(x, y))| {
            json!({
                "id": node.id,
                "label": name(&node.label),
                "op": name(&node.op),
                "kind": kind_of(&node.op),
                "shape": name(&node.shape),
                "bytes": node.bytes,
                "detail": pairs(&node.detail),
                "x": pixel(x),
                "y": pixel(y),
            })
        })
        .collect();
    let edges: Vec<Value> = layout
        .edges
        .iter()
        .map(|edge| {
            let mut flat = vec![edge.from as i64, edge.to as i64];
            flat.extend(edge.points.iter().flat_map(|&(x, y)| [pixel(x), pixel(y)]));
            json!(flat)
        })
        .collect();
    json!({
        "nodes": nodes,
        "edges": edges,
        "width": pixel(layout.width),
        "height": pixel(layout.height),
        "node_width": NODE_WIDTH,
        "node_height": NODE_HEIGHT,
        "nodes_left_out": left_out,
    })
}

fn variant(view: &VariantView, shader_budget: &mut usize) -> Value {
    json!({
        "target": name(&view.target),
        "api": name(&view.api),
        "precision": name(&view.precision),
        "memory": memory(&view.memory),
        "dispatches": view.dispatches.iter().take(MAX_ROWS).map(|d| json!({
            "index": d.index,
            "label": name(&d.label),
            "op": name(&d.op),
            "kind": kind_of(&d.op),
            "kernel": name(&d.kernel),
            "workgroups": d.workgroups,
            "workgroup_size": d.workgroup_size,
            "inputs": tensors(&d.inputs),
            "outputs": tensors(&d.outputs),
            "flops": d.flops,
            "weight_bytes": d.weight_bytes,
            "shader": d.shader,
        })).collect::<Vec<_>>(),
        "dispatches_left_out": view.dispatches.len().saturating_sub(MAX_ROWS),
        "shaders": view.shaders.iter().take(MAX_ROWS).map(|s| {
            let text = shader_text(&s.text, (*shader_budget).min(MAX_SHADER));
            *shader_budget -= text.len().min(*shader_budget);
            json!({
                "name": name(&s.name),
                "dialect": name(&s.dialect),
                "hash": name(&s.hash),
                "bytes": s.bytes,
                "is_cut": text.len() < s.text.len(),
                "text": text,
            })
        }).collect::<Vec<_>>(),
    })
}

/// The first `most` bytes, at a character's end.
fn shader_text(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn memory(view: &MemoryView) -> Value {
    json!({
        "strategy": name(&view.strategy),
        "steps": view.steps,
        "planned_bytes": view.planned_bytes,
        "naive_bytes": view.naive_bytes,
        "lower_bound_bytes": view.lower_bound_bytes,
        "live": view.live.iter().take(2 * MAX_ROWS).collect::<Vec<_>>(),
        "records": view.records.iter().take(MAX_ROWS).map(|r| json!({
            "name": name(&r.name),
            "op": name(&r.op),
            "kind": kind_of(&r.op),
            "bytes": r.bytes,
            "first_step": r.first_step,
            "last_step": r.last_step,
            "offset": r.offset,
        })).collect::<Vec<_>>(),
        "records_left_out": view.records.len().saturating_sub(MAX_ROWS),
    })
}

/// The kind of an operator, which gives it its color.
pub(super) fn kind_of(op: &str) -> &'static str {
    const KINDS: &[(&str, &[&str])] = &[
        ("port", &["input", "output", "constant", "weight", "param"]),
        ("matrix", &["conv", "matmul", "gemm", "linear", "fully", "attention", "einsum"]),
        ("norm", &["norm", "softmax", "lrn"]),
        ("reduce", &["pool", "reduce", "mean", "argmax", "argmin", "topk", "sort", "cumsum"]),
        (
            "move",
            &[
                "reshape",
                "transpose",
                "slice",
                "concat",
                "split",
                "gather",
                "scatter",
                "pad",
                "resize",
                "upsample",
                "expand",
                "tile",
                "squeeze",
                "flatten",
                "relayout",
                "permute",
                "broadcast",
                "depthtospace",
                "spacetodepth",
                "depth_to",
                "space_to",
                "view",
                "copy",
                "cast",
                "shape",
                "identity",
            ],
        ),
        ("recurrent", &["lstm", "gru", "rnn", "loop", "scan"]),
    ];
    let op: String = op.chars().take(MAX_NAME).collect::<String>().to_lowercase();
    KINDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| op.contains(word)))
        .map_or("element", |(kind, _)| *kind)
}
