//! Expand: numpy broadcasting to a shape; Tile and CenterCropPad's relatives are built on it.

use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, data};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId, ViewStep};

/// Attribute `shape`: the result's dims.
pub static OP: OpDef = OpDef {
    name: "expand",
    onnx: &[ai("Expand"), ai("Tile")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let from = c.shape(x);
    if c.op_type == "Tile" {
        return Ok(vec![tile(c, x, &from)?]);
    }
    let want = c.const_i64s(1, "the shape")?.ok_or_else(|| c.invalid("the shape is missing"))?;
    let want = sizes(c, &want)?;
    let to = from
        .broadcast(&Shape(want.clone()))
        .ok_or_else(|| c.invalid(format!("shape {from} does not expand to {want:?}")))?;
    Ok(vec![c.expand(x, to)?])
}

/// Non-negative sizes.
pub fn sizes(c: &ImportCtx, v: &[i64]) -> Result<Vec<usize>> {
    v.iter()
        .map(|&d| usize::try_from(d).map_err(|_| c.invalid(format!("{v:?} has a negative size"))))
        .collect()
}

/// Tile: each repeated axis `d` becomes `[1, d]`, is expanded to `[n, d]` and merged again.
fn tile(c: &mut ImportCtx, x: ValueId, from: &Shape) -> Result<ValueId> {
    let repeats = if c.domain.is_empty() && c.opset < 6 {
        let (n, axis) = (c.const_int(1, "tiles")?, c.const_int(2, "axis")?);
        let (n, axis) = (n.unwrap_or(1), c.axis(axis.unwrap_or(0), from.rank())?);
        let mut r = vec![1; from.rank()];
        r[axis] = n;
        r
    } else {
        c.const_i64s(1, "repeats")?.ok_or_else(|| c.invalid("repeats are missing"))?
    };
    let repeats = sizes(c, &repeats)?;
    if repeats.len() != from.rank() {
        return Err(c.invalid(format!("repeats {repeats:?} do not fit shape {from}")));
    }
    let (mut split, mut wide, mut merged) = (vec![], vec![], vec![]);
    for (&d, &n) in from.iter().zip(&repeats) {
        if n != 1 && d != 1 {
            split.extend([1, d]);
            wide.extend([n, d]);
        } else {
            split.push(d);
            wide.push(n * d);
        }
        merged.push(d.checked_mul(n).ok_or_else(|| c.invalid("the result is too large"))?);
    }
    let x = c.reshape(x, split)?;
    let x = c.expand(x, wide)?;
    c.reshape(x, merged)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let from = c.shape(0)?;
    let shape = c.attrs.usizes("shape").ok_or_else(|| c.invalid("attribute shape is missing"))?;
    let shape = ViewStep::Broadcast { shape: Shape(shape.clone()) }
        .apply(from)
        .ok_or_else(|| c.invalid(format!("{from} does not broadcast to {shape:?}")))?;
    Ok(vec![(c.dtype(0)?, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let t = data::broadcast_to(c.tensor(0)?, c.result_shape());
    Ok(vec![t.ok_or_else(|| c.invalid("the shape does not broadcast"))?])
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "channels",
            Attrs::new().with("shape", vec![2i64, 3, 4]),
            vec![data::sample_f32(1, [3, 1])],
        ),
        Case::new(
            "scalar",
            Attrs::new().with("shape", vec![5i64]),
            vec![data::sample(2, DType::I32, Shape::scalar())],
        ),
    ]
}
