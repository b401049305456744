//! Split: several slices.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use crate::ops::expand::sizes;
use drift_ir::ValueId;

pub static OP: OpDef = composite("split", &[ai("Split")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let axis = c.axis(c.attrs.int("axis", 0), shape.rank())?;
    let dim = shape[axis];
    let parts = match c.ints_attr_or_input("split", 1)? {
        Some(p) => sizes(c, &p)?,
        None => {
            let n = c.attrs.int("num_outputs", c.output_names.len() as i64);
            let n = usize::try_from(n)
                .ok()
                .filter(|n| *n > 0 && *n <= dim.max(1))
                .ok_or_else(|| c.invalid(format!("cannot split {dim} into {n} parts")))?;
            // equal parts, the last one smaller
            let each = dim.div_ceil(n);
            (0..n).map(|i| each.min(dim.saturating_sub(i * each))).collect()
        }
    };
    let total = parts.iter().try_fold(0usize, |s, p| s.checked_add(*p));
    if total != Some(dim) {
        return Err(c.invalid(format!("the parts {parts:?} do not sum up to the dim {dim}")));
    }
    if parts.len() < c.output_names.len() {
        return Err(c.invalid(format!(
            "{} parts for {} outputs",
            parts.len(),
            c.output_names.len()
        )));
    }
    let mut start = 0;
    let mut out = Vec::new();
    for p in parts {
        out.push(c.slice_axis(x, axis, start, p)?);
        start += p;
    }
    Ok(out)
}
