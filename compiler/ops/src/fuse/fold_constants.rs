//! A node whose operands are all constants is computed now, with the reference. (Import does the
//! same; this takes what other rules leave constant.)

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::NodeId;

pub const RULE: Rule = Rule {
    name: "fold_constants",
    description: "a node whose operands are all constants is computed at compile time",
    stage: Stage::Canonicalize,
    apply,
};

/// Larger results are made only when the operands are as large.
const MAX_BYTES: usize = 64 << 20;

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let mut given = 0;
    let mut operands = Vec::with_capacity(node.operands.len());
    for o in &node.operands {
        operands.push(match o {
            None => None,
            Some(o) => {
                let t = ctx.constant(o.value)?;
                given += t.bytes().len();
                Some(t.clone())
            }
        });
    }
    let made: usize =
        node.results.iter().map(|r| ctx.shape(*r).elems() * ctx.dtype(*r).bytes()).sum();
    if made > MAX_BYTES.max(given) {
        return None;
    }
    let tensors = crate::eval_node(ctx.graph, node, &operands).ok()?;
    let mut patch = Patch::new(ctx);
    for (r, t) in node.results.iter().zip(tensors) {
        let name = ctx.graph.value(*r).name.clone();
        let c = patch.constant(name, t);
        patch = patch.replace(*r, c);
    }
    Some(patch)
}
