//! `1 / sqrt(x)`, `reciprocal(sqrt(x))` and `x ^ -0.5` are one built-in function.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule =
    Rule { name: "rsqrt", description: "1 / sqrt(x) is rsqrt(x)", stage: Stage::Fuse, apply };

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        if !step.dtype.is_float() {
            return None;
        }
        let (y, x) = match step.op {
            P::Reciprocal => (Arg::Const(1.0), f.unary(step.args[0], P::Sqrt)?),
            P::Div => (step.args[0], f.unary(step.args[1], P::Sqrt)?),
            P::Pow if f.constant(step.args[1]) == Some(-0.5) => (Arg::Const(1.0), step.args[0]),
            _ => return None,
        };
        Some(replace_step(f.body, i, |b, map| {
            let r = b.step(P::Rsqrt, vec![map(x)], step.dtype);
            if y == Arg::Const(1.0) { r } else { b.step(P::Mul, vec![map(y), r], step.dtype) }
        }))
    })
}
