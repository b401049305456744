//! Nearest-neighbour enlargement by whole factors, read by element-wise nodes only, is a view: each
//! source element is broadcast over its block. (Feature pyramids add an enlarged map to another;
//! the addition then joins the convolution that made the other.)

use super::rewrite::{Ctx, Patch};
use super::view_algebra::simplify;
use super::{Rule, Stage};
use drift_ir::{Node, NodeId, Operand, Shape, View, ViewStep};

pub const RULE: Rule = Rule {
    name: "nearest_resize",
    description: "nearest enlargement by whole factors becomes a view of its element-wise readers",
    stage: Stage::Fuse,
    apply,
};

/// Looks at a reader, so that the resize goes when its last reader is done.
fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    if node.op != "pointwise" {
        return None;
    }
    let mut operands = node.operands.clone();
    let mut changed = false;
    for slot in operands.iter_mut().flatten() {
        let Some((_, resize)) = ctx.producer(slot.value) else { continue };
        let elementwise = |u: &NodeId| ctx.node(*u).op == "pointwise";
        if ctx.is_output(slot.value) || !ctx.users(slot.value).iter().all(elementwise) {
            continue;
        }
        let Some((source, view)) = as_view(ctx, resize) else { continue };
        let view = slot.view.after(&view.after(&source.view));
        let view = simplify(&view, ctx.shape(source.value));
        *slot = Operand { value: source.value, view };
        changed = true;
    }
    changed.then(|| Patch::new(ctx).set_node(id, Node { operands, ..node.clone() }))
}

fn as_view<'g>(ctx: &Ctx<'g>, resize: &'g Node) -> Option<(&'g Operand, View)> {
    let plain = resize.op == "resize"
        && resize.epilogue.results.is_empty()
        && resize.store_view.is_identity()
        && resize.attrs.str("mode") == Some("nearest");
    let source = resize.operands.first()?.as_ref().filter(|_| plain)?;
    let rounding = resize.attrs.str("nearest")?;
    let whole = match resize.attrs.str("coordinate")? {
        "asymmetric" => rounding == "floor",
        // the centers of a block lie within half an element of its source's center
        "half_pixel" => rounding.starts_with("round"),
        _ => false,
    };
    let (from, to) = (ctx.seen(source)?, ctx.shape(resize.results[0]));
    let scales = resize.attrs.floats("scales")?;
    if !whole || scales.len() != from.rank() || to.rank() != from.rank() {
        return None;
    }
    let (mut split, mut wide) = (Vec::new(), Vec::new());
    for i in 0..from.rank() {
        let factor = to[i].checked_div(from[i]).filter(|f| f * from[i] == to[i])?;
        if (scales[i] - factor as f64).abs() > 1e-6 {
            return None;
        }
        split.push(from[i]);
        wide.push(from[i]);
        if factor > 1 {
            split.push(1);
            wide.push(factor);
        }
    }
    let view = View::identity()
        .then(ViewStep::Reshape { shape: Shape(split) })
        .then(ViewStep::Broadcast { shape: Shape(wide) })
        .then(ViewStep::Reshape { shape: to.clone() });
    Some((source, view))
}
