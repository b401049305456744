//! Matrix product with numpy batch broadcasting.

use crate::data::{Num, sample, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai, ms};
use crate::import::ImportCtx;
use crate::{Result, by_class};
use drift_ir::{Attrs, DType, PointwiseOp, Shape, Tensor, ValueId};

/// Operands `[.., M, K]` and `[.., K, N]`, both of rank 2 or more; result `[.., M, N]`.
/// No attributes: transposed operands are views, alpha and bias element-wise steps.
pub static OP: OpDef = OpDef {
    name: "matmul",
    onnx: &[ai("MatMul"), ms("FusedMatMul"), ms("TransposeMatMul")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (mut a, mut b) = (c.input(0)?, c.input(1)?);
    if !c.domain.is_empty() {
        if c.attrs.int("transBatchA", 0) != 0 {
            a = rows_first(c, a)?;
        }
        if c.attrs.int("transBatchB", 0) != 0 {
            b = rows_first(c, b)?;
        }
        if c.attrs.int("transA", 0) != 0 {
            a = swap_last(c, a)?;
        }
        if c.attrs.int("transB", 0) != 0 {
            b = swap_last(c, b)?;
        }
    }
    let y = product(c, a, b)?;
    let alpha = c.float("alpha", 1.0)?;
    Ok(vec![if alpha == 1.0 { y } else { c.binary_const(PointwiseOp::Mul, y, alpha)? }])
}

/// `[M, batch.., K]` as `[batch.., M, K]`.
fn rows_first(c: &mut ImportCtx, v: ValueId) -> Result<ValueId> {
    let rank = c.rank(v);
    if rank < 3 {
        return Ok(v);
    }
    let mut perm: Vec<usize> = (1..rank - 1).collect();
    perm.extend([0, rank - 1]);
    c.transpose(v, &perm)
}

/// The last two axes exchanged.
pub fn swap_last(c: &mut ImportCtx, v: ValueId) -> Result<ValueId> {
    let rank = c.rank(v);
    if rank < 2 {
        return Ok(v);
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 1, rank - 2);
    c.transpose(v, &perm)
}

/// `numpy.matmul`: vectors are rows on the left and columns on the right.
pub fn product(c: &mut ImportCtx, a: ValueId, b: ValueId) -> Result<ValueId> {
    let (sa, sb) = (c.shape(a), c.shape(b));
    if sa.rank() == 0 || sb.rank() == 0 {
        return Err(c.invalid(format!("scalars have no matrix product: {sa} and {sb}")));
    }
    let a2 = if sa.rank() == 1 { c.reshape(a, vec![1, sa[0]])? } else { a };
    let b2 = if sb.rank() == 1 { c.reshape(b, vec![sb[0], 1])? } else { b };
    let y = c.emit("matmul", Attrs::new(), &[a2, b2])?;
    let mut dims = c.shape(y).0;
    let n = dims.len();
    if sb.rank() == 1 {
        dims.remove(n - 1);
    }
    if sa.rank() == 1 {
        dims.remove(n - 2);
    }
    c.reshape(y, dims)
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (a, b) = (c.shape_min_rank(0, 2)?, c.shape_min_rank(1, 2)?);
    let (ra, rb) = (a.rank(), b.rank());
    if c.dtype(0)? != c.dtype(1)? {
        return Err(c.invalid(format!("operands are {} and {}", c.dtype(0)?, c.dtype(1)?)));
    }
    if a[ra - 1] != b[rb - 2] {
        return Err(c.invalid(format!(
            "inner dims differ: {} of {a} and {} of {b}",
            a[ra - 1],
            b[rb - 2]
        )));
    }
    let (ba, bb) = (Shape::from(&a[..ra - 2]), Shape::from(&b[..rb - 2]));
    let mut out =
        ba.broadcast(&bb).ok_or_else(|| c.invalid(format!("batches of {a} and {b} do not fit")))?;
    out.extend([a[ra - 2], b[rb - 1]]);
    Ok(vec![(c.dtype(0)?, out)])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (a, b) = (c.tensor(0)?, c.tensor(1)?);
    let (dtype, shape) = &c.results[0];
    Ok(vec![by_class!(dtype, compute(a, b, *dtype, shape))])
}

fn compute<T: Num>(a: &Tensor, b: &Tensor, dtype: DType, shape: &Shape) -> Tensor {
    let (ra, r) = (a.shape.rank(), shape.rank());
    let (m, k, n) = (shape[r - 2], a.shape[ra - 1], shape[r - 1]);
    let batch = Shape::from(&shape[..r - 2]);
    let (va, vb) = (T::read(a), T::read(b));
    let mut out = vec![T::ZERO; shape.elems()];
    // index of the batch in an operand whose batch dims may be 1 or absent
    let index = |s: &Shape, coord: &[usize]| {
        let own = &s[..s.rank() - 2];
        let pad = coord.len() - own.len();
        own.iter().zip(&coord[pad..]).fold(0, |i, (&d, &x)| i * d + if d == 1 { 0 } else { x })
    };
    crate::data::for_each_coord(&batch, |i, coord| {
        let a0 = index(&a.shape, coord) * m * k;
        let b0 = index(&b.shape, coord) * k * n;
        for row in 0..m {
            let to = &mut out[(i * m + row) * n..(i * m + row + 1) * n];
            for x in 0..k {
                let f = va[a0 + row * k + x];
                let from = &vb[b0 + x * n..b0 + (x + 1) * n];
                to.iter_mut().zip(from).for_each(|(t, g)| *t = *t + f * *g);
            }
        }
    });
    T::write(dtype, shape, &out)
}

fn cases() -> Vec<Case> {
    let c = |name: &str, a: &[usize], b: &[usize]| {
        Case::new(name, Attrs::new(), vec![sample_f32(1, a), sample_f32(2, b)])
    };
    vec![
        c("plain", &[5, 7], &[7, 6]),
        c("one row", &[1, 33], &[33, 17]),
        c("batched", &[2, 3, 4, 5], &[2, 3, 5, 8]),
        c("broadcast batch", &[2, 1, 4, 5], &[3, 5, 4]),
        c("aligned", &[8, 16], &[16, 8]),
        Case::new(
            "i32",
            Attrs::new(),
            vec![sample(1, DType::I32, [3, 4]), sample(2, DType::I32, [4, 5])],
        ),
    ]
}
