//! `x / 2 · (1 + erf(x / √2))` in any order is the exact GELU.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "gelu",
    description: "x * (1 + erf(x / sqrt 2)) / 2 is gelu(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_product(ctx, id, P::Gelu, &[P::Erf], |f, factor, x| {
        let p = f.polynomial(f.unary(f.minus_const(factor, 1.0)?, P::Erf)?, x)?;
        is_polynomial(p, [0.0, std::f64::consts::FRAC_1_SQRT_2, 0.0, 0.0]).then_some(2.0)
    })
}
