//! A scatter whose constant indices name every place of the data once, in order, is what it writes:
//! exporters spell an assignment to a whole slice so.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use crate::data::for_each_coord;
use drift_ir::{Attrs, Node, NodeId};

pub const RULE: Rule = Rule {
    name: "whole_scatter",
    description: "a scatter that overwrites everything in order becomes what it writes",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let plain = node.op == "scatter_nd"
        && node.attrs.str("reduction").unwrap_or("none") == "none"
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && node.operands.iter().flatten().all(|o| o.view.is_identity());
    let [Some(data), Some(index), Some(updates)] = node.operands.as_slice() else { return None };
    let (shape, index) = (ctx.shape(data.value), ctx.constant(index.value).filter(|_| plain)?);
    let tuple = *index.shape.last()?;
    let targets = shape.get(..tuple)?;
    if index.elems() != targets.iter().product::<usize>() * tuple
        || ctx.shape(updates.value).elems() != shape.elems()
    {
        return None;
    }
    let named = index.to_i64s();
    let mut in_order = true;
    for_each_coord(targets, |i, at| {
        let got = &named[i * tuple..(i + 1) * tuple];
        in_order &= at.iter().zip(got).all(|(a, g)| i64::try_from(*a) == Ok(*g));
    });
    let reshape = Node {
        op: "reshape",
        attrs: Attrs::new().with("shape", shape.to_vec()),
        operands: vec![Some(updates.clone())],
        epilogue_operands: 1,
        ..node.clone()
    };
    in_order.then(|| Patch::new(ctx).set_node(id, reshape))
}
