//! Reshape, and the ONNX operators that are one: Flatten, Squeeze, Unsqueeze, Identity, Dropout.

use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, data};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Attribute `shape`: the result's dims, same element count.
pub static OP: OpDef = OpDef {
    name: "reshape",
    onnx: &[
        ai("Reshape"),
        ai("Flatten"),
        ai("Squeeze"),
        ai("Unsqueeze"),
        ai("Identity"),
        ai("Dropout"),
    ],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let rank = shape.rank();
    let dims: Vec<usize> = match c.op_type.as_str() {
        "Reshape" => reshape_dims(c, &shape)?,
        "Flatten" => {
            let axis = c.attrs.int("axis", 1);
            let a = if axis < 0 { axis + rank as i64 } else { axis };
            let a = usize::try_from(a)
                .ok()
                .filter(|a| *a <= rank)
                .ok_or_else(|| c.invalid(format!("axis {axis} is outside shape {shape}")))?;
            vec![shape[..a].iter().product(), shape[a..].iter().product()]
        }
        "Squeeze" => {
            let axes = match c.ints_attr_or_input("axes", 1)? {
                Some(axes) => c.axes(&axes, rank)?,
                None => (0..rank).filter(|i| shape[*i] == 1).collect(),
            };
            if let Some(a) = axes.iter().find(|a| shape[**a] != 1) {
                return Err(c.invalid(format!("axis {a} of shape {shape} is not 1")));
            }
            (0..rank).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect()
        }
        "Unsqueeze" => {
            let axes =
                c.ints_attr_or_input("axes", 1)?.ok_or_else(|| c.invalid("axes are missing"))?;
            let axes = c.axes(&axes, rank + axes.len())?;
            let mut rest = shape.iter();
            (0..rank + axes.len())
                .map(|i| if axes.contains(&i) { 1 } else { *rest.next().unwrap_or(&1) })
                .collect()
        }
        "Dropout" => return dropout(c, x),
        _ => return Ok(vec![x]),
    };
    Ok(vec![c.reshape(x, dims)?])
}

fn reshape_dims(c: &ImportCtx, from: &Shape) -> Result<Vec<usize>> {
    let want = c
        .ints_attr_or_input("shape", 1)?
        .ok_or_else(|| c.invalid("the target shape is missing"))?;
    let allow_zero = c.attrs.int("allowzero", 0) != 0;
    let bad = |why: &str| c.invalid(format!("cannot reshape {from} to {want:?}: {why}"));
    let mut dims = Vec::with_capacity(want.len());
    let mut infer = None;
    for (i, &d) in want.iter().enumerate() {
        dims.push(match d {
            -1 if infer.is_some() => return Err(bad("more than one -1")),
            -1 => {
                infer = Some(i);
                1
            }
            0 if !allow_zero => {
                *from.get(i).ok_or_else(|| bad("0 copies a dim that does not exist"))?
            }
            d => usize::try_from(d).map_err(|_| bad("negative dims"))?,
        });
    }
    let known = Shape(dims.clone()).checked_elems().ok_or_else(|| bad("too many elements"))?;
    if let Some(i) = infer {
        if known == 0 || !from.elems().is_multiple_of(known) {
            return Err(bad("the element counts do not divide"));
        }
        dims[i] = from.elems() / known;
    } else if known != from.elems() {
        return Err(bad("the element counts differ"));
    }
    Ok(dims)
}

/// Inference: the identity, and a mask of ones.
fn dropout(c: &mut ImportCtx, x: ValueId) -> Result<Vec<ValueId>> {
    let training = match c.opt(2) {
        Some(_) => c.const_int(2, "training_mode")?.unwrap_or(0) != 0,
        None => false,
    };
    if training && c.const_float(1, "ratio")?.unwrap_or(0.5) != 0.0 {
        return Err(c.unsupported("training_mode is on").help("export the model for inference"));
    }
    if !c.wants(1) {
        return Ok(vec![x]);
    }
    let (shape, dtype) = (c.shape(x), c.dtype(x));
    let mask = if c.opset >= 10 { DType::Bool } else { dtype };
    let one = c.scalar(mask, 1.0);
    let ones = c.expand(one, shape)?;
    Ok(vec![x, ones])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let from = c.shape(0)?;
    let shape = c.attrs.usizes("shape").ok_or_else(|| c.invalid("attribute shape is missing"))?;
    let shape = Shape(shape);
    if shape.checked_elems() != Some(from.elems()) {
        return Err(c.invalid(format!("{from} and {shape} have different element counts")));
    }
    Ok(vec![(c.dtype(0)?, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let t = c.tensor(0)?.reshaped(c.result_shape().clone());
    Ok(vec![t.ok_or_else(|| c.invalid("element counts differ"))?])
}

fn cases() -> Vec<Case> {
    let x = data::sample_f32(1, [2, 3, 4]);
    vec![
        Case::new("merge", Attrs::new().with("shape", vec![6i64, 4]), vec![x.clone()]),
        Case::new("split", Attrs::new().with("shape", vec![2i64, 3, 2, 2]), vec![x]),
    ]
}
