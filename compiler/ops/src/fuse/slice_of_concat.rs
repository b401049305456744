//! A slice of a concatenation that lies within one part reads that part.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::{is_cheap_read, simplify};
use super::{Rule, Stage, rereads};
use drift_ir::{Node, NodeId, Operand, View, ViewStep};

pub const RULE: Rule = Rule {
    name: "slice_of_concat",
    description: "a slice within one part of a concatenation reads that part",
    stage: Stage::Fuse,
    apply,
};

/// Looks at a reader: each of its operands that begins with a slice of a concatenation.
fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let mut operands = node.operands.clone();
    let mut changed = false;
    for (i, slot) in operands.iter_mut().enumerate() {
        let Some(part) = slot.as_ref().and_then(|o| part_of(ctx, o)) else { continue };
        let own = node.op == "pointwise" || i >= node.epilogue_operands;
        if own || !rereads(node.op, i) || is_cheap_read(ctx, &part) {
            *slot = Some(part);
            changed = true;
        }
    }
    changed.then(|| Patch::new(ctx).set_node(id, Node { operands, ..node.clone() }))
}

fn part_of(ctx: &Ctx, operand: &Operand) -> Option<Operand> {
    let (_, concat) = ctx.producer(operand.value)?;
    let plain = concat.op == "concat"
        && concat.epilogue.results.is_empty()
        && concat.store_view.is_identity();
    let (ViewStep::Slice { starts, sizes, steps }, rest) =
        operand.view.steps.split_first().filter(|_| plain)?
    else {
        return None;
    };
    let axis = usize::try_from(concat.attrs.int("axis", -1)).ok()?;
    let (start, size, step) = (*starts.get(axis)?, *sizes.get(axis)?, *steps.get(axis)?);
    let last = start as i64 + step * (i64::try_from(size).ok()? - 1);
    let (low, high) = (last.min(start as i64), last.max(start as i64));
    let mut offset = 0;
    for part in concat.operands.iter().flatten() {
        let n = *ctx.seen(part)?.get(axis)?;
        let end = offset + n as i64;
        if size > 0 && low >= offset && high < end {
            let mut starts = starts.clone();
            starts[axis] -= offset as usize;
            let slice = ViewStep::Slice { starts, sizes: sizes.clone(), steps: steps.clone() };
            let mut view = part.view.clone().then(slice);
            view.steps.extend(rest.iter().cloned());
            let view: View = simplify(&view, ctx.shape(part.value));
            return Some(Operand { value: part.value, view });
        }
        offset = end;
    }
    None
}
