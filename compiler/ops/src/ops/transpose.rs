//! Transpose: a permutation of axes.

use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, data};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId, ViewStep};

/// Attribute `perm`: result axis `k` is source axis `perm[k]`.
pub static OP: OpDef = OpDef {
    name: "transpose",
    onnx: &[ai("Transpose")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let rank = c.rank(x);
    let perm = match c.attrs.ints("perm") {
        Some(p) => c.axes(p, rank)?,
        None => (0..rank).rev().collect(),
    };
    if perm.len() != rank {
        return Err(c.invalid(format!("perm {perm:?} does not fit shape {}", c.shape(x))));
    }
    Ok(vec![c.transpose(x, &perm)?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let from = c.shape(0)?;
    let perm = c.usizes("perm", from.rank())?;
    let shape = ViewStep::Transpose { perm: perm.clone() }
        .apply(from)
        .ok_or_else(|| c.invalid(format!("{perm:?} is no permutation of the axes of {from}")))?;
    Ok(vec![(c.dtype(0)?, shape)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let t = data::transposed(c.tensor(0)?, &c.usizes("perm"));
    Ok(vec![t.ok_or_else(|| c.invalid("perm does not apply"))?])
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "nchw to nhwc",
            Attrs::new().with("perm", vec![0i64, 2, 3, 1]),
            vec![data::sample_f32(1, [2, 5, 3, 4])],
        ),
        Case::new(
            "matrix",
            Attrs::new().with("perm", vec![1i64, 0]),
            vec![data::sample(2, DType::I32, [7, 5])],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let t = Tensor::from_f32([2, 3], &[0., 1., 2., 3., 4., 5.]);
        let r = crate::eval::eval_op(
            "transpose",
            "t",
            &Attrs::new().with("perm", vec![1i64, 0]),
            &[Some(t)],
            &drift_ir::Body::default(),
        )
        .unwrap();
        assert_eq!(r[0].to_f32s(), [0., 3., 1., 4., 2., 5.]);
    }
}
