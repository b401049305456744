//! A `pointwise` node goes into the body of its only reader (another `pointwise` node, or the
//! epilogue of any node), through whatever view the reader has on it. Chains, and both branches of
//! a two-branch expression, become one body.

use super::bodies::{BodyBuilder, cost, first_body_operand};
use super::rewrite::{Ctx, Patch};
use super::view_algebra::{repeats, simplify};
use super::{MAX_BODY_STEPS, MAX_BOUND_VALUES, Rule, Stage, bound_values};
use drift_ir::{Arg, Node, NodeId, Operand};

pub const RULE: Rule = Rule {
    name: "merge_pointwise",
    description: "an element-wise node goes into the body of its only reader",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let producer = ctx.node(id);
    if producer.op != "pointwise" {
        return None;
    }
    // several results may all go to the same reader
    let user = producer.results.iter().find_map(|r| ctx.users(*r).first()).copied()?;
    let only = |r| ctx.only_user(r) == Some(user) || (ctx.users(r).is_empty() && !ctx.is_output(r));
    let duplicate = !producer.results.iter().all(|r| only(*r));
    if duplicate {
        return None;
    }
    inline_into(ctx, producer, user).map(|node| Patch::new(ctx).set_node(user, node))
}

/// `user` with every read of `producer` replaced by the producer's body.
pub fn inline_into(ctx: &Ctx, producer: &Node, user: NodeId) -> Option<Node> {
    let reader = ctx.node(user);
    let first = first_body_operand(reader);
    let reads =
        |o: &Option<Operand>| o.as_ref().is_some_and(|o| producer.results.contains(&o.value));
    if reader.operands[..first].iter().any(reads) || reader.epilogue.results.is_empty() {
        return None;
    }
    for o in reader.operands[first..].iter().filter(|o| reads(o)).flatten() {
        // work that a broadcast would repeat stays where it is, unless it is next to nothing
        if repeats(&o.view, ctx.shape(o.value)) > 1 && cost(&producer.epilogue) > 2 {
            return None;
        }
    }
    // each view of the producer that the reader has repeats the producer's steps
    let mut views: Vec<_> =
        reader.operands[first..].iter().filter(|o| reads(o)).flatten().map(|o| &o.view).collect();
    views.dedup();
    if views.len() > 2 && cost(&producer.epilogue) > 8 {
        return None;
    }
    let mut b = BodyBuilder::new(&reader.operands[..first]);
    let results = b.inline(&reader.epilogue, |b, arg| {
        let Arg::Operand(i) = arg else { return arg };
        let Some(operand) = &reader.operands[i] else { return arg };
        let Some(index) = producer.results.iter().position(|r| *r == operand.value) else {
            return b.operand(operand.clone());
        };
        let inner = b.inline(&producer.epilogue, |b, arg| {
            let Arg::Operand(i) = arg else { return arg };
            let Some(source) = &producer.operands[i] else { return arg };
            let view = operand.view.after(&producer.store_view.after(&source.view));
            let view = simplify(&view, ctx.shape(source.value));
            b.operand(Operand { value: source.value, view })
        });
        inner[index]
    });
    if b.steps.len() > MAX_BODY_STEPS {
        return None;
    }
    let (epilogue, operands) = b.finish(results);
    let node = Node { operands, epilogue, ..reader.clone() };
    (bound_values(&node) <= MAX_BOUND_VALUES.max(bound_values(reader))).then_some(node)
}
