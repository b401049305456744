//! A reshape or transpose after a node that nothing else reads moves into that node's store.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_bijective, is_view_node, simplify, step_of};
use super::{Rule, Stage, takes_store_view};
use drift_ir::{Node, NodeId};

pub const RULE: Rule = Rule {
    name: "store_view",
    description: "a reshape or transpose moves into the store of the node before it",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if !is_view_node(node) {
        return None;
    }
    let operand = node.operands[0].as_ref()?;
    let view = operand.view.clone().then(step_of(node)?);
    if !is_bijective(&view) || ctx.only_user(operand.value) != Some(id) {
        return None;
    }
    let (_, producer) = ctx.producer(operand.value)?;
    if !takes_store_view(producer) || producer.results.len() != 1 {
        return None;
    }
    let own = super::own_shape(ctx.graph, producer)?;
    let store_view = simplify(&view.after(&producer.store_view), &own);
    let store_view = node.store_view.after(&store_view);
    Some(Patch::new(ctx).set_node(id, Node { store_view, ..producer.clone() }))
}
