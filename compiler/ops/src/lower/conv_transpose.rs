//! Transposed convolution in gather form: each result element adds up the taps that land on it.
//! An invocation computes four output channels at one position.

use super::Lowering;
use super::map::{WORKGROUP, loops, per_lane};
use super::{dispatch_1d, grid::linear_id};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::{Builder, E, Layout, TensorId};

/// Geometry with three spatial dims (D, H, W).
struct Geometry {
    batch: usize,
    channels: usize,
    out_channels: usize,
    groups: usize,
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 3],
    strides: [usize; 3],
    dilations: [usize; 3],
    pads: [usize; 3],
}

impl Geometry {
    fn of(l: &Lowering<'_>) -> Result<Geometry> {
        let (x, w, own) = (l.shape(0)?, l.shape(1)?, l.own_shape(0));
        let spatial = x.rank() - 2;
        if spatial > 3 {
            return Err(l.unsupported(format!("{spatial} spatial dims; 1 to 3 are supported")));
        }
        let three = |dims: &[usize], fill: usize| {
            let mut out = [fill; 3];
            out[3 - dims.len()..].copy_from_slice(dims);
            out
        };
        let attr = |name: &str, fill: usize| {
            let v = l.node.attrs.usizes(name).unwrap_or_default();
            three(&v[..v.len().min(spatial)], fill)
        };
        Ok(Geometry {
            batch: x[0],
            channels: x[1],
            out_channels: own[1],
            groups: l.node.attrs.int("group", 1).max(1) as usize,
            input: three(&x[2..], 1),
            output: three(&own[2..], 1),
            kernel: three(&w[2..], 1),
            strides: attr("strides", 1),
            dilations: attr("dilations", 1),
            pads: attr("pads", 0),
        })
    }

    /// Input coordinate from which tap `k` lands on output coordinate `o` along axis `a`, and
    /// whether there is one (`None` = always).
    fn source<'b>(&self, b: &'b Builder, o: E<'b>, k: E<'b>, a: usize) -> (E<'b>, Option<E<'b>>) {
        let (stride, pad, n) = (self.strides[a] as u32, self.pads[a] as u32, self.input[a] as u32);
        let reach = (self.kernel[a] - 1) * self.dilations[a];
        if self.kernel[a] == 1 && stride == 1 && pad == 0 && self.output[a] == self.input[a] {
            return (o, None);
        }
        // shifted by a multiple of the stride that keeps it from being negative
        let shift = (reach as u32).div_ceil(stride);
        let at = o + (pad + shift * stride) - k * self.dilations[a] as u32;
        let step = if stride == 1 { at } else { at / stride };
        let inside = step.ge(shift).and(step.lt(n + shift));
        let lands = if stride == 1 { inside } else { (at % stride).eq(0u32).and(inside) };
        let i = step.max(shift).min(shift + n - 1) - shift;
        (b.assume_max(i, u64::from(n - 1)), Some(lands))
    }

    fn flops(&self) -> u64 {
        let taps: usize = self.kernel.iter().product();
        let inputs = self.batch * self.channels * self.input.iter().product::<usize>();
        2 * (inputs * taps * (self.out_channels / self.groups)) as u64
    }
}

fn reshape(shape: impl Into<Shape>) -> View {
    View::identity().then(ViewStep::Reshape { shape: shape.into() })
}

