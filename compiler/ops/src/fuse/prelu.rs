//! `relu(x) + a · min(x, 0)` is PReLU; the negative part comes as `min(x, 0)`, `-relu(-x)` or
//! `(x - |x|) / 2`, the slope as a constant (then it is a leaky ReLU) or as an operand.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Arg, NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "prelu",
    description: "relu(x) + a * min(x, 0) is prelu(x, a)",
    stage: Stage::Fuse,
    apply,
};

/// `c` where `arg = c · min(x, 0)`.
fn negative_part(f: Formula, arg: Arg, x: Arg) -> Option<f64> {
    if let Some(inner) = f.unary(arg, P::Relu) {
        let p = f.product(inner, x);
        return (p.factors == [x] && p.constant < 0.0).then_some(p.constant);
    }
    if let Some(args) = f.op(arg, P::Sub) {
        let abs = f.unary(args[1], P::Abs)?;
        return (args[0] == x && abs == x).then_some(2.0);
    }
    let (inner, lo, hi) = f.clamp(arg)?;
    (inner == x && lo == f64::NEG_INFINITY && hi == 0.0).then_some(1.0)
}

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    on_body(ctx, id, |f, i, step| {
        if !step.dtype.is_float() {
            return None;
        }
        let root = Arg::Step(i);
        let pairs: Vec<(Arg, Arg, f64)> = match step.op {
            P::Add => f.both(root, P::Add).map(|(a, b)| (a, b, 1.0)).collect(),
            P::Sub => vec![(step.args[0], step.args[1], -1.0)],
            _ => return None,
        };
        pairs.into_iter().find_map(|(positive, negative, sign)| {
            let x = f.unary(positive, P::Relu)?;
            let product = f.product(negative, x);
            let (c, rest) = product.take(|a| negative_part(f, a, x))?;
            let constant = rest.constant * c * sign;
            Some(replace_step(f.body, i, |b, map| match rest.factors.split_first() {
                None => b.step(P::LeakyRelu, vec![map(x), Arg::Const(constant)], step.dtype),
                Some((first, others)) => {
                    let others = Product { constant: 1.0, factors: others.to_vec() };
                    let slope = emit_product(b, map(*first), &others, constant, step.dtype, map);
                    b.step(P::PRelu, vec![map(x), slope], step.dtype)
                }
            }))
        })
    })
}
