//! ScatterND: index tuples name the parts to replace.

use crate::data::{Num, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::gather_nd::part_offsets;
use crate::ops::scatter_elements::{check_reduction, combine};
use crate::{Result, by_class};
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: data, integer indices `[.., k]`, updates `indices[..-1] + data[k..]`. Attribute
/// `reduction` (`none`, `add`, `mul`, `max`, `min`).
pub static OP: OpDef = OpDef {
    name: "scatter_nd",
    onnx: &[ai("ScatterND")],
    import,
    infer,
    reference,
    accuracy: Accuracy::ROUNDED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let operands = [c.input(0)?, c.input(1)?, c.input(2)?];
    let reduction = c.attrs.str("reduction").unwrap_or("none").to_owned();
    Ok(vec![c.emit("scatter_nd", Attrs::new().with("reduction", reduction.as_str()), &operands)?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, index, updates) = (c.shape_min_rank(0, 1)?, c.shape_min_rank(1, 1)?, c.shape(2)?);
    let k = index[index.rank() - 1];
    let mut want = index[..index.rank() - 1].to_vec();
    if k > 0 && k <= x.rank() {
        want.extend(&x[k..]);
    }
    if k == 0
        || k > x.rank()
        || updates.0 != want
        || !c.dtype(1)?.is_int()
        || c.dtype(2)? != c.dtype(0)?
    {
        return Err(c.invalid(format!("indices {index} and updates {updates} do not fit data {x}")));
    }
    check_reduction(c)?;
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, index) = (c.tensor(0)?, c.tensor(1)?);
    let at = part_offsets(&x.shape, index, 0).map_err(|m| c.invalid(m))?;
    let k = index.shape[index.shape.rank() - 1];
    let part: usize = x.shape[k..].iter().product();
    let reduction = c.attrs.str("reduction").unwrap_or("none");
    Ok(vec![by_class!(x.dtype, compute(x, c.tensor(2)?, &at, part, reduction))])
}

fn compute<T: Num>(
    x: &Tensor,
    updates: &Tensor,
    at: &[usize],
    part: usize,
    reduction: &str,
) -> Tensor {
    let (mut v, u) = (T::read(x), T::read(updates));
    for (t, at) in at.iter().enumerate() {
        for i in 0..part {
            v[at * part + i] = combine(reduction, v[at * part + i], u[t * part + i]);
        }
    }
    T::write(x.dtype, &x.shape, &v)
}

fn cases() -> Vec<Case> {
    let c = |reduction: &str| {
        Case::new(
            reduction,
            Attrs::new().with("reduction", reduction),
            vec![
                sample_f32(1, [4, 3, 2]),
                Tensor::from_i64([3, 2], &[0, 2, 3, 0, -1, -2]),
                sample_f32(2, [3, 2]),
            ],
        )
    };
    vec![c("none"), c("add"), c("max")]
}
