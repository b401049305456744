//! Convolution over 1, 2 or 3 spatial axes, with groups and dilation.

use crate::data::{Num, sample_f32};
use crate::def::{Accuracy, Case, InferCtx, OpDef, RefCtx, ai, ms, since};
use crate::import::ImportCtx;
use crate::window::{Window, import_window};
use crate::{Result, by_class};
use drift_ir::{Attrs, DType, PointwiseOp as P, Shape, Tensor, ValueId};

/// Operands: input `[N, C, spatial..]`, weights `[O, C / group, kernel..]`, optional bias `[O]`.
/// Attributes: `strides`, `dilations`, `pads` (all begins, then all ends), `group`.
pub static OP: OpDef = OpDef {
    name: "conv",
    onnx: &[ai("Conv"), since("ConvInteger", 10), ms("FusedConv")],
    import,
    infer,
    reference,
    accuracy: Accuracy::SUMMED,
    cases,
};

fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let (mut x, mut w) = (c.input(0)?, c.input(1)?);
    if c.op_type == "ConvInteger" {
        // exact in i32: (x - x_zero) * (w - w_zero)
        x = centered(c, x, 2, None)?;
        w = centered(c, w, 3, Some(0))?;
        return Ok(vec![emit(c, x, w, None)?]);
    }
    let bias = c.opt(2);
    let mut y = emit(c, x, w, bias)?;
    if c.op_type == "FusedConv" {
        if let Some(z) = c.opt(3) {
            y = c.binary(P::Add, y, z)?;
        }
        y = activate(c, y)?;
    }
    Ok(vec![y])
}

/// `v - zero point` in i32; `axis` is where a vector of zero points runs.
pub fn centered(
    c: &mut ImportCtx,
    v: ValueId,
    zero: usize,
    axis: Option<usize>,
) -> Result<ValueId> {
    let v32 = c.cast(v, DType::I32)?;
    let Some(z) = c.opt(zero) else { return Ok(v32) };
    if c.constant(z).and_then(Tensor::splat_f64) == Some(0.0) {
        return Ok(v32);
    }
    let mut z32 = c.cast(z, DType::I32)?;
    let (rank, elems) = (c.rank(v), c.shape(z).elems());
    if elems == 1 {
        z32 = c.reshape(z32, Shape::scalar())?;
    } else if let (Some(axis), 1) = (axis.filter(|a| *a < rank), c.rank(z)) {
        let mut s = vec![1; rank];
        s[axis] = elems;
        z32 = c.reshape(z32, s)?;
    }
    c.binary(P::Sub, v32, z32)
}

