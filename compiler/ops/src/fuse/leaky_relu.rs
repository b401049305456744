//! `max(x, a x)` with 0 < a < 1, and `where(x > 0, x, a x)`, are leaky ReLUs.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "leaky_relu",
    description: "max(x, a x) is leaky_relu(x, a)",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        if !step.dtype.is_float() {
            return None;
        }
        let slope = |y: Arg, x: Arg| {
            let p = f.product(y, x);
            (p.factors == [x]).then_some(p.constant)
        };
        let (x, a) = match step.op {
            P::Max => f.both(Arg::Step(i), P::Max).find_map(|(x, y)| {
                let a = slope(y, x).filter(|a| 0.0 < *a && *a < 1.0)?;
                Some((x, a))
            })?,
            P::Where => {
                let x = step.args[1];
                let test = f.step(step.args[0])?;
                let zero = |a: Arg| f.constant(a) == Some(0.0);
                let positive = match test.op {
                    P::Greater | P::GreaterEqual => test.args[0] == x && zero(test.args[1]),
                    P::Less | P::LessEqual => test.args[1] == x && zero(test.args[0]),
                    _ => false,
                };
                (x, slope(step.args[2], x).filter(|_| positive)?)
            }
            _ => return None,
        };
        Some(replace_step(f.body, i, |b, map| {
            b.step(P::LeakyRelu, vec![map(x), Arg::Const(a)], step.dtype)
        }))
    })
}
