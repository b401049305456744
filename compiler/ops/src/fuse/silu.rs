//! `x · sigmoid(x)` is SiLU (swish with β = 1).

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule =
    Rule { name: "silu", description: "x * sigmoid(x) is silu(x)", stage: Stage::Fuse, apply };

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_product(ctx, id, P::Silu, &[P::Sigmoid], |f, factor, x| {
        (f.unary(factor, P::Sigmoid)? == x).then_some(1.0)
    })
}