/// Lowers a `conv_transpose` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let g = Geometry::of(l)?;
    if l.own_shape(0).elems() == 0 {
        return Ok(());
    }
    let outs = g.out_channels / g.groups;
    let ins = g.channels / g.groups;
    let taps: usize = g.kernel.iter().product();
    // quads of output channels may not straddle groups
    let quads = g.groups == 1 || outs.is_multiple_of(4);
    let slices = g.out_channels.div_ceil(4);
    let count = (g.batch * slices * g.output.iter().product::<usize>()) as u64;
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("conv_transpose", [WORKGROUP, 1, 1], groups);
    let five = |c: usize, s: [usize; 3]| reshape([g.batch, c, s[0], s[1], s[2]]);
    let x = l.operand_viewed(&k, 0, five(g.channels, g.input), None)?;
    // [C, O / group, taps]: for one slice of outputs all taps and input channels side by side
    let layout = quads.then_some(Layout::Weights { group: 1, permutation: [4, 3, 0, 1, 2, 5] });
    let w = l.operand_viewed(&k, 1, reshape([g.channels, outs, taps]), layout)?;
    let bias = match l.has(2) {
        true => Some(l.operand_viewed(
            &k,
            2,
            View::identity(),
            quads.then_some(Layout::Slices4 { channel: 0, order: vec![0] }),
        )?),
        false => None,
    };
    let out = l.out(&k, &five(g.out_channels, g.output))?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let mut rest = id;
        let mut at = [b.u32(0); 3];
        for a in (0..3).rev() {
            at[a] = rest % g.output[a] as u32;
            rest = rest / g.output[a] as u32;
        }
        let slice = rest % slices as u32;
        let n = rest / slices as u32;
        let to = [n, slice * 4u32, at[0], at[1], at[2]];
        if !quads {
            // each of the four channels has its own group
            let v = per_lane(b, &to, 1, g.out_channels, |to| scalar(b, &g, [x, w], bias, to));
            out.store4(b, &to, 1, Some(v));
            return;
        }
        let oc = to[1];
        let (first, within) = match g.groups {
            1 => (b.u32(0), oc),
            _ => (oc / outs as u32 * ins as u32, oc % outs as u32),
        };
        let start = bias.map_or_else(|| b.zero4(), |t| b.load4(t, &[oc], 0));
        let acc = b.var("acc", start);
        loops(b, &g.kernel, &mut |tap| {
            let sources: Vec<_> = (0..3).map(|a| g.source(b, at[a], tap[a], a)).collect();
            let [d, h, w_] = [sources[0].0, sources[1].0, sources[2].0];
            let number = (tap[0] * g.kernel[1] as u32 + tap[1]) * g.kernel[2] as u32 + tap[2];
            let sum = || {
                let whole = (ins / 4 * 4) as u32;
                b.for_(0u32, whole, 4, |c| {
                    let v = b.load4(x, &[n, first + c, d, h, w_], 1);
                    let mut sum = acc.get();
                    for lane in 0..4u8 {
                        let f = b.load4(w, &[first + c + u32::from(lane), within, number], 1);
                        sum = v.lane(lane).splat(4).fma(f, sum);
                    }
                    acc.set(sum);
                });
                for c in whole..ins as u32 {
                    let v = b.load(x, &[n, first + c, d, h, w_]);
                    let f = b.load4(w, &[first + c, within, number], 1);
                    acc.set(v.splat(4).fma(f, acc.get()));
                }
            };
            match super::map::all(sources.iter().map(|s| s.1)) {
                Some(lands) => b.if_(lands, sum),
                None => sum(),
            }
        });
        out.store4(b, &to, 1, Some(acc.get()));
    });
    l.kernels.push(k.finish(g.flops()));
    Ok(())
}

/// One output channel, read by scalars; `args` are input and weights.
fn scalar<'b>(
    b: &'b Builder,
    g: &Geometry,
    args: [TensorId; 2],
    bias: Option<TensorId>,
    to: &[E<'b>],
) -> E<'b> {
    let (outs, ins) = (g.out_channels / g.groups, g.channels / g.groups);
    let oc = to[1];
    let (first, within) = (oc / outs as u32 * ins as u32, oc % outs as u32);
    let acc = b.var("acc", bias.map_or_else(|| b.f32(0.0), |t| b.load(t, &[oc])));
    loops(b, &g.kernel, &mut |tap| {
        let sources: Vec<_> = (0..3).map(|a| g.source(b, to[a + 2], tap[a], a)).collect();
        let number = (tap[0] * g.kernel[1] as u32 + tap[1]) * g.kernel[2] as u32 + tap[2];
        let sum = || {
            b.for_(0u32, ins as u32, 1, |c| {
                let at = [to[0], first + c, sources[0].0, sources[1].0, sources[2].0];
                let f = b.load(args[1], &[first + c, within, number]);
                acc.set(b.load(args[0], &at).fma(f, acc.get()));
            });
        };
        match super::map::all(sources.iter().map(|s| s.1)) {
            Some(lands) => b.if_(lands, sum),
            None => sum(),
        }
    });
    acc.get()
}
