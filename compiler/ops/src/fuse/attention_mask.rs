//! Masks of decomposed attention: which of them are only causality written out, and what the rest is
//! as one operand of the node.

use super::rewrite::{Ctx, Patch};
use drift_ir::{
    Arg, Body, DType, Operand, PointwiseOp as P, Shape, Step, Tensor, ValueId, View, ViewStep,
};

/// What meets the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    Added(ValueId),
    /// `other` where the bool `bits` are not `keep`.
    Where {
        bits: ValueId,
        keep: bool,
        other: f64,
    },
}

/// Masks as an attention node takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    pub value: Option<ValueId>,
    pub causal: bool,
    /// 0 = none.
    pub window: usize,
}

/// A score from which no weight comes, whatever scores a model has: adding a score to it gives itself
/// in f32, and a softmax over it and any other score has zero there. (Where scores are f16, they are
/// exhausted before.)
fn hides(other: f64, dtype: DType) -> bool {
    other <= if dtype == DType::F16 { -6.0e4 } else { -1.0e30 }
}

/// Terms on scores `[B, H, S, T]` of `dtype` together; `None` where that is not known to be the same.
pub fn mask_of(
    ctx: &Ctx,
    patch: &mut Patch,
    terms: &[Term],
    scores: &Shape,
    dtype: DType,
    path: &str,
) -> Option<Mask> {
    let (mut causal, mut window) = (false, 0);
    let mut left = Vec::new();
    let mut bands = Vec::new();
    for term in terms {
        match sight(ctx, term, scores, dtype) {
            Some(Sight::All) => {}
            Some(Sight::Causal { window, exact }) => bands.push((*term, window, exact)),
            None => left.push(*term),
        }
    }
    match bands[..] {
        // a finite number hides, but a row that another mask hides everywhere else sees it again
        [(_, band, exact)] if exact || left.is_empty() => (causal, window) = (true, band),
        _ => left.extend(bands.iter().map(|b| b.0)),
    }
    let mut together: Option<Value> = None;
    for term in left {
        let next = value(ctx, patch, term, scores, dtype, path)?;
        together = Some(match together {
            None => next,
            Some(all) => both(patch, &all, &next, path)?,
        });
    }
    Some(Mask { value: together.map(|m| m.id), causal, window })
}

/// A mask on its way: it may be of this patch, where the graph does not know its type yet.
#[derive(Clone, Debug)]
struct Value {
    id: ValueId,
    dtype: DType,
    shape: Shape,
}

/// One term as a mask operand.
fn value(
    ctx: &Ctx,
    patch: &mut Patch,
    term: Term,
    scores: &Shape,
    dtype: DType,
    path: &str,
) -> Option<Value> {
    let of = |id: ValueId| Value { id, dtype: ctx.dtype(id), shape: ctx.shape(id).clone() };
    match term {
        Term::Added(v) => {
            let fits = ctx.dtype(v).is_float() && ctx.shape(v).broadcast(scores)? == *scores;
            fits.then(|| of(v))
        }
        Term::Where { bits, keep, other } => {
            let seen = of(bits);
            if seen.dtype != DType::Bool || seen.shape.broadcast(scores)? != *scores {
                return None;
            }
            if other == f64::NEG_INFINITY {
                return Some(match keep {
                    true => seen,
                    false => element_wise(patch, P::Not, &[&seen], &[], DType::Bool, path)?,
                });
            }
            let (yes, no) = if keep { (0.0, other) } else { (other, 0.0) };
            let args = [Arg::Const(yes), Arg::Const(no)];
            let sure = hides(other, dtype);
            sure.then(|| element_wise(patch, P::Where, &[&seen], &args, dtype, path)).flatten()
        }
    }
}

/// Two masks as one.
fn both(patch: &mut Patch, a: &Value, b: &Value, path: &str) -> Option<Value> {
    match (a.dtype == DType::Bool, b.dtype == DType::Bool) {
        (true, true) => element_wise(patch, P::And, &[a, b], &[], DType::Bool, path),
        (false, false) => element_wise(patch, P::Add, &[a, b], &[], a.dtype, path),
        (true, false) => {
            let never = Tensor::from_f64s(b.dtype, [1], &[f64::NEG_INFINITY]);
            let id = patch.constant(format!("{path}/hidden"), never);
            let never = Value { id, dtype: b.dtype, shape: Shape::from([1]) };
            element_wise(patch, P::Where, &[a, b, &never], &[], b.dtype, path)
        }
        (false, true) => both(patch, b, a, path),
    }
}

/// A node of one step over `values`, which spread to one shape, and then `args`.
fn element_wise(
    patch: &mut Patch,
    op: P,
    values: &[&Value],
    args: &[Arg],
    dtype: DType,
    path: &str,
) -> Option<Value> {
    let mut shape = Shape::scalar();
    for v in values {
        shape = shape.broadcast(&v.shape)?;
    }
    let operand = |v: &&Value| {
        let view = match v.shape == shape {
            true => View::identity(),
            false => View::identity().then(ViewStep::Broadcast { shape: shape.clone() }),
        };
        Some(Operand { value: v.id, view })
    };
    let operands = values.iter().map(operand).collect();
    let all = (0..values.len()).map(Arg::Operand).chain(args.iter().copied()).collect();
    let body = Body { steps: vec![Step { op, args: all, dtype }], results: vec![Arg::Step(0)] };
    let name = format!("{path}/mask");
    let id = patch.pointwise(body, operands, (name, dtype, shape.clone()), path);
    Some(Value { id, dtype, shape })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sight {
    All,
    /// Row r sees keys `t <= r + T - S`, of those the last `window` (0 = all).
    /// `exact`: by minus infinity, not only by a very low number.
    Causal {
        window: usize,
        exact: bool,
    },
}

/// What a constant mask says, where it is all or a band.
fn sight(ctx: &Ctx, term: &Term, scores: &Shape, dtype: DType) -> Option<Sight> {
    let (v, keep, other) = match *term {
        Term::Added(v) => (v, true, 0.0),
        Term::Where { bits, keep, other } => (bits, keep, other),
    };
    let table: &Tensor = ctx.constant(v)?;
    let (rows, keys) = (scores[2], scores[3]);
    let added = matches!(term, Term::Added(_));
    if !added && !hides(other, dtype) {
        return None;
    }
    let seen = |x: f64| -> Option<bool> {
        match added {
            true if x == 0.0 => Some(true),
            true => hides(x, dtype).then_some(false),
            false => Some((x != 0.0) == keep),
        }
    };
    if let Some(x) = table.splat_f64() {
        // -0.0 added changes nothing either
        return seen(x)?.then_some(Sight::All);
    }
    let n = table.shape.rank();
    let one = n >= 2
        && table.shape[n - 2..] == [rows, keys]
        && table.shape[..n - 2].iter().all(|d| *d == 1);
    if !one || keys < rows {
        return None;
    }
    let numbers = table.to_f64s();
    let exact = match added {
        true => numbers.iter().all(|x| *x == 0.0 || *x == f64::NEG_INFINITY),
        false => other == f64::NEG_INFINITY,
    };
    let bits = numbers.into_iter().map(seen).collect::<Option<Vec<bool>>>()?;
    let shift = keys - rows;
    // the last row tells the window
    let last = bits[(rows - 1) * keys..].iter().filter(|b| **b).count();
    let window = if last == keys { 0 } else { last };
    let band = |r: usize, t: usize| t <= r + shift && (window == 0 || t + window > r + shift);
    let all = bits.iter().enumerate().all(|(i, b)| *b == band(i / keys, i % keys));
    (all && last > 0).then_some(Sight::Causal { window, exact })
}
