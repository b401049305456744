//! Shape and Size: facts known at import.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::{Shape, Tensor, ValueId};

pub static OP: OpDef = composite("shape", &[ai("Shape"), ai("Size")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let shape = c.shape(c.input(0)?);
    let dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
    if c.op_type == "Size" {
        let n = Tensor::from_i64(Shape::scalar(), &[shape.elems() as i64]);
        return Ok(vec![c.add_const(n)]);
    }
    let rank = dims.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (clamp(c.attrs.int("start", 0)), clamp(c.attrs.int("end", rank)));
    let part = dims.get(start..end).unwrap_or(&[]);
    let t = Tensor::from_i64([part.len()], part);
    Ok(vec![c.add_const(t)])
}
