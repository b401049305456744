//! What a tile adds to the sums of a block.

use super::Gemv;
use super::stage::Staged;
use crate::lower::linear::weights::{nibble_bytes, nibbles, signed_bytes};
use crate::quant::Scheme;
use drift_kernel::builder::V;
use drift_kernel::{E, Scalar};

impl<'b> Gemv<'b, '_> {
    /// Adds tile `t` of part `chunk` to the sums `[rows][m]`. `tile`: its weights and group
    /// scales, `[rows][steps]`.
    pub fn add(
        &self,
        staged: &Staged<'b>,
        tile: &[Vec<Vec<E<'b>>>; 2],
        chunk: E<'b>,
        t: E<'b>,
        sums: &[Vec<V<'b>>],
    ) {
        let [weights, scales] = tile;
        for s in 0..self.plan.steps {
            let unit = self.unit(t, s);
            let whole = unit + chunk * self.plan.chunk_units();
            for m in 0..self.m() {
                let row = self.b.u32(m);
                let dot = self.plan.int8.then(|| Integers::of(self, staged, row, unit));
                let floats = Floats::of(self, staged, row, unit);
                for (r, sums) in sums.iter().enumerate() {
                    let w = weights[r][s as usize];
                    let scale = scales.get(r).map(|s_| self.group_scale(s_[s as usize], whole));
                    let sum = sums[m as usize];
                    match &dot {
                        Some(x) => sum.set(x.add(self, w, scale, sum.get())),
                        None => sum.set(floats.add(self, w, scale, sum.get())),
                    }
                }
            }
        }
    }

    /// The scale of a unit in the word that holds it.
    fn group_scale(&self, word: E<'b>, unit: E<'b>) -> E<'b> {
        self.args.w.scale_in(self.b, word, unit * super::unit(self.p.spec.scheme))
    }
}

/// A unit of one row of x as int8.
struct Integers<'b> {
    words: Vec<E<'b>>,
    scale: E<'b>,
    offset: E<'b>,
}

impl<'b> Integers<'b> {
    fn of(g: &Gemv<'b, '_>, staged: &Staged<'b>, row: E<'b>, unit: E<'b>) -> Integers<'b> {
        let planes = super::unit(g.p.spec.scheme) / 16;
        let quads: Vec<E<'b>> = (0..planes).map(|p| staged.quad(row, p, unit)).collect();
        let words = quads.iter().flat_map(|q| (0..4).map(|i| q.lane(i))).collect();
        let zero = (g.b.f32(0.0), None);
        let (scale, offset) = staged.scale(row, unit).unwrap_or(zero);
        Integers { words, scale, offset: offset.unwrap_or_else(|| g.b.i32(0)) }
    }

    fn add(&self, g: &Gemv<'b, '_>, w: E<'b>, scale: Option<E<'b>>, sum: E<'b>) -> E<'b> {
        let b = g.b;
        let words: Vec<E<'b>> = (0..4).map(|i| w.lane(i)).collect();
        let dot4 = |acc: E<'b>, (w, x): (E<'b>, &E<'b>)| w.dot4(*x, acc, true);
        let dot = match g.p.spec.scheme {
            Scheme::Q4 | Scheme::Q4Groups(_) => {
                let [low, high] = [0, 1].map(|half| {
                    let operands = words.iter().map(|w| nibble_bytes(*w)[half]);
                    let start = if half == 0 { self.offset } else { b.i32(0) };
                    operands.zip(self.words.iter().skip(half).step_by(2)).fold(start, dot4)
                });
                low * 16i32 + high
            }
            _ => words.into_iter().zip(&self.words).fold(self.offset, dot4),
        };
        let factor = scale.map_or(self.scale, |s| s * self.scale);
        dot.cast(Scalar::F32).fma(factor, sum)
    }
}

/// A unit of one row of x as f32.
struct Floats<'b> {
    quads: Vec<E<'b>>,
}

impl<'b> Floats<'b> {
    fn of(g: &Gemv<'b, '_>, staged: &Staged<'b>, row: E<'b>, unit: E<'b>) -> Floats<'b> {
        if g.plan.int8 {
            return Floats { quads: Vec::new() };
        }
        let planes = super::unit(g.p.spec.scheme) / 4;
        Floats { quads: (0..planes).map(|p| staged.quad(row, p, unit)).collect() }
    }

    fn add(&self, g: &Gemv<'b, '_>, w: E<'b>, scale: Option<E<'b>>, sum: E<'b>) -> E<'b> {
        let b = g.b;
        let quads: Vec<E<'b>> = match g.p.spec.scheme {
            Scheme::F32 | Scheme::F16 => vec![w.cast(Scalar::F32)],
            Scheme::Q8 | Scheme::Q8Groups(_) => {
                (0..4).map(|i| signed_bytes(b, w.lane(i))).collect()
            }
            Scheme::Q4 | Scheme::Q4Groups(_) => {
                (0..4).flat_map(|i| nibbles(b, w.lane(i))).collect()
            }
        };
        let dots = quads.iter().zip(&self.quads).map(|(w, x)| w.dot(*x)).reduce(|a, c| a + c);
        let dot = dots.unwrap_or(sum);
        match scale {
            Some(s) => dot.fma(s, sum),
            None => sum + dot,
        }
    }
}
