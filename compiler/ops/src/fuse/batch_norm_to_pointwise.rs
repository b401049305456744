//! Batch normalization that no weights can take is one multiply-add per element.

use super::bodies::BodyBuilder;
use super::rewrite::{Ctx, Patch};
use super::weights::batch_norm_affine;
use super::{Rule, Stage};
use drift_ir::{Attrs, Node, NodeId, Operand, PointwiseOp as P, Shape, Tensor, View, ViewStep};

pub const RULE: Rule = Rule {
    name: "batch_norm_to_pointwise",
    description: "a lone batch normalization becomes a multiplication and an addition",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let affine = batch_norm_affine(ctx, node)?;
    let input = node.operands[0].clone()?;
    let seen = ctx.seen(&input)?;
    let dtype = ctx.dtype(input.value);
    let mut column = vec![1; seen.rank()];
    column[1] = affine.scale.len();
    column.remove(0);
    let mut patch = Patch::new(ctx);
    let mut b = BodyBuilder::new(&[]);
    let mut operand = |b: &mut BodyBuilder, name: &str, v: &[f64]| {
        let t = Tensor::from_f64s(dtype, Shape(column.clone()), v);
        let value = patch.constant(format!("{}/{name}", node.path), t);
        let view = View::identity().then(ViewStep::Broadcast { shape: seen.clone() });
        b.operand(Operand { value, view })
    };
    let x = b.operand(input);
    let scale = operand(&mut b, "scale", &affine.scale);
    let scaled = b.step(P::Mul, vec![x, scale], dtype);
    let shift = operand(&mut b, "shift", &affine.shift);
    let sum = b.step(P::Add, vec![scaled, shift], dtype);
    let (epilogue, operands) = b.finish(vec![sum]);
    let pointwise = Node {
        op: "pointwise",
        attrs: Attrs::new(),
        operands,
        epilogue_operands: 0,
        epilogue,
        ..node.clone()
    };
    Some(patch.set_node(id, pointwise))
}
