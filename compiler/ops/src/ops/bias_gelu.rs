//! Contrib operators that add a bias first: BiasGelu, BiasAdd, BiasSplitGelu.

use crate::Result;
use crate::def::{OpDef, composite, ms};
use crate::import::ImportCtx;
use drift_ir::{PointwiseOp as P, ValueId};

pub static OP: OpDef =
    composite("bias_gelu", &[ms("BiasGelu"), ms("BiasAdd"), ms("BiasSplitGelu")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.binary(P::Add, c.input(0)?, c.input(1)?)?;
    let y = match c.op_type.as_str() {
        "BiasGelu" => c.unary(P::Gelu, x)?,
        "BiasAdd" => c.binary(P::Add, x, c.input(2)?)?,
        _ => {
            let shape = c.shape(x);
            let last = shape.rank().checked_sub(1).ok_or_else(|| c.invalid("a scalar"))?;
            let half = shape[last] / 2;
            if !shape[last].is_multiple_of(2) {
                return Err(c.invalid(format!("the last dim of {shape} is odd")));
            }
            let left = c.slice_axis(x, last, 0, half)?;
            let right = c.slice_axis(x, last, half, half)?;
            let gate = c.unary(P::Gelu, right)?;
            c.binary(P::Mul, left, gate)?
        }
    };
    Ok(vec![y])
}
