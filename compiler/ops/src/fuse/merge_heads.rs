//! Two element-wise nodes that do the same to neighbouring heads of one value become one: the rotary
//! embedding of queries and that of keys, where one product made both.

use super::rewrite::{Ctx, Patch};
use super::view_algebra::simplify;
use super::{Rule, Stage};
use drift_ir::{Node, NodeId, Operand, Shape, View, ViewStep};

pub const RULE: Rule = Rule {
    name: "merge_heads",
    description: "equal element-wise nodes on neighbouring heads of one value become one",
    stage: Stage::Finish,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let first = ctx.node(id);
    let source = plain(ctx, first)
        .then(|| first.operands.iter().flatten().find(|o| cut(&o.view).is_some()))??;
    ctx.users(source.value)
        .iter()
        .filter(|other| **other != id)
        .find_map(|other| merged(ctx, id, *other))
}

fn plain(ctx: &Ctx, node: &Node) -> bool {
    node.op == "pointwise" && node.results.len() == 1 && !ctx.is_output(node.results[0])
}

/// The slice that a view begins with.
fn cut(view: &View) -> Option<&ViewStep> {
    view.steps.first().filter(|s| matches!(s, ViewStep::Slice { .. }))
}

fn merged(ctx: &Ctx, id: NodeId, other: NodeId) -> Option<Patch> {
    let (a, b) = (ctx.node(id), ctx.node(other));
    let alike = plain(ctx, b)
        && a.epilogue == b.epilogue
        && a.operands.len() == b.operands.len()
        && ctx.dtype(a.results[0]) == ctx.dtype(b.results[0]);
    if !alike {
        return None;
    }
    // where the heads are in the node's own coordinates
    let mut place = None;
    let mut operands = Vec::new();
    for (p, q) in a.operands.iter().zip(&b.operands) {
        let (p, q) = (p.as_ref()?, q.as_ref()?);
        let constants = || ctx.constant(p.value).is_some_and(|t| ctx.constant(q.value) == Some(t));
        if p.value != q.value && !constants() {
            return None;
        }
        if cut(&p.view).is_some() {
            let shape = ctx.shape(p.value);
            let (view, at) = joined(shape, &p.view, &q.view)?;
            if *place.get_or_insert(at) != at {
                return None;
            }
            operands.push(Some(Operand { value: p.value, view: simplify(&view, shape) }));
        } else {
            operands.push(None);
        }
    }
    let place = place?;
    let own = |n: &Node| n.operands.first()?.as_ref().and_then(|o| ctx.seen(o));
    let (from, to) = (own(a)?, own(b)?);
    let mut whole = from.clone();
    whole[place] = from[place] + to[place];
    // tables are the same for all heads
    for (slot, (p, q)) in operands.iter_mut().zip(a.operands.iter().zip(&b.operands)) {
        if slot.is_none() {
            *slot = Some(table(ctx, p.as_ref()?, q.as_ref()?, place, &whole)?);
        }
    }
    let heads = (from[place], to[place]);
    let (store_view, head) = stored(&from, &to, a, b, place)?;
    let shape = store_view.apply(&whole)?;
    let node = Node { operands, store_view, epilogue: a.epilogue.clone(), ..a.clone() };
    let (left, right) = (a.results[0], b.results[0]);
    let part = |start: usize, size: usize| {
        let mut starts = vec![0; shape.rank()];
        starts[head] = start;
        let mut sizes = shape.to_vec();
        sizes[head] = size;
        ViewStep::Slice { starts, sizes, steps: vec![1; shape.rank()] }
    };
    let mut patch = Patch::new(ctx);
    let mut readers: Vec<NodeId> =
        [left, right].iter().flat_map(|v| ctx.users(*v)).copied().collect();
    readers.sort_unstable();
    readers.dedup();
    for reader in readers {
        let mut node = ctx.node(reader).clone();
        for o in node.operands.iter_mut().flatten() {
            let slice = match o.value {
                v if v == left => part(0, heads.0),
                v if v == right => part(heads.0, heads.1),
                _ => continue,
            };
            let view = o.view.after(&View::identity().then(slice));
            *o = Operand { value: left, view: simplify(&view, &shape) };
        }
        patch = patch.set_node(reader, node);
    }
    Some(patch.retype(left, shape).set_node(id, node).remove(other))
}

