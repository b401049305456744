//! Convolution as a matrix product without the matrix of patches: rows are output pixels (of all
//! batches), columns are output channels, and the depth runs over taps times input channels,
//! channels rounded up to whole slices. Tiles of both operands are gathered into workgroup memory.
//!
//! Small pictures have few tiles. The depth is then split over workgroups ([`Plan::split`]) that
//! write partial sums, and a second kernel adds them, runs the epilogue and stores.

mod cooperative;
mod plan;
mod tiled;

pub use plan::Plan;

use super::{Conv, all, store_slice};
use crate::Result;
use crate::lower::{KernelArgs, Lowering, Out, dispatch_1d, grid::linear_id};
use drift_ir::{View, ViewStep};
use drift_kernel::tensor::Elem;
use drift_kernel::{Access, Builder, E, Layout, TensorId};

/// The product that a convolution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Output pixels of all batches.
    pub rows: u32,
    /// Output channels.
    pub columns: u32,
    /// Input channels, rounded up to whole slices.
    pub channels: u32,
    pub taps: u32,
}

impl Product {
    pub fn of(conv: &Conv) -> Product {
        Product {
            rows: (conv.batch * conv.output.iter().product::<usize>()) as u32,
            columns: conv.out_channels as u32,
            channels: conv.channels.next_multiple_of(4) as u32,
            taps: conv.kernel.iter().product::<usize>() as u32,
        }
    }

    pub fn depth(&self) -> u32 {
        self.taps * self.channels
    }
}

/// Lowers a convolution as a matrix product, where the target and the shapes are right for one;
/// `false` = nothing was done.
pub fn lower(l: &mut Lowering<'_>, conv: &Conv) -> Result<bool> {
    // weights are packed by tiles, padded with zeros: only constants can be
    let as_is = |i: usize| l.node.operands[i].as_ref().is_some_and(|o| o.view.is_identity());
    if conv.groups != 1 || !l.is_const(1) || !as_is(1) {
        return Ok(false);
    }
    let product = Product::of(conv);
    if let Some(plan) = plan::cooperative(l.target, &product).filter(|_| !l.needs_f32(0)) {
        cooperative::lower(l, conv, &plan)?;
        return Ok(true);
    }
    if let Some(plan) = plan::tiled(l.target, &product) {
        tiled::lower(l, conv, &plan)?;
        return Ok(true);
    }
    Ok(false)
}

/// `e`, computed here and now: loops below use the value.
fn pin<'b>(b: &'b Builder, e: E<'b>) -> E<'b> {
    match b.max_of(e) {
        Some(0) => e,
        Some(max) => b.assume_max(b.var("at", e).get(), max),
        None => b.var("at", e).get(),
    }
}

/// Output pixel number `row`: batch and D, H, W coordinates.
fn pixel<'b>(conv: &Conv, row: E<'b>) -> [E<'b>; 4] {
    let [d, h, w] = conv.output.map(|v| v as u32);
    [row / (d * h * w), row / (h * w) % d, row / w % h, row % w]
}

/// Whether neighbouring pixels are neighbours in memory (else channels are).
fn pixels_adjoin(layout: &Layout) -> bool {
    match layout {
        Layout::Slices4 { channel, order } => order.last() != Some(channel),
        _ => true,
    }
}

/// The operands of the product, gathered element by element.
struct Source<'c> {
    conv: &'c Conv,
    product: Product,
    input: TensorId,
    weights: TensorId,
    /// Depth of one step.
    step: u32,
    /// Neighbouring invocations read neighbouring pixels, else neighbouring channels.
    pixels_adjoin: bool,
}

/// How weights are dealt out to quads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filters {
    /// Four input channels of one output channel.
    AlongDepth,
    /// Four output channels at one depth.
    AlongColumns,
}

