//! Trilu: one triangle of each matrix. A mask known at compile time chooses between value and 0.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::{ImportCtx, PwArg};
use drift_ir::{DType, PointwiseOp, Tensor, ValueId};

pub static OP: OpDef = composite("trilu", &[ai("Trilu")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let (shape, dtype) = (c.shape(x), c.dtype(x));
    let k = c.const_int(1, "k")?.unwrap_or(0);
    let &[.., rows, cols] = shape.as_slice() else {
        return Err(c.invalid(format!("needs matrices, not {shape}")));
    };
    if shape.elems() == 0 {
        return Ok(vec![x]);
    }
    let upper = c.attrs.int("upper", 1) != 0;
    let mask: Vec<i64> = (0..rows as i128 * cols as i128)
        .map(|i| {
            let (r, col) = (i / cols as i128, i % cols as i128);
            let d = col - r;
            i64::from(if upper { d >= i128::from(k) } else { d <= i128::from(k) })
        })
        .collect();
    let mask = c.add_const(Tensor::from_i64s(DType::Bool, [rows, cols], &mask));
    let zero =
        if dtype == DType::Bool { PwArg::Value(c.scalar(dtype, 0.0)) } else { PwArg::Const(0.0) };
    Ok(vec![c.pointwise(PointwiseOp::Where, &[mask.into(), x.into(), zero], dtype)?])
}
