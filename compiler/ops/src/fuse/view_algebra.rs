//! Views as algebra: simplify, invert, classify.

use super::rewrite::Ctx;
use drift_ir::{Def, Node, Operand, Shape, View, ViewStep};

/// The view step that a view node (`reshape`, `transpose`, `slice`, `expand`) stands for.
pub fn step_of(node: &Node) -> Option<ViewStep> {
    let sizes = |name: &str| node.attrs.usizes(name);
    match node.op {
        "reshape" => Some(ViewStep::Reshape { shape: Shape(sizes("shape")?) }),
        "transpose" => Some(ViewStep::Transpose { perm: sizes("perm")? }),
        "expand" => Some(ViewStep::Broadcast { shape: Shape(sizes("shape")?) }),
        "slice" => Some(ViewStep::Slice {
            starts: sizes("starts")?,
            sizes: sizes("sizes")?,
            steps: node.attrs.ints("steps")?.to_vec(),
        }),
        _ => None,
    }
}

/// Whether the node only moves coordinates and computes nothing.
pub fn is_view_node(node: &Node) -> bool {
    matches!(node.op, "reshape" | "transpose" | "expand" | "slice")
        && node.epilogue.results.is_empty()
}

/// Reshape and transpose steps only: every element once, none lost.
pub fn is_bijective(view: &View) -> bool {
    let ok = |s: &ViewStep| matches!(s, ViewStep::Reshape { .. } | ViewStep::Transpose { .. });
    view.steps.iter().all(ok)
}

/// The view that undoes a bijective `view` on a source of shape `source`.
pub fn invert(view: &View, source: &Shape) -> Option<View> {
    let shapes = view.shapes(source)?;
    let mut out = View::identity();
    for (k, step) in view.steps.iter().enumerate().rev() {
        out = out.then(match step {
            ViewStep::Reshape { .. } => ViewStep::Reshape { shape: shapes[k].clone() },
            ViewStep::Transpose { perm } => {
                let mut inverse = vec![0; perm.len()];
                for (i, &p) in perm.iter().enumerate() {
                    inverse[p] = i;
                }
                ViewStep::Transpose { perm: inverse }
            }
            _ => return None,
        });
    }
    Some(out)
}

fn without_ones(shape: &Shape) -> Vec<usize> {
    shape.iter().copied().filter(|d| *d != 1).collect()
}

/// One step in its plainest spelling, `None` when it changes nothing.
fn plain(step: ViewStep, from: &Shape, to: &Shape) -> Option<ViewStep> {
    let reshape = || (from != to).then(|| ViewStep::Reshape { shape: to.clone() });
    match &step {
        ViewStep::Reshape { .. } => reshape(),
        ViewStep::Transpose { perm } => {
            // moving dims of 1 about is no more than a reshape
            let moved: Vec<usize> = perm.iter().copied().filter(|&p| from[p] != 1).collect();
            if moved.is_sorted() { reshape() } else { Some(step) }
        }
        ViewStep::Slice { starts, steps, .. } => {
            let whole = from == to
                && starts.iter().all(|s| *s == 0)
                && steps.iter().zip(&**to).all(|(s, d)| *s == 1 || *d <= 1);
            if whole { None } else { Some(step) }
        }
        ViewStep::Broadcast { .. } => {
            if from.elems() == to.elems() {
                reshape()
            } else {
                Some(step)
            }
        }
    }
}

/// `a` then `b` as one step, where there is one.
fn join(a: &ViewStep, b: &ViewStep, from: &Shape) -> Option<ViewStep> {
    match (a, b) {
        (ViewStep::Reshape { .. }, ViewStep::Reshape { .. }) => Some(b.clone()),
        (ViewStep::Broadcast { .. }, ViewStep::Broadcast { .. }) => Some(b.clone()),
        (ViewStep::Transpose { perm: p }, ViewStep::Transpose { perm: q }) => {
            Some(ViewStep::Transpose { perm: q.iter().map(|&i| p[i]).collect() })
        }
        (
            ViewStep::Slice { starts: s, steps: t, .. },
            ViewStep::Slice { starts: s2, sizes, steps: t2 },
        ) => {
            let start =
                |i: usize| usize::try_from(s[i] as i64 + t[i].checked_mul(s2[i] as i64)?).ok();
            Some(ViewStep::Slice {
                starts: (0..s.len()).map(start).collect::<Option<_>>()?,
                sizes: sizes.clone(),
                steps: t.iter().zip(t2).map(|(a, b)| a.checked_mul(*b)).collect::<Option<_>>()?,
            })
        }
        // a slice that cuts only what the broadcast repeated
        (ViewStep::Broadcast { shape }, ViewStep::Slice { starts, sizes, steps }) => {
            let pad = shape.rank() - from.rank();
            let uncut = (0..from.rank()).all(|i| {
                let j = i + pad;
                from[i] == 1 || (starts[j] == 0 && sizes[j] == shape[j] && steps[j] == 1)
            });
            uncut.then(|| ViewStep::Broadcast { shape: Shape(sizes.clone()) })
        }
        _ => None,
    }
}

