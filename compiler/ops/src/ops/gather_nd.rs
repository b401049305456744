//! GatherND: index tuples select parts.

use crate::Result;
use crate::data::sample_f32;
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai};
use crate::import::ImportCtx;
use crate::ops::gather::wrap_index;
use drift_ir::{Attrs, DType, Shape, Tensor, ValueId};

/// Operands: data, integer indices `[.., k]`. Attribute `batch_dims`. Result:
/// `indices[..-1] + data[batch_dims + k..]`.
pub static OP: OpDef = OpDef {
    name: "gather_nd",
    onnx: &[ai("GatherND")],
    import,
    infer,
    reference,
    accuracy: Accuracy::EXACT,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let attrs = Attrs::new().with("batch_dims", c.attrs.int("batch_dims", 0));
    Ok(vec![c.emit("gather_nd", attrs, &[x, index])?])
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, index) = (c.shape_min_rank(0, 1)?, c.shape_min_rank(1, 1)?);
    let batch = usize::try_from(c.attrs.int("batch_dims", 0)).unwrap_or(usize::MAX);
    let k = index[index.rank() - 1];
    let fits = batch < index.rank()
        && batch.checked_add(k).is_some_and(|n| n <= x.rank())
        && k > 0
        && x[..batch] == index[..batch]
        && c.dtype(1)?.is_int();
    if !fits {
        return Err(c.invalid(format!(
            "indices {}{index} do not fit data {x} with {batch} batch dims",
            c.dtype(1)?
        )));
    }
    let mut out = index[..index.rank() - 1].to_vec();
    out.extend(&x[batch + k..]);
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

/// Offset (in parts of `shape[batch + k..]`) of every index tuple.
pub fn part_offsets(
    shape: &Shape,
    index: &Tensor,
    batch: usize,
) -> std::result::Result<Vec<usize>, String> {
    let k = index.shape[index.shape.rank() - 1];
    let per_batch: usize =
        index.shape[batch..index.shape.rank() - 1].iter().product::<usize>().max(1);
    index
        .to_i64s()
        .chunks_exact(k)
        .enumerate()
        .map(|(t, tuple)| {
            let mut at = t / per_batch;
            for (i, v) in tuple.iter().enumerate() {
                let dim = shape[batch + i];
                let v = wrap_index(*v, dim)
                    .ok_or_else(|| format!("index {v} is outside axis {} of {shape}", batch + i))?;
                at = at * dim + v;
            }
            Ok(at)
        })
        .collect()
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (x, index) = (c.tensor(0)?, c.tensor(1)?);
    let batch = c.attrs.int("batch_dims", 0) as usize;
    let k = index.shape[index.shape.rank() - 1];
    let part: usize = x.shape[batch + k..].iter().product::<usize>() * x.dtype.bytes();
    let mut out = Vec::with_capacity(c.result_shape().elems() * x.dtype.bytes());
    for at in part_offsets(&x.shape, index, batch).map_err(|m| c.invalid(m))? {
        out.extend_from_slice(&x.bytes()[at * part..][..part]);
    }
    Tensor::from_bytes(x.dtype, c.result_shape().clone(), out.into())
        .map(|t| vec![t])
        .ok_or_else(|| c.invalid("the parts do not fill the result"))
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "rows",
            Attrs::new().with("batch_dims", 0i64),
            vec![sample_f32(1, [3, 4, 5]), Tensor::from_i64([2, 2], &[0, 3, 2, -2])],
        ),
        Case::new(
            "batched",
            Attrs::new().with("batch_dims", 1i64),
            vec![sample_f32(2, [2, 4, 3]), Tensor::from_i64([2, 2, 1], &[3, 0, 1, 2])],
        ),
    ]
}
