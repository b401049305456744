//! An element-wise node of a few cheap steps over one large operand goes into every one of its
//! element-wise readers: they read its operand instead, at the same cost, and one kernel and one
//! value fewer are left.

use super::bodies::cost;
use super::merge_pointwise::inline_into;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::NodeId;

pub const RULE: Rule = Rule {
    name: "duplicate_cheap",
    description: "a cheap element-wise node goes into all of its element-wise readers",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let result = *node.results.first()?;
    let large = |o: &&drift_ir::Operand| ctx.shape(o.value).elems() * 4 > ctx.shape(result).elems();
    let ok = node.op == "pointwise"
        && node.results.len() == 1
        && !ctx.is_output(result)
        && cost(&node.epilogue) <= 4
        && node.operands.iter().flatten().filter(large).count() <= 1;
    let users = ctx.users(result);
    if !ok || users.is_empty() || users.len() > 4 {
        return None;
    }
    let mut patch = Patch::new(ctx);
    for user in users {
        patch = patch.set_node(*user, inline_into(ctx, node, *user)?);
    }
    Some(patch)
}
