//! `x · tanh(softplus(x))` is Mish.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "mish",
    description: "x * tanh(softplus(x)) is mish(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_product(ctx, id, P::Mish, &[P::Softplus], |f, factor, x| {
        (f.unary(f.unary(factor, P::Tanh)?, P::Softplus)? == x).then_some(1.0)
    })
}