/// The view of both parts of a value of `shape`, and the axis that their heads are on.
///
/// The views must be the same but for where the first slice begins and how many heads there are, and
/// heads must stay one dim of their own from the first reshape on, the outermost of what was sliced.
fn joined(shape: &Shape, a: &View, b: &View) -> Option<(View, usize)> {
    let (sa, sb) = (a.shapes(shape)?, b.shapes(shape)?);
    let mut steps = Vec::new();
    // the axis of the heads, in the shapes before the step
    let mut place: Option<usize> = None;
    for (i, pair) in a.steps.iter().zip(&b.steps).enumerate() {
        let (before, after) = ((&sa[i], &sb[i]), (&sa[i + 1], &sb[i + 1]));
        steps.push(match pair {
            (
                ViewStep::Slice { starts: p, sizes: m, steps: t },
                ViewStep::Slice { starts: q, sizes: n, steps: u },
            ) => {
                let last = before.0.rank().checked_sub(1)?;
                let head = place.unwrap_or(last);
                let same = |k: usize| p[k] == q[k] && m[k] == n[k] && t[k] == u[k];
                if !(0..=last).all(|k| k == head || same(k)) || t[head] != 1 || u[head] != 1 {
                    return None;
                }
                // the cut: neighbours; later slices leave heads alone
                let whole = place.is_some()
                    && (p[head], m[head]) == (0, before.0[head])
                    && (q[head], n[head]) == (0, before.1[head]);
                if !whole && (i > 0 || q[head] != p[head] + m[head]) {
                    return None;
                }
                let mut sizes = m.clone();
                sizes[head] += n[head];
                ViewStep::Slice { starts: p.clone(), sizes, steps: t.clone() }
            }
            (ViewStep::Reshape { shape: x }, ViewStep::Reshape { shape: y }) => {
                let head = place.unwrap_or(before.0.rank().checked_sub(1)?);
                let outer: usize = before.0[..head].iter().product();
                // the first axis at which the dims before it are those before the heads
                let mut at = 0;
                while x[..at].iter().product::<usize>() < outer {
                    at += 1;
                }
                // dims of 1 may stand before the heads
                while at < x.rank() && x[at] == 1 && y.get(at) == Some(&1) {
                    at += 1;
                }
                let same = x.rank() == y.rank()
                    && at < x.rank()
                    && x[..at].iter().product::<usize>() == outer
                    && (0..x.rank()).all(|k| k == at || x[k] == y[k])
                    && (place.is_none() || (x[at], y[at]) == (before.0[head], before.1[head]));
                if !same {
                    return None;
                }
                place = Some(at);
                let mut whole = x.clone();
                whole[at] += y[at];
                ViewStep::Reshape { shape: whole }
            }
            (ViewStep::Transpose { perm: p }, ViewStep::Transpose { perm: q }) if p == q => {
                place = Some(p.iter().position(|k| Some(*k) == place)?);
                ViewStep::Transpose { perm: p.clone() }
            }
            _ => return None,
        });
        debug_assert_eq!(after.0.rank(), after.1.rank());
    }
    (a.steps.len() == b.steps.len()).then_some((View { steps }, place?))
}

/// A table spread over all heads, where it was over those of each part.
fn table(ctx: &Ctx, a: &Operand, b: &Operand, place: usize, whole: &Shape) -> Option<Operand> {
    let (Some(ViewStep::Broadcast { .. }), Some(ViewStep::Broadcast { .. })) =
        (a.view.steps.last(), b.view.steps.last())
    else {
        return None;
    };
    let (n, m) = (a.view.steps.len() - 1, b.view.steps.len() - 1);
    let before = View { steps: a.view.steps[..n].to_vec() };
    let source = before.apply(ctx.shape(a.value))?;
    let pad = whole.rank().checked_sub(source.rank())?;
    let one = place < pad || source[place - pad] == 1;
    let same = a.view.steps[..n] == b.view.steps[..m];
    let view = before.then(ViewStep::Broadcast { shape: whole.clone() });
    (one && same).then_some(Operand { value: a.value, view })
}

/// The store view of both, and the axis of the heads behind it.
fn stored(from: &Shape, to: &Shape, a: &Node, b: &Node, place: usize) -> Option<(View, usize)> {
    match (a.store_view.steps.as_slice(), b.store_view.steps.as_slice()) {
        ([], []) => Some((View::identity(), place)),
        ([ViewStep::Reshape { shape: x }], [ViewStep::Reshape { shape: y }]) => {
            // heads keep their place: what is before them stays, what is behind them is joined
            let same = x.rank() == y.rank()
                && place < x.rank()
                && (x[place], y[place]) == (from[place], to[place])
                && (0..x.rank()).all(|k| k == place || x[k] == y[k])
                && x[..place] == from[..place];
            let mut whole = x.clone();
            whole[place] += y[place];
            same.then(|| (View::identity().then(ViewStep::Reshape { shape: whole }), place))
        }
        _ => None,
    }
}
