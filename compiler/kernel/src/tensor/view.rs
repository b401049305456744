//! Views on expressions: the twin of [`drift_ir::View::source_coord`].

use crate::builder::State;
use crate::ir::*;
use crate::simplify::{add, div_lit, mul_lit, pure, rem_lit};
use drift_ir::{Shape, View, ViewStep};

/// Row-major index of `coord` in `shape`.
pub fn linearize(s: &mut State, shape: &Shape, coord: &[ExprId]) -> ExprId {
    let mut acc = s.lit_u32(0);
    for (&stride, &c) in shape.strides().iter().zip(coord) {
        let t = mul_lit(s, c, stride as u32);
        acc = add(s, acc, t);
    }
    acc
}

/// Coordinates of row-major index `i` in `shape`.
pub fn delinearize(s: &mut State, shape: &Shape, i: ExprId) -> Vec<ExprId> {
    let mut out = Vec::with_capacity(shape.rank());
    for (axis, &stride) in shape.strides().iter().enumerate() {
        if shape[axis] == 1 {
            out.push(s.lit_u32(0));
            continue;
        }
        let q = div_lit(s, i, stride.max(1) as u32);
        // the outermost axis that is not 1 needs no remainder: the index is inside the shape
        let outer: usize = shape[..axis].iter().product();
        out.push(if outer == 1 { q } else { rem_lit(s, q, shape[axis].max(1) as u32) });
    }
    out
}

/// Coordinates of the stored value for kernel coordinates `coord`. `None` when the view does not
/// apply to `stored`.
pub fn source(s: &mut State, view: &View, stored: &Shape, coord: &[ExprId]) -> Option<Vec<ExprId>> {
    let shapes = view.shapes(stored)?;
    let mut c = coord.to_vec();
    for (k, step) in view.steps.iter().enumerate().rev() {
        let (from, to) = (&shapes[k], &shapes[k + 1]);
        c = match step {
            ViewStep::Reshape { .. } => reshape(s, from, to, &c),
            ViewStep::Transpose { perm } => {
                let mut out = c.clone();
                for (i, &p) in perm.iter().enumerate() {
                    out[p] = c[i];
                }
                out
            }
            ViewStep::Slice { starts, sizes, steps } => {
                (0..from.rank()).map(|i| slice(s, starts[i], sizes[i], steps[i], c[i])).collect()
            }
            ViewStep::Broadcast { .. } => {
                let pad = to.rank() - from.rank();
                (0..from.rank())
                    .map(|i| if from[i] == 1 { s.lit_u32(0) } else { c[i + pad] })
                    .collect()
            }
        };
    }
    Some(c)
}

/// `start + step * c`. A negative step is written with the mirrored coordinate `size - 1 - c`, so
/// that the sum keeps positive factors and the simplifier sees through it.
fn slice(s: &mut State, start: usize, size: usize, step: i64, c: ExprId) -> ExprId {
    if size <= 1 {
        return s.lit_u32(start as u32);
    }
    let (base, c) = if step < 0 {
        let last = s.lit_u32(size as u32 - 1);
        let mirrored = pure(s, Expr::Binary(BinaryOp::Sub, last, c), U32);
        (start as u64 - step.unsigned_abs() * (size as u64 - 1), mirrored)
    } else {
        (start as u64, c)
    };
    let t = mul_lit(s, c, step.unsigned_abs() as u32);
    let base = s.lit_u32(base as u32);
    add(s, t, base)
}

/// Groups of axes with equal products map on their own: `[a, b, c] -> [a, b * c]` keeps `a`.
/// It spares the simplifier a proof, and works where a coordinate's bound is unknown.
fn reshape(s: &mut State, from: &Shape, to: &Shape, c: &[ExprId]) -> Vec<ExprId> {
    if from == to {
        return c.to_vec();
    }
    let mut out = Vec::with_capacity(from.rank());
    let (mut i, mut j) = (0, 0);
    while i < from.rank() || j < to.rank() {
        let (i0, j0) = (i, j);
        let (mut a, mut b) = (1usize, 1usize);
        loop {
            if a == b && (i > i0 || j > j0) && a != 0 {
                break;
            }
            if (a <= b && i < from.rank()) || j >= to.rank() {
                if i >= from.rank() {
                    break;
                }
                a = a.saturating_mul(from[i]);
                i += 1;
            } else {
                b = b.saturating_mul(to[j]);
                j += 1;
            }
        }
        let group_to = Shape(to[j0..j].to_vec());
        let group_from = Shape(from[i0..i].to_vec());
        if group_from == group_to {
            out.extend_from_slice(&c[j0..j]);
            continue;
        }
        let linear = linearize(s, &group_to, &c[j0..j]);
        out.extend(delinearize(s, &group_from, linear));
    }
    out
}
