//! A `pointwise` node becomes the epilogue of the node it reads: bias, activation, residual add.
//!
//! The pointwise node may see its producer through reshapes and transposes: they move to the store,
//! and its other operands are seen through their inverse. When it reads several candidates (a
//! residual add of two convolutions), the one that runs last takes it.

use super::bodies::BodyBuilder;
use super::rewrite::{Ctx, Patch};
use super::view_algebra::{invert, is_bijective, simplify};
use super::{MAX_BODY_STEPS, MAX_BOUND_VALUES, Rule, Stage, bound_values, takes_epilogue};
use drift_ir::{Arg, Node, NodeId, Operand};

pub const RULE: Rule = Rule {
    name: "epilogue",
    description: "an element-wise node becomes the epilogue of the node it reads",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if node.op != "pointwise" || node.results.len() != 1 {
        return None;
    }
    let mut candidates: Vec<NodeId> = node
        .operands
        .iter()
        .flatten()
        .filter(|o| ctx.only_user(o.value) == Some(id))
        .filter_map(|o| ctx.producer(o.value))
        .filter(|(_, p)| takes_epilogue(p) && p.results.len() == 1)
        .map(|(id, _)| id)
        .collect();
    // Node ids follow the model's order, so the largest runs last. No cycle can arise: the
    // producer's only reader is this node, so nothing this node reads depends on it otherwise.
    candidates.sort_unstable();
    candidates.dedup();
    candidates
        .into_iter()
        .rev()
        .find_map(|p| link(ctx, ctx.node(p), node))
        .map(|linked| Patch::new(ctx).set_node(id, linked))
}

fn link(ctx: &Ctx, main: &Node, pointwise: &Node) -> Option<Node> {
    let value = main.results[0];
    let mut reads = pointwise.operands.iter().flatten().filter(|o| o.value == value);
    let view = &reads.next()?.view;
    if !is_bijective(view) || reads.any(|o| o.view != *view) {
        return None;
    }
    let result = ctx.shape(value);
    let own = super::own_shape(ctx.graph, main)?;
    let store_view = simplify(&view.after(&main.store_view), &own);
    let back = invert(&main.store_view, &own)?.after(&invert(view, result)?);
    let mut b = BodyBuilder::new(&main.operands[..main.epilogue_operands]);
    let acc = if main.epilogue.results.is_empty() {
        Arg::Acc
    } else {
        let results = b.inline(&main.epilogue, |b, arg| match arg {
            Arg::Operand(i) => main.operands[i].clone().map_or(arg, |o| b.operand(o)),
            _ => arg,
        });
        results[0]
    };
    let results = b.inline(&pointwise.epilogue, |b, arg| {
        let Arg::Operand(i) = arg else { return arg };
        let Some(o) = &pointwise.operands[i] else { return arg };
        if o.value == value {
            return acc;
        }
        let view = simplify(&back.after(&o.view), ctx.shape(o.value));
        b.operand(Operand { value: o.value, view })
    });
    if b.steps.len() > MAX_BODY_STEPS {
        return None;
    }
    let (epilogue, operands) = b.finish(results);
    // a pointwise node with a store view of its own stores once more through it
    let store_view = simplify(&pointwise.store_view.after(&store_view), &own);
    let node = Node {
        op: main.op,
        attrs: main.attrs.clone(),
        operands,
        epilogue_operands: main.epilogue_operands,
        epilogue,
        store_view,
        results: pointwise.results.clone(),
        path: main.path.clone(),
    };
    (bound_values(&node) <= MAX_BOUND_VALUES.max(bound_values(main))).then_some(node)
}
