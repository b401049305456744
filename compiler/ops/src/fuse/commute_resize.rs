//! A 1x1 convolution after an enlargement runs before it, on fewer elements: interpolation takes
//! every channel alike, and its weights sum to one, so bias and channel mixing commute with it.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Node, NodeId, Shape};

pub const RULE: Rule = Rule {
    name: "commute_resize",
    description: "a 1x1 convolution after an enlargement runs before it",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let conv = ctx.node(id);
    if conv.op != "conv" || !conv.epilogue.results.is_empty() || !conv.store_view.is_identity() {
        return None;
    }
    let input = conv.operands[0].as_ref().filter(|o| o.view.is_identity())?;
    if ctx.only_user(input.value) != Some(id) {
        return None;
    }
    let (resize_id, resize) = ctx.producer(input.value)?;
    let interpolates = matches!(resize.attrs.str("mode"), Some("nearest" | "linear"))
        && resize.attrs.str("coordinate") != Some("tf_crop_and_resize");
    let plain = resize.op == "resize"
        && resize.epilogue.results.is_empty()
        && resize.store_view.is_identity();
    let all =
        |name: &str, want: i64| conv.attrs.ints(name).is_some_and(|v| v.iter().all(|x| *x == want));
    let weight = ctx.seen(conv.operands[1].as_ref()?)?;
    let one_by_one = weight[2..].iter().all(|k| *k == 1) && all("strides", 1) && all("pads", 0);
    if !interpolates || !plain || !one_by_one {
        return None;
    }
    let source = resize.operands[0].clone()?;
    let (small, large) = (ctx.seen(&source)?, ctx.shape(input.value));
    let (channels_in, channels_out) = (large[1], ctx.shape(conv.results[0])[1]);
    // the resize moves as much again for every channel that the convolution adds
    if large.elems() <= small.elems() || small[..2] != large[..2] || channels_out > channels_in {
        return None;
    }
    let mut shape: Shape = small;
    shape[1] = channels_out;
    let mut first = conv.clone();
    first.operands[0] = Some(source);
    let mut then = Node { path: resize.path.clone(), ..resize.clone() };
    then.operands[0] = Some(input.clone());
    then.attrs.set("sizes", ctx.shape(conv.results[0]).0.clone());
    if !resize.operands[1..].iter().all(Option::is_none) {
        return None;
    }
    Some(Patch::new(ctx).retype(input.value, shape).set_node(resize_id, first).set_node(id, then))
}