/// A `conv` node from ONNX attributes.
pub fn emit(c: &mut ImportCtx, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Result<ValueId> {
    let (sx, sw) = (c.shape(x), c.shape(w));
    if sw.rank() < 3 || sx.rank() != sw.rank() {
        return Err(c.invalid(format!(
            "input {sx} and weights {sw} must both have rank 3, 4 or 5 (N, C, spatial axes)"
        )));
    }
    let window = import_window(c, &sx, sw[2..].to_vec())?;
    let attrs = window.attrs().with("group", c.attrs.int("group", 1));
    Ok(c.emit_multi("conv", attrs, &[Some(x), Some(w), bias])?[0])
}

/// The activation of a contrib operator, with its `activation_params`.
fn activate(c: &mut ImportCtx, y: ValueId) -> Result<ValueId> {
    let params = c.attrs.floats("activation_params").unwrap_or(&[]).to_vec();
    let p = |i: usize, default: f64| params.get(i).copied().unwrap_or(default);
    let dtype = c.dtype(y);
    match c.attrs.str("activation").unwrap_or("").to_owned().as_str() {
        "" => Ok(y),
        "Relu" => c.unary(P::Relu, y),
        "Sigmoid" => c.unary(P::Sigmoid, y),
        "Tanh" => c.unary(P::Tanh, y),
        "LeakyRelu" => c.binary_const(P::LeakyRelu, y, p(0, 0.01)),
        "Clip" => {
            let args = [
                y.into(),
                crate::import::PwArg::Const(p(0, f64::from(f32::MIN))),
                crate::import::PwArg::Const(p(1, f64::from(f32::MAX))),
            ];
            c.pointwise(P::Clip, &args, dtype)
        }
        "HardSigmoid" => {
            let args = [
                y.into(),
                crate::import::PwArg::Const(p(0, 0.2)),
                crate::import::PwArg::Const(p(1, 0.5)),
            ];
            c.pointwise(P::HardSigmoid, &args, dtype)
        }
        other => Err(c.unsupported(format!("activation {other:?}"))),
    }
}

fn infer(c: &InferCtx) -> Result<Vec<(DType, Shape)>> {
    let (x, w) = (c.shape_min_rank(0, 3)?, c.shape(1)?);
    let group = c.attrs.int("group", 1);
    let g = usize::try_from(group).unwrap_or(0);
    if x.rank() != w.rank() || x.rank() > 5 {
        return Err(c.invalid(format!("input {x} and weights {w} have different ranks")));
    }
    if g == 0 || w[1].checked_mul(g) != Some(x[1]) || w[0] % g != 0 {
        return Err(c.invalid(format!(
            "{} input channels, weights {w} and {group} groups do not fit together",
            x[1]
        )));
    }
    if c.dtype(0)? != c.dtype(1)? {
        return Err(c.invalid(format!("input is {}, weights {}", c.dtype(0)?, c.dtype(1)?)));
    }
    if let Some((_, b)) = c.get(2)
        && b.as_slice() != [w[0]]
    {
        return Err(c.invalid(format!("bias {b} does not fit {} output channels", w[0])));
    }
    let window = Window::of(c.attrs, &w[2..])
        .ok_or_else(|| c.invalid("strides, dilations and pads do not fit the weights"))?;
    let mut out = vec![x[0], w[0]];
    for i in 0..window.rank() {
        out.push(window.out(i, x[i + 2], false).ok_or_else(|| {
            c.invalid(format!("the kernel of {w} is larger than the padded input {x}"))
        })?);
    }
    Ok(vec![(c.dtype(0)?, Shape(out))])
}

fn reference(c: &RefCtx) -> Result<Vec<Tensor>> {
    let (dtype, shape) = &c.results[0];
    let w = c.tensor(1)?;
    let window = Window::of(c.attrs, &w.shape[2..]).ok_or_else(|| c.invalid("bad window"))?;
    let group = c.attrs.int("group", 1) as usize;
    Ok(vec![by_class!(dtype, compute(c.tensor(0)?, w, c.get(2), &window, group, *dtype, shape))])
}

/// `[a, b]` as `[1, 1, a, b]`, say: spatial lists brought to three axes.
fn three(v: &[usize], fill: usize) -> [usize; 3] {
    let mut out = [fill; 3];
    out[3 - v.len()..].copy_from_slice(v);
    out
}

/// Positions `o` in `0..n` with `0 <= o*stride + offset < dim`.
fn valid(n: usize, stride: usize, offset: isize, dim: usize) -> std::ops::Range<usize> {
    let ceil = |v: isize| if v <= 0 { 0 } else { (v as usize).div_ceil(stride) };
    let lo = ceil(-offset).min(n);
    lo..ceil(dim as isize - offset).clamp(lo, n)
}

fn compute<T: Num>(
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    group: usize,
    dtype: DType,
    shape: &Shape,
) -> Tensor {
    let (vx, vw) = (T::read(x), T::read(w));
    let bias = bias.map(T::read);
    let [xd, xh, xw] = three(&x.shape[2..], 1);
    let [od, oh, ow] = three(&shape[2..], 1);
    let [kd, kh, kw] = three(&window.kernel, 1);
    let stride = three(&window.strides, 1);
    let dilation = three(&window.dilations, 1);
    let begin = three(&window.begin, 0);
    let (channels, outs) = (x.shape[1], shape[1]);
    let (per, outs_per) = (channels / group, outs / group);
    let (plane, out_plane, taps) = (xd * xh * xw, od * oh * ow, kd * kh * kw);
    let at = |k: usize, axis: usize| (k * dilation[axis]) as isize - begin[axis] as isize;
    let mut out = Vec::with_capacity(shape.elems());
    for n in 0..shape[0] {
        for o in 0..outs {
            let mut acc = vec![bias.as_ref().map_or(T::ZERO, |b| b[o]); out_plane];
            for ci in 0..per {
                let c = o / outs_per * per + ci;
                let input = &vx[(n * channels + c) * plane..][..plane];
                let weights = &vw[(o * per + ci) * taps..][..taps];
                for (tap, f) in weights.iter().enumerate() {
                    let (az, ay, ax) =
                        (at(tap / (kh * kw), 0), at(tap / kw % kh, 1), at(tap % kw, 2));
                    for z in valid(od, stride[0], az, xd) {
                        let iz = (z * stride[0]) as isize + az;
                        for y in valid(oh, stride[1], ay, xh) {
                            let iy = (y * stride[1]) as isize + ay;
                            let row = &input[(iz as usize * xh + iy as usize) * xw..][..xw];
                            let to = &mut acc[(z * oh + y) * ow..][..ow];
                            for i in valid(ow, stride[2], ax, xw) {
                                let ix = (i * stride[2]) as isize + ax;
                                to[i] = to[i] + *f * row[ix as usize];
                            }
                        }
                    }
                }
            }
            out.extend(acc);
        }
    }
    T::write(dtype, shape, &out)
}

fn cases() -> Vec<Case> {
    let attrs = |s: &[i64], d: &[i64], p: &[i64], g: i64| {
        Attrs::new()
            .with("strides", s.to_vec())
            .with("dilations", d.to_vec())
            .with("pads", p.to_vec())
            .with("group", g)
    };
    let c = |name: &str, a: Attrs, x: &[usize], w: &[usize], bias: bool| {
        let mut operands = vec![sample_f32(1, x), sample_f32(2, w)];
        if bias {
            operands.push(sample_f32(3, [w[0]]));
        }
        Case::new(name, a, operands)
    };
    vec![
        c("1x1", attrs(&[1, 1], &[1, 1], &[0; 4], 1), &[1, 5, 4, 6], &[7, 5, 1, 1], true),
        c("3x3", attrs(&[1, 1], &[1, 1], &[1; 4], 1), &[2, 3, 6, 7], &[8, 3, 3, 3], true),
        c("stride", attrs(&[2, 2], &[1, 1], &[0, 0, 1, 1], 1), &[1, 4, 8, 8], &[4, 4, 3, 3], true),
        c(
            "dilated",
            attrs(&[1, 1], &[2, 3], &[2, 3, 2, 3], 1),
            &[1, 2, 9, 9],
            &[3, 2, 3, 3],
            false,
        ),
        c("groups", attrs(&[1, 1], &[1, 1], &[1; 4], 2), &[1, 6, 5, 5], &[4, 3, 3, 3], true),
        c("depthwise", attrs(&[1, 1], &[1, 1], &[1; 4], 6), &[1, 6, 5, 5], &[6, 1, 3, 3], true),
        c("multiplier", attrs(&[2, 1], &[1, 1], &[1; 4], 3), &[1, 3, 5, 5], &[6, 1, 3, 3], false),
        c("1d", attrs(&[2], &[1], &[2, 1], 1), &[2, 3, 11], &[4, 3, 4], true),
        c("3d", attrs(&[1, 2, 1], &[1; 3], &[1; 6], 1), &[1, 2, 4, 5, 6], &[3, 2, 3, 3, 3], true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_a_window() {
        let attrs = Attrs::new()
            .with("strides", vec![1i64, 1])
            .with("dilations", vec![1i64, 1])
            .with("pads", vec![1i64; 4])
            .with("group", 1i64);
        let x = Tensor::from_f32([1, 1, 3, 3], &[1.0; 9]);
        let w = Tensor::from_f32([1, 1, 3, 3], &[1.0; 9]);
        let body = drift_ir::Body::default();
        let y = crate::eval::eval_op("conv", "t", &attrs, &[Some(x), Some(w)], &body).unwrap();
        assert_eq!(y[0].to_f32s(), [4., 6., 4., 6., 9., 6., 4., 6., 4.]);
    }

    #[test]
    fn positions_inside() {
        assert_eq!(valid(5, 1, -1, 5), 1..5);
        assert_eq!(valid(5, 2, 1, 4), 0..2);
        assert_eq!(valid(3, 1, 7, 4), 0..0);
        assert_eq!(valid(3, 1, -9, 4), 3..3);
    }
}
