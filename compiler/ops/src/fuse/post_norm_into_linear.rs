//! The normalization of a block's result, its sum with the residual stream, and the norm of the
//! next block become the prologue of the product that reads them (Gemma 2 and 3).
//!
//! Of one row, every workgroup of the product can compute both norms for less than a dispatch costs;
//! one of them keeps the sum for those who read it later: the product's second result.

use super::rewrite::{Ctx, Patch};
use super::{MAX_BOUND_VALUES, Rule, Stage, bound_values};
use crate::ops::linear::{DATA, GAMMA, POST_GAMMA, RESIDUAL, X};
use drift_ir::{Arg, Node, NodeId, Operand, PointwiseOp};

/// Bytes of a matrix that every device binds as one buffer: a larger one needs the bindings that the
/// residual stream would take.
const ONE_BINDING: usize = 128 << 20;

pub const RULE: Rule = Rule {
    name: "post_norm_into_linear",
    description: "of one row, a norm and its sum with the residual become part of the product that \
                  reads it",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let linear = ctx.node(id);
    let plain = linear.op == "linear"
        && linear.attrs.str("norm") == Some("rms")
        && linear.attrs.str("post").unwrap_or("").is_empty()
        && linear.epilogue.results.is_empty()
        && [linear.operands.len(), linear.epilogue_operands] == [RESIDUAL; 2]
        && linear.store_view.is_identity()
        && linear.results.len() == 1;
    let x = linear.operands.get(X)?.as_ref()?;
    let data = linear.operands.get(DATA)?.as_ref()?.value;
    if ctx.shape(data).elems() * ctx.dtype(data).bytes() > ONE_BINDING {
        return None;
    }
    let once = linear.operands.iter().flatten().filter(|o| o.value == x.value).count() == 1;
    let (sum_id, sum) = ctx.producer(x.value)?;
    let shape = ctx.shape(x.value);
    let rows: usize = shape[..shape.rank().checked_sub(1)?].iter().product();
    if !plain || !once || !x.view.is_identity() || rows != 1 || ctx.is_output(x.value) {
        return None;
    }
    // what follows the product is its epilogue first
    let followed =
        ctx.only_user(linear.results[0]).is_some_and(|user| ctx.node(user).op == "pointwise");
    // the sum is kept by one product only
    let shared = ctx.users(x.value).iter().filter(|user| **user != id).any(|user| {
        let other = ctx.node(*user);
        other.op == "linear" && other.operands[X].as_ref().map(|o| o.value) == Some(x.value)
    });
    let residual = summand(sum)?;
    let [y, gamma] = [0, 1].map(|i| sum.operands.get(i).cloned().flatten());
    let same = residual.view.is_identity()
        && ctx.shape(residual.value) == shape
        && y.as_ref().is_some_and(|y| y.view.is_identity() && ctx.shape(y.value) == shape)
        && sum.attrs.int("axis", -1) == shape.rank() as i64 - 1
        && sum.results.len() == 1
        && sum.store_view.is_identity();
    if followed || shared || !same {
        return None;
    }
    let mut operands = linear.operands.clone();
    operands[X] = y;
    debug_assert_eq!([GAMMA, POST_GAMMA], [RESIDUAL - 1, RESIDUAL + 1]);
    operands.extend([Some(residual), gamma]);
    let mut attrs = linear.attrs.clone();
    attrs.set("post", "rms");
    attrs.set("post_eps", sum.attrs.float("epsilon", 1e-5));
    let types = [linear.results[0], x.value]
        .map(|v| (ctx.graph.value(v).name.clone(), ctx.dtype(v), ctx.shape(v).clone()));
    let mut patch = Patch::new(ctx);
    let results = patch.node("linear", attrs, operands, types.to_vec(), &linear.path);
    let patch = patch
        .replace(linear.results[0], results[0])
        .replace(x.value, results[1])
        .remove(id)
        .remove(sum_id);
    let bound: std::collections::BTreeSet<_> =
        linear.operands.iter().chain(&sum.operands).flatten().map(|o| o.value).collect();
    // x goes, its two results come
    let fits = bound.len() - 1 + 2 <= MAX_BOUND_VALUES.max(bound_values(linear));
    fits.then_some(patch)
}

/// What a root-mean-square normalization is added to, where its epilogue is that sum.
fn summand(norm: &Node) -> Option<Operand> {
    if norm.op != "rms_norm" || norm.epilogue.results != [Arg::Step(0)] {
        return None;
    }
    let [step] = &norm.epilogue.steps[..] else { return None };
    let other = match step.args[..] {
        [Arg::Acc, Arg::Operand(i)] | [Arg::Operand(i), Arg::Acc] => i,
        _ => return None,
    };
    let added = step.op == PointwiseOp::Add && other >= norm.epilogue_operands;
    norm.operands.get(other)?.clone().filter(|_| added)
}
