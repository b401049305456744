//! A root-mean-square normalization becomes the prologue of the products that read it.
//!
//! Of a few rows, every workgroup of a product can compute the norm again for less than a dispatch
//! costs. With more rows, or another reader, the normalized rows are worth keeping.

use super::rewrite::{Ctx, Patch};
use super::{MAX_BOUND_VALUES, Rule, Stage, bound_values};
use crate::lower::FEW_ROWS;
use crate::ops::linear::{GAMMA, X};
use drift_ir::{Arg, Node, NodeId, ValueId};

pub const RULE: Rule = Rule {
    name: "norm_into_linear",
    description: "a root-mean-square normalization of few rows becomes part of the products that \
                  read it",
    stage: Stage::Fuse,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let linear = ctx.node(id);
    let value = normed(linear)?;
    let (_, norm) = ctx.producer(value)?;
    let shape = ctx.shape(value);
    let last = shape.rank().checked_sub(1)?;
    let rows: usize = shape[..last].iter().product();
    let plain = norm.op == "rms_norm"
        && norm.attrs.int("axis", -1) == last as i64
        && norm.epilogue.results.is_empty()
        && norm.store_view.is_identity();
    if !plain || rows > FEW_ROWS || ctx.is_output(value) {
        return None;
    }
    // the norm must disappear
    if !ctx.users(value).iter().all(|&user| normed(ctx.node(user)) == Some(value)) {
        return None;
    }
    let (x, gamma) = (norm.operands.first()?.clone()?, norm.operands.get(1)?.clone()?);
    if ctx.dtype(x.value) != ctx.dtype(value) {
        return None;
    }
    let mut folded = with_gamma(linear);
    folded.operands[X] = Some(x);
    folded.operands[GAMMA] = Some(gamma);
    folded.attrs.set("norm", "rms");
    folded.attrs.set("norm_eps", norm.attrs.float("epsilon", 1e-5));
    let fits = bound_values(&folded) <= MAX_BOUND_VALUES;
    fits.then(|| Patch::new(ctx).set_node(id, folded))
}

/// The value that a product without a norm of its own reads as x, and only as x.
fn normed(node: &Node) -> Option<ValueId> {
    let x = node.operands.get(X)?.as_ref()?;
    let bare = node.op == "linear" && node.attrs.str("norm").unwrap_or("").is_empty();
    let once = node.operands.iter().flatten().filter(|o| o.value == x.value).count() == 1;
    (bare && once && x.view.is_identity()).then_some(x.value)
}

/// The node with a place for gamma; operands of its epilogue follow.
fn with_gamma(node: &Node) -> Node {
    let mut node = node.clone();
    let missing = (GAMMA + 1).saturating_sub(node.epilogue_operands);
    let at = node.epilogue_operands;
    node.operands.splice(at..at, std::iter::repeat_n(None, missing));
    node.epilogue_operands += missing;
    let args = node.epilogue.steps.iter_mut().flat_map(|s| &mut s.args);
    for arg in args.chain(&mut node.epilogue.results) {
        if let Arg::Operand(i) = arg
            && *i >= at
        {
            *i += missing;
        }
    }
    node
}
