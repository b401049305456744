//! x in workgroup memory: floats, or integers with a scale per unit.
//!
//! A unit of x is the elements that meet one load of weights. Units are cut into quads of words
//! that lie in planes, `[m, plane, unit]`: neighbouring invocations read neighbouring 16 bytes.

use super::Gemv;
use super::plan::unit;
use drift_kernel::builder::S;
use drift_kernel::{E, Scalar};

/// x of the part of K that is walked.
pub struct Staged<'b> {
    /// Quads of f32, or of words of four int8.
    data: S<'b>,
    /// Per unit: the scale of its integers, and -8 times their sum for 4-bit weights.
    scales: Option<S<'b>>,
    planes: u32,
    units: u32,
}

/// 1.5 * 2^23: added to a float below 2^22, it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;

impl<'b> Staged<'b> {
    pub fn new(g: &Gemv<'b, '_>) -> Staged<'b> {
        let (b, unit, units) = (g.b, unit(g.p.spec.scheme), g.plan.chunk_units());
        let planes = if g.plan.int8 { unit / 16 } else { unit / 4 };
        let scalar = if g.plan.int8 { Scalar::U32 } else { Scalar::F32 };
        let width = if unit == 32 { 2 } else { 1 };
        Staged {
            data: b.shared("x", scalar, 4, g.m() * planes * units),
            scales: g.plan.int8.then(|| b.shared("x_scales", Scalar::U32, width, g.m() * units)),
            planes,
            units,
        }
    }

    fn at(&self, row: E<'b>, plane: impl Into<Plane<'b>>, unit: E<'b>) -> E<'b> {
        let first = row * (self.planes * self.units) + unit;
        match plane.into() {
            Plane::Known(p) => first + p * self.units,
            Plane::Dynamic(p) => first + p * self.units,
        }
    }

    /// Quad `plane` of unit `unit` of row `row`.
    pub fn quad(&self, row: E<'b>, plane: u32, unit: E<'b>) -> E<'b> {
        self.data.load(self.at(row, plane, unit))
    }

    /// Scale of a unit, and -8 times the sum of its integers where weights have 4 bits.
    pub fn scale(&self, row: E<'b>, unit: E<'b>) -> Option<(E<'b>, Option<E<'b>>)> {
        let v = self.scales?.load(row * self.units + unit);
        let offset = (v.ty().vector().width == 2).then(|| v.lane(1).bitcast(Scalar::I32));
        Some((v.lane(0).bitcast(Scalar::F32), offset))
    }

    /// Fills workgroup memory with part `chunk` of x; zeros past its end.
    pub fn fill(&self, g: &Gemv<'b, '_>, chunk: E<'b>) {
        match self.scales {
            Some(scales) => self.fill_integers(g, chunk, scales),
            None => self.fill_floats(g, chunk),
        }
    }

    /// Deals `count` items of each row to the invocations.
    fn deal(&self, g: &Gemv<'b, '_>, count: u32, f: impl FnOnce(E<'b>, E<'b>)) {
        let (b, size) = (g.b, g.plan.invocations);
        let total = g.m() * count;
        b.for_(0u32, total.div_ceil(size), 1, |turn| {
            let i = turn * size + b.local_index();
            let body = || f(i / count, i % count);
            if total.is_multiple_of(size) { body() } else { b.if_(i.lt(total), body) }
        });
    }

    fn fill_floats(&self, g: &Gemv<'b, '_>, chunk: E<'b>) {
        let b = g.b;
        let first = chunk * (self.units * self.planes);
        self.deal(g, self.units * self.planes, |row, quad| {
            let v = g.args.x4(b, row, (first + quad) * 4u32);
            self.data.store(self.at(row, quad % self.planes, quad / self.planes), v);
        });
    }

    /// Rounds units to int8: 16 elements per invocation, two of which share a unit of 32.
    fn fill_integers(&self, g: &Gemv<'b, '_>, chunk: E<'b>, scales: S<'b>) {
        let b = g.b;
        // without shuffles, an invocation takes a whole unit
        let share = if g.plan.shuffles { 1 } else { self.planes };
        let pieces = self.planes / share;
        let first = chunk * (self.units * self.planes);
        self.deal(g, self.units * pieces, |row, piece| {
            let from = (first + piece * share) * 16u32;
            let quads: Vec<E<'b>> =
                (0..4 * share).map(|i| g.args.x4(b, row, from + 4 * i)).collect();
            let peaks = quads.iter().map(|q| q.abs()).reduce(|a, c| a.max(c));
            let peaks = peaks.unwrap_or_else(|| b.zero4());
            let peak = peaks.lane(0).max(peaks.lane(1)).max(peaks.lane(2).max(peaks.lane(3)));
            let peak = match pieces {
                1 => peak,
                _ => peak.max(peak.subgroup_shuffle_xor(b.u32(1))),
            };
            let inverse = b.f32(127.0) / peak.max(1e-30f32);
            let words: Vec<E<'b>> = quads.iter().map(|q| rounded(b, *q, inverse)).collect();
            for (i, words) in (0u32..).zip(words.chunks(4)) {
                let plane = piece * share + i;
                let at = self.at(row, plane % self.planes, plane / self.planes);
                self.data.store(at, b.compose(words));
            }
            let scale = (peak * (1.0 / 127.0f32)).bitcast(Scalar::U32);
            let to = row * self.units + piece / pieces;
            if self.planes == 1 {
                scales.store(to, scale);
                return;
            }
            let ones = b.u32(0x0101_0101);
            let sum = words.iter().fold(b.i32(0), |sum, w| w.dot4(ones, sum, true));
            let sum = match pieces {
                1 => sum,
                _ => sum + sum.subgroup_shuffle_xor(b.u32(1)),
            };
            let pair = b.compose(&[scale, (sum * -8i32).bitcast(Scalar::U32)]);
            match pieces {
                1 => scales.store(to, pair),
                n => b.if_((piece % n).eq(0u32), || scales.store(to, pair)),
            }
        });
    }
}

/// Four floats as int8 in a word, the first in its low byte.
fn rounded<'b>(b: &'b drift_kernel::Builder, v: E<'b>, inverse: E<'b>) -> E<'b> {
    let bits = v.fma(inverse.splat(4), b.lit_like(f64::from(ROUND), v.ty())).bitcast(Scalar::U32);
    let byte = |i: u8| bits.lane(i).and(0xffu32);
    let low = byte(0).or(byte(1).shl(8u32));
    low.or(byte(2).shl(16u32)).or(bits.lane(3).shl(24u32))
}

/// A plane known when the kernel is written, or not.
enum Plane<'b> {
    Known(u32),
    Dynamic(E<'b>),
}

impl From<u32> for Plane<'_> {
    fn from(p: u32) -> Self {
        Plane::Known(p)
    }
}

impl<'b> From<E<'b>> for Plane<'b> {
    fn from(p: E<'b>) -> Self {
        Plane::Dynamic(p)
    }
}