impl<'c> Source<'c> {
    fn new(
        l: &Lowering<'_>,
        k: &KernelArgs,
        conv: &'c Conv,
        plan: &Plan,
        filters: Filters,
    ) -> Result<Source<'c>> {
        let input = l.operand_viewed(k, 0, conv.input_view(), None)?;
        let permutation = match filters {
            // (G, S_O, O4, HWD, S_I, I4): a column's depth is contiguous
            Filters::AlongDepth => [0, 1, 2, 3, 4, 5],
            // (G, HWD, S_I, I4, S_O, O4): what a workgroup reads in one step is contiguous
            Filters::AlongColumns => [0, 3, 4, 5, 1, 2],
        };
        let layout = Layout::Weights { group: plan.columns / 4, permutation };
        let taps = conv.kernel.iter().product::<usize>();
        let flat = [conv.out_channels, conv.channels, taps];
        let flat = View::identity().then(ViewStep::Reshape { shape: flat.into() });
        let weights = l.operand_viewed(k, 1, flat, Some(layout))?;
        let value = l.node.operands[0].as_ref().map(|o| o.value);
        let place = value.and_then(|v| l.placement(v));
        Ok(Source {
            conv,
            product: Product::of(conv),
            input,
            weights,
            step: plan.step,
            pixels_adjoin: place.is_none_or(|p| pixels_adjoin(&p.layout)),
        })
    }

    /// Tap and first channel of quad number `quad` of step `step`, and whether it is still inside
    /// of the depth (`None` = always); outside, tap and channel are some valid ones.
    fn depth<'b>(&self, step: E<'b>, quad: E<'b>) -> (E<'b>, E<'b>, Option<E<'b>>) {
        let b = step.builder();
        let (slices, taps, quads) = (self.product.channels / 4, self.product.taps, self.step / 4);
        if slices.is_multiple_of(quads) {
            // all of a step belongs to one tap
            let per = slices / quads;
            let tap = if taps == 1 { b.u32(0) } else { step / per };
            let first = if taps == 1 { step } else { step % per };
            return (tap, (first * quads + quad) * 4u32, None);
        }
        let at = step * quads + quad;
        let total = slices * taps;
        let (at, inside) = if total.is_multiple_of(quads) {
            (at, None)
        } else {
            let inside = at.lt(total);
            (b.select(inside, at, b.u32(0)), Some(inside))
        };
        if taps == 1 {
            return (b.u32(0), at * 4u32, inside);
        }
        (at / slices, at % slices * 4u32, inside)
    }

    /// Four channels of the patch around `pixel` from quad `quad` of a step on, in f32, and whether
    /// they are real (`None` = always); others count as zero.
    fn patch<'b>(&self, step: E<'b>, quad: E<'b>, pixel: &[E<'b>; 4]) -> (E<'b>, Option<E<'b>>) {
        let b = step.builder();
        let conv = self.conv;
        let (tap, channel, inside) = self.depth(step, quad);
        let [_, kh, kw] = conv.kernel.map(|v| v as u32);
        let [n, od, oy, ox] = *pixel;
        let kd = if conv.kernel[0] == 1 { b.u32(0) } else { tap / (kh * kw) };
        let ky = if kh == 1 { b.u32(0) } else { tap / kw % kh };
        let kx = if kw == 1 { b.u32(0) } else { tap % kw };
        let (z, in_z) = conv.tap(od, kd, 0);
        let (y, in_y) = conv.tap(oy, ky, 1);
        let (x, in_x) = conv.tap(ox, kx, 2);
        let v = b.load4(self.input, &[n, channel, z, y, x], 1);
        (v, all(&[in_z, in_y, in_x, inside]))
    }

    /// Weights of four input channels for output channel `column`, which may lie in the padding.
    /// Outside of the depth any finite value.
    fn filter_along_depth<'b>(&self, step: E<'b>, quad: E<'b>, column: E<'b>) -> E<'b> {
        let (tap, channel, _) = self.depth(step, quad);
        step.builder().load4(self.weights, &[column, channel, tap], 1)
    }

    /// Weights of four output channels from `column` on, which may lie in the padding, for lane
    /// `lane` of quad `quad`. Outside of the depth any finite value.
    fn filter_along_columns<'b>(
        &self,
        step: E<'b>,
        [quad, lane]: [E<'b>; 2],
        column: E<'b>,
    ) -> E<'b> {
        let b = step.builder();
        let (tap, first, _) = self.depth(step, quad);
        let (channel, channels) = (first + lane, self.conv.channels as u32);
        if channels.is_multiple_of(4) {
            return b.load4(self.weights, &[column, channel, tap], 0);
        }
        // the last slice is not full: an input's padding is finite, not zero
        let real = channel.lt(channels);
        let v = b.load4(self.weights, &[column, channel.min(channels - 1), tap], 0);
        b.select(real, v, b.zero4())
    }
}

