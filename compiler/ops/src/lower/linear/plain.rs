//! One invocation per element of the result (or per four neighbours): any shape on any device.

use super::Linear;
use crate::Result;
use crate::lower::map::WORKGROUP;
use crate::lower::{Grid, Lowering, dispatch_1d, grid::linear_id};
use drift_kernel::{E, Layout};

/// Lowers a product of any number of rows.
pub fn lower(l: &mut Lowering<'_>, p: &Linear) -> Result<()> {
    let shape = [p.m, p.outputs()].into();
    let grid = Grid::of(&shape, &Layout::RowMajor);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("linear_plain", [WORKGROUP, 1, 1], groups);
    let args = p.args(l, &k, false)?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    let pair = if p.spec.gate.is_some() { 2u32 } else { 1 };
    let lanes = if grid.axis.is_some() { 4u32 } else { 1 };
    b.if_(id.lt(grid.invocations as u32), || {
        let at = grid.coords(b, id);
        let (row, first) = (at[0], at[1] * pair);
        let sums: Vec<_> = (0..lanes * pair).map(|_| b.var("sum", b.f32(0.0))).collect();
        let squares = b.var("squares", b.f32(0.0));
        b.for_(0u32, args.w.padded_k() as u32, 8, |k| {
            let xs = [0u32, 4].map(|i| args.x4(b, row, k + i));
            if args.gamma.is_some() {
                let plain = [0u32, 4].map(|i| args.plain_x4(b, row, k + i));
                squares.set(squares.get() + plain[0].dot(plain[0]) + plain[1].dot(plain[1]));
            }
            for (i, sum) in (0u32..).zip(&sums) {
                let n = first + i;
                let [low, high] = args.w.eight(b, n, k);
                let dot = xs[0].dot(low) + xs[1].dot(high);
                let dot = match args.w.scheme.group() {
                    Some(_) => args.w.scale(b, n, k).map_or(dot, |s| dot * s),
                    None => dot,
                };
                sum.set(sum.get() + dot);
            }
        });
        let norm = p.spec.norm.map(|eps| {
            let mean = squares.get() * (1.0 / p.k as f32);
            (mean + eps as f32).rsqrt()
        });
        let totals: Vec<E<'_>> = (0u32..)
            .zip(&sums)
            .map(|(i, sum)| {
                let mut v = sum.get();
                if args.w.scheme.group().is_none()
                    && let Some(s) = args.w.scale(b, first + i, b.u32(0))
                {
                    v = v * s;
                }
                norm.map_or(v, |factor| v * factor)
            })
            .collect();
        let values: Vec<E<'_>> = totals
            .chunks(pair as usize)
            .map(|t| if pair == 2 { p.gated(b, t[0], t[1]) } else { t[0] })
            .collect();
        match grid.axis {
            Some(axis) => args.out.store4(b, &at, axis, Some(b.compose(&values))),
            None => args.out.store(b, &at, Some(values[0])),
        }
    });
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}
