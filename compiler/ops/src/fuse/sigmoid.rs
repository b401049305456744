//! `y / (1 + exp(-x))` and `1 / (1 + exp(-x))` are sigmoids.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "sigmoid",
    description: "y / (1 + exp(-x)) is y * sigmoid(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        let (y, below) = match step.op {
            P::Div => (step.args[0], step.args[1]),
            P::Reciprocal => (Arg::Const(1.0), step.args[0]),
            _ => return None,
        };
        let x = f.one_plus_exp_neg(below)?;
        Some(replace_step(f.body, i, |b, map| {
            let x = match x {
                Negated::Is(x) => map(x),
                Negated::Of(x) => b.step(P::Neg, vec![map(x)], step.dtype),
            };
            let s = b.step(P::Sigmoid, vec![x], step.dtype);
            match y {
                Arg::Const(c) if near(c, 1.0) => s,
                y => b.step(P::Mul, vec![map(y), s], step.dtype),
            }
        }))
    })
}
