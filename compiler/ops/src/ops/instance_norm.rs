//! Instance normalization: over the spatial axes of each channel.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::group_norm::normalize_groups;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands `[N, C, spatial..]`, scale `[C]`, bias `[C]`; attribute `epsilon`.
pub static OP: OpDef = OpDef {
    name: "instance_norm",
    onnx: &[ai("InstanceNormalization")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let attrs = Attrs::new().with("epsilon", c.float("epsilon", 1e-5)?);
    let operands = [c.input(0)?, c.input(1)?, c.input(2)?];
    Ok(vec![c.emit("instance_norm", attrs, &operands)?])
}

/// The type of the input, with scale and bias checked to be per channel.
pub fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 3)?;
    for i in 1..3 {
        if c.shape(i)?.as_slice() != [x[1]] {
            return Err(c.invalid(format!("operand {i} is {}, {x} needs [C]", c.shape(i)?)));
        }
    }
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let channels = c.tensor(0)?.shape[1];
    normalize_groups(c, channels)
}

fn cases() -> Vec<Case> {
    let attrs = Attrs::new().with("epsilon", 1e-5);
    let c = |name: &str, s: &[usize]| {
        let operands = vec![sample_f32(1, s), sample_f32(2, [s[1]]), sample_f32(3, [s[1]])];
        Case::new(name, attrs.clone(), operands)
    };
    vec![c("image", &[2, 5, 4, 7]), c("signal", &[1, 3, 40])]
}
