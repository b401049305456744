//! `exp(x - max(x)) / sum(exp(x - max(x)))` over one axis is softmax, with or without the maximum
//! (which only guards against overflow, and which our softmax always has).

use super::elements::{Term, binary, reduced, single_step, step_of, unary};
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Attrs, Body, Node, NodeId, PointwiseOp as P, ValueId};

pub const RULE: Rule = Rule {
    name: "softmax",
    description: "a decomposed softmax becomes one node",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let (op, terms) = single_step(ctx, node)?;
    let [Term::Value(a), Term::Value(b)] = terms[..] else { return None };
    let (exp, sum) = match op {
        P::Div => (a, b),
        P::Mul => match (step_of(ctx, a), step_of(ctx, b)) {
            (_, Some((_, P::Reciprocal, t))) => (a, value(&t)?),
            (Some((_, P::Reciprocal, t)), _) => (b, value(&t)?),
            _ => return None,
        },
        _ => return None,
    };
    let (of, axes) = reduced(ctx, sum, "sum")?;
    let &[axis] = axes.as_slice() else { return None };
    let shifted = unary(ctx, exp, P::Exp).filter(|_| of == exp)?;
    let x = binary(ctx, shifted, P::Sub)
        .filter(|(x, m)| reduced(ctx, *m, "max") == Some((*x, axes.clone())))
        .map_or(shifted, |(x, _)| x);
    if ctx.shape(x) != ctx.shape(node.results[0]) {
        return None;
    }
    let softmax = Node {
        op: "softmax",
        attrs: Attrs::new().with("axis", axis as i64),
        operands: vec![Some(x.into())],
        epilogue_operands: 1,
        epilogue: Body::default(),
        ..node.clone()
    };
    Some(Patch::new(ctx).set_node(id, softmax))
}

fn value(terms: &[Term]) -> Option<ValueId> {
    match terms {
        [Term::Value(v)] => Some(*v),
        _ => None,
    }
}
