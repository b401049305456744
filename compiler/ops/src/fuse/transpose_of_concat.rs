//! A transpose of a concatenation that nothing else reads becomes a concatenation of transposes:
//! each can move into the store of the node that makes the part, so the whole is written once.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::step_of;
use super::{Rule, Stage};
use drift_ir::{Attrs, Node, NodeId, ViewStep};

pub const RULE: Rule = Rule {
    name: "transpose_of_concat",
    description: "a transpose of a concatenation becomes a concatenation of transposes",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let Some(ViewStep::Transpose { perm }) = step_of(node) else { return None };
    let operand = node.operands[0].as_ref().filter(|o| o.view.is_identity())?;
    let (_, concat) = ctx.producer(operand.value)?;
    let plain = concat.op == "concat"
        && concat.epilogue.results.is_empty()
        && concat.store_view.is_identity()
        && node.store_view.is_identity()
        && ctx.only_user(operand.value) == Some(id);
    let axis = usize::try_from(concat.attrs.int("axis", -1)).ok().filter(|_| plain)?;
    // every part must have a store of its own to move into
    let movable = |v| {
        ctx.only_user(v).is_some()
            && ctx.producer(v).is_some_and(|(_, n)| super::takes_store_view(n))
    };
    if !concat.operands.iter().flatten().all(|o| o.view.is_identity() && movable(o.value)) {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let mut operands = Vec::with_capacity(concat.operands.len());
    for part in concat.operands.iter().flatten() {
        let value = ctx.graph.value(part.value);
        let shape = ViewStep::Transpose { perm: perm.clone() }.apply(&value.shape)?;
        let result = (format!("{}.transpose", value.name), value.dtype, shape);
        let attrs = Attrs::new().with("perm", perm.as_slice());
        let made =
            patch.node("transpose", attrs, vec![Some(part.clone())], vec![result], &node.path);
        operands.push(Some(made[0].into()));
    }
    let axis = perm.iter().position(|p| *p == axis)?;
    let moved = Node {
        op: "concat",
        attrs: concat.attrs.clone().with("axis", axis as i64),
        epilogue_operands: operands.len(),
        operands,
        path: concat.path.clone(),
        ..node.clone()
    };
    Some(patch.set_node(id, moved))
}
