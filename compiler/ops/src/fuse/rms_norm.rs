//! `x / sqrt(mean(x²) + ε)` over the trailing axes is root-mean-square normalization. Its scale
//! follows with `norm_affine`.

use super::elements::{divided_by_sqrt, plus_const, reduced, squared, trailing};
use super::layer_norm::unit;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Attrs, Body, Node, NodeId, Shape};

pub const RULE: Rule = Rule {
    name: "rms_norm",
    description: "a decomposed root-mean-square normalization becomes one node",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let (x, under) = divided_by_sqrt(ctx, node)?;
    let (mean, epsilon) = plus_const(ctx, under)?;
    let (square, axes) = reduced(ctx, mean, "mean")?;
    let shape = ctx.shape(x);
    let axis = trailing(&axes, shape.rank())?;
    if squared(ctx, square)? != x || ctx.shape(node.results[0]) != shape {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let one = unit(ctx, x, &Shape::from(&shape[axis..]));
    let scale = patch.constant(format!("{}/scale", node.path), one);
    let rms_norm = Node {
        op: "rms_norm",
        attrs: Attrs::new().with("axis", axis as i64).with("epsilon", epsilon),
        operands: vec![Some(x.into()), Some(scale.into())],
        epilogue_operands: 2,
        epilogue: Body::default(),
        ..node.clone()
    };
    Some(patch.set_node(id, rms_norm))
}
