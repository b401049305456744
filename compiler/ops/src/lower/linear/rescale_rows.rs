//! Rows of weights with a scale per group as int8 with one scale per row, for many products with
//! them: exact int32 sums over the whole depth then need no scale on the way.
//!
//! A 4-bit step of the largest group becomes 16 steps of int8, so what is rounded here is small
//! beside what the scheme itself rounded (its square: 0.4% of it where groups are alike). Costs one
//! read of the weights and a write and a read of their bytes: little beside the product with a few
//! hundred rows, so the choice is the caller's.

use super::Linear;
use super::weights::{Weights, nibbles, rounded, signed_bytes};
use crate::Result;
use crate::lower::Lowering;
use crate::ops::linear::DATA;
use crate::quant::Scheme;
use drift_kernel::tensor::Elem;
use drift_kernel::{Access, Scalar};

/// Rows of a workgroup, and the invocations that share one.
const ROWS: u32 = 8;
const SHARE: u32 = 32;
/// Largest int8 used: as many below zero as above.
const LARGEST: f32 = 127.0;

/// Rescaled weights, in temps.
#[derive(Clone, Copy, Debug)]
pub struct Rescaled {
    /// u32 `[n, padded_k / 4]`: four int8 to a word.
    pub data: usize,
    /// f32 `[n]`.
    pub scales: usize,
}

/// Adds the kernel that rescales the weights of `p`, whose scheme has groups.
pub fn rescale(l: &mut Lowering<'_>, p: &Linear) -> Result<Rescaled> {
    let scheme = p.spec.scheme;
    let padded = scheme.padded_k(p.k);
    let out =
        Rescaled { data: l.temp([p.n, padded / 4], Elem::U32), scales: l.temp([p.n], Elem::F32) };
    let groups = (p.n as u32).div_ceil(ROWS);
    let grid = [groups.min(65_535), groups.div_ceil(65_535), 1];
    let k = l.kernel("linear_rescale", [ROWS * SHARE, 1, 1], grid);
    let w = Weights::of(l, &k, DATA, (scheme, p.n, p.k))?;
    let data = l.temp_arg(&k, out.data, Access::Write);
    let scales = l.temp_arg(&k, out.scales, Access::Write);
    let b = &k.b;
    let group = b.workgroup_id(1) * grid[0] + b.workgroup_id(0);
    let (row, lane) = (b.local_index() / SHARE, b.local_index() % SHARE);
    // rows past the last repeat it
    let n = (group * ROWS + row).min(p.n as u32 - 1);

    // the largest scale of the row: no weight is more than so many of its steps
    let steps = if scheme.bits() == 4 { 8.0 } else { LARGEST };
    let pairs = padded.div_ceil(scheme.group().unwrap_or(padded)).div_ceil(2) as u32;
    let most = b.var("most", b.f32(0.0));
    b.for_(0u32, pairs.div_ceil(SHARE), 1, |turn| {
        let pair = (turn * SHARE + lane).min(pairs - 1);
        let [even, odd] = w.scale_pair(b, n, pair);
        most.set(most.get().max(even.abs()).max(odd.abs()));
    });
    let memory = b.shared("most_of", Scalar::F32, 1, ROWS * SHARE);
    memory.store(b.local_index(), most.get());
    b.barrier();
    let most = (0..SHARE)
        .map(|i| memory.load(row * SHARE + i))
        .reduce(|x, y| x.max(y))
        .expect("some invocations");
    let scale = most * (steps / LARGEST);
    b.if_(lane.eq(0u32), || b.store(scales, &[n], scale));
    let inverse = b.select(scale.gt(0.0), b.f32(1.0) / scale, b.f32(0.0));

    // 16 bytes at a time
    let unit = 4 * scheme.per_word() as u32;
    let units = padded as u32 / unit;
    b.for_(0u32, units.div_ceil(SHARE), 1, |turn| {
        let at = turn * SHARE + lane;
        let convert = || {
            let words = w.words(b, n, at * 4u32);
            let scale = w.scale_in(b, w.scale_word(b, n, at * unit), at * unit);
            let factor = scale * inverse;
            let int8: Vec<_> = (0..4u8)
                .flat_map(|i| match scheme {
                    Scheme::Q4 | Scheme::Q4Groups(_) => nibbles(b, words.lane(i)).to_vec(),
                    _ => vec![signed_bytes(b, words.lane(i))],
                })
                .map(|quad| rounded(b, quad, factor))
                .collect();
            for (i, quad) in (0u32..).zip(int8.chunks(4)) {
                b.store4(data, &[n, at * (unit / 4) + 4 * i], 1, b.compose(quad));
            }
        };
        if units.is_multiple_of(SHARE) { convert() } else { b.if_(at.lt(units), convert) }
    });
    l.kernels.push(k.finish(0));
    Ok(out)
}
