//! Graphviz output, for looking at a graph: `dot -Tsvg graph.dot`.

use crate::{Def, Graph, ValueId, text};
use std::fmt::Write;

fn escape(s: &str) -> String {
    s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A `digraph`: inputs and outputs as ellipses, nodes as boxes labelled with operator, path and
/// body, edges labelled with type and view. Constants are left out but for their count.
pub fn dot(graph: &Graph) -> String {
    let mut out =
        format!("digraph \"{}\" {{\n  node [shape=box, fontname=sans];\n", escape(&graph.name));
    let source = |id: ValueId| match graph.value(id).def {
        Def::Input => Some(format!("v{}", id.0)),
        Def::Node(n, _) => Some(format!("n{}", n.0)),
        Def::Const(_) | Def::Lazy(_) => None,
    };
    for &id in &graph.inputs {
        let v = graph.value(id);
        let label = escape(&format!("{}\n{}{}", v.name, v.dtype, v.shape));
        let _ = writeln!(out, "  v{} [shape=ellipse, label=\"{label}\"];", id.0);
    }
    for id in graph.node_ids() {
        let node = graph.node(id);
        let mut label = format!("{}\n{}", node.op, node.path);
        let consts = node.operands.iter().flatten().filter(|o| graph.is_const(o.value)).count();
        if consts > 0 {
            let _ = write!(label, "\n{consts} constant(s)");
        }
        if !node.epilogue.is_empty() {
            let dtype = graph.value(node.results[0]).dtype;
            let _ = write!(label, "\n{}", text::body(&node.epilogue, dtype));
        }
        if !node.store_view.is_identity() {
            let _ = write!(label, "\nstore{}", node.store_view);
        }
        let _ = writeln!(out, "  n{} [label=\"{}\"];", id.0, escape(&label));
        for operand in node.operands.iter().flatten() {
            let v = graph.value(operand.value);
            if let Some(from) = source(operand.value) {
                let label = escape(&format!("{}{}{}", v.dtype, v.shape, operand.view));
                let _ = writeln!(out, "  {from} -> n{} [label=\"{label}\"];", id.0);
            }
        }
    }
    for (i, (name, id)) in graph.outputs.iter().enumerate() {
        let _ = writeln!(out, "  o{i} [shape=ellipse, label=\"{}\"];", escape(name));
        if let Some(from) = source(*id) {
            let _ = writeln!(out, "  {from} -> o{i};");
        }
    }
    out.push_str("}\n");
    out
}
