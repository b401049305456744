//! Reading single-step element-wise nodes as formulas over values: what the norm rules match with.

use super::rewrite::Ctx;
use drift_ir::{Arg, Node, NodeId, PointwiseOp as P, ValueId, ViewStep};

/// Argument of an element-wise node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// A value, broadcast to the result where its shape is smaller.
    Value(ValueId),
    Const(f64),
}

/// The one step of the element-wise node that computes `v`; `None` for other nodes.
pub fn step_of<'g>(ctx: &Ctx<'g>, v: ValueId) -> Option<(NodeId, P, Vec<Term>)> {
    let (id, node) = ctx.producer(v)?;
    let (op, terms) = single_step(ctx, node)?;
    Some((id, op, terms))
}

/// The one step of a node of floats.
pub fn single_step(ctx: &Ctx, node: &Node) -> Option<(P, Vec<Term>)> {
    let float = node.epilogue.steps.first().is_some_and(|s| s.dtype.is_float());
    any_step(ctx, node).filter(|_| float)
}

/// The one step of a node of any type.
pub fn any_step(ctx: &Ctx, node: &Node) -> Option<(P, Vec<Term>)> {
    let [step] = node.epilogue.steps.as_slice() else { return None };
    let plain = node.op == "pointwise"
        && node.store_view.is_identity()
        && node.epilogue.results == [Arg::Step(0)];
    if !plain {
        return None;
    }
    let term = |arg: &Arg| match *arg {
        Arg::Const(c) => Some(Term::Const(c)),
        Arg::Operand(i) => {
            let o = node.operands.get(i)?.as_ref()?;
            if let Some(c) = ctx.constant(o.value).and_then(|t| t.splat_f64()) {
                return Some(Term::Const(c));
            }
            let broadcast = |s: &ViewStep| matches!(s, ViewStep::Broadcast { .. });
            o.view.steps.iter().all(broadcast).then_some(Term::Value(o.value))
        }
        _ => None,
    };
    Some((step.op, step.args.iter().map(term).collect::<Option<_>>()?))
}

/// `(a, b)` where `v = op(a, b)`, both values.
pub fn binary(ctx: &Ctx, v: ValueId, op: P) -> Option<(ValueId, ValueId)> {
    match step_of(ctx, v)? {
        (_, o, terms) if o == op => match terms[..] {
            [Term::Value(a), Term::Value(b)] => Some((a, b)),
            _ => None,
        },
        _ => None,
    }
}

/// `a` where `v = op(a)`.
pub fn unary(ctx: &Ctx, v: ValueId, op: P) -> Option<ValueId> {
    match step_of(ctx, v)? {
        (_, o, terms) if o == op => match terms[..] {
            [Term::Value(a)] => Some(a),
            _ => None,
        },
        _ => None,
    }
}

/// `(a, c)` where `v = a + c` with a constant.
pub fn plus_const(ctx: &Ctx, v: ValueId) -> Option<(ValueId, f64)> {
    match step_of(ctx, v)? {
        (_, P::Add, terms) => match terms[..] {
            [Term::Value(a), Term::Const(c)] | [Term::Const(c), Term::Value(a)] => Some((a, c)),
            _ => None,
        },
        _ => None,
    }
}

/// `a` where `v = a²`.
pub fn squared(ctx: &Ctx, v: ValueId) -> Option<ValueId> {
    match step_of(ctx, v)? {
        (_, P::Mul, terms) => match terms[..] {
            [Term::Value(a), Term::Value(b)] if a == b => Some(a),
            _ => None,
        },
        (_, P::Pow, terms) => match terms[..] {
            [Term::Value(a), Term::Const(2.0)] => Some(a),
            _ => None,
        },
        _ => None,
    }
}

/// `(x, axes)` where `v` reduces `x` and keeps the reduced dims as 1.
pub fn reduced(ctx: &Ctx, v: ValueId, kind: &str) -> Option<(ValueId, Vec<usize>)> {
    let (_, node) = ctx.producer(v)?;
    let plain = node.op == "reduce"
        && node.attrs.str("kind") == Some(kind)
        && node.epilogue.results.is_empty()
        && node.store_view.is_identity();
    let operand = node.operands.first()?.as_ref().filter(|o| plain && o.view.is_identity())?;
    let keeps = ctx.shape(v).rank() == ctx.shape(operand.value).rank();
    keeps.then_some((operand.value, node.attrs.usizes("axes")?))
}

/// The first of the trailing axes, when `axes` are `k..rank` for some `k`.
pub fn trailing(axes: &[usize], rank: usize) -> Option<usize> {
    let first = rank.checked_sub(axes.len()).filter(|f| *f < rank)?;
    axes.iter().copied().eq(first..rank).then_some(first)
}

/// `(y, s)` where `node = y / sqrt(s)`, in any of its spellings.
pub fn divided_by_sqrt(ctx: &Ctx, node: &Node) -> Option<(ValueId, ValueId)> {
    let (op, terms) = single_step(ctx, node)?;
    let [Term::Value(a), Term::Value(b)] = terms[..] else { return None };
    let inverse = |v: ValueId| match step_of(ctx, v)? {
        (_, P::Rsqrt, terms) => match terms[..] {
            [Term::Value(s)] => Some(s),
            _ => None,
        },
        (_, P::Reciprocal, terms) => match terms[..] {
            [Term::Value(r)] => root(ctx, r),
            _ => None,
        },
        (_, P::Div, terms) => match terms[..] {
            [Term::Const(1.0), Term::Value(r)] => root(ctx, r),
            _ => None,
        },
        (_, P::Pow, terms) => match terms[..] {
            [Term::Value(s), Term::Const(-0.5)] => Some(s),
            _ => None,
        },
        _ => None,
    };
    match op {
        P::Div => Some((a, root(ctx, b)?)),
        P::Mul => inverse(b).map(|s| (a, s)).or_else(|| inverse(a).map(|s| (b, s))),
        _ => None,
    }
}

fn root(ctx: &Ctx, v: ValueId) -> Option<ValueId> {
    match step_of(ctx, v)? {
        (_, P::Sqrt, terms) => match terms[..] {
            [Term::Value(s)] => Some(s),
            _ => None,
        },
        (_, P::Pow, terms) => match terms[..] {
            [Term::Value(s), Term::Const(0.5)] => Some(s),
            _ => None,
        },
        _ => None,
    }
}
