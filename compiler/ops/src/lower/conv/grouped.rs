//! Grouped convolution whose groups are not whole slices: one output channel per invocation, read
//! by scalars. Correct for every geometry; rare in practice.

use super::{Conv, all};
use crate::Result;
use crate::lower::{Lowering, dispatch_1d, grid::linear_id};
use drift_ir::{View, ViewStep};
use drift_kernel::{E, Scalar};

const WORKGROUP: u32 = 64;

pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<()> {
    let count = (conv.batch * conv.out_channels * conv.output.iter().product::<usize>()) as u64;
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
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let [d, h, wd] = conv.output.map(|v| v as u32);
        let ox = id % wd;
        let oy = id / wd % h;
        let od = id / (wd * h) % d;
        let oc = id / (wd * h * d) % conv.out_channels as u32;
        let n = id / (wd * h * d * conv.out_channels as u32);
        let first = oc / (conv.out_channels / conv.groups) as u32 * per_group as u32;
        let float = l.dtype(0).is_none_or(|d| d.is_float());
        let zero = || if float { b.f32(0.0) } else { b.i32(0) };
        let init = bias.map_or_else(zero, |t| number(float, b.load(t, &[oc])));
        let acc = b.var("acc", init);
        b.for_(0u32, conv.kernel[0] as u32, 1, |kd| {
            let (id_, in_d) = conv.tap(od, kd, 0);
            b.for_(0u32, conv.kernel[1] as u32, 1, |ky| {
                let (iy, in_y) = conv.tap(oy, ky, 1);
                b.for_(0u32, conv.kernel[2] as u32, 1, |kx| {
                    let (ix, in_x) = conv.tap(ox, kx, 2);
                    let tap = (kd * conv.kernel[1] as u32 + ky) * conv.kernel[2] as u32 + kx;
                    b.for_(0u32, per_group as u32, 1, |c| {
                        let v = number(float, b.load(x, &[n, first + c, id_, iy, ix]));
                        let v = match all(&[in_d, in_y, in_x]) {
                            Some(inside) => b.select(inside, v, zero()),
                            None => v,
                        };
                        let f = number(float, b.load(w, &[oc, c, tap]));
                        acc.set(if float { v.fma(f, acc.get()) } else { acc.get() + v * f });
                    });
                });
            });
        });
        out.store(b, &[n, oc, od, oy, ox], Some(acc.get()));
    });
    l.kernels.push(k.finish(conv.flops()));
    Ok(())
}

/// Integers are summed in i32, whatever their width and sign in the model.
fn number(float: bool, v: E<'_>) -> E<'_> {
    if float { v } else { v.cast(Scalar::I32) }
}
