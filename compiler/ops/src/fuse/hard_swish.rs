//! `x · clip(x + 3, 0, 6) / 6`, also as `x · hard_sigmoid(x)` with slope 1/6, is hard-swish.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "hard_swish",
    description: "x * clip(x + 3, 0, 6) / 6 is hard_swish(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let inner = [P::Clip, P::Min, P::Max, P::Relu, P::HardSigmoid];
    on_product(ctx, id, P::HardSwish, &inner, |f, factor, x| {
        if let Some(args) = f.op(factor, P::HardSigmoid) {
            let (alpha, beta) = (f.constant(args[1])?, f.constant(args[2])?);
            return (args[0] == x && near(alpha, 1.0 / 6.0) && near(beta, 0.5)).then_some(1.0);
        }
        let (inner, lo, hi) = f.clamp(factor)?;
        let p = f.polynomial(inner, x)?;
        let ok = lo == 0.0 && hi.is_finite() && is_polynomial(p, [hi / 2.0, hi / 6.0, 0.0, 0.0]);
        ok.then_some(hi)
    })
}
