//! The scale of weights that share one: the one with the least squared error among a few that
//! shrink the range, then moved to the least-squares fit of the integers it gives.
//!
//! Clipping the largest weight pays when it makes the steps of all others finer: of 4096 normally
//! distributed weights in 4 bits, the best scale is about 0.7 of the one that holds them all.

/// Integers of a scheme, and the share of the full range that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub low: f32,
    pub high: f32,
    /// Each candidate is the one before times this.
    shrink: f32,
    candidates: usize,
}

pub const Q8: Range = Range { low: -127.0, high: 127.0, shrink: 0.97, candidates: 4 };
pub const Q4: Range = Range { low: -8.0, high: 7.0, shrink: 0.93, candidates: 12 };

/// Rounds of the least-squares fit.
const FITS: usize = 2;

/// 1.5 * 2^23: adding and subtracting it rounds to nearest even where |x| < 2^22. Vectorizes
/// without SSE4.1, unlike `round`.
const ROUND: f32 = 12_582_912.0;

/// 1 / scale, and 0 for 0: such weights are all 0.
pub fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The integer that stands for `w`.
pub fn quantum(w: f32, inverse: f32, range: &Range) -> f32 {
    ((w * inverse).clamp(range.low, range.high) + ROUND) - ROUND
}

/// A scale as f16 storage holds it.
pub fn to_f16(scale: f32) -> f32 {
    half::f16::from_f32(scale.clamp(-65504.0, 65504.0)).to_f32()
}

/// Accumulators side by side, for vector instructions.
const LANES: usize = 8;

/// Squared error of `w` under a scale, and the sums of its least-squares fit: w q and q q.
fn error(w: &[f32], scale: f32, range: &Range) -> (f64, f64, f64) {
    let inverse = inverse(scale);
    let (mut errors, mut wq, mut qq) = (0.0, 0.0, 0.0);
    // f32 sums of short pieces, f64 sums of the pieces
    for piece in w.chunks(512) {
        let mut sums = [[0f32; LANES]; 3];
        let mut add = |lane: usize, w: f32| {
            let q = quantum(w, inverse, range);
            let e = w - q * scale;
            sums[0][lane] += e * e;
            sums[1][lane] += w * q;
            sums[2][lane] += q * q;
        };
        let whole = piece.chunks_exact(LANES);
        whole.remainder().iter().for_each(|&w| add(0, w));
        for eight in whole {
            for (lane, &w) in eight.iter().enumerate() {
                add(lane, w);
            }
        }
        let sum = |i: usize| f64::from(sums[i].iter().sum::<f32>());
        errors += sum(0);
        wq += sum(1);
        qq += sum(2);
    }
    (errors, wq, qq)
}

/// The scale for `w`. `stored` rounds a candidate as storage does, so that what is compared is
/// what will be used.
pub fn scale(w: &[f32], range: &Range, stored: impl Fn(f32) -> f32) -> f32 {
    // the weight that reaches furthest becomes the lowest integer
    let far = w.iter().fold(0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let full = far / range.low;
    let mut best = (f64::INFINITY, 0.0f32, 0.0f32);
    let try_one = |candidate: f32, best: &mut (f64, f32, f32)| {
        let s = stored(candidate);
        let (e, wq, qq) = error(w, s, range);
        if e < best.0 {
            *best = (e, s, if qq > 0.0 { (wq / qq) as f32 } else { s });
        }
    };
    let mut candidate = full;
    for _ in 0..range.candidates {
        try_one(candidate, &mut best);
        candidate *= range.shrink;
    }
    for _ in 0..FITS {
        let fitted = best.2;
        if stored(fitted) == best.1 {
            break;
        }
        try_one(fitted, &mut best);
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample_f32;

    /// Sums of uniform numbers: close to a normal distribution.
    fn normal(n: usize) -> Vec<f32> {
        let u = sample_f32(7, [n, 12]).to_f32s();
        u.chunks_exact(12).map(|c| c.iter().sum::<f32>() / 4.0).collect()
    }

    fn squared(w: &[f32], s: f32, range: &Range) -> f64 {
        error(w, s, range).0
    }

    #[test]
    fn search_beats_the_full_range() {
        let w = normal(4096);
        let full = w.iter().fold(0f32, |m, w| m.max(w.abs())) / 7.0;
        let found = scale(&w, &Q4, |s| s);
        let (a, b) = (squared(&w, full, &Q4), squared(&w, found, &Q4));
        assert!(b < 0.75 * a, "{b} against {a}");
        // and no scale nearby is much better
        let best = (1..400)
            .map(|i| squared(&w, full * i as f32 / 200.0, &Q4))
            .fold(f64::INFINITY, f64::min);
        assert!(b < 1.02 * best, "{b} against {best}");
    }

    #[test]
    fn eight_bits_are_close_to_the_best() {
        let w = normal(512);
        let full = w.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0;
        let best = (100..300)
            .map(|i| squared(&w, full * i as f32 / 200.0, &Q8))
            .fold(f64::INFINITY, f64::min);
        let found = squared(&w, scale(&w, &Q8, |s| s), &Q8);
        assert!(found < 1.1 * best, "{found} against {best}");
    }

    #[test]
    fn zeros_and_tiny_weights() {
        assert_eq!(scale(&[0.0; 32], &Q4, to_f16), 0.0);
        assert_eq!(quantum(0.0, inverse(0.0), &Q4), 0.0);
        // below what f16 scales can say: 0, not NaN
        let s = scale(&[1e-12; 32], &Q4, to_f16);
        assert!(s.is_finite());
        assert!(inverse(s).is_finite());
    }
}
