//! `log(1 + exp(x))` is softplus, which does not overflow.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "softplus",
    description: "log(1 + exp(x)) is softplus(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        let x = f.unary(f.minus_const(f.unary(Arg::Step(i), P::Log)?, 1.0)?, P::Exp)?;
        Some(replace_step(f.body, i, |b, map| b.step(P::Softplus, vec![map(x)], step.dtype)))
    })
}
