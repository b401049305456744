//! Nodes that give back their operand: views that move nothing, concatenation of one part, padding
//! by nothing, resize to the same size, reduction of dims of 1, pooling with a 1x1 window.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_view_node, simplify, step_of};
use super::{Rule, Stage};
use drift_ir::{Arg, Attrs, Def, Node, NodeId, ValueId};

pub const RULE: Rule = Rule {
    name: "remove_identity",
    description: "a node that gives back its operand is removed",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let operand = node.operands.first()?.as_ref()?;
    let &[result] = node.results.as_slice() else { return None };
    if !node.store_view.is_identity() || ctx.dtype(operand.value) != ctx.dtype(result) {
        return None;
    }
    if operand.view.is_identity() && gives_back(ctx, node, operand.value, result) {
        return forward(ctx, operand.value, result);
    }
    // a mean over dims of 1 only drops or keeps them
    if reduces_ones(ctx, node) && ctx.shape(result) != ctx.shape(operand.value) {
        let shape = ctx.shape(result).0.clone();
        let attrs = Attrs::new().with("shape", shape);
        let operands = vec![Some(operand.clone())];
        let reshape = Node { op: "reshape", attrs, operands, epilogue_operands: 1, ..node.clone() };
        return Some(Patch::new(ctx).set_node(id, reshape));
    }
    None
}

/// Reads of `result` become reads of `source`, unless that would leave a graph output that no node
/// computes.
fn forward(ctx: &Ctx, source: ValueId, result: ValueId) -> Option<Patch> {
    let computed = matches!(ctx.graph.value(source).def, Def::Node(..));
    (computed || !ctx.is_output(result)).then(|| Patch::new(ctx).replace(result, source))
}

fn gives_back(ctx: &Ctx, node: &Node, source: ValueId, result: ValueId) -> bool {
    let (from, to) = (ctx.shape(source), ctx.shape(result));
    if node.op == "pointwise" {
        return node.epilogue.results == [Arg::Operand(0)];
    }
    if from != to || !node.epilogue.results.is_empty() {
        return false;
    }
    if is_view_node(node) {
        let view = step_of(node).map(|s| drift_ir::View { steps: vec![s] });
        return view.is_some_and(|v| simplify(&v, from).is_identity());
    }
    let all =
        |name: &str, want: i64| node.attrs.ints(name).is_some_and(|v| v.iter().all(|x| *x == want));
    match node.op {
        "concat" => node.operands.len() == 1,
        "pad" => all("pads", 0),
        "pool" => {
            node.attrs.str("kind") != Some("lp")
                && all("kernel", 1)
                && all("strides", 1)
                && all("pads", 0)
        }
        // at the same size every mode but cropping samples the centers themselves
        "resize" => !node
            .attrs
            .0
            .values()
            .any(|a| matches!(a, drift_ir::Attr::Str(s) if s == "tf_crop_and_resize")),
        "reduce" => reduces_ones(ctx, node),
        _ => false,
    }
}

fn reduces_ones(ctx: &Ctx, node: &Node) -> bool {
    let Some(operand) = node.operands.first().and_then(Option::as_ref) else { return false };
    let (Some(axes), Some(shape)) = (node.attrs.usizes("axes"), ctx.seen(operand)) else {
        return false;
    };
    node.op == "reduce"
        && node.epilogue.results.is_empty()
        && matches!(node.attrs.str("kind"), Some("sum" | "mean" | "max" | "min" | "prod"))
        && axes.iter().all(|a| shape.get(*a) == Some(&1))
}
