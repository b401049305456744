//! Two nodes that compute the same from the same operands become one.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Node, NodeId, Operand};

pub const RULE: Rule = Rule {
    name: "cse",
    description: "two nodes that compute the same become one",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    // the twin reads what this node reads: look at the value with the fewest readers
    let value = node
        .operands
        .iter()
        .flatten()
        .map(|o| o.value)
        .filter(|v| ctx.constant(*v).is_none())
        .min_by_key(|v| ctx.users(*v).len())?;
    let twin = ctx.users(value).iter().find(|u| **u < id && same(ctx, ctx.node(**u), node))?;
    let mut patch = Patch::new(ctx);
    for (from, to) in node.results.iter().zip(&ctx.node(*twin).results) {
        patch = patch.replace(*from, *to);
    }
    Some(patch)
}

fn same(ctx: &Ctx, a: &Node, b: &Node) -> bool {
    let types = |n: &Node| -> Vec<_> { n.results.iter().map(|r| ctx.dtype(*r)).collect() };
    a.op == b.op
        && a.operands.len() == b.operands.len()
        && a.epilogue_operands == b.epilogue_operands
        && a.attrs == b.attrs
        && a.epilogue == b.epilogue
        && a.store_view == b.store_view
        && types(a) == types(b)
        && a.operands.iter().zip(&b.operands).all(|(a, b)| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => same_operand(ctx, a, b),
            _ => false,
        })
}

fn same_operand(ctx: &Ctx, a: &Operand, b: &Operand) -> bool {
    let equal = || match (ctx.constant(a.value), ctx.constant(b.value)) {
        (Some(x), Some(y)) => x == y,
        _ => false,
    };
    a.view == b.view && (a.value == b.value || equal())
}
