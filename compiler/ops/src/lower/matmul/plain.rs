//! Integers and very short sums: one invocation per result element.

use super::MatMul;
use crate::Result;
use crate::lower::map::WORKGROUP;
use crate::lower::{Grid, Lowering, dispatch_1d, grid::linear_id, scalar_of};
use drift_kernel::{Layout, Type};

pub fn lower(l: &mut Lowering<'_>, p: &MatMul) -> Result<()> {
    let shape = [p.batch, p.m, p.n].into();
    let grid = Grid::of(&shape, &Layout::RowMajor);
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("matmul_plain", [WORKGROUP, 1, 1], groups);
    let (x, w, out) = p.args(l, &k)?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    let width = if grid.axis.is_some() { 4 } else { 1 };
    b.if_(id.lt(grid.invocations as u32), || {
        let at = grid.coords(b, id);
        let ty = Type::vec(scalar_of(x.dtype), width);
        let acc = b.var("acc", b.lit_like(0.0, ty));
        b.for_(0u32, p.k as u32, 1, |i| {
            let v = x.load(b, &[at[0], at[1], i]).splat(width);
            let u = w.lanes(b, &[at[0], i, at[2]], grid.axis);
            let sum = if x.dtype.is_float() { v.fma(u, acc.get()) } else { acc.get() + v * u };
            acc.set(sum);
        });
        match grid.axis {
            Some(axis) => out.store4(b, &at, axis, Some(acc.get())),
            None => out.store(b, &at, Some(acc.get())),
        }
    });
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}
