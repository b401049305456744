//! Gathers: elements or parts of the data chosen by integer indices. An index outside of its axis
//! is a mistake in the model's data that a kernel cannot report: it reads the nearest element.

use super::map::{self, Input, Map};
use super::{Lowering, row_parts};
use crate::Result;
use drift_ir::{DType, Shape};
use drift_kernel::{Builder, E, Scalar};

/// A possibly negative index as a coordinate of an axis of `n` elements.
pub fn wrapped<'b>(b: &'b Builder, i: E<'b>, n: usize) -> E<'b> {
    let n = n as i32;
    let i = b.select(i.lt(0i32), i + n, i);
    let c = i.clamp(0i32, n - 1).cast(Scalar::U32);
    b.assume_max(c, (n - 1) as u64)
}

/// Lowers a `gather` node. Rows of a constant with more bytes than one binding spans are read in
/// parts, by kernels that write what comes from their part.
pub fn gather(l: &mut Lowering<'_>) -> Result<()> {
    let (x, index) = (l.shape(0)?, l.shape(1)?);
    let axis = l.node.attrs.int("axis", 0);
    let axis = x.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {x}")))?;
    // four elements that are stored together must come from one row
    let lanes = map::result_grid(l, &l.own_shape(0)).axis;
    let single_rows = !map::stores_quads(l) || lanes.is_some_and(|a| a >= index.rank());
    match row_parts::parts(l, &[0]).filter(|_| axis == 0 && single_rows) {
        None => gather_one(l, &x, &index, axis),
        Some(parts) => parts.into_iter().try_for_each(|rows| {
            l.rows = Some(rows);
            gather_one(l, &x, &index, axis)
        }),
    }
}

fn gather_one(l: &mut Lowering<'_>, x: &Shape, index: &Shape, axis: usize) -> Result<()> {
    let (rows, width) = (l.rows, index.rank());
    let touched: Vec<usize> = (axis..axis + width).collect();
    Map::new("gather", 0, touched).lower_where(
        l,
        |l, k| {
            let data = l.operand_rows(k, 0)?;
            let dtype = l.dtype(0).unwrap_or(DType::F32);
            let data = Input { t: data, dtype, shape: k.b.shape(data) };
            Ok((data, Input::of(l, k, 1)?))
        },
        |b, (_, index), at| {
            let row = || wrapped(b, index.index(b, &at[axis..axis + width]), x[axis]);
            rows.map(|rows| rows.contain(row()))
        },
        |b, (data, index), at, lanes| {
            let i = wrapped(b, index.index(b, &at[axis..axis + width]), x[axis]);
            let mut from = at[..axis].to_vec();
            from.push(rows.map_or(i, |rows| rows.local(b, i)));
            from.extend(&at[axis + width..]);
            let own = lanes.map(|a| if a < axis { a } else { a - width + 1 });
            data.lanes(b, &from, own)
        },
    )
}

/// Lowers a `gather_elements` node.
pub fn elements(l: &mut Lowering<'_>) -> Result<()> {
    let x = l.shape(0)?;
    let axis = l.node.attrs.int("axis", 0);
    let axis = x.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {x}")))?;
    let touched: Vec<usize> = (0..x.rank()).collect();
    Map::new("gather_elements", 0, touched).lower(
        l,
        |l, k| Ok((Input::of(l, k, 0)?, Input::of(l, k, 1)?)),
        |b, (data, index), at, _| {
            let mut from = at.to_vec();
            from[axis] = wrapped(b, index.index(b, at), x[axis]);
            data.load(b, &from)
        },
    )
}

/// Lowers a `gather_nd` node.
pub fn nd(l: &mut Lowering<'_>) -> Result<()> {
    let (x, index) = (l.shape(0)?, l.shape(1)?);
    let batch = l.node.attrs.int("batch_dims", 0) as usize;
    let tuple = index.rank() - 1;
    let k = index[tuple];
    let touched: Vec<usize> = (0..tuple).collect();
    Map::new("gather_nd", 0, touched).lower(
        l,
        |l, k| Ok((Input::of(l, k, 0)?, Input::of(l, k, 1)?)),
        |b, (data, index), at, lanes| {
            let mut from = at[..batch].to_vec();
            let mut pos = at[..tuple].to_vec();
            pos.push(b.u32(0));
            for i in 0..k {
                pos[tuple] = b.u32(i as u32);
                from.push(wrapped(b, index.index(b, &pos), x[batch + i]));
            }
            from.extend(&at[tuple..]);
            data.lanes(b, &from, lanes.map(|a| a - tuple + batch + k))
        },
    )
}
