//! `x · sigmoid(1.702 x)` is the quick GELU of CLIP.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "quick_gelu",
    description: "x * sigmoid(1.702 x) is quick_gelu(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_product(ctx, id, P::QuickGelu, &[P::Sigmoid], |f, factor, x| {
        let p = f.polynomial(f.unary(factor, P::Sigmoid)?, x)?;
        is_polynomial(p, [0.0, 1.702, 0.0, 0.0]).then_some(1.0)
    })
}
