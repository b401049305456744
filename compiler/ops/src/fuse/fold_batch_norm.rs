//! Batch normalization after a convolution, transposed convolution or matrix product goes into its
//! weights and bias. In f64 and before any change of precision: folding into f16 weights overflows
//! on real models.

use super::rewrite::{Ctx, Patch};
use super::weights::{Affine, batch_norm_affine, linear};
use super::{Rule, Stage};
use drift_ir::{
    Arg, Attrs, Body, Node, NodeId, Operand, PointwiseOp, Step, Tensor, View, ViewStep,
};

pub const RULE: Rule = Rule {
    name: "fold_batch_norm",
    description: "batch normalization goes into the weights of the convolution or product before it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let affine = batch_norm_affine(ctx, node)?;
    let input = node.operands[0].as_ref().filter(|o| o.view.is_identity())?;
    if ctx.only_user(input.value) != Some(id) {
        return None;
    }
    let producer = ctx.graph.producer(input.value)?;
    let linear = linear(ctx, producer)?;
    // channels of batch normalization are axis 1
    if linear.axis != 1 {
        return None;
    }
    let mut patch = Patch::new(ctx);
    if !linear.is_matmul() {
        let folded = linear.scaled_output(ctx, &mut patch, &affine)?;
        return Some(patch.set_node(id, Node { path: linear.node.path.clone(), ..folded }));
    }
    // a product has no bias: its weights take the scale, the shift stays as an addition
    let scale = Affine { scale: affine.scale.clone(), shift: vec![0.0; affine.shift.len()] };
    let scaled = linear.scaled_output(ctx, &mut patch, &scale)?;
    let shape = ctx.shape(input.value).clone();
    let dtype = ctx.dtype(input.value);
    let shift = Tensor::from_f64s(dtype, [affine.shift.len()], &affine.shift);
    let shift = patch.constant(format!("{}/shift", node.path), shift);
    let wide = View::identity().then(ViewStep::Broadcast { shape });
    let step = Step { op: PointwiseOp::Add, args: vec![Arg::Operand(0), Arg::Operand(1)], dtype };
    let add = Node {
        op: "pointwise",
        attrs: Attrs::new(),
        operands: vec![Some(input.clone()), Some(Operand { value: shift, view: wide })],
        epilogue_operands: 0,
        epilogue: Body { steps: vec![step], results: vec![Arg::Step(0)] },
        ..node.clone()
    };
    Some(patch.set_node(producer, scaled).set_node(id, add))
}
