//! x in workgroup memory: floats, or integers with a scale per unit.
//!
//! A unit of x is the elements that meet one load of weights. Units are cut into quads of words
//! that lie in planes, `[m, plane, unit]`: neighbouring invocations read neighbouring 16 bytes.

use super::Gemv;
use super::plan::unit;
use crate::lower::linear::post_norm;
use crate::lower::linear::weights::rounded;
use drift_kernel::builder::S;
use drift_kernel::{E, Scalar};

/// x of the part of K that is walked.
pub struct Staged<'b> {
    /// Quads of f32, or of words of four int8.
    data: S<'b>,
    /// Per unit: the scale of its integers; for 4-bit weights a 16th of it, and -8 times the sum of
    /// the integers in even words.
    scales: Option<S<'b>>,
    planes: u32,
    units: u32,
}

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

    /// Scale of a unit, and where the sum starts that 4-bit weights give (see `scales`).
    pub fn scale(&self, row: E<'b>, unit: E<'b>) -> Option<(E<'b>, Option<E<'b>>)> {
        let v = self.scales?.load(row * self.units + unit);
        let offset = (v.ty().vector().width == 2).then(|| v.lane(1).bitcast(Scalar::I32));
        Some((v.lane(0).bitcast(Scalar::F32), offset))
    }

    /// Fills workgroup memory with part `chunk` of x; zeros past its end. `meanwhile` is written
    /// where loads of x are under way. Of one row that is there at once, the sum of squares is kept
    /// on the way.
    pub fn fill(&self, g: &Gemv<'b, '_>, chunk: E<'b>, meanwhile: impl FnOnce()) {
        let (b, size) = (g.b, g.plan.invocations);
        let quads = self.item_quads(g);
        let count = self.units * self.unit_quads(g) / quads;
        let total = g.m() * count;
        let squares = g.squares.is_some() && g.m() == 1 && g.plan.chunks == 1;
        let load = |i: E<'b>| self.load(g, &[i], chunk, count).remove(0);
        let sum = b.var("squares", b.f32(0.0));
        let keep = |i: E<'b>, loaded: &[Loaded<'b>]| {
            let scaled: Vec<E<'b>> =
                loaded.iter().map(|l| l.gamma.map_or(l.x, |gamma| l.x * gamma)).collect();
            let (row, item) = (i / count, i % count);
            match self.scales {
                None => self.keep_floats(row, item, scaled[0]),
                Some(scales) if g.plan.shuffles => {
                    self.keep_quad(g, row, item, scaled[0], scales);
                }
                Some(scales) => self.keep_unit(g, row, item, &scaled, scales),
            }
            if squares {
                let parts = loaded.iter().map(|l| l.x.dot(l.x));
                sum.set(parts.fold(sum.get(), |s, p| s + p));
            }
        };
        let rounds = total.div_ceil(size);
        let guarded = |i: E<'b>, round: u32, f: &dyn Fn()| {
            if (round + 1) * size <= total { f() } else { b.if_(i.lt(total), f) }
        };
        if rounds <= UNROLLED << u32::from(g.plan.chained) {
            let items: Vec<E<'b>> = (0..rounds).map(|r| g.local() + r * size).collect();
            let own = |(i, end): (&E<'b>, u32)| {
                if end * size <= total { *i } else { i.min(total - 1) }
            };
            let own: Vec<E<'b>> = items.iter().zip(1..).map(own).collect();
            let loaded = self.load(g, &own, chunk, count);
            meanwhile();
            let loaded = self.with_post(g, loaded);
            for ((round, i), loaded) in (0..).zip(items).zip(&loaded) {
                guarded(i, round, &|| keep(i, loaded));
            }
        } else {
            b.for_(0u32, rounds, 1, |round| {
                let i = round * size + g.local();
                guarded(i, rounds - 1, &|| keep(i, &load(i)));
            });
            meanwhile();
        }
        if squares {
            g.keep_squares(g.squares, sum.get());
        }
    }

    /// Loads items of part `chunk` of x, of which a row has `count`. In a chain all of them wait
    /// together, and what nobody has to wait for is under way before.
    fn load(
        &self,
        g: &Gemv<'b, '_>,
        items: &[E<'b>],
        chunk: E<'b>,
        count: u32,
    ) -> Vec<Vec<Loaded<'b>>> {
        let (b, quads) = (g.b, self.item_quads(g));
        let first = |i: E<'b>| (chunk * count + i % count) * (4 * quads);
        let places = |i: &E<'b>| {
            let (row, first) = (*i / count, first(*i));
            (0..quads).map(move |q| (row, first + 4 * q)).collect::<Vec<_>>()
        };
        let places: Vec<(E<'b>, E<'b>)> = items.iter().flat_map(places).collect();
        let constants =
            || places.iter().map(|p| (g.args.gamma4(b, p.1), g.args.post_scale4(b, p.1))).collect();
        let early: Option<Vec<_>> = g.plan.chained.then(constants);
        let x = g.awaited(|| places.iter().map(|p| g.args.plain_x4(b, p.0, p.1)).collect());
        let residual =
            g.awaited(|| places.iter().filter_map(|p| g.args.residual4(b, p.1)).collect());
        let mut residual = residual.into_iter();
        let constants = early.unwrap_or_else(constants);
        let mut all = x.into_iter().zip(constants).zip(&places).map(|((x, (gamma, scale)), p)| {
            let post = scale.and_then(|scale| Some([residual.next()?, scale]));
            Loaded { x, gamma, k: p.1, post }
        });
        items.iter().map(|_| all.by_ref().take(quads as usize).collect()).collect()
    }

    /// x of what was loaded, where the kernel makes it: all of the row's squares are summed first. One
    /// workgroup keeps x for later readers.
    fn with_post(&self, g: &Gemv<'b, '_>, loaded: Vec<Vec<Loaded<'b>>>) -> Vec<Vec<Loaded<'b>>> {
        let (b, total) = (g.b, (g.p.k as u32).div_ceil(4));
        let (Some(post), Some(squares)) = (&g.args.post, g.post_squares) else { return loaded };
        // invocations without an item of their own repeat the last one
        let own = |round: usize, q: u32| -> E<'b> {
            let item = g.local() + round as u32 * g.plan.invocations;
            (item * self.item_quads(g) + q).lt(total)
        };
        let zero = b.f32(0.0);
        let mut sum = zero;
        for (round, quads) in loaded.iter().enumerate() {
            for (q, l) in (0u32..).zip(quads) {
                sum = sum + b.select(own(round, q), l.x.dot(l.x), zero);
            }
        }
        g.keep_squares(Some(squares), sum);
        b.barrier();
        let factor = post.factor(g.all_teams(squares));
        let first = b.workgroup_id(0).eq(0u32);
        let made = |(round, quads): (usize, Vec<Loaded<'b>>)| {
            let one = |(q, l): (u32, Loaded<'b>)| {
                let Some(quads) = l.post else { return l };
                let inside = own(round, q);
                let x = post_norm::sum(l.x, factor, quads);
                let x = b.select(inside.splat(4), x, b.zero4());
                b.if_(first.and(inside), || post.store(b, b.u32(0), l.k, x));
                Loaded { x, ..l }
            };
            (0u32..).zip(quads).map(one).collect()
        };
        loaded.into_iter().enumerate().map(made).collect()
    }

    /// Quads of elements that an invocation takes at a time.
    fn item_quads(&self, g: &Gemv<'b, '_>) -> u32 {
        match self.scales.is_some() && !g.plan.shuffles {
            true => self.unit_quads(g),
            false => 1,
        }
    }

    /// Quads of elements in a unit.
    fn unit_quads(&self, g: &Gemv<'b, '_>) -> u32 {
        unit(g.p.spec.scheme) / 4
    }

    fn keep_floats(&self, row: E<'b>, quad: E<'b>, v: E<'b>) {
        self.data.store(self.at(row, quad % self.planes, quad / self.planes), v);
    }

    /// Rounds quad `quad` of a row to int8, together with its neighbours in other invocations.
    fn keep_quad(&self, g: &Gemv<'b, '_>, row: E<'b>, quad: E<'b>, v: E<'b>, scales: S<'b>) {
        let b = g.b;
        let across = self.unit_quads(g);
        let masks = || [1u32, 2, 4].into_iter().filter(|m| *m < across);
        let other = |v: E<'b>, mask: u32| v.subgroup_shuffle_xor(b.u32(mask));
        let peak = masks().fold(peak_of(v.abs()), |peak, m| peak.max(other(peak, m)));
        let word = rounded(b, v, b.f32(127.0) / peak.max(LEAST));
        // the first of four invocations stores the words of all
        let words = [word, other(word, 1), other(word, 2), other(word, 3)];
        let plane = quad / 4u32;
        b.if_((quad % 4u32).eq(0u32), || {
            let at = self.at(row, plane % self.planes, plane / self.planes);
            self.data.store(at, b.compose(&words));
        });
        // sums of words with the parity of this invocation's
        let sum = (self.planes == 2).then(|| {
            let own = word.dot4(b.u32(ONES), b.i32(0), true);
            masks().skip(1).fold(own, |sum, m| sum + other(sum, m))
        });
        b.if_((quad % across).eq(0u32), || {
            self.keep_scale(g, row * self.units + quad / across, peak, sum, scales);
        });
    }

    /// Rounds a unit of a row to int8.
    fn keep_unit(&self, g: &Gemv<'b, '_>, row: E<'b>, unit: E<'b>, quads: &[E<'b>], scales: S<'b>) {
        let b = g.b;
        let peaks = quads.iter().map(|q| q.abs()).reduce(|a, c| a.max(c));
        let peak = peak_of(peaks.unwrap_or_else(|| b.zero4()));
        let inverse = b.f32(127.0) / peak.max(LEAST);
        let words: Vec<E<'b>> = quads.iter().map(|q| rounded(b, *q, inverse)).collect();
        for (plane, words) in (0u32..).zip(words.chunks(4)) {
            self.data.store(self.at(row, plane, unit), b.compose(words));
        }
        let sum = (self.planes == 2).then(|| {
            let even = words.iter().step_by(2);
            even.fold(b.i32(0), |sum, w| w.dot4(b.u32(ONES), sum, true))
        });
        self.keep_scale(g, row * self.units + unit, peak, sum, scales);
    }

    /// Keeps the scale of a unit, and the sum of its even words for weights of 4 bits: there even
    /// words meet integers that are 8 too large, odd words integers times 16, and the sum of even
    /// words is multiplied by 16.
    fn keep_scale(
        &self,
        g: &Gemv<'b, '_>,
        to: E<'b>,
        peak: E<'b>,
        even: Option<E<'b>>,
        scales: S<'b>,
    ) {
        match even {
            None => scales.store(to, (peak * (1.0 / 127.0f32)).bitcast(Scalar::U32)),
            Some(sum) => {
                let scale = (peak * (1.0 / (16.0 * 127.0f32))).bitcast(Scalar::U32);
                let start = (sum * -8i32).bitcast(Scalar::U32);
                scales.store(to, g.b.compose(&[scale, start]));
            }
        }
    }
}

/// A quad of x, and of gamma.
struct Loaded<'b> {
    x: E<'b>,
    gamma: Option<E<'b>>,
    /// Its first element.
    k: E<'b>,
    /// Of the residual stream and its scale, where x is still to be made.
    post: Option<[E<'b>; 2]>,
}

/// Rounds of loads of x that are all under way together, twice as many where they wait.
const UNROLLED: u32 = 4;

/// A dot product with it is the sum of four bytes.
const ONES: u32 = 0x0101_0101;

/// Below it, x counts as 0.
const LEAST: f32 = 1e-30;

fn peak_of(v: E<'_>) -> E<'_> {
    v.lane(0).max(v.lane(1)).max(v.lane(2).max(v.lane(3)))
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
