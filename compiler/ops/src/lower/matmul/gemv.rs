//! Few rows: the right matrix is read once, from end to end, so memory bandwidth decides. A
//! workgroup takes a few columns; its invocations share K and add up in workgroup memory.

use super::MatMul;
use crate::Result;
use crate::lower::{Lowering, dispatch_1d};
use drift_kernel::{E, Scalar};

/// Lowers a product of at most four rows.
pub fn lower(l: &mut Lowering<'_>, p: &MatMul) -> Result<()> {
    if p.b_along_k { along_k(l, p) } else { along_n(l, p) }
}

/// Largest power of two that is at most `n`.
fn floor_power(n: usize) -> u32 {
    1 << n.max(1).ilog2()
}

/// Columns are contiguous: an invocation computes four columns on its share of K.
fn along_n(l: &mut Lowering<'_>, p: &MatMul) -> Result<()> {
    let quads = p.n.div_ceil(4);
    let steps = p.k.div_ceil(4);
    // half as many columns per workgroup where that keeps more of the device busy
    let busy = (quads.div_ceil(8) * p.batch * 256) as u64 >= l.target.full_invocations;
    let columns = floor_power(quads).min(if busy { 8 } else { 4 });
    let share = floor_power(steps).min(256 / columns).min(64);
    let blocks = quads.div_ceil(columns as usize) as u32;
    let size = columns * share;
    let count = u64::from(blocks) * p.batch as u64;
    let groups = dispatch_1d(count * u64::from(size), size);
    let k = l.kernel("gemv", [size, 1, 1], groups);
    let (x, w, out) = p.args(l, &k)?;
    let b = &k.b;
    let group = b.workgroup_id(1) * groups[0] + b.workgroup_id(0);
    let local = b.local_index();
    let (column, part) = (local % columns, local / columns);
    let sums = b.shared("sums", Scalar::F32, 4, size);
    let acc: Vec<_> = (0..p.m).map(|_| b.var("acc", b.zero4())).collect();
    let quad = (group % blocks) * columns + column;
    let n = quad * 4u32;
    let batch = group / blocks;
    let mine = quad.lt(quads as u32).and(batch.lt(p.batch as u32));
    b.if_(mine, || {
        let turns = steps.div_ceil(share as usize) as u32;
        b.for_(0u32, turns, 1, |turn| {
            let step = turn * share + part;
            let body = || {
                let i = step * 4u32;
                let rows: Vec<E<'_>> =
                    (0..p.m as u32).map(|m| x.lanes(b, &[batch, b.u32(m), i], Some(2))).collect();
                for lane in 0..4u8 {
                    let at = i + u32::from(lane);
                    let add = || {
                        let v = w.lanes(b, &[batch, at, n], Some(2));
                        for (row, acc) in rows.iter().zip(&acc) {
                            acc.set(row.lane(lane).splat(4).fma(v, acc.get()));
                        }
                    };
                    if lane == 0 || p.k.is_multiple_of(4) {
                        add();
                    } else {
                        b.if_(at.lt(p.k as u32), add);
                    }
                }
            };
            if steps.is_multiple_of(share as usize) {
                body();
            } else {
                b.if_(step.lt(steps as u32), body);
            }
        });
    });
    for (m, acc) in (0u32..).zip(&acc) {
        sums.store(local, acc.get());
        b.barrier();
        let mut half = share / 2;
        while half > 0 {
            b.if_(part.lt(half), || {
                let other = sums.load(local + half * columns);
                sums.store(local, sums.load(local) + other);
            });
            b.barrier();
            half /= 2;
        }
        b.if_(mine.and(part.eq(0u32)), || {
            out.store4(b, &[batch, b.u32(m), n], 2, Some(sums.load(local)));
        });
        b.barrier();
    }
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}

/// Rows of the transposed matrix are contiguous: invocations walk side by side along K.
fn along_k(l: &mut Lowering<'_>, p: &MatMul) -> Result<()> {
    let steps = p.k.div_ceil(4);
    let share = floor_power(steps).min(32);
    let columns = (64 / share).clamp(1, 16).min(floor_power(p.n));
    let blocks = p.n.div_ceil(columns as usize) as u32;
    let size = columns * share;
    let count = u64::from(blocks) * p.batch as u64;
    let groups = dispatch_1d(count * u64::from(size), size);
    let k = l.kernel("gemv_transposed", [size, 1, 1], groups);
    let (x, w, out) = p.args(l, &k)?;
    let b = &k.b;
    let group = b.workgroup_id(1) * groups[0] + b.workgroup_id(0);
    let local = b.local_index();
    let (part, column) = (local % share, local / share);
    let sums = b.shared("sums", Scalar::F32, 1, size);
    let acc: Vec<_> = (0..p.m).map(|_| b.var("acc", b.f32(0.0))).collect();
    let n = (group % blocks) * columns + column;
    let batch = group / blocks;
    let mine = n.lt(p.n as u32).and(batch.lt(p.batch as u32));
    b.if_(mine, || {
        let turns = steps.div_ceil(share as usize) as u32;
        b.for_(0u32, turns, 1, |turn| {
            let step = turn * share + part;
            let body = || {
                let i = step * 4u32;
                let v = w.lanes(b, &[batch, i, n], Some(1));
                for (m, acc) in (0u32..).zip(&acc) {
                    let row = x.lanes(b, &[batch, b.u32(m), i], Some(2));
                    acc.set(acc.get() + row.dot(v));
                }
            };
            if steps.is_multiple_of(share as usize) {
                body();
            } else {
                b.if_(step.lt(steps as u32), body);
            }
        });
    });
    for (m, acc) in (0u32..).zip(&acc) {
        sums.store(local, acc.get());
        b.barrier();
        let mut half = share / 2;
        while half > 0 {
            b.if_(part.lt(half), || sums.store(local, sums.load(local) + sums.load(local + half)));
            b.barrier();
            half /= 2;
        }
        b.if_(mine.and(part.eq(0u32)), || {
            out.store(b, &[batch, b.u32(m), n], Some(sums.load(local)));
        });
        b.barrier();
    }
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}
