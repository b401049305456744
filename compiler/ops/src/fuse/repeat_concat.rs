//! A concatenation of one value with itself is a view: rotary tables are made so from their half.

use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{Attrs, Node, NodeId};

pub const RULE: Rule = Rule {
    name: "repeat_concat",
    description: "a concatenation of one value with itself becomes a view",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let plain = node.op == "concat"
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && node.operands.len() >= 2
        && node.operands.windows(2).all(|w| w[0] == w[1])
        // written out, it is one copy either way
        && !ctx.is_output(node.results[0]);
    let part = node.operands.first()?.clone().filter(|_| plain)?;
    let axis = usize::try_from(node.attrs.int("axis", -1)).ok()?;
    let shape = ctx.seen(&part).filter(|s| axis < s.rank())?;
    let dtype = ctx.dtype(part.value);
    let mut open = shape.clone();
    open.insert(axis, 1);
    let mut repeated = open.clone();
    repeated[axis] = node.operands.len();
    let mut patch = Patch::new(ctx);
    let dims = |s: &drift_ir::Shape| Attrs::new().with("shape", s.to_vec());
    let result = vec![(format!("{}/open", node.path), dtype, open.clone())];
    let y = patch.node("reshape", dims(&open), vec![Some(part)], result, &node.path)[0];
    let result = vec![(format!("{}/repeated", node.path), dtype, repeated.clone())];
    let y = patch.node("expand", dims(&repeated), vec![Some(y.into())], result, &node.path)[0];
    let joined = Node {
        op: "reshape",
        attrs: dims(ctx.shape(node.results[0])),
        operands: vec![Some(y.into())],
        epilogue_operands: 1,
        ..node.clone()
    };
    Some(patch.set_node(id, joined))
}
