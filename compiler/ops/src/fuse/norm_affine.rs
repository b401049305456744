//! Constant factors and summands per channel after a normalization go into its scale and bias.

use super::rewrite::{Ctx, Patch};
use super::weights::channel_affine;
use super::{Rule, Stage};
use drift_ir::{Node, NodeId, Tensor};

pub const RULE: Rule = Rule {
    name: "norm_affine",
    description: "constant factors and summands after a normalization become its scale and bias",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if node.op != "pointwise" {
        return None;
    }
    let read = node.operands.iter().flatten().find(|o| {
        let norm =
            |n: &Node| matches!(n.op, "layer_norm" | "rms_norm" | "instance_norm" | "group_norm");
        o.view.is_identity()
            && ctx.only_user(o.value) == Some(id)
            && ctx.producer(o.value).is_some_and(|(_, n)| norm(n))
    })?;
    let (_, norm) = ctx.producer(read.value)?;
    if !norm.epilogue.results.is_empty() || !norm.store_view.is_identity() {
        return None;
    }
    let rank = ctx.shape(read.value).rank();
    let axis = match norm.op {
        "instance_norm" | "group_norm" => 1,
        // scale and bias run along the last axis only when it alone is normalized
        _ if norm.attrs.int("axis", -1) == rank as i64 - 1 => rank - 1,
        _ => return None,
    };
    let affine = channel_affine(ctx, node, read.value, axis)?;
    if norm.op == "rms_norm" && affine.has_shift() {
        return None;
    }
    let n = affine.scale.len();
    let constant = |i: usize| match norm.operands.get(i) {
        Some(Some(o)) if o.view.is_identity() => ctx.constant(o.value).map(Some),
        Some(Some(_)) => None,
        _ => Some(None),
    };
    let (scale, bias) = (constant(1)??, constant(2)?);
    let fold = |v: Vec<f64>, shift: &[f64]| -> Vec<f64> {
        (0..n).map(|i| v[i] * affine.scale[i] + shift[i]).collect()
    };
    let mut patch = Patch::new(ctx);
    let mut folded = norm.clone();
    let new_scale = fold(scale.to_f64s(), &vec![0.0; n]);
    let tensor = |v: &[f64]| Tensor::from_f64s(scale.dtype, [n], v);
    let name = |what: &str| format!("{}/{what}", norm.path);
    folded.operands[1] = Some(patch.constant(name("scale"), tensor(&new_scale)).into());
    if bias.is_some() || affine.has_shift() {
        let old = bias.map_or_else(|| vec![0.0; n], Tensor::to_f64s);
        let new_bias = fold(old, &affine.shift);
        folded.operands.resize(3, None);
        folded.operands[2] = Some(patch.constant(name("bias"), tensor(&new_bias)).into());
        folded.epilogue_operands = 3;
    }
    Some(patch.set_node(id, folded))
}
