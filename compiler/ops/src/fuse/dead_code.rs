//! A node that nothing reads is removed, and what only it needed.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::NodeId;

pub const RULE: Rule = Rule {
    name: "dead_code",
    description: "a node that nothing reads is removed",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let unread = |r: &drift_ir::ValueId| ctx.users(*r).is_empty() && !ctx.is_output(*r);
    ctx.node(id).results.iter().all(unread).then(|| Patch::new(ctx).remove(id))
}
