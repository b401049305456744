//! ScatterElements (and its old name Scatter).

use crate::Result;
use crate::by_class;
use crate::data::{Num, for_each_coord, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::gather::wrap_index;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: data, integer indices, updates of the indices' shape. Attributes `axis`,
/// `reduction` (`none`, `add`, `mul`, `max`, `min`).
pub static OP: OpDef = OpDef {
    name: "scatter_elements",
    onnx: &[ai("ScatterElements"), ai("Scatter")],
    import,
    infer,
    reference,
    accuracy: Accuracy::ROUNDED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let operands = [c.input(0)?, c.input(1)?, c.input(2)?];
    let axis = c.axis(c.attrs.int("axis", 0), c.rank(operands[0]))?;
    let reduction = c.attrs.str("reduction").unwrap_or("none").to_owned();
    let attrs = Attrs::new().with("axis", axis as i64).with("reduction", reduction.as_str());
    Ok(vec![c.emit("scatter_elements", attrs, &operands)?])
}

/// Checks the attribute `reduction`.
pub fn check_reduction(c: &InferCtx) -> Result<()> {
    match c.attrs.str("reduction") {
        Some("none" | "add" | "mul" | "max" | "min") => Ok(()),
        other => Err(c.invalid(format!("reduction {other:?} is not known"))),
    }
}

/// Combines an element with an update.
pub fn combine<T: Num>(reduction: &str, old: T, new: T) -> T {
    match reduction {
        "add" => old + new,
        "mul" => old * new,
        "max" if old > new => old,
        "min" if old < new => old,
        _ => new,
    }
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, index, updates) = (c.shape_min_rank(0, 1)?, c.shape(1)?, c.shape(2)?);
    let axis = c.axis(x.rank())?;
    let fits = index.rank() == x.rank()
        && index == updates
        && (0..x.rank()).all(|i| i == axis || index[i] <= x[i])
        && c.dtype(1)?.is_int()
        && c.dtype(2)? == c.dtype(0)?;
    if !fits {
        return Err(c.invalid(format!("indices {index} and updates {updates} do not fit data {x}")));
    }
    check_reduction(c)?;
    Ok(vec![(c.dtype(0)?, x.clone())])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, index) = (c.tensor(0)?, c.tensor(1)?);
    let axis = c.axis(x.shape.rank())?;
    let at = index
        .to_i64s()
        .into_iter()
        .map(|i| {
            wrap_index(i, x.shape[axis]).ok_or_else(|| {
                c.invalid(format!("index {i} is outside axis {axis} of {}", x.shape))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![by_class!(x.dtype, compute(c, x, &index.shape, c.tensor(2)?, &at, axis))])
}

fn compute<T: Num>(
    c: &RefCtx,
    x: &Tensor,
    shape: &Shape,
    updates: &Tensor,
    at: &[usize],
    axis: usize,
) -> Tensor {
    let reduction = c.attrs.str("reduction").unwrap_or("none");
    let (mut v, u) = (T::read(x), T::read(updates));
    let strides = x.shape.strides();
    for_each_coord(shape, |i, coord| {
        let to: usize =
            (0..coord.len()).map(|a| strides[a] * if a == axis { at[i] } else { coord[a] }).sum();
        v[to] = combine(reduction, v[to], u[i]);
    });
    T::write(x.dtype, &x.shape, &v)
}

fn cases() -> Vec<Case> {
    let index = Tensor::from_i64([2, 3], &[2, 0, 1, -1, 0, 1]);
    let c = |reduction: &str| {
        Case::new(
            reduction,
            Attrs::new().with("axis", 1i64).with("reduction", reduction),
            vec![sample_f32(1, [2, 4]), index.clone(), sample_f32(2, [2, 3])],
        )
    };
    vec![c("none"), c("add"), c("mul"), c("max"), c("min")]
}
