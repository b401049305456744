//! Heads of keys and values that a view repeats for the query heads that share them.

use super::rewrite::Ctx;
use super::view_algebra::simplify;
use drift_ir::{Operand, Shape, View, ViewStep};

/// An operand seen as `[B, H, T, d]` whose view repeats each head a number of times in a row, without
/// the repetition: `[B, H / n, T, d]`.
///
/// The repetition is a reshape that inserts a dim of 1 behind an axis, a broadcast of that dim, and a
/// reshape that joins the two; transposes may follow. The joined axis must end up as the head axis.
pub fn unrepeated(ctx: &Ctx, operand: &Operand) -> Option<Operand> {
    let source = ctx.shape(operand.value);
    let steps = &operand.view.steps;
    let shapes = operand.view.shapes(source)?;
    let at = steps.iter().position(|s| matches!(s, ViewStep::Broadcast { .. }))?;
    // the insertion may have been joined with a reshape before it
    let opened = at.checked_sub(1).filter(|i| matches!(steps[*i], ViewStep::Reshape { .. }))?;
    let ViewStep::Reshape { shape: joined } = steps.get(at + 1)? else { return None };
    let (before, after) = (&shapes[at], &shapes[at + 1]);
    let axis = repeated_axis(before, after)?;
    let head = axis.checked_sub(1)?;
    // joined: the axis and the one before it are one
    let mut want = after.to_vec();
    want[head] = after[head] * after[axis];
    want.remove(axis);
    if joined.to_vec() != want {
        return None;
    }
    let mut bare = before.to_vec();
    bare.remove(axis);
    let rest = &steps[at + 2..];
    let mut place = head;
    for step in rest {
        let ViewStep::Transpose { perm } = step else { return None };
        place = perm.iter().position(|p| *p == place)?;
    }
    if place != 1 || bare.len() != 4 {
        return None;
    }
    let mut view = View { steps: steps[..opened].to_vec() };
    view = view.then(ViewStep::Reshape { shape: Shape(bare) });
    view.steps.extend(rest.iter().cloned());
    Some(Operand { value: operand.value, view: simplify(&view, source) })
}

/// The one axis of 1 that a broadcast of equal rank makes larger.
fn repeated_axis(before: &Shape, after: &Shape) -> Option<usize> {
    if before.rank() != after.rank() {
        return None;
    }
    let mut changed = (0..before.rank()).filter(|&i| before[i] != after[i]);
    let axis = changed.next()?;
    (changed.next().is_none() && before[axis] == 1).then_some(axis)
}
