//! Position of the largest or smallest element along one axis.

use super::Lowering;
use super::map::Input;
use super::reduce::{input_lane, store_row};
use super::rows::{Lanes, Rows};
use crate::Result;
use drift_ir::View;
use drift_kernel::{Builder, E, Scalar, Type};

/// Lowers an `arg_reduce` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let x = l.shape(0)?;
    if l.own_shape(0).elems() == 0 {
        return Ok(());
    }
    let attrs = &l.node.attrs;
    let axis = attrs.int("axis", -1);
    let axis = x.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {x}")))?;
    let (max, last) = (attrs.str("kind") == Some("max"), attrs.int("last", 0) != 0);
    let keep = attrs.int("keepdims", 1) != 0;
    // lanes along the row would need four candidates: one at a time there
    let lane = input_lane(l, 0, &x).filter(|&a| a != axis);
    let rows = Rows::new(l, &x, &[axis], lane);
    let lanes = match rows.lanes {
        Lanes::Across(a) => Some(a),
        _ => None,
    };
    let k = l.kernel("arg_reduce", rows.workgroup(), rows.workgroups());
    let input = Input::of(l, &k, 0)?;
    let out = l.out(&k, &View::identity())?;
    let b = &k.b;
    // whether candidate (v, i) wins over (w, j)
    fn wins<'b>(max: bool, last: bool, (v, i): (E<'b>, E<'b>), (w, j): (E<'b>, E<'b>)) -> E<'b> {
        let better = if max { v.gt(w) } else { v.lt(w) };
        let tie = if last { i.gt(j) } else { i.lt(j) };
        better.or(v.eq(w).and(tie))
    }
    rows.run(b, |row| {
        let width = rows.width();

        let first = row.first();
        let start = number(b, input.lanes(b, &first.at, lanes));
        let best = b.var("best", start);
        let at = b.var("at", position(first.index, width));
        row.each(|step| {
            let v = number(b, input.lanes(b, &step.at, lanes));
            let i = position(step.index, width);
            let win = wins(max, last, (v, i), (best.get(), at.get()));
            best.set(b.select(win, v, best.get()));
            at.set(b.select(win, i, at.get()));
        });
        if let Some(local) = row.local {
            let (values, places) =
                (row.memory(start.ty()), b.shared("at", Scalar::I32, width, rows.share));
            values.store(local, best.get());
            places.store(local, at.get());
            b.barrier();
            let mut n = rows.share / 2;
            while n > 0 {
                b.if_(local.lt(n), || {
                    let mine = (values.load(local), places.load(local));
                    let other = (values.load(local + n), places.load(local + n));
                    let win = wins(max, last, other, mine);
                    values.store(local, b.select(win, other.0, mine.0));
                    places.store(local, b.select(win, other.1, mine.1));
                });
                b.barrier();
                n /= 2;
            }
            at.set(places.load(0u32));
        }
        row.once(|| {
            let mut to: Vec<E<'_>> = row.at.clone();
            let mut lanes = lanes;
            if !keep {
                to.remove(axis);
                lanes = lanes.map(|a| if a > axis { a - 1 } else { a });
            }
            store_row(&out, b, &to, lanes, at.get());
        });
    });
    l.kernels.push(k.finish(x.elems() as u64));
    Ok(())
}

fn position(i: E<'_>, width: u8) -> E<'_> {
    i.cast(Scalar::I32).splat(width)
}

/// Bools are compared as integers.
fn number<'b>(b: &'b Builder, v: E<'b>) -> E<'b> {
    match v.ty().vector() {
        t if t.scalar == Scalar::Bool => {
            let ty = Type::vec(Scalar::I32, t.width);
            b.select(v, b.lit_like(1.0, ty), b.lit_like(0.0, ty))
        }
        _ => v,
    }
}
