//! Cumulative sum (and product) along one axis.

use crate::data::{Num, around_axis, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::{Result, by_class};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Attributes: `axis`, `exclusive` (0 or 1), `reverse` (0 or 1), `kind` (`sum`, `prod`).
pub static OP: OpDef = OpDef {
    name: "cumsum",
    onnx: &[ai("CumSum"), ai("CumProd")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let axis = c.const_int(1, "the axis")?.unwrap_or(0);
    let axis = c.axis(axis, c.rank(x))?;
    let attrs = Attrs::new()
        .with("axis", axis as i64)
        .with("kind", if c.op_type == "CumSum" { "sum" } else { "prod" })
        .with("exclusive", i64::from(c.attrs.int("exclusive", 0) != 0))
        .with("reverse", i64::from(c.attrs.int("reverse", 0) != 0));
    Ok(vec![c.emit("cumsum", attrs, &[x])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let x = c.shape_min_rank(0, 1)?;
    c.axis(x.rank())?;
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let x = c.tensor(0)?;
    let axis = c.axis(x.shape.rank())?;
    Ok(vec![by_class!(x.dtype, compute(c, x, axis))])
}

fn compute<T: Num>(c: &RefCtx, x: &Tensor, axis: usize) -> Tensor {
    let (outer, n, inner) = around_axis(&x.shape, axis);
    let exclusive = c.attrs.int("exclusive", 0) != 0;
    let reverse = c.attrs.int("reverse", 0) != 0;
    let prod = c.attrs.str("kind") == Some("prod");
    let mut v = T::read(x);
    for o in 0..outer {
        for i in 0..inner {
            let mut acc = if prod { T::ONE } else { T::ZERO };
            for k in 0..n {
                let at = (o * n + if reverse { n - 1 - k } else { k }) * inner + i;
                let before = acc;
                acc = if prod { acc * v[at] } else { acc + v[at] };
                v[at] = if exclusive { before } else { acc };
            }
        }
    }
    T::write(x.dtype, &x.shape, &v)
}

fn cases() -> Vec<Case> {
    let c = |name: &str, axis: i64, exclusive: i64, reverse: i64| {
        let attrs = Attrs::new()
            .with("axis", axis)
            .with("kind", "sum")
            .with("exclusive", exclusive)
            .with("reverse", reverse);
        Case::new(name, attrs, vec![sample_f32(1, [3, 7, 2])])
    };
    vec![c("forward", 1, 0, 0), c("exclusive reverse", 0, 1, 1)]
}
