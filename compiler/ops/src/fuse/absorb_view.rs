//! A reshape, transpose, slice or expand becomes the view of the nodes that read it.
//!
//! Element-wise readers and readers that touch every element once take any view. Kernels that read
//! an element many times (convolution, pooling, resize) take only views that cost no division:
//! for them a real transpose stays a node of its own, and becomes a copy at the end.

use super::bodies::first_body_operand;
use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_cheap_read, is_view_node, simplify, step_of};
use super::{Rule, Stage, rereads};
use drift_ir::{Node, NodeId, Operand};

pub const RULE: Rule = Rule {
    name: "absorb_view",
    description: "a reshape, transpose, slice or expand becomes a view of its readers",
    stage: Stage::Fuse,
    apply,
};

/// Looks at a reader: each of its operands that a view node computes is read at the source.
fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let mut operands = node.operands.clone();
    let mut changed = false;
    let first = first_body_operand(node);
    for (i, slot) in operands.iter_mut().enumerate() {
        let Some(operand) = slot else { continue };
        let Some((_, producer)) = ctx.producer(operand.value) else { continue };
        if !is_view_node(producer) || !producer.store_view.is_identity() {
            continue;
        }
        let (Some(source), Some(step)) = (&producer.operands[0], step_of(producer)) else {
            continue;
        };
        let shape = ctx.shape(source.value);
        let view = simplify(&operand.view.after(&source.view.clone().then(step)), shape);
        let seen = Operand { value: source.value, view };
        if i < first && rereads(node.op, i) && !is_cheap_read(ctx, &seen) {
            continue;
        }
        *operand = seen;
        changed = true;
    }
    changed.then(|| Patch::new(ctx).set_node(id, Node { operands, ..node.clone() }))
}
