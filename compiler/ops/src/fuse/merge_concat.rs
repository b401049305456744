//! A concatenation inside another along the same axis is one concatenation.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Node, NodeId};

pub const RULE: Rule = Rule {
    name: "merge_concat",
    description: "a concatenation inside another along the same axis becomes part of it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if node.op != "concat" || !node.epilogue.results.is_empty() {
        return None;
    }
    let (i, inner) = node.operands.iter().enumerate().find_map(|(i, o)| {
        let o = o.as_ref().filter(|o| o.view.is_identity())?;
        let (_, inner) = ctx.producer(o.value)?;
        let fits = inner.op == "concat"
            && ctx.only_user(o.value) == Some(id)
            && inner.attrs == node.attrs
            && inner.epilogue.results.is_empty()
            && inner.store_view.is_identity();
        fits.then_some((i, inner))
    })?;
    let mut operands = node.operands.clone();
    operands.splice(i..=i, inner.operands.iter().cloned());
    let epilogue_operands = operands.len();
    Some(Patch::new(ctx).set_node(id, Node { operands, epilogue_operands, ..node.clone() }))
}