/// Where sums go.
enum Sink<'a> {
    /// Through bias and epilogue into the results.
    Results { out: Out<'a>, bias: Option<TensorId> },
    /// `[split, slice, row, lane]`, or `[split, row, slice, lane]` where channels adjoin.
    Partial(TensorId),
}

impl<'a> Sink<'a> {
    fn results(l: &Lowering<'a>, k: &KernelArgs, conv: &Conv) -> Result<Sink<'a>> {
        let layout = Layout::Slices4 { channel: 0, order: vec![0] };
        let bias = match l.has(2) {
            true => Some(l.operand_viewed(k, 2, View::identity(), Some(layout))?),
            false => None,
        };
        Ok(Sink::Results { out: l.out(k, &conv.output_view())?, bias })
    }

    /// Stores the sums of four channels from `column` on of output pixel `row`, both inside.
    fn put<'b>(
        &self,
        conv: &Conv,
        row: E<'b>,
        column: E<'b>,
        split: E<'b>,
        by_row: bool,
        v: E<'b>,
    ) {
        let b = row.builder();
        match self {
            Sink::Results { out, bias } => {
                let v = match bias {
                    Some(t) => v + b.load4(*t, &[column], 0),
                    None => v,
                };
                let [n, d, y, x] = pixel(conv, row);
                store_slice(out, b, &[n, column, d, y, x], v);
            }
            Sink::Partial(t) => {
                let at = partial_at(split, row, column / 4u32, by_row);
                b.store4(*t, &at, 3, v);
            }
        }
    }
}

fn partial_at<'b>(split: E<'b>, row: E<'b>, slice: E<'b>, by_row: bool) -> [E<'b>; 4] {
    let zero = row.builder().u32(0);
    if by_row { [split, slice, row, zero] } else { [split, row, slice, zero] }
}

/// Memory of partial sums.
fn partial(l: &mut Lowering<'_>, product: &Product, plan: &Plan, by_row: bool) -> usize {
    let (rows, slices) = (product.rows as usize, product.columns.div_ceil(4) as usize);
    let split = plan.split as usize;
    let shape = if by_row { [split, slices, rows, 4] } else { [split, rows, slices, 4] };
    l.temp(shape, Elem::F32)
}

/// Adds partial sums; one invocation per pixel and slice.
fn reduce(l: &mut Lowering<'_>, conv: &Conv, plan: &Plan, temp: usize, by_row: bool) -> Result<()> {
    const WORKGROUP: u32 = 64;
    let p = Product::of(conv);
    let slices = p.columns.div_ceil(4);
    let count = u64::from(p.rows) * u64::from(slices);
    let groups = dispatch_1d(count, WORKGROUP);
    let k = l.kernel("conv_sum", [WORKGROUP, 1, 1], groups);
    let parts = l.temp_arg(&k, temp, Access::Read);
    let sink = Sink::results(l, &k, conv)?;
    let b = &k.b;
    let id = linear_id(b, WORKGROUP, groups);
    b.if_(id.lt(count as u32), || {
        let (row, slice) = match by_row {
            true => (id % p.rows, id / p.rows),
            false => (id / slices, id % slices),
        };
        // all loads at once: they overlap
        let read = |z: u32| b.load4(parts, &partial_at(b.u32(z), row, slice, by_row), 3);
        let loaded: Vec<E<'_>> = (0..plan.split).map(read).collect();
        let sum = loaded.into_iter().reduce(|x, y| x + y).unwrap_or_else(|| b.zero4());
        sink.put(conv, row, slice * 4u32, b.u32(0), by_row, sum);
    });
    l.kernels.push(k.finish(0));
    Ok(())
}

/// Splits the depth: first and last step of workgroup `z`.
fn steps<'b>(b: &'b Builder, product: &Product, plan: &Plan) -> (E<'b>, E<'b>) {
    let total = product.depth().div_ceil(plan.step);
    if plan.split == 1 {
        return (b.u32(0), b.u32(total));
    }
    let from = b.workgroup_id(2) * plan.steps;
    (pin(b, from), pin(b, (from + plan.steps).min(total)))
}
