//! A reshape or transpose after a node that nothing else reads moves into that node's store.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_bijective, is_view_node, simplify, step_of};
use super::{Rule, Stage, takes_store_view};
use drift_ir::{Node, NodeId, ViewStep};

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
    // a product reads its operands transposed at no cost, but writes them so slowly
    let result = node.results[0];
    let products = |u: &NodeId| ctx.node(*u).op == "matmul";
    if swaps_last(node) && !ctx.is_output(result) && ctx.users(result).iter().all(products) {
        return None;
    }
    let (producer_id, producer) = ctx.producer(operand.value)?;
    if !takes_store_view(producer) || producer.results.len() != 1 {
        return None;
    }
    let own = super::own_shape(ctx.graph, producer)?;
    let store_view = simplify(&view.after(&producer.store_view), &own);
    let store_view = node.store_view.after(&store_view);
    // the producer keeps its place in the execution order
    let patch = Patch::new(ctx).retype(operand.value, ctx.shape(result).clone());
    let patch = patch.set_node(producer_id, Node { store_view, ..producer.clone() });
    Some(patch.replace(result, operand.value))
}

/// Whether the node is the transpose of the last two axes.
fn swaps_last(node: &Node) -> bool {
    let Some(ViewStep::Transpose { perm }) = step_of(node) else { return false };
    let n = perm.len();
    n >= 2 && (0..n - 2).all(|i| perm[i] == i) && perm[n - 1] == n - 2
}