/// The same coordinate change with fewer steps: neighbours of one kind joined, steps that change
/// nothing dropped.
pub fn simplify(view: &View, source: &Shape) -> View {
    let mut steps: Vec<ViewStep> = Vec::new();
    // shape before each kept step
    let mut before: Vec<Shape> = Vec::new();
    let mut shape = source.clone();
    for step in &view.steps {
        let Some(to) = step.apply(&shape) else { return view.clone() };
        let mut next = plain(step.clone(), &shape, &to);
        let mut from = shape.clone();
        while let (Some(b), Some(a)) = (&next, steps.last()) {
            let start = &before[before.len() - 1];
            let Some(joined) = join(a, b, start) else { break };
            from = start.clone();
            steps.pop();
            before.pop();
            next = plain(joined, &from, &to);
        }
        if let Some(next) = next {
            steps.push(next);
            before.push(from);
        }
        shape = to;
    }
    View { steps }
}

/// How many times each element of the value is read through the view, at most: 1 unless it
/// broadcasts.
pub fn repeats(view: &View, source: &Shape) -> usize {
    let Some(shapes) = view.shapes(source) else { return usize::MAX };
    let pairs = view.steps.iter().zip(shapes.windows(2));
    pairs
        .filter(|(s, _)| matches!(s, ViewStep::Broadcast { .. }))
        .map(|(_, w)| w[1].elems() / w[0].elems().max(1))
        .fold(1, usize::saturating_mul)
}

/// Whether a kernel that reads every element many times (convolution, pooling) can still address
/// its operand cheaply: unit-dim reshapes and slices, but no reshape that needs a division. A
/// transpose is cheap only on a graph input, which always lies row-major: there it changes strides,
/// while elsewhere it would tear the slices of four channels apart.
pub fn is_cheap_read(ctx: &Ctx, operand: &Operand) -> bool {
    let value = ctx.graph.value(operand.value);
    let input = matches!(value.def, Def::Input);
    let Some(shapes) = operand.view.shapes(&value.shape) else { return false };
    operand.view.steps.iter().zip(shapes.windows(2)).all(|(step, w)| match step {
        ViewStep::Slice { .. } | ViewStep::Broadcast { .. } => true,
        ViewStep::Reshape { .. } => without_ones(&w[0]) == without_ones(&w[1]),
        ViewStep::Transpose { .. } => input,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use drift_ir::Shape;

    fn reshape(s: &[usize]) -> ViewStep {
        ViewStep::Reshape { shape: Shape::from(s) }
    }
    fn transpose(p: &[usize]) -> ViewStep {
        ViewStep::Transpose { perm: p.to_vec() }
    }
    fn slice(starts: &[usize], sizes: &[usize], steps: &[i64]) -> ViewStep {
        ViewStep::Slice { starts: starts.into(), sizes: sizes.into(), steps: steps.into() }
    }

    /// Both views read the same element everywhere.
    fn same(a: &View, b: &View, source: &Shape) {
        let shape = a.apply(source).unwrap();
        assert_eq!(Some(&shape), b.apply(source).as_ref());
        crate::data::for_each_coord(&shape, |_, c| {
            assert_eq!(a.source_coord(source, c), b.source_coord(source, c), "{a} {b} at {c:?}");
        });
    }

    #[test]
    fn simplify_keeps_coordinates_and_shrinks() {
        let source = Shape::from([2, 3, 4]);
        for (steps, len) in [
            (vec![reshape(&[6, 4]), reshape(&[2, 3, 4])], 0),
            (vec![transpose(&[1, 2, 0]), transpose(&[2, 0, 1])], 0),
            (vec![reshape(&[2, 3, 1, 4]), transpose(&[0, 2, 1, 3]), reshape(&[2, 3, 4])], 0),
            (
                vec![
                    slice(&[1, 2, 0], &[1, 3, 2], &[1, -1, 2]),
                    slice(&[0, 1, 1], &[1, 2, 1], &[1, 1, 1]),
                ],
                1,
            ),
            (vec![reshape(&[24]), transpose(&[0]), reshape(&[4, 6]), transpose(&[1, 0])], 2),
            (vec![slice(&[0, 0, 0], &[2, 3, 4], &[1, 1, 1])], 0),
            (vec![ViewStep::Broadcast { shape: [1, 2, 3, 4].into() }], 1),
            (
                vec![
                    ViewStep::Broadcast { shape: [5, 2, 3, 4].into() },
                    slice(&[1, 0, 0, 0], &[2, 2, 3, 4], &[2, 1, 1, 1]),
                ],
                1,
            ),
        ] {
            let view = View { steps };
            let plain = simplify(&view, &source);
            assert_eq!(plain.steps.len(), len, "{view} became {plain}");
            same(&view, &plain, &source);
        }
    }

    #[test]
    fn invert_undoes() {
        let source = Shape::from([2, 3, 4]);
        let view =
            View { steps: vec![transpose(&[1, 2, 0]), reshape(&[6, 4]), transpose(&[1, 0])] };
        let back = invert(&view, &source).unwrap();
        let both = View { steps: view.steps.iter().chain(&back.steps).cloned().collect() };
        same(&both, &View::identity(), &source);
        assert!(simplify(&both, &source).is_identity());
        assert!(
            invert(&View { steps: vec![slice(&[0], &[1], &[1])] }, &Shape::from([2])).is_none()
        );
    }
}
