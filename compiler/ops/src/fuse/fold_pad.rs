//! Constant padding before a convolution or pooling goes into its own pads.
//!
//! Convolution pads with zero. Average pooling does when it counts its pads. Max pooling pads with
//! minus infinity, so zero padding fits only in front of what cannot be negative.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_cheap_read, simplify};
use super::{Rule, Stage};
use drift_ir::{Arg, Attrs, Node, NodeId, Operand, PointwiseOp as P, Shape, ValueId, ViewStep};

pub const RULE: Rule = Rule {
    name: "fold_pad",
    description: "constant padding goes into the pads of the convolution or pooling after it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if !matches!(node.op, "conv" | "pool") {
        return None;
    }
    let input = node.operands[0].as_ref().filter(|o| o.view.is_identity())?;
    let (_, pad) = ctx.producer(input.value)?;
    let plain = pad.op == "pad" && pad.epilogue.results.is_empty();
    if !plain || pad.attrs.str("mode") != Some("constant") {
        return None;
    }
    let (source, extra) = seen_by_reader(ctx, pad)?;
    let rank = ctx.shape(input.value).rank();
    let (begin, end) = extra.split_at_checked(rank)?;
    if begin[..2].iter().chain(end.get(..2)?).any(|p| *p != 0) {
        return None;
    }
    let value = pad.attrs.float("value", 0.0);
    let attrs = match node.op {
        "conv" => (value == 0.0).then(|| node.attrs.clone())?,
        _ => pool_attrs(ctx, node, source.value, value)?,
    };
    let old = attrs.usizes("pads")?;
    let added: Vec<usize> = begin[2..].iter().chain(&end[2..]).copied().collect();
    if old.len() != added.len() {
        return None;
    }
    let pads: Vec<usize> = old.iter().zip(&added).map(|(a, b)| a + b).collect();
    if node.op == "pool" {
        // a window of pads alone has no maximum and no mean
        let (kernel, dilation) = (attrs.usizes("kernel")?, attrs.usizes("dilations")?);
        let n = kernel.len();
        if (0..2 * n).any(|i| pads[i] > dilation[i % n] * (kernel[i % n].max(1) - 1)) {
            return None;
        }
    }
    let mut folded = Node { attrs: attrs.with("pads", pads), ..node.clone() };
    folded.operands[0] = Some(source);
    Some(Patch::new(ctx).set_node(id, folded))
}

/// What is padded, and its pads, in the coordinates of the pad's reader: the store view may add or
/// drop dims of 1, nothing else.
fn seen_by_reader(ctx: &Ctx, pad: &Node) -> Option<(Operand, Vec<usize>)> {
    let source = pad.operands[0].clone()?;
    let pads = pad.attrs.usizes("pads")?;
    if pad.store_view.is_identity() {
        return Some((source, pads));
    }
    let own = super::own_shape(ctx.graph, pad)?;
    let result = ctx.shape(pad.results[0]);
    let reshapes = |s: &ViewStep| matches!(s, ViewStep::Reshape { .. });
    let wide = |s: &Shape| s.iter().enumerate().filter(|d| *d.1 != 1).map(|d| d.0).collect();
    let (from, to): (Vec<usize>, Vec<usize>) = (wide(&own), wide(result));
    let same = from.iter().map(|i| own[*i]).eq(to.iter().map(|i| result[*i]));
    // a dim of 1 that is padded is not 1 any more, so all pads are on the dims that stay
    if !same || !pad.store_view.steps.iter().all(reshapes) {
        return None;
    }
    let mut extra = vec![0; 2 * result.rank()];
    let mut shape = result.clone();
    for (i, j) in from.iter().zip(&to) {
        let (begin, end) = (pads[*i], pads[own.rank() + i]);
        (extra[*j], extra[result.rank() + j]) = (begin, end);
        shape[*j] = own[*i].checked_sub(begin + end)?;
    }
    let view = source.view.clone().then(ViewStep::Reshape { shape });
    let view = simplify(&view, ctx.shape(source.value));
    let seen = Operand { value: source.value, view };
    is_cheap_read(ctx, &seen).then_some((seen, extra))
}

/// Attributes of a pooling whose input was padded with `value`, but for the pads themselves.
fn pool_attrs(ctx: &Ctx, node: &Node, source: ValueId, value: f64) -> Option<Attrs> {
    let attrs = &node.attrs;
    // with ceil_mode the last window depends on which part of the input is padding
    if attrs.int("ceil_mode", 0) != 0 {
        return None;
    }
    let unpadded = attrs.ints("pads")?.iter().all(|p| *p == 0);
    match attrs.str("kind")? {
        "max" => {
            let lowest = value == f64::NEG_INFINITY || value <= f64::from(f32::MIN);
            let zero = value == 0.0 && is_non_negative(ctx, source);
            (lowest || zero).then(|| attrs.clone())
        }
        "average" if value == 0.0 => {
            let counted = attrs.int("count_include_pad", 0) != 0;
            (counted || unpadded).then(|| attrs.clone().with("count_include_pad", 1i64))
        }
        _ => None,
    }
}

/// Whether a value is the result of an element-wise step that gives no negative number.
fn is_non_negative(ctx: &Ctx, v: ValueId) -> bool {
    let Some((_, node)) = ctx.producer(v) else { return false };
    let Some(Arg::Step(last)) = node.epilogue.results.first() else { return false };
    node.op == "pointwise" && node.results.len() == 1 && {
        let step = &node.epilogue.steps[*last];
        match step.op {
            P::Relu | P::Sigmoid | P::Abs | P::Exp | P::Softplus | P::HardSigmoid => true,
            P::Clip => matches!(step.args[1], Arg::Const(lo) if lo >= 0.0),
            _ => false,
        }
    }
}
