//! `clip(a x + b, 0, c) / c` is a hard sigmoid with slope a/c and offset b/c.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "hard_sigmoid",
    description: "clip(a x + b, 0, c) / c is hard_sigmoid(x)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        if !step.dtype.is_float() {
            return None;
        }
        let (scale, clamped, offset) = match step.op {
            P::Mul | P::Div => f.affine(Arg::Step(i), None),
            P::Clip => (1.0, Arg::Step(i), 0.0),
            _ => return None,
        };
        let (inner, lo, hi) = f.clamp(clamped)?;
        let (slope, x, start) = f.affine(inner, None);
        // the ceiling is 1 exactly: nothing else hides an inexact slope there
        let fits = lo == 0.0 && offset == 0.0 && (scale * hi - 1.0).abs() < 1e-6;
        // clip(x, 0, 1) is as cheap as it gets
        if !fits || (slope == 1.0 && start == 0.0) {
            return None;
        }
        let (alpha, beta) = (Arg::Const(slope / hi), Arg::Const(start / hi));
        Some(replace_step(f.body, i, |b, map| {
            b.step(P::HardSigmoid, vec![map(x), alpha, beta], step.dtype)
        }))
    })
}
