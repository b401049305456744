//! Depthwise convolution: every channel has its own filter; an invocation computes one slice (four
//! channels) of a few neighbouring pixels.

use super::{Conv, all, store_slice};
use crate::Result;
use crate::lower::{Lowering, dispatch_1d, grid::linear_id};
use drift_ir::{View, ViewStep};
use drift_kernel::{E, Layout};

const WORKGROUP: u32 = 64;

/// Devices with fewer invocations (CPUs) compile long code slowly and gain nothing by it.
const UNROLL_INVOCATIONS: u64 = 4096;
/// Most taps of a kernel that is written out.
const UNROLL_TAPS: usize = 25;

/// Pixels along W per invocation: neighbours share inputs, as long as the device stays busy.
fn block(l: &Lowering<'_>, conv: &Conv, slices: u32) -> usize {
    let rows = conv.batch * conv.output[0] * conv.output[1] * slices as usize;
    let busy = |w: usize| (rows * conv.output[2] / w) as u64 >= l.target.full_invocations;
    [4, 2].into_iter().find(|&w| conv.output[2] >= w && busy(w)).unwrap_or(1)
}

pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<()> {
    let slices = conv.channels.div_ceil(4) as u32;
    let rows = conv.batch * conv.output[0] * conv.output[1];
    let bw = block(l, conv, slices);
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
        let ragged = !conv.output[2].is_multiple_of(bw);
        // one row of taps: all of its loads, inputs that pixels share once, then the sums
        let row = |kd, ky, columns: &[_]| {
            let (z, in_z) = conv.tap(od, kd, 0);
            let (y, in_y) = conv.tap(oy, ky, 1);
            let mut loaded: Vec<(E<'_>, E<'_>)> = Vec::new();
            let mut read = |p: usize, kx| {
                let (x_, in_x) = conv.tap(ox + p as u32, kx, 2);
                // the last block may start inside and end outside of the output
                let x_ = if ragged { x_.min(conv.input[2] as u32 - 1) } else { x_ };
                if let Some((_, v)) = loaded.iter().find(|(at, _)| at.id == x_.id) {
                    return *v;
                }
                let v = b.load4(x, &[n, c, z, y, x_], 1);
                let v = match all(&[in_z, in_y, in_x]) {
                    Some(inside) => b.select(inside, v, b.zero4()),
                    None => v,
                };
                loaded.push((x_, v));
                v
            };
            let taps: Vec<_> = columns
                .iter()
                .map(|&kx| {
                    let tap = (kd * conv.kernel[1] as u32 + ky) * conv.kernel[2] as u32 + kx;
                    let inputs: Vec<_> = (0..bw).map(|p| read(p, kx)).collect();
                    (b.load4(w, &[c, tap], 0), inputs)
                })
                .collect();
            for (p, a) in acc.iter().enumerate() {
                let sum = taps.iter().fold(a.get(), |sum, (w, v)| v[p].fma(*w, sum));
                a.set(sum);
            }
        };
        let written_out = |n: usize| (0..n as u32).map(|k| b.u32(k)).collect::<Vec<_>>();
        let columns = |kd, ky| match conv.kernel[2] <= 7 {
            true => row(kd, ky, &written_out(conv.kernel[2])),
            false => b.for_(0u32, conv.kernel[2] as u32, 1, |kx| row(kd, ky, &[kx])),
        };
        b.for_(0u32, conv.kernel[0] as u32, 1, |kd| {
            let unroll = taps <= UNROLL_TAPS && l.target.full_invocations >= UNROLL_INVOCATIONS;
            match unroll {
                true => written_out(conv.kernel[1]).into_iter().for_each(|ky| columns(kd, ky)),
                false => b.for_(0u32, conv.kernel[1] as u32, 1, |ky| columns(kd, ky)),
            }
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
