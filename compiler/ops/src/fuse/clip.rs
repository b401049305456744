//! Clamps in their one spelling: `clip`, or `relu` where only zero bounds them below.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "clip",
    description: "min(max(x, a), b) is clip(x, a, b); max(x, 0) is relu(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        let (x, lo, hi) = f.clamp(Arg::Step(i))?;
        let relu = lo == 0.0 && hi == f64::INFINITY;
        let done = match step.op {
            P::Relu => true,
            P::Clip => !relu,
            // one-sided bounds have no better spelling than min and max
            _ => !relu && (lo == f64::NEG_INFINITY || hi == f64::INFINITY),
        };
        if done || !step.dtype.is_float() {
            return None;
        }
        Some(replace_step(f.body, i, |b, map| match relu {
            true => b.step(P::Relu, vec![map(x)], step.dtype),
            false => b.step(P::Clip, vec![map(x), Arg::Const(lo), Arg::Const(hi)], step.dtype),
        }))
    })
}
