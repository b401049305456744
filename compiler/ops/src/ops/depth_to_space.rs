//! DepthToSpace and SpaceToDepth: reshape, transpose, reshape.

use crate::Result;
use crate::def::{OpDef, ai, composite};
use crate::import::ImportCtx;
use drift_ir::ValueId;

pub static OP: OpDef =
    composite("depth_to_space", &[ai("DepthToSpace"), ai("SpaceToDepth")], import);

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let &[n, ch, h, w] = shape.as_slice() else {
        return Err(c.invalid(format!("needs a value of rank 4, not {shape}")));
    };
    let size = c.attrs.int("blocksize", 0);
    let b = usize::try_from(size).unwrap_or(0);
    let square = b.checked_mul(b).filter(|s| *s > 0);
    let square =
        square.ok_or_else(|| c.invalid(format!("blocksize {size} is not a positive size")))?;
    if c.op_type == "SpaceToDepth" {
        if h % b != 0 || w % b != 0 {
            return Err(c.invalid(format!("blocksize {b} does not divide {shape}")));
        }
        let y = c.reshape(x, vec![n, ch, h / b, b, w / b, b])?;
        let y = c.transpose(y, &[0, 3, 5, 1, 2, 4])?;
        return Ok(vec![c.reshape(y, vec![n, ch * square, h / b, w / b])?]);
    }
    if ch % square != 0 {
        return Err(c.invalid(format!("{ch} channels do not divide by blocksize² {square}")));
    }
    let depth = ch / square;
    let y = match c.attrs.str("mode").unwrap_or("DCR") {
        "DCR" => {
            let y = c.reshape(x, vec![n, b, b, depth, h, w])?;
            c.transpose(y, &[0, 3, 4, 1, 5, 2])?
        }
        "CRD" => {
            let y = c.reshape(x, vec![n, depth, b, b, h, w])?;
            c.transpose(y, &[0, 1, 4, 2, 5, 3])?
        }
        mode => return Err(c.invalid(format!("mode {mode:?} is neither DCR nor CRD"))),
    };
    Ok(vec![c.reshape(y, vec![n, depth, h * b, w * b])?])
}
