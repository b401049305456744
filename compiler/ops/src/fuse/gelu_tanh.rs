//! The tanh form of GELU, also spelled with a sigmoid: `(1 + tanh u) / 2 = sigmoid(2 u)`.

use super::formulas::*;
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{NodeId, PointwiseOp as P};

pub const RULE: Rule = Rule {
    name: "gelu_tanh",
    description: "x * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 is gelu_tanh(x)",
    stage: Stage::Fuse,
    apply,
};

const CUBIC: f64 = 0.044_715;

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let k = (2.0 / std::f64::consts::PI).sqrt();
    on_product(ctx, id, P::GeluTanh, &[P::Tanh, P::Sigmoid], |f, factor, x| {
        if let Some(u) = f.unary(factor, P::Sigmoid) {
            let p = f.polynomial(u, x)?;
            return is_polynomial(p, [0.0, 2.0 * k, 0.0, 2.0 * k * CUBIC]).then_some(1.0);
        }
        let p = f.polynomial(f.unary(f.minus_const(factor, 1.0)?, P::Tanh)?, x)?;
        is_polynomial(p, [0.0, k, 0.0, k * CUBIC]).then_some(2.0)
    })
}
