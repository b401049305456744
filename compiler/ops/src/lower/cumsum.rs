//! Running sums and products along one axis: one invocation per row.

use super::map::{Input, WORKGROUP, result_grid, value_type};
use super::reduce::store_row;
use super::{Grid, Lowering, dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::View;

/// Lowers a `cumsum` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    if own.elems() == 0 {
        return Ok(());
    }
    let attrs = &l.node.attrs;
    let axis = attrs.int("axis", 0);
    let axis = own.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {own}")))?;
    let prod = attrs.str("kind") == Some("prod");
    let (exclusive, reverse) = (attrs.int("exclusive", 0) != 0, attrs.int("reverse", 0) != 0);
    // the order along the row matters: lanes only run across rows
    let lanes = result_grid(l, &own).axis.filter(|&a| a != axis);
    let mut rows = own.clone();
    rows[axis] = 1;
    let grid = match lanes {
        Some(a) => Grid::with_lanes(&rows, a),
        None => Grid::scalar(&rows),
    };
    let groups = dispatch_1d(grid.invocations, WORKGROUP);
    let k = l.kernel("cumsum", [WORKGROUP, 1, 1], groups);
    let x = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(grid.invocations as u32), || {
        let mut at = grid.coords(b, id);
        let start = if prod { 1.0 } else { 0.0 };
        let acc = b.var("acc", b.lit_like(start, value_type(x.dtype, lanes)));
        let n = own[axis] as u32;
        b.for_(0u32, n, 1, |i| {
            at[axis] = if reverse { b.u32(n - 1) - i } else { i };
            let v = x.lanes(b, &at, lanes);
            let before = acc.get();
            let after = if prod { before * v } else { before + v };
            acc.set(after);
            store_row(&out, b, &at, lanes, if exclusive { before } else { after });
        });
    });
    l.kernels.push(k.finish(own.elems() as u64));
    Ok(())
}
