//! ReverseSequence: a gather with positions known at compile time.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::{Attrs, Tensor, ValueId};

pub static OP: OpDef = composite("reverse_sequence", &[ai("ReverseSequence")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let time = c.axis(c.attrs.int("time_axis", 0), shape.rank())?;
    let batch = c.axis(c.attrs.int("batch_axis", 1), shape.rank())?;
    let lens =
        c.const_i64s(1, "sequence_lens")?.ok_or_else(|| c.invalid("sequence_lens are missing"))?;
    let (steps, rows) = (shape[time], shape[batch]);
    let fits = lens.len() == rows && lens.iter().all(|l| (0..=steps as i64).contains(l));
    if !fits || time == batch {
        return Err(c.invalid(format!("sequence_lens {lens:?} do not fit {shape}")));
    }
    if lens.iter().all(|l| *l == steps as i64) {
        // all of full length: a reversed view
        let mut starts = vec![0; shape.rank()];
        let mut st = vec![1; shape.rank()];
        starts[time] = steps.saturating_sub(1);
        st[time] = -1;
        return Ok(vec![c.slice(x, starts, shape.0.clone(), st)?]);
    }
    // [batch, time, rest..]: gather_nd over (time) within each batch
    let mut perm = vec![batch, time];
    perm.extend((0..shape.rank()).filter(|a| *a != batch && *a != time));
    let y = c.transpose(x, &perm)?;
    let index: Vec<i64> = lens
        .iter()
        .flat_map(|&l| (0..steps as i64).map(move |t| if t < l { l - 1 - t } else { t }))
        .collect();
    let index = c.add_const(Tensor::from_i64([rows, steps, 1], &index));
    let y = c.emit("gather_nd", Attrs::new().with("batch_dims", 1i64), &[y, index])?;
    let mut back = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, p)| back[*p] = i);
    Ok(vec![c.transpose(y, &back)?])
}
