//! A constant summand per channel after a convolution or transposed convolution becomes its bias.
//! (After a matrix product it stays an addition, which becomes the epilogue.)

use super::rewrite::{Ctx, Patch};
use super::weights::affine_after;
use super::{Rule, Stage};
use drift_ir::{Node, NodeId};

pub const RULE: Rule = Rule {
    name: "fold_bias",
    description: "a constant summand per channel becomes the bias of the convolution before it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let (_, linear, affine) = affine_after(ctx, id)?;
    if affine.has_scale() || linear.is_matmul() {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let folded = linear.scaled_output(ctx, &mut patch, &affine)?;
    Some(patch.set_node(id, Node { path: linear.node.path.clone(), ..folded }))
}
