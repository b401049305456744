//! The k largest (or smallest) elements along an axis, sorted, with their positions.
//!
//! Two kernels: *rank* counts for every element how many come before it (all at once, n² in all);
//! *select* finds one after the other (k passes over the row by one workgroup).

use super::map::{Input, WORKGROUP};
use super::stored::to_stored;
use super::{Lowering, Out, dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::{DType, Shape, View};
use drift_kernel::{Builder, E, Scalar};

/// Comparisons that *rank* may cost.
const RANK_LIMIT: u64 = 1 << 28;

struct TopK {
    shape: Shape,
    axis: usize,
    k: usize,
    largest: bool,
    dtype: DType,
}

impl TopK {
    /// Whether element (v, i) comes before (w, j).
    fn before<'b>(&self, (v, i): (E<'b>, E<'b>), (w, j): (E<'b>, E<'b>)) -> E<'b> {
        let better = if self.largest { v.gt(w) } else { v.lt(w) };
        better.or(v.eq(w).and(i.lt(j)))
    }

    /// Row coordinates from a row number: 0 on the axis.
    fn row<'b>(&self, b: &'b Builder, id: E<'b>) -> Vec<E<'b>> {
        let mut at = vec![b.u32(0); self.shape.rank()];
        let mut rest = id;
        for a in (0..self.shape.rank()).rev().filter(|&a| a != self.axis) {
            at[a] = rest % self.shape[a] as u32;
            rest = rest / self.shape[a] as u32;
        }
        at
    }

    fn store<'b>(&self, b: &'b Builder, out: &Out<'_>, at: &[E<'b>], v: E<'b>, i: E<'b>) {
        b.store(out.result(0), at, to_stored(b, v, self.dtype));
        b.store(out.result(1), at, i.cast(Scalar::I32));
    }

    fn rows(&self) -> usize {
        self.shape.elems() / self.shape[self.axis]
    }
}

/// Lowers a `top_k` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let shape = l.shape(0)?;
    let attrs = &l.node.attrs;
    let axis = attrs.int("axis", -1);
    let axis = shape.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis}")))?;
    if !l.node.epilogue.is_empty() {
        return Err(l.unsupported("something is fused behind one of its two results"));
    }
    let top = TopK {
        k: attrs.int("k", 0).max(0) as usize,
        largest: attrs.int("largest", 1) != 0,
        dtype: l.dtype(0).unwrap_or(DType::F32),
        shape,
        axis,
    };
    if top.k == 0 || top.shape.elems() == 0 {
        return Ok(());
    }
    let n = top.shape[axis];
    if (top.rows() * n) as u64 * n as u64 <= RANK_LIMIT { rank(l, &top) } else { select(l, &top) }
}

fn rank(l: &mut Lowering<'_>, top: &TopK) -> Result<()> {
    let n = top.shape[top.axis] as u32;
    let count = top.shape.elems() as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("top_k_rank", [WORKGROUP, 1, 1], groups);
    let x = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let mut at = top.row(b, id / n);
        let mine = id % n;
        at[top.axis] = mine;
        let v = x.load(b, &at);
        let rank = b.var("rank", b.u32(0));
        b.for_(0u32, n, 1, |i| {
            at[top.axis] = i;
            let before = top.before((x.load(b, &at), i), (v, mine));
            rank.set(rank.get() + b.select(before, b.u32(1), b.u32(0)));
        });
        let place = rank.get();
        b.if_(place.lt(top.k as u32), || {
            at[top.axis] = place;
            top.store(b, &out, &at, v, mine);
        });
    });
    l.kernels.push(k.finish(count * u64::from(n)));
    Ok(())
}

fn select(l: &mut Lowering<'_>, top: &TopK) -> Result<()> {
    let n = top.shape[top.axis] as u32;
    let limit = l.target.caps.limits.workgroup_invocations as u32;
    let size = limit.clamp(1, 256);
    let size = 1 << size.ilog2();
    let groups = dispatch_1d(top.rows() as u64 * u64::from(size), size);
    let k = l.kernel("top_k_select", [size, 1, 1], groups);
    let x = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    let row = b.workgroup_id(1) * groups[0] + b.workgroup_id(0);
    let local = b.local_index();
    let body = || {
        let mut at = top.row(b, row);
        let ty = x.load(b, &at).ty();
        let values = b.shared("values", ty.vector().scalar, 1, size);
        let places = b.shared("places", Scalar::U32, 1, size);
        // what the last pass found; `n` = nothing yet
        let (last, last_at) = (b.var("last", b.lit_like(0.0, ty)), b.var("last_at", b.u32(n)));
        b.for_(0u32, top.k as u32, 1, |turn| {
            let best = b.var("best", b.lit_like(0.0, ty));
            let best_at = b.var("best_at", b.u32(n));
            b.for_(0u32, n.div_ceil(size), 1, |i| {
                let i = i * size + local;
                b.if_(i.lt(n), || {
                    at[top.axis] = i;
                    let v = x.load(b, &at);
                    let after =
                        last_at.get().eq(n).or(top.before((last.get(), last_at.get()), (v, i)));
                    let empty = best_at.get().eq(n);
                    let win = empty.or(top.before((v, i), (best.get(), best_at.get()))).and(after);
                    best.set(b.select(win, v, best.get()));
                    best_at.set(b.select(win, i, best_at.get()));
                });
            });
            values.store(local, best.get());
            places.store(local, best_at.get());
            b.barrier();
            let mut half = size / 2;
            while half > 0 {
                b.if_(local.lt(half), || {
                    let mine = (values.load(local), places.load(local));
                    let other = (values.load(local + half), places.load(local + half));
                    let win = mine.1.eq(n).or(top.before(other, mine)).and(other.1.ne(n));
                    values.store(local, b.select(win, other.0, mine.0));
                    places.store(local, b.select(win, other.1, mine.1));
                });
                b.barrier();
                half /= 2;
            }
            last.set(values.load(0u32));
            last_at.set(places.load(0u32));
            b.barrier();
            b.if_(local.eq(0u32), || {
                at[top.axis] = turn;
                top.store(b, &out, &at, last.get(), last_at.get());
            });
        });
    };
    let rows = top.rows() as u32;
    if groups[0] * groups[1] == rows {
        body()
    } else {
        b.if_(row.lt(rows), body)
    }
    l.kernels.push(k.finish((top.shape.elems() * top.k) as u64));
    Ok(())
}
