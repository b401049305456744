//! Grouped convolution whose groups are not whole slices, computed weights, and integers: four
//! output channels per invocation, each read by scalars. Correct for every geometry; rare in
//! practice.

use super::{Conv, all, store_slice};
use crate::Result;
use crate::lower::map::per_lane;
use crate::lower::{Lowering, dispatch_1d, grid::linear_id};
use drift_ir::{View, ViewStep};
use drift_kernel::{Builder, E, Scalar, TensorId};

const WORKGROUP: u32 = 64;

pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<()> {
    let slices = conv.out_channels.div_ceil(4) as u32;
    let pixels = conv.batch * conv.output.iter().product::<usize>();
    let count = u64::from(slices) * pixels as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("grouped_conv", [WORKGROUP, 1, 1], groups);
    let x = l.operand_viewed(&k, 0, conv.input_view(), None)?;
    let per_group = conv.channels / conv.groups;
    let taps: usize = conv.kernel.iter().product();
    let flat = [conv.out_channels, per_group, taps];
    let flat = View::identity().then(ViewStep::Reshape { shape: flat.into() });
    let w = l.operand_viewed(&k, 1, flat, None)?;
    let bias = if l.has(2) { Some(l.operand(&k, 2)?) } else { None };
    let out = l.out(&k, &conv.output_view())?;
    let float = l.dtype(0).is_none_or(|d| d.is_float());
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let [d, h, wd] = conv.output.map(|v| v as u32);
        let ox = id % wd;
        let oy = id / wd % h;
        let od = id / (wd * h) % d;
        let oc = id / (wd * h * d) % slices * 4u32;
        let n = id / (wd * h * d * slices);
        let at = [n, oc, od, oy, ox];
        let sums =
            per_lane(b, &at, 1, conv.out_channels, |at| channel(b, conv, float, [x, w], bias, at));
        store_slice(&out, b, &at, sums);
    });
    l.kernels.push(k.finish(conv.flops()));
    Ok(())
}

/// One output channel at one position; `args` are input and weights.
fn channel<'b>(
    b: &'b Builder,
    conv: &Conv,
    float: bool,
    args: [TensorId; 2],
    bias: Option<TensorId>,
    at: &[E<'b>],
) -> E<'b> {
    let per_group = (conv.channels / conv.groups) as u32;
    let first = at[1] / (conv.out_channels / conv.groups) as u32 * per_group;
    let zero = || if float { b.f32(0.0) } else { b.i32(0) };
    let acc = b.var("acc", bias.map_or_else(zero, |t| number(float, b.load(t, &[at[1]]))));
    b.for_(0u32, conv.kernel[0] as u32, 1, |kd| {
        let (id, in_d) = conv.tap(at[2], kd, 0);
        b.for_(0u32, conv.kernel[1] as u32, 1, |ky| {
            let (iy, in_y) = conv.tap(at[3], ky, 1);
            b.for_(0u32, conv.kernel[2] as u32, 1, |kx| {
                let (ix, in_x) = conv.tap(at[4], kx, 2);
                let tap = (kd * conv.kernel[1] as u32 + ky) * conv.kernel[2] as u32 + kx;
                b.for_(0u32, per_group, 1, |c| {
                    let v = number(float, b.load(args[0], &[at[0], first + c, id, iy, ix]));
                    let v = match all(&[in_d, in_y, in_x]) {
                        Some(inside) => b.select(inside, v, zero()),
                        None => v,
                    };
                    let f = number(float, b.load(args[1], &[at[1], c, tap]));
                    acc.set(if float { v.fma(f, acc.get()) } else { acc.get() + v * f });
                });
            });
        });
    });
    acc.get()
}

/// Integers are summed in i32, whatever their width and sign in the model.
fn number(float: bool, v: E<'_>) -> E<'_> {
    if float { v } else { v.cast(Scalar::I32) }
}
