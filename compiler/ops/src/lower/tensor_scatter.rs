//! New rows of a cache: each element comes from the update or from the past.

use super::Lowering;
use super::map::{Input, Map, value_type};
use crate::Result;
use crate::ops::tensor_scatter::{PAST, START, UPDATE};
use drift_kernel::Scalar;

/// Lowers a `tensor_scatter` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let (past, update) = (l.shape(PAST)?, l.shape(UPDATE)?);
    let axis = l.node.attrs.int("axis", 1);
    let axis = past.axis(axis).ok_or_else(|| l.unsupported(format!("axis {axis} of {past}")))?;
    let size = l.own_shape(0)[axis];
    let circular = l.node.attrs.int("circular", 0) != 0;
    let (held, new) = (past[axis] as u32, update[axis] as u32);
    let zeros = size > past[axis];
    Map::new("tensor_scatter", 0, [0, axis]).lower(
        l,
        |l, k| {
            let start = if l.has(START) { Some(Input::of(l, k, START)?) } else { None };
            let past = if held > 0 { Some(Input::of(l, k, PAST)?) } else { None };
            let update = if new > 0 { Some(Input::of(l, k, UPDATE)?) } else { None };
            Ok((past, update, start, l.dtype(PAST)))
        },
        |b, (past, update, start, dtype), at, lanes| {
            let ty = value_type(dtype.unwrap_or(drift_ir::DType::F32), lanes);
            let value = b.var_uninit("value", ty);
            let p = at[axis].cast(Scalar::I32);
            let mut r = match start {
                Some(s) => p - s.index(b, &at[..1]),
                None => p,
            };
            if circular {
                // the remainder has the sign of its left side
                let n = size as i32;
                r = (r % n + n) % n;
            }
            let kept = || match past {
                Some(past) => {
                    let mut from = at.to_vec();
                    from[axis] = b.assume_max(from[axis].min(held - 1), u64::from(held - 1));
                    let old = past.lanes(b, &from, lanes);
                    let old = match zeros {
                        true => b.select(at[axis].lt(held), old, b.lit_like(0.0, ty)),
                        false => old,
                    };
                    value.set(old);
                }
                None => value.set(b.lit_like(0.0, ty)),
            };
            match update {
                None => kept(),
                Some(update) => {
                    let hit = r.ge(0i32).and(r.lt(new as i32));
                    let taken = || {
                        let mut from = at.to_vec();
                        let r = r.clamp(0i32, new as i32 - 1).cast(Scalar::U32);
                        from[axis] = b.assume_max(r, u64::from(new - 1));
                        value.set(update.lanes(b, &from, lanes));
                    };
                    b.if_else(hit, taken, kept);
                }
            }
            value.get()
        },
    )
}
