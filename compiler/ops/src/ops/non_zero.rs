//! NonZero and Compress: sizes that depend on data, so the data must be constant.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::{Attr, Attrs, Tensor, ValueId};

pub static OP: OpDef = composite("non_zero", &[ai("NonZero"), ai("Compress")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    if c.op_type == "Compress" {
        let mut x = c.input(0)?;
        let keep = c.const_i64s(1, "the condition")?.unwrap_or_default();
        let axis = match c.attrs.get("axis") {
            Some(Attr::Int(a)) => c.axis(*a, c.rank(x))?,
            _ => {
                let n = c.shape(x).elems();
                x = c.reshape(x, vec![n])?;
                0
            }
        };
        let index: Vec<i64> = (0..keep.len() as i64).filter(|i| keep[*i as usize] != 0).collect();
        let index = c.add_const(Tensor::from_i64([index.len()], &index));
        return Ok(vec![c.emit("gather", Attrs::new().with("axis", axis as i64), &[x, index])?]);
    }
    let t = c.const_input(0, "the value")?.clone();
    let v = t.to_f64s();
    let hits: Vec<usize> = (0..v.len()).filter(|i| v[*i] != 0.0).collect();
    let strides = t.shape.strides();
    let index: Vec<i64> = (0..t.shape.rank())
        .flat_map(|a| hits.iter().map(move |i| (a, *i)))
        .map(|(a, i)| (i / strides[a] % t.shape[a]) as i64)
        .collect();
    Ok(vec![c.add_const(Tensor::from_i64([t.shape.rank(), hits.len()], &index))])
}
