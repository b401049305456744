//! AffineGrid: sampling coordinates `theta · [x, y(, z), 1]`: a constant grid and one matmul.

use crate::Result;
use crate::def::{OpDef, composite, since};
use crate::import::ImportCtx;
use crate::ops::expand::sizes;
use crate::ops::matmul::{product, swap_last};
use drift_ir::{Tensor, ValueId};

pub static OP: OpDef = composite("affine_grid", &[since("AffineGrid", 20)], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let theta = c.input(0)?;
    let size = c.const_i64s(1, "the size")?.ok_or_else(|| c.invalid("the size is missing"))?;
    let size = sizes(c, &size)?;
    let d = size.len().wrapping_sub(2);
    if !matches!(d, 2 | 3) || c.shape(theta).as_slice() != [size[0], d, d + 1] {
        return Err(c.invalid(format!("theta {} and size {size:?} do not fit", c.shape(theta))));
    }
    let points = size[2..].iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    let points = points.filter(|n| *n <= 1 << 26).ok_or_else(|| c.invalid("too many points"))?;
    let align = c.attrs.int("align_corners", 0) != 0;
    let mut v = Vec::with_capacity(points * (d + 1));
    crate::data::for_each_coord(&size[2..], |_, coord| {
        // the last axis first
        for a in (0..d).rev() {
            let (i, n) = (coord[a] as f64, size[a + 2] as f64);
            v.push(match align {
                true if n > 1.0 => 2.0 * i / (n - 1.0) - 1.0,
                true => -1.0,
                false => (2.0 * i + 1.0) / n - 1.0,
            });
        }
        v.push(1.0);
    });
    let grid = Tensor::from_f64s(c.dtype(theta), [points, d + 1], &v);
    let grid = c.add_const(grid);
    let theta = swap_last(c, theta)?;
    let y = product(c, grid, theta)?;
    let mut shape = vec![size[0]];
    shape.extend(&size[2..]);
    shape.push(d);
    Ok(vec![c.reshape(y, shape)?])
}
