//! Softmax and log-softmax along one axis: maximum, sum of exponentials, division.

use super::map::{Input, lowest};
use super::rows::Rows;
use super::{Lowering, map::result_grid};
use crate::Result;
use drift_ir::View;

/// Lowers a `softmax` or `log_softmax` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let own = l.own_shape(0);
    if own.elems() == 0 {
        return Ok(());
    }
    let log = l.node.op == "log_softmax";
    let axis = l.node.attrs.int("axis", -1);
    let axis = own.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {own}")))?;
    let rows = Rows::new(l, &own, &[axis], result_grid(l, &own).axis);
    let lanes = rows.axis();
    let k = l.kernel(l.node.op, rows.workgroup(), rows.workgroups());
    let x = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    rows.run(b, |row| {
        let first = row.first();
        let v = x.lanes(b, &first.at, lanes);
        let most = b.var("most", row.masked(&first, v, lowest(b, v.ty())));
        row.each(|step| {
            let v = x.lanes(b, &step.at, lanes);
            most.set(most.get().max(row.masked(step, v, lowest(b, v.ty()))));
        });
        let peak = row.combine(most.get(), |a, c| a.max(c));
        let wide = row.spread(peak);
        let sum = b.var("sum", b.lit_like(0.0, wide.ty()));
        row.each(|step| {
            let e = (x.lanes(b, &step.at, lanes) - wide).exp();
            let e = row.masked(step, e, b.lit_like(0.0, e.ty()));
            sum.set(sum.get() + e);
        });
        let sum = row.combine(sum.get(), |a, c| a + c);
        let last = row.spread(if log { sum.log() } else { b.lit_like(1.0, sum.ty()) / sum });
        row.each(|step| {
            let d = x.lanes(b, &step.at, lanes) - wide;
            let y = if log { d - last } else { d.exp() * last };
            super::reduce::store_row(&out, b, &step.at, lanes, y);
        });
    });
    l.kernels.push(k.finish(5 * own.elems() as u64));
    Ok(())
}
