//! Reshape to groups, instance normalization, reshape back: how exporters spell group
//! normalization. The scale and bias per channel follow with `norm_affine`.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Attrs, Body, Node, NodeId, Tensor, ValueId};

pub const RULE: Rule = Rule {
    name: "group_norm",
    description: "instance normalization between reshapes becomes group normalization",
    stage: Stage::Canonicalize,
    apply,
};

/// The node behind `v` when it is `op` with nothing fused and a plain first operand.
fn plain<'g>(ctx: &Ctx<'g>, v: ValueId, op: &str) -> Option<&'g Node> {
    let (_, node) = ctx.producer(v)?;
    let first = node.operands.first()?.as_ref()?;
    let ok = node.op == op
        && first.view.is_identity()
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity();
    ok.then_some(node)
}

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let result = node.results[0];
    plain(ctx, result, "reshape")?;
    let normed = node.operands[0].as_ref()?.value;
    let norm = plain(ctx, normed, "instance_norm")?;
    let grouped = norm.operands[0].as_ref()?.value;
    let x = plain(ctx, grouped, "reshape")?.operands[0].as_ref()?.value;
    let (shape, groups) = (ctx.shape(x), ctx.shape(grouped));
    if shape != ctx.shape(result) || shape.rank() < 3 || shape[0] != groups[0] {
        return None;
    }
    let (channels, g) = (shape[1], groups[1]);
    if g == 0 || channels % g != 0 {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let mut wide = |i: usize, name: &str| {
        let t = ctx.constant(norm.operands[i].as_ref().filter(|o| o.view.is_identity())?.value)?;
        let v = t.to_f64s();
        let v: Vec<f64> = (0..channels).map(|c| v[c / (channels / g)]).collect();
        let t = Tensor::from_f64s(t.dtype, [channels], &v);
        Some(patch.constant(format!("{}/{name}", norm.path), t))
    };
    let (scale, bias) = (wide(1, "scale")?, wide(2, "bias")?);
    let group_norm = Node {
        op: "group_norm",
        attrs: Attrs::new()
            .with("epsilon", norm.attrs.float("epsilon", 1e-5))
            .with("groups", g as i64),
        operands: vec![Some(x.into()), Some(scale.into()), Some(bias.into())],
        epilogue_operands: 3,
        epilogue: Body::default(),
        path: norm.path.clone(),
        ..node.clone()
    };
    Some(patch.set_node(id, group_norm))
}
