//! Col2Im: overlapping blocks added up. It is a transposed convolution with one tap per channel.

use crate::Result;
use crate::def::{OpDef, composite, since};
use crate::import::ImportCtx;
use crate::ops::expand::sizes;
use crate::window::explicit_pads;
use drift_ir::{Attrs, Tensor, ValueId};

pub static OP: OpDef = composite("col2im", &[since("Col2Im", 18)], import);

/// Input `[N, C · taps, L]`: each of the `taps` channels of a group goes to one position of the
/// window, so the weights are an identity `[taps, 1, kernel..]`, shared by all C.
fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let x = c.input(0)?;
    let image = c.const_i64s(1, "image_shape")?.ok_or_else(|| c.invalid("no image_shape"))?;
    let block = c.const_i64s(2, "block_shape")?.ok_or_else(|| c.invalid("no block_shape"))?;
    let (image, block) = (sizes(c, &image)?, sizes(c, &block)?);
    let n = image.len();
    let shape = c.shape(x);
    let list = |name: &str| c.attrs.usizes(name).unwrap_or_else(|| vec![1; n]);
    let (strides, dilations) = (list("strides"), list("dilations"));
    let (begin, end) = explicit_pads(c, n)?;
    let taps = block.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).unwrap_or(0);
    let bad = || c.invalid(format!("input {shape}, image {image:?}, block {block:?} do not fit"));
    if !(1..=3).contains(&n)
        || block.len() != n
        || strides.len() != n
        || dilations.len() != n
        || strides.contains(&0)
        || taps == 0
        || taps > 1 << 12
        || shape.rank() != 3
        || !shape[1].is_multiple_of(taps)
    {
        return Err(bad());
    }
    // how many blocks lie along each axis, and what the last one leaves over
    let (mut counts, mut extra) = (vec![], vec![]);
    for i in 0..n {
        let span = (block[i] - 1).checked_mul(dilations[i]).ok_or_else(bad)? + 1;
        let room = (image[i] + begin[i] + end[i]).checked_sub(span).ok_or_else(bad)?;
        counts.push(room / strides[i] + 1);
        extra.push(room % strides[i]);
    }
    if counts.iter().product::<usize>() != shape[2] {
        return Err(bad());
    }
    let channels = shape[1] / taps;
    let mut cols = vec![shape[0] * channels, taps];
    cols.extend(&counts);
    let y = c.reshape(x, cols)?;
    let eye: Vec<f64> =
        (0..taps * taps).map(|i| f64::from(u8::from(i / taps == i % taps))).collect();
    let mut kernel = vec![taps, 1];
    kernel.extend(&block);
    let w = Tensor::from_f64s(c.dtype(x), kernel, &eye);
    let w = c.add_const(w);
    let pads: Vec<usize> = begin.into_iter().chain(end).collect();
    let attrs = Attrs::new()
        .with("strides", strides)
        .with("dilations", dilations)
        .with("pads", pads)
        .with("output_padding", extra)
        .with("group", 1i64);
    let y = c.emit("conv_transpose", attrs, &[y, w])?;
    let mut out = vec![shape[0], channels];
    out.extend(&image);
    Ok(vec![c.reshape(y, out)?])
}
