//! Batch normalization for inference. Fusion folds it into a neighbouring convolution.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands `[N, C, ..]`, then scale, bias, mean and variance, each `[C]`; attribute `epsilon`.
/// Statistics may have a wider float type than the input (they often are f32 beside f16).
pub static OP: OpDef = OpDef {
    name: "batch_norm",
    onnx: &[ai("BatchNormalization")],
    import,
    infer,
    reference,
    accuracy: Accuracy::ROUNDED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    // opsets before 7 state inference with is_test, opsets from 14 on with training_mode
    if c.attrs.int("training_mode", 0) != 0 || (c.opset < 7 && c.attrs.int("is_test", 0) == 0) {
        return Err(c.unsupported("training mode").help("export the model for inference"));
    }
    if c.opset < 9 && c.attrs.int("spatial", 1) == 0 {
        return Err(c.unsupported("spatial = 0 (statistics per element)"));
    }
    let attrs = Attrs::new().with("epsilon", c.float("epsilon", 1e-5)?);
    let operands = (0..5).map(|i| c.input(i)).collect::<Result<Vec<_>>>()?;
    let y = c.emit("batch_norm", attrs, &operands)?;
    // further outputs are the running statistics, unchanged in inference
    Ok(vec![y, operands[3], operands[4]])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 2)?;
    for i in 1..5 {
        if c.shape(i)?.as_slice() != [x[1]] || !c.dtype(i)?.is_float() {
            return Err(c.invalid(format!(
                "operand {i} is {}{}, but {x} needs one float per channel",
                c.dtype(i)?,
                c.shape(i)?
            )));
        }
    }
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let get = |i: usize| c.tensor(i).map(Tensor::to_f64s);
    let (scale, bias, mean, var) = (get(1)?, get(2)?, get(3)?, get(4)?);
    let eps = c.attrs.float("epsilon", 1e-5);
    let channels = x.shape[1];
    let inner: usize = x.shape[2..].iter().product();
    let mut v = x.to_f64s();
    for (i, e) in v.iter_mut().enumerate() {
        let k = i / inner % channels;
        *e = (*e - mean[k]) / (var[k] + eps).sqrt() * scale[k] + bias[k];
    }
    Ok(vec![c.float_result(&v)])
}

fn cases() -> Vec<Case> {
    let c = |name: &str, shape: &[usize]| {
        let ch = shape[1];
        let var: Vec<f32> = sample_f32(5, [ch]).to_f32s().iter().map(|v| v.abs() + 0.5).collect();
        Case::new(
            name,
            Attrs::new().with("epsilon", 1e-5),
            vec![
                sample_f32(1, shape),
                sample_f32(2, [ch]),
                sample_f32(3, [ch]),
                sample_f32(4, [ch]),
                Tensor::from_f32([ch], &var),
            ],
        )
    };
    vec![c("image", &[2, 5, 3, 4]), c("vector", &[3, 6])]
}
