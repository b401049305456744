//! What is left of the view nodes (graph outputs, operands that a kernel cannot see through a view)
//! becomes a copy: a `pointwise` node with an empty body.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_view_node, simplify, step_of};
use super::{Rule, Stage};
use drift_ir::{Arg, Attrs, Body, Node, NodeId, Operand};

pub const RULE: Rule = Rule {
    name: "copy_view",
    description: "a reshape, transpose, slice or expand that nothing can absorb becomes a copy",
    stage: Stage::Finish,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if !is_view_node(node) {
        return None;
    }
    let operand = node.operands[0].as_ref()?;
    let view = operand.view.clone().then(step_of(node)?);
    let view = simplify(&view, ctx.shape(operand.value));
    let copy = Node {
        op: "pointwise",
        attrs: Attrs::new(),
        operands: vec![Some(Operand { value: operand.value, view })],
        epilogue_operands: 0,
        epilogue: Body { steps: Vec::new(), results: vec![Arg::Operand(0)] },
        ..node.clone()
    };
    Some(Patch::new(ctx).set_node(id, copy))
}
