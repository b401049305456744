//! Gathers: elements or parts of the data chosen by integer indices. An index outside of its axis
//! is a mistake in the model's data that a kernel cannot report: it reads the nearest element.

use super::Lowering;
use super::map::{Input, Map};
use crate::Result;
use drift_kernel::{Builder, E, Scalar};

/// A possibly negative index as a coordinate of an axis of `n` elements.
pub fn wrapped<'b>(b: &'b Builder, i: E<'b>, n: usize) -> E<'b> {
    let n = n as i32;
    let i = b.select(i.lt(0i32), i + n, i);
    let c = i.clamp(0i32, n - 1).cast(Scalar::U32);
    b.assume_max(c, (n - 1) as u64)
}

/// Lowers a `gather` node.
pub fn gather(l: &mut Lowering<'_>) -> Result<()> {
    let (x, index) = (l.shape(0)?, l.shape(1)?);
    let axis = l.node.attrs.int("axis", 0);
    let axis = x.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {x}")))?;
    let width = index.rank();
    let touched: Vec<usize> = (axis..axis + width).collect();
    Map::new("gather", 0, touched).lower(
        l,
        |l, k| Ok((Input::of(l, k, 0)?, Input::of(l, k, 1)?)),
        |b, (data, index), at, lanes| {
            let i = index.index(b, &at[axis..axis + width]);
            let mut from = at[..axis].to_vec();
            from.push(wrapped(b, i, x[axis]));
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
