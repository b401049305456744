//! Convolution: the choice of a kernel, and what the kernels share.
//!
//! All kernels see five dims (N, C, D, H, W); 1-D and 2-D convolutions get dims of 1 by views,
//! which cost nothing.

mod depthwise;
mod direct;
mod gemm;
mod grouped;

use super::{Lowering, Out};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::E;

/// A convolution with its geometry as three spatial dims.
#[derive(Clone, Debug)]
pub struct Conv {
    pub batch: usize,
    pub channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    /// D, H, W.
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub strides: [usize; 3],
    pub dilations: [usize; 3],
    /// Padding before; what follows is implied by the output size.
    pub pads: [usize; 3],
}

impl Conv {
    /// Reads shapes and attributes (`pads`, `strides`, `dilations`, `group`).
    pub fn of(l: &Lowering<'_>) -> Result<Conv> {
        let (x, w, y) = (l.shape(0)?, l.shape(1)?, l.own_shape(0));
        let spatial = x.rank() - 2;
        if spatial > 3 {
            return Err(l.unsupported(format!("{spatial} spatial dims; 1 to 3 are supported")));
        }
        let lead = 3 - spatial;
        let three = |dims: &[usize], fill: usize| {
            let mut out = [fill; 3];
            dims.iter().enumerate().for_each(|(i, d)| out[lead + i] = *d);
            out
        };
        let attr = |name: &str, fill: usize| {
            let v = l.node.attrs.usizes(name).unwrap_or_default();
            three(&v[..v.len().min(spatial)], fill)
        };
        Ok(Conv {
            batch: x[0],
            channels: x[1],
            out_channels: w[0],
            groups: l.node.attrs.int("group", 1) as usize,
            input: three(&x[2..], 1),
            output: three(&y[2..], 1),
            kernel: three(&w[2..], 1),
            strides: attr("strides", 1),
            dilations: attr("dilations", 1),
            pads: attr("pads", 0),
        })
    }

    pub fn flops(&self) -> u64 {
        let taps: usize = self.kernel.iter().product();
        let per = taps * self.channels / self.groups;
        2 * (self.batch * self.out_channels * self.output.iter().product::<usize>() * per) as u64
    }

    /// Whether tap coordinates along spatial axis `a` can leave the input.
    pub fn padded(&self, a: usize) -> bool {
        let last =
            (self.output[a] - 1) * self.strides[a] + (self.kernel[a] - 1) * self.dilations[a];
        self.pads[a] > 0 || last >= self.input[a]
    }

    pub fn depthwise(&self) -> bool {
        self.groups == self.channels && self.out_channels == self.channels
    }

    /// `[N, C, D, H, W]` of the input as a view of the operand.
    pub fn input_view(&self) -> View {
        five(self.batch, self.channels, self.input)
    }

    pub fn output_view(&self) -> View {
        five(self.batch, self.out_channels, self.output)
    }

    /// Input coordinate of output coordinate `o` and tap `k` along spatial axis `a`, and whether it
    /// lies inside (`None` = always). Outside, the coordinate is some valid one.
    pub fn tap<'b>(&self, o: E<'b>, k: E<'b>, a: usize) -> (E<'b>, Option<E<'b>>) {
        let b = o.builder();
        let at = o * self.strides[a] as u32 + k * self.dilations[a] as u32;
        if !self.padded(a) {
            return (at, None);
        }
        let pad = self.pads[a] as u32;
        // unsigned: what lies before the input wraps around to a huge number
        let i = if pad == 0 { at } else { at - pad };
        let n = self.input[a] as u32;
        let inside = if pad == 0 { i.lt(n) } else { at.ge(pad).and(at.lt(n + pad)) };
        let safe = b.assume_max(b.select(inside, i, b.u32(0)), u64::from(n - 1));
        (safe, Some(inside))
    }
}

fn five(n: usize, c: usize, s: [usize; 3]) -> View {
    let shape = Shape::from([n, c, s[0], s[1], s[2]]);
    View::identity().then(ViewStep::Reshape { shape })
}

/// `inside` of several axes.
pub fn all<'b>(parts: &[Option<E<'b>>]) -> Option<E<'b>> {
    parts.iter().flatten().copied().reduce(|a, c| a.and(c))
}

/// Lowers a `conv` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let conv = Conv::of(l)?;
    if l.own_shape(0).elems() == 0 {
        return Ok(());
    }
    if l.dtype(0).is_some_and(|d| !d.is_float()) {
        return grouped::lower(l, &conv);
    }
    if conv.depthwise() && conv.groups > 1 {
        return depthwise::lower(l, &conv);
    }
    if gemm::lower(l, &conv)? {
        return Ok(());
    }
    let (i, o) = (conv.channels / conv.groups, conv.out_channels / conv.groups);
    // weights that are computed lie unpacked, without the padding that whole slices read
    if l.is_const(1) && (conv.groups == 1 || (i.is_multiple_of(4) && o.is_multiple_of(4))) {
        return direct::lower(l, &conv);
    }
    grouped::lower(l, &conv)
}

/// Stores channels `c..c+4` at one output position: as a quad where the result has room for it.
pub(super) fn store_slice<'b>(
    out: &Out<'_>,
    b: &'b drift_kernel::Builder,
    at: &[E<'b>; 5],
    acc: E<'b>,
) {
    out.store4(b, at, 1, Some(acc));
}
