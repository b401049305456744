//! A constant factor per channel (or one for all) after a convolution, transposed convolution or
//! matrix product goes into its weights; a summand beside it goes into the bias.

use super::rewrite::{Ctx, Patch};
use super::weights::affine_after;
use super::{Rule, Stage};
use drift_ir::{Node, NodeId};

pub const RULE: Rule = Rule {
    name: "fold_scale",
    description: "a constant factor per channel goes into the weights before it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let (_, linear, affine) = affine_after(ctx, id)?;
    if !affine.has_scale() {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let folded = linear.scaled_output(ctx, &mut patch, &affine)?;
    Some(patch.set_node(id, Node { path: linear.node.path.clone(), ..folded }))
}
