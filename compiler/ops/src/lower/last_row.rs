//! The row of a step that the state `params` names.

use super::Lowering;
use super::map::{Input, Map};
use crate::Result;
use crate::ops::last_row::{PARAMS, X, place};
use drift_kernel::Scalar;

/// Lowers a `last_row` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let (at, less) = place(&l.node.attrs).map_err(|e| l.unsupported(e))?;
    let last = l.shape(X)?[0] as i32 - 1;
    Map::new("last_row", 0, []).lower(
        l,
        |l, k| Ok((Input::of(l, k, X)?, Input::of(l, k, PARAMS)?)),
        |b, (x, params), coords, axis| {
            let row = params.index(b, &[b.u32(at as u32)]) - less as i32;
            let row = b.assume_max(row.clamp(0i32, last).cast(Scalar::U32), last as u64);
            x.lanes(b, &[row, coords[1]], axis)
        },
    )
}
