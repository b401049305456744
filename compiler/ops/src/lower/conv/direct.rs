//! Direct convolution: an invocation computes a block of neighbouring pixels along W times a block
//! of output slices (four channels each); weights in (G, HWD, S_I, S_O, I4, O4), so that one
//! invocation's weights are contiguous (paper, 3.1).

use super::{Conv, all, store_slice};
use crate::Result;
use crate::lower::{Lowering, dispatch_1d, grid::linear_id};
use drift_ir::View;
use drift_kernel::{E, Layout, TensorId};

const WORKGROUP: u32 = 64;

/// Pixels along W and output slices per invocation: as large as still keeps the device busy.
fn block(l: &Lowering<'_>, conv: &Conv) -> (usize, usize) {
    let slices = (conv.out_channels / conv.groups).div_ceil(4);
    let pixels = conv.batch * conv.output.iter().product::<usize>();
    let options = [(4, 2), (2, 2), (4, 1), (2, 1), (1, 1)];
    let fits = |&(w, s): &(usize, usize)| {
        let (w_ok, s_ok) = (conv.output[2] >= w, slices.is_multiple_of(s));
        let work = (pixels / w) * (conv.out_channels.div_ceil(4) / s);
        w_ok && s_ok && work as u64 >= l.target.full_invocations
    };
    options.into_iter().find(fits).unwrap_or((1, 1))
}

pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<()> {
    let (bw, bs) = block(l, conv);
    let [_, _, out_w] = conv.output;
    let columns = out_w.div_ceil(bw) as u32;
    let slice_blocks = conv.out_channels.div_ceil(4).div_ceil(bs) as u32;
    let rows = conv.output[0] * conv.output[1] * conv.batch;
    let count = u64::from(columns) * u64::from(slice_blocks) * rows as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("conv", [WORKGROUP, 1, 1], groups);
    let x = l.operand_viewed(&k, 0, conv.input_view(), None)?;
    let weights = Layout::Weights { group: bs as u32, permutation: [0, 3, 4, 1, 5, 2] };
    let spatial = conv.kernel.iter().product::<usize>();
    let flat = [conv.out_channels, conv.channels / conv.groups, spatial];
    let flat = View::identity().then(drift_ir::ViewStep::Reshape { shape: flat.into() });
    let w = l.operand_viewed(&k, 1, flat, Some(weights))?;
    let bias = Layout::Slices4 { channel: 0, order: vec![0] };
    let bias = match l.has(2) {
        true => Some(l.operand_viewed(&k, 2, View::identity(), Some(bias))?),
        false => None,
    };
    let out = l.out(&k, &conv.output_view())?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    let in_slices = (conv.channels / conv.groups).div_ceil(4) as u32;
    // one slice that is not full: the rest of its lanes is left out
    let lanes = 4.min(conv.channels / conv.groups) as u32;
    let out_per_group = (conv.out_channels / conv.groups) as u32;
    b.if_(id.lt(count as u32), || {
        let ox = (id % columns) * bw as u32;
        let rest = id / columns;
        let oy = rest % conv.output[1] as u32;
        let rest = rest / conv.output[1] as u32;
        let od = rest % conv.output[0] as u32;
        let rest = rest / conv.output[0] as u32;
        let so = rest % slice_blocks;
        let n = rest / slice_blocks;
        let oc = so * (4 * bs) as u32;
        // first input channel of this output block's group
        let first = match conv.groups {
            1 => b.u32(0),
            _ => (oc / out_per_group) * (conv.channels / conv.groups) as u32,
        };
        let lane = |p: usize| ox + p as u32;
        let acc: Vec<Vec<_>> = (0..bw)
            .map(|_| {
                (0..bs)
                    .map(|s| {
                        let init = match bias {
                            Some(t) => b.load4(t, &[oc + 4 * s as u32], 0),
                            None => b.zero4(),
                        };
                        b.var("acc", init)
                    })
                    .collect()
            })
            .collect();
        b.for_(0u32, conv.kernel[0] as u32, 1, |kd| {
            let (id_, in_d) = conv.tap(od, kd, 0);
            b.for_(0u32, conv.kernel[1] as u32, 1, |ky| {
                let (iy, in_y) = conv.tap(oy, ky, 1);
                b.for_(0u32, conv.kernel[2] as u32, 1, |kx| {
                    let columns: Vec<_> = (0..bw).map(|p| conv.tap(lane(p), kx, 2)).collect();
                    let tap = (kd * conv.kernel[1] as u32 + ky) * conv.kernel[2] as u32 + kx;
                    b.for_(0u32, in_slices, 1, |s| {
                        let c = first + s * 4u32;
                        let xs: Vec<_> = columns
                            .iter()
                            .map(|(ix, in_x)| {
                                let v = b.load4(x, &[n, c, id_, iy, clamp_column(*ix, conv)], 1);
                                match all(&[in_d, in_y, *in_x]) {
                                    Some(inside) => b.select(inside, v, b.zero4()),
                                    None => v,
                                }
                            })
                            .collect();
                        for (o, oc) in (0..bs).map(|o| (o, oc + 4 * o as u32)) {
                            let ws: Vec<_> = (0..lanes)
                                .map(|i| weight(w, [oc, s * 4u32 + i, tap], i, conv))
                                .collect();
                            for (p, v) in xs.iter().enumerate() {
                                let mut a = acc[p][o].get();
                                for (i, w) in ws.iter().enumerate() {
                                    a = v.lane(i as u8).splat(4).fma(*w, a);
                                }
                                acc[p][o].set(a);
                            }
                        }
                    });
                });
            });
        });
        for (p, row) in acc.iter().enumerate() {
            let store = || {
                for (o, a) in row.iter().enumerate() {
                    let at = [n, oc + 4 * o as u32, od, oy, lane(p)];
                    store_slice(&out, b, &at, a.get());
                }
            };
            if out_w.is_multiple_of(bw) { store() } else { b.if_(lane(p).lt(out_w as u32), store) }
        }
    });
    l.kernels.push(k.finish(conv.flops()));
    Ok(())
}

/// Weights of four output channels for input lane `i`. The lanes behind the last channel are zero
/// whatever the padding of the weights holds: an input's padding is finite, not zero.
fn weight<'b>(w: TensorId, [oc, ic, tap]: [E<'b>; 3], i: u32, conv: &Conv) -> E<'b> {
    let b = oc.builder();
    let channels = (conv.channels / conv.groups) as u32;
    if channels <= 4 || channels.is_multiple_of(4) || i < channels % 4 {
        return b.load4(w, &[oc, ic, tap], 0);
    }
    let v = b.load4(w, &[oc, ic.min(channels - 1), tap], 0);
    b.select(ic.lt(channels), v, b.zero4())
}

/// The last block of a row may start inside and end outside of the output: its reads stay inside.
fn clamp_column<'b>(ix: E<'b>, conv: &Conv) -> E<'b> {
    ix.min(conv.input[2] as u32 - 1)
}
