//! Depthwise convolution: every channel has its own filter; an invocation computes one slice (four
//! channels) of a few neighbouring pixels.

use super::{Conv, all, store_slice};
use crate::Result;
use crate::lower::{Lowering, dispatch_1d, grid::linear_id};
use drift_ir::{View, ViewStep};
use drift_kernel::Layout;

const WORKGROUP: u32 = 64;

pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<()> {
    let slices = conv.channels.div_ceil(4) as u32;
    let rows = conv.batch * conv.output[0] * conv.output[1];
    let busy = |w: usize| {
        (rows * slices as usize * conv.output[2] / w) as u64 >= l.target.full_invocations
    };
    let bw = if conv.output[2] >= 4 && busy(4) { 4 } else { 1 };
    let columns = conv.output[2].div_ceil(bw) as u32;
    let count = u64::from(columns) * u64::from(slices) * rows as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("depthwise_conv", [WORKGROUP, 1, 1], groups);
    let x = l.operand_viewed(&k, 0, conv.input_view(), None)?;
    let taps: usize = conv.kernel.iter().product();
    let flat = View::identity().then(ViewStep::Reshape { shape: [conv.channels, taps].into() });
    // [slice, tap, 4 channels]; the stored rank decides how many axes the order lists
    let rank = l.shape(1)?.rank() as u8;
    let order = std::iter::once(0).chain(1..rank).collect();
    let w = l.operand_viewed(&k, 1, flat, Some(Layout::Slices4 { channel: 0, order }))?;
    let bias = Layout::Slices4 { channel: 0, order: vec![0] };
    let bias = match l.has(2) {
        true => Some(l.operand_viewed(&k, 2, View::identity(), Some(bias))?),
        false => None,
    };
    let out = l.out(&k, &conv.output_view())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let ox = (id % columns) * bw as u32;
        let rest = id / columns;
        let oy = rest % conv.output[1] as u32;
        let rest = rest / conv.output[1] as u32;
        let od = rest % conv.output[0] as u32;
        let rest = rest / conv.output[0] as u32;
        let c = (rest % slices) * 4u32;
        let n = rest / slices;
        let init = || match bias {
            Some(t) => b.load4(t, &[c], 0),
            None => b.zero4(),
        };
        let acc: Vec<_> = (0..bw).map(|_| b.var("acc", init())).collect();
        b.for_(0u32, conv.kernel[0] as u32, 1, |kd| {
            let (id_, in_d) = conv.tap(od, kd, 0);
            b.for_(0u32, conv.kernel[1] as u32, 1, |ky| {
                let (iy, in_y) = conv.tap(oy, ky, 1);
                // short rows of taps are written out: their loads overlap
                let unrolled = if conv.kernel[2] <= 7 { conv.kernel[2] } else { 1 };
                let step = |kx: drift_kernel::E<'_>| {
                    let tap = (kd * conv.kernel[1] as u32 + ky) * conv.kernel[2] as u32 + kx;
                    let wv = b.load4(w, &[c, tap], 0);
                    for (p, a) in acc.iter().enumerate() {
                        let (ix, in_x) = conv.tap(ox + p as u32, kx, 2);
                        let ix = ix.min(conv.input[2] as u32 - 1);
                        let v = b.load4(x, &[n, c, id_, iy, ix], 1);
                        let v = match all(&[in_d, in_y, in_x]) {
                            Some(inside) => b.select(inside, v, b.zero4()),
                            None => v,
                        };
                        a.set(v.fma(wv, a.get()));
                    }
                };
                if unrolled > 1 {
                    (0..unrolled as u32).for_each(|kx| step(b.u32(kx)));
                } else {
                    b.for_(0u32, conv.kernel[2] as u32, 1, step);
                }
            });
        });
        for (p, a) in acc.iter().enumerate() {
            let ox = ox + p as u32;
            let store = || store_slice(&out, b, &[n, c, od, oy, ox], a.get());
            if conv.output[2].is_multiple_of(bw) {
                store();
            } else {
                b.if_(ox.lt(conv.output[2] as u32), store);
            }
        }
    });
    l.kernels.push(k.finish(conv.flops()));
    Ok(())
}
