//! LogSoftmax over one axis.

use crate::Result;
use crate::def::{Accuracy, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::softmax::{along_axis, cases, import_as, infer};
use drift_ir::{Tensor, ValueId};

/// Attribute `axis`.
pub static OP: OpDef = OpDef {
    name: "log_softmax",
    onnx: &[ai("LogSoftmax")],
    import,
    infer,
    reference,
    accuracy: Accuracy::APPROXIMATED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    import_as(c, "log_softmax")
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    along_axis(c, |row| {
        let peak = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - peak).exp()).sum();
        row.iter_mut().for_each(|x| *x = *x - peak - sum.ln());
    })
}
