//! A constant factor or summand per input channel before a convolution or matrix product goes into
//! its weights. A summand only where nothing is padded: the padding is zero after it.

use super::rewrite::{Ctx, Patch};
use super::weights::{channel_affine, linear};
use super::{Rule, Stage};
use drift_ir::NodeId;

pub const RULE: Rule = Rule {
    name: "fold_input_scale",
    description: "a constant factor or summand per input channel goes into the weights after it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let linear = linear(ctx, id)?;
    let input = linear.node.operands[0].as_ref().filter(|o| o.view.is_identity())?;
    if ctx.only_user(input.value) != Some(id) {
        return None;
    }
    let (_, before) = ctx.producer(input.value)?;
    let axis = if linear.is_matmul() { ctx.shape(input.value).rank() - 1 } else { 1 };
    let x = before
        .operands
        .iter()
        .flatten()
        .find(|o| ctx.constant(o.value).is_none() && o.view.is_identity())?
        .value;
    let affine = channel_affine(ctx, before, x, axis)?;
    let mut patch = Patch::new(ctx);
    let folded = linear.scaled_input(ctx, &mut patch, x, &affine)?;
    Some(patch.set_node(id, folded))
}
