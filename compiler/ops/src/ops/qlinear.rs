//! Operators on quantized operands: dequantize, compute in f32, quantize. The integer forms
//! (ConvInteger, MatMulInteger) are exact in i32.

use crate::Result;
use crate::def::{OpDef, ai, composite, ms};
use crate::import::ImportCtx;
use crate::ops::conv::{self, centered};
use crate::ops::dequantize_linear::dequantize;
use crate::ops::matmul::product;
use crate::ops::quantize_linear::quantize;
use drift_ir::{Attrs, PointwiseOp as P, Shape, ValueId};

pub static OP: OpDef = composite(
    "qlinear",
    &[
        ai("QLinearConv"),
        ai("QLinearMatMul"),
        ai("MatMulInteger"),
        ms("QLinearAdd"),
        ms("QLinearMul"),
        ms("QLinearSigmoid"),
        ms("QLinearLeakyRelu"),
        ms("QLinearGlobalAveragePool"),
        ms("QLinearConcat"),
    ],
    import,
);

/// A parameter: one number, or a vector that runs along `axis` of a value of rank `rank`.
fn along(c: &mut ImportCtx, i: usize, axis: usize, rank: usize) -> Result<ValueId> {
    let p = c.input(i)?;
    let shape = c.shape(p);
    if shape.elems() == 1 {
        return c.reshape(p, Shape::scalar());
    }
    if shape.rank() == 1 && axis < rank {
        let mut s = vec![1; rank];
        s[axis] = shape[0];
        return c.reshape(p, s);
    }
    // per row or per column parameters of a matrix product already have their shape
    Ok(p)
}

/// Value `i` with scale and zero point behind it, in f32.
fn real(c: &mut ImportCtx, i: usize, axis: usize) -> Result<ValueId> {
    let v = c.input(i)?;
    let rank = c.rank(v);
    let scale = along(c, i + 1, axis, rank)?;
    let zero = match c.opt(i + 2) {
        Some(_) => Some(along(c, i + 2, axis, rank)?),
        None => None,
    };
    dequantize(c, v, scale, zero)
}

/// `y` quantized with the parameters at inputs `i` and `i + 1`; the type of input 0 without a
/// zero point.
fn back(c: &mut ImportCtx, y: ValueId, i: usize) -> Result<ValueId> {
    let scale = along(c, i, usize::MAX, 0)?;
    let (zero, to) = match c.opt(i + 1) {
        Some(z) => (Some(along(c, i + 1, usize::MAX, 0)?), c.dtype(z)),
        None => (None, c.dtype(c.input(0)?)),
    };
    quantize(c, y, scale, zero, to)
}

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let y = match c.op_type.as_str() {
        "MatMulInteger" => {
            let (a, b) = (c.input(0)?, c.input(1)?);
            // a vector of zero points belongs to the rows of A and the columns of B
            let (row, col) = (c.rank(a).saturating_sub(2), c.rank(b).saturating_sub(1));
            let a = centered(c, a, 2, Some(row))?;
            let b = centered(c, b, 3, Some(col))?;
            product(c, a, b)?
        }
        "QLinearMatMul" => {
            let (ra, rb) = (c.rank(c.input(0)?), c.rank(c.input(3)?));
            let a = real(c, 0, ra.saturating_sub(2))?;
            let b = real(c, 3, rb.saturating_sub(1))?;
            let y = product(c, a, b)?;
            back(c, y, 6)?
        }
        "QLinearConv" => {
            let x = real(c, 0, usize::MAX)?;
            let w = real(c, 3, 0)?;
            let bias = match c.opt(8) {
                Some(b) => {
                    // the bias is in units of both scales
                    let (xs, ws) = (c.input(1)?, c.input(4)?);
                    let xs = c.reshape(xs, Shape::scalar())?;
                    let unit = c.binary(P::Mul, ws, xs)?;
                    let n = c.shape(b);
                    let unit = if c.shape(unit).elems() == 1 {
                        c.reshape(unit, Shape::scalar())?
                    } else {
                        c.reshape(unit, n)?
                    };
                    let b = c.cast(b, drift_ir::DType::F32)?;
                    Some(c.binary(P::Mul, b, unit)?)
                }
                None => None,
            };
            let y = conv::emit(c, x, w, bias)?;
            back(c, y, 6)?
        }
        "QLinearAdd" | "QLinearMul" => {
            let a = real(c, 0, usize::MAX)?;
            let b = real(c, 3, usize::MAX)?;
            let op = if c.op_type == "QLinearAdd" { P::Add } else { P::Mul };
            let y = c.binary(op, a, b)?;
            back(c, y, 6)?
        }
        "QLinearSigmoid" => {
            let x = real(c, 0, usize::MAX)?;
            let y = c.unary(P::Sigmoid, x)?;
            back(c, y, 3)?
        }
        "QLinearLeakyRelu" => {
            let x = real(c, 0, usize::MAX)?;
            let alpha = c.float("alpha", 0.01)?;
            let y = c.binary_const(P::LeakyRelu, x, alpha)?;
            back(c, y, 3)?
        }
        "QLinearGlobalAveragePool" => {
            let x = real(c, 0, usize::MAX)?;
            let rank = c.rank(x);
            let last = c.attrs.int("channels_last", 0) != 0;
            let axes = if last { (1..rank.max(1) - 1).collect() } else { (2..rank).collect() };
            let y = super::reduce::emit(c, "mean", x, axes, true)?;
            back(c, y, 3)?
        }
        _ => {
            // QLinearConcat: y_scale, y_zero_point, then (value, scale, zero point) each
            let n = c.inputs.len().saturating_sub(2) / 3;
            let mut parts = Vec::new();
            for i in 0..n {
                parts.push(real(c, 2 + 3 * i, usize::MAX)?);
            }
            let first = *parts.first().ok_or_else(|| c.invalid("nothing to concatenate"))?;
            let axis = c.axis(c.attrs.int("axis", 0), c.rank(first))?;
            let y = c.emit("concat", Attrs::new().with("axis", axis as i64), &parts)?;
            back(c, y, 0)?
        }
    };
    Ok(vec![y])
}
