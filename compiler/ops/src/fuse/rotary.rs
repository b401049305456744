//! `rotate(x) · s` of a rotary embedding, where `rotate` puts the negated other half of each pair in its
//! place, reads x through a view: the sign goes to the sines. Pairs are elements of two halves, or
//! neighbours.
//!
//! What is left of `x · cos + rotate(x) · sin` is element-wise, and one kernel.

use super::elements::{Term, single_step, unary};
use super::rewrite::{Ctx, Patch};
use super::{Rule, Stage};
use drift_ir::{
    Arg, Body, Node, NodeId, Operand, PointwiseOp as P, Shape, Step, Tensor, ValueId, View,
    ViewStep,
};

pub const RULE: Rule = Rule {
    name: "rotary",
    description: "the turned halves of a rotary embedding become a view",
    stage: Stage::Canonicalize,
    apply,
};

fn apply(ctx: &Ctx, id: NodeId) -> Option<Patch> {
    let node = ctx.node(id);
    let (P::Mul, terms) = single_step(ctx, node)? else { return None };
    let [Term::Value(a), Term::Value(b)] = terms[..] else { return None };
    let (rotated, sines, x, pair) = turned(ctx, a, id)
        .map(|(x, p)| (a, b, x, p))
        .or_else(|| turned(ctx, b, id).map(|(x, p)| (b, a, x, p)))?;
    let shape = ctx.shape(x);
    let d = *shape.last()?;
    let whole = ctx.shape(node.results[0]);
    let table = ctx.shape(sines);
    if ctx.shape(rotated) != whole || table.last() != Some(&d) || sines == rotated {
        return None;
    }
    let mut patch = Patch::new(ctx);
    let signs: Vec<f64> = (0..d).map(|i| if pair.first(i, d) { -1.0 } else { 1.0 }).collect();
    let dtype = ctx.dtype(sines);
    let name = format!("{}/signed", node.path);
    let signed = match ctx.constant(sines) {
        Some(t) => {
            let v: Vec<f64> =
                t.to_f64s().iter().zip(signs.iter().cycle()).map(|(a, b)| a * b).collect();
            patch.constant(name, Tensor::from_f64s(dtype, table.clone(), &v))
        }
        None => {
            let signs = Tensor::from_f64s(dtype, [d], &signs);
            let signs = patch.constant(format!("{}/signs", node.path), signs);
            let spread = View::identity().then(ViewStep::Broadcast { shape: table.clone() });
            let view = if table.rank() == 1 { View::identity() } else { spread };
            let operands = vec![Some(sines.into()), Some(Operand { value: signs, view })];
            patch.pointwise(product(dtype), operands, (name, dtype, table.clone()), &node.path)
        }
    };
    let view = match table == whole {
        true => View::identity(),
        false => View::identity().then(ViewStep::Broadcast { shape: whole.clone() }),
    };
    let operands = vec![
        Some(Operand { value: x, view: pair.flip(shape) }),
        Some(Operand { value: signed, view }),
    ];
    let dtype = ctx.dtype(node.results[0]);
    let node = Node { operands, epilogue: product(dtype), ..node.clone() };
    Some(patch.set_node(id, node))
}

fn product(dtype: drift_ir::DType) -> Body {
    let args = vec![Arg::Operand(0), Arg::Operand(1)];
    Body { steps: vec![Step { op: P::Mul, args, dtype }], results: vec![Arg::Step(0)] }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pair {
    Halves,
    Neighbours,
}

impl Pair {
    /// Whether element `i` of `d` is the first of its pair.
    fn first(self, i: usize, d: usize) -> bool {
        match self {
            Pair::Halves => i < d / 2,
            Pair::Neighbours => i.is_multiple_of(2),
        }
    }

    /// Each element of the last axis in the place of the other one of its pair.
    fn flip(self, shape: &Shape) -> View {
        let rank = shape.rank();
        let d = shape[rank - 1];
        let mut split = shape[..rank - 1].to_vec();
        split.extend(if self == Pair::Halves { [2, d / 2] } else { [d / 2, 2] });
        let axis = if self == Pair::Halves { rank - 1 } else { rank };
        let (mut starts, mut steps) = (vec![0; rank + 1], vec![1; rank + 1]);
        (starts[axis], steps[axis]) = (1, -1);
        View::identity()
            .then(ViewStep::Reshape { shape: Shape(split.clone()) })
            .then(ViewStep::Slice { starts, sizes: split, steps })
            .then(ViewStep::Reshape { shape: shape.clone() })
    }
}

/// `x` where `v`, which only `reader` reads, is `rotate(x)`.
fn turned(ctx: &Ctx, v: ValueId, reader: NodeId) -> Option<(ValueId, Pair)> {
    let only = |v: ValueId, by: NodeId| ctx.only_user(v) == Some(by);
    let (mut id, mut node) = ctx.producer(v).filter(|_| only(v, reader))?;
    let mut joined = v;
    if node.op == "reshape" {
        joined = read(node, 0)?;
        (id, node) = ctx.producer(joined).filter(|_| only(joined, id))?;
    }
    let rank = ctx.shape(joined).rank();
    let plain = node.op == "concat"
        && node.operands.len() == 2
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity()
        && node.attrs.int("axis", -1) == rank as i64 - 1;
    if !plain {
        return None;
    }
    let (a, b) = (read(node, 0)?, read(node, 1)?);
    let neighbours = joined != v;
    // neighbours were parts of one element each
    let open = |v: ValueId, by: NodeId| {
        if !neighbours {
            return Some(v);
        }
        let (_, node) = ctx.producer(v).filter(|(_, n)| n.op == "reshape" && only(v, by))?;
        let x = read(node, 0)?;
        let mut dims = ctx.shape(x).to_vec();
        dims.push(1);
        (ctx.shape(v).to_vec() == dims).then_some(x)
    };
    let (a, b) = (open(a, id)?, open(b, id)?);
    let ((x, first, step, n), (y, second, step2, m)) =
        (part(ctx, unary(ctx, a, P::Neg)?)?, part(ctx, b)?);
    let d = *ctx.shape(x).last()?;
    let half = d / 2;
    let same = x == y && d > 0 && d == 2 * half && (n, m) == (half, half) && step == step2;
    if !same || second != 0 || ctx.shape(x) != ctx.shape(v) {
        return None;
    }
    match (neighbours, first, step) {
        (false, f, 1) if f == half => Some((x, Pair::Halves)),
        (true, 1, 2) => Some((x, Pair::Neighbours)),
        _ => None,
    }
}

fn read(node: &Node, i: usize) -> Option<ValueId> {
    let o = node.operands.get(i)?.as_ref()?;
    o.view.is_identity().then_some(o.value)
}

/// `(x, start, step, size)` where `v` is a slice of the last axis of `x`.
fn part(ctx: &Ctx, v: ValueId) -> Option<(ValueId, usize, i64, usize)> {
    let (_, node) = ctx.producer(v).filter(|(_, n)| n.op == "slice")?;
    let x = read(node, 0)?;
    let (starts, sizes) = (node.attrs.usizes("starts")?, node.attrs.usizes("sizes")?);
    let steps = node.attrs.ints("steps")?;
    let (shape, last) = (ctx.shape(x), ctx.shape(x).rank().checked_sub(1)?);
    let whole = (0..last).all(|a| starts[a] == 0 && sizes[a] == shape[a] && steps[a] == 1);
    whole.then(|| (x, starts[last], steps[last], sizes[last]))
}
