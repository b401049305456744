//! `(x - mean(x)) / sqrt(mean((x - mean(x))²) + ε)` over the trailing axes is layer normalization.
//! Its scale and bias follow with `norm_affine`.

use super::elements::{binary, divided_by_sqrt, plus_const, reduced, squared, trailing};
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Attrs, Body, Node, NodeId, PointwiseOp as P, Shape, Tensor, ValueId};

pub const RULE: Rule = Rule {
    name: "layer_norm",
    description: "a decomposed layer normalization becomes one node",
    stage: Stage::Canonicalize,
    apply,
};

/// `(x, axes)` where `v = x - mean(x)`.
fn centered(ctx: &Ctx, v: ValueId) -> Option<(ValueId, Vec<usize>)> {
    let (x, mean) = binary(ctx, v, P::Sub)?;
    let (of, axes) = reduced(ctx, mean, "mean")?;
    (of == x).then_some((x, axes))
}

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let (difference, under) = divided_by_sqrt(ctx, node)?;
    let (variance, epsilon) = plus_const(ctx, under)?;
    let (square, axes) = reduced(ctx, variance, "mean")?;
    let (x, mean_axes) = centered(ctx, difference)?;
    let again = squared(ctx, square)?;
    let same = again == difference || centered(ctx, again) == Some((x, mean_axes.clone()));
    let shape = ctx.shape(x);
    let axis = trailing(&axes, shape.rank())?;
    if !same || mean_axes != axes || ctx.shape(node.results[0]) != shape {
        return None;
    }
    let norm = Shape::from(&shape[axis..]);
    let mut patch = Patch::new(ctx);
    let one = unit(ctx, x, &norm);
    let scale = patch.constant(format!("{}/scale", node.path), one);
    let layer_norm = Node {
        op: "layer_norm",
        attrs: Attrs::new().with("axis", axis as i64).with("epsilon", epsilon),
        operands: vec![Some(x.into()), Some(scale.into()), None],
        epilogue_operands: 3,
        epilogue: Body::default(),
        ..node.clone()
    };
    Some(patch.set_node(id, layer_norm))
}

/// Ones of `shape` in the dtype of `x`.
pub fn unit(ctx: &Ctx, x: ValueId, shape: &Shape) -> Tensor {
    Tensor::from_f64s(ctx.dtype(x), shape.clone(), &vec![1.0; shape.elems()])
}
