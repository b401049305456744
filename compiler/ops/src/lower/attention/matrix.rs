//! Flash attention with cooperative matrices: f16 operands, f32 scores and sums.
//!
//! A workgroup takes a tile of rows (the paper's `S * group` rows of a key head, section 3.6) and
//! walks the keys that its rows see, block by block. Subgroups stand two by two (or four by one):
//! in rows, and in keys for the scores, elements for the results. Sums of results stay in matrices,
//! which nobody can scale row by row; so each row keeps the maximum that its weights are measured
//! by, and only when a later score exceeds it by [`SLACK`] do the sums pass through workgroup
//! memory to be scaled. After a row's first block that is rare.

use super::io::{HIDDEN, Io, LOWEST, Row, Work};
use super::partials::Partials;
use super::plan::{LOG2_E, Plan, Problem};
use crate::lower::Target;
use drift_bundle::caps::Features;
use drift_kernel::builder::{S, V};
use drift_kernel::tensor::Elem;
use drift_kernel::{Builder, Component, E, Matrix, MatrixRole, Scalar, SubgroupOp, Type};

const HALF4: Type = Type::vec(Scalar::F16, 4);

const fn matrix(role: MatrixRole, component: Component) -> Matrix {
    Matrix { role, component, rows: 16, cols: 16 }
}
const LEFT: Matrix = matrix(MatrixRole::A, Component::F16);
const RIGHT: Matrix = matrix(MatrixRole::B, Component::F16);
const SUM: Matrix = matrix(MatrixRole::C, Component::F32);

/// Elements between the rows of tiles: puts neighbouring rows in other banks.
const PAD: u32 = 8;

/// By how many powers of two a weight may exceed 1 before the sums are scaled down. f16 holds
/// weights up to 2^15.
const SLACK: f32 = 8.0;

const SUBGROUP: u32 = 32;

/// Tile of a workgroup of four subgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    rows: u32,
    /// Keys of a block.
    keys: u32,
    /// Subgroups along keys (and elements of the result).
    columns: u32,
    /// Workgroups that share the keys of a tile.
    pub splits: u32,
}

impl Tile {
    /// The tile for a problem; `None` when the device has no f16 matrices, or the problem does not
    /// fill them. `splits`: whether few rows may be split along keys.
    pub fn of(target: &Target, p: &Problem, splits: bool) -> Option<Tile> {
        let caps = &target.caps;
        let pinned = caps.subgroup_size_min <= SUBGROUP && SUBGROUP <= caps.subgroup_size_max;
        let able = Features::SUBGROUP_SHUFFLE.union(Features::SUBGROUP_ARITHMETIC);
        // f16 operands where the user asked for them only
        target.matrix_f16().filter(|_| {
            pinned && target.weight_elem == Elem::F16 && caps.features.contains(able)
        })?;
        let aligned = |n: usize, by: usize| n > 0 && n.is_multiple_of(by);
        let wide = p.head_dim.max(p.value_dim);
        if !aligned(p.head_dim, 16) || wide > 256 || p.rows() < 16 || p.keys < 16 {
            return None;
        }
        let limits = &caps.limits;
        let tile = |rows, keys, columns| Tile { rows, keys, columns, splits: 1 };
        // on an H200, 1024 tokens of 8B: 64 rows and 32 keys 80 us, 64 and 64 88 us, 32 and 32
        // 107 us, 32 and 64 121 us
        let fits = |t: &Tile| {
            aligned(p.value_dim, 16 * t.columns as usize)
                && t.registers(p) <= 160
                && t.memory_bytes(p) <= limits.workgroup_memory_bytes
                && u64::from(t.size()) <= limits.workgroup_invocations.min(limits.workgroup_size[0])
        };
        let tiles = [tile(64, 32, 2), tile(64, 32, 1), tile(32, 32, 2), tile(16, 64, 4)];
        let fitting = || tiles.into_iter().filter(fits);
        // the smallest that has room for all rows, or the largest
        let mut tile = fitting().rfind(|t| t.rows as usize >= p.rows());
        tile = tile.or_else(|| fitting().next());
        let mut tile = tile?;
        if splits && p.keys > 128 {
            // a workgroup for each half of a compute unit
            let groups = u64::from(tile.workgroups(p)[1]) * u64::from(tile.workgroups(p)[2]);
            let wanted = (target.full_invocations / 512).div_ceil(groups);
            tile.splits = wanted.min((p.keys as u64).div_ceil(64)).clamp(1, 64) as u32;
        }
        Some(tile)
    }

    pub fn size(&self) -> u32 {
        4 * SUBGROUP
    }

    /// Subgroups along rows.
    fn across(&self) -> u32 {
        4 / self.columns
    }

    pub fn workgroups(&self, p: &Problem) -> [u32; 3] {
        [self.splits, p.heads as u32, p.rows().div_ceil(self.rows as usize) as u32]
    }

    /// Registers of an invocation for queries and results.
    fn registers(&self, p: &Problem) -> u32 {
        let high = self.rows / self.across() / 16;
        let (queries, results) = (p.head_dim as u32 / 16, p.value_dim as u32 / 16);
        high * (4 * queries + 8 * results / self.columns)
    }

    /// Elements between rows of keys and values in workgroup memory.
    fn stride(&self, p: &Problem) -> u32 {
        p.head_dim.max(p.value_dim) as u32 + PAD
    }

    fn memory_bytes(&self, p: &Problem) -> u64 {
        let scores = self.rows * (self.keys + PAD);
        // keys or values in f16, scores in f32, weights in f16, a few numbers per row
        u64::from(2 * self.keys.max(self.rows) * self.stride(p) + 6 * scores + 4 * (self.rows + 4))
    }
}

/// A block of keys or values on its way into workgroup memory.
struct Load<'b> {
    /// Key of the block, quad, and registers.
    shares: Vec<(E<'b>, E<'b>, V<'b>)>,
    /// Whether the last share exists.
    inside: Option<E<'b>>,
    stride: u32,
}

impl<'b> Load<'b> {
    fn new(w: &Work<'b>, tile: &Tile, elems: usize, stride: u32) -> Load<'b> {
        let (b, quads) = (w.b, elems as u32 / 4);
        let count = tile.keys * quads;
        let turns = count.div_ceil(tile.size());
        let shares = (0..turns)
            .map(|turn| {
                let i = w.local + turn * tile.size();
                (i / quads, i % quads, b.var_uninit("next", HALF4))
            })
            .collect();
        let complete = count.is_multiple_of(tile.size());
        let inside = (!complete).then(|| (w.local + (turns - 1) * tile.size()).lt(count));
        Load { shares, inside, stride }
    }

    fn each(&self, b: &'b Builder, f: impl Fn(&(E<'b>, E<'b>, V<'b>))) {
        for (n, share) in self.shares.iter().enumerate() {
            match self.inside {
                Some(inside) if n + 1 == self.shares.len() => b.if_(inside, || f(share)),
                _ => f(share),
            }
        }
    }

    /// Starts loading; `get(key, d)` gives four elements.
    fn start(&self, b: &'b Builder, get: impl Fn(E<'b>, E<'b>) -> E<'b>) {
        self.each(b, |&(key, quad, next)| {
            next.set(get(key, quad * 4u32).cast(Scalar::F16));
        });
    }

    fn keep(&self, b: &'b Builder, memory: S<'b>) {
        self.each(b, |&(key, quad, next)| {
            memory.store(key * (self.stride / 4) + quad, next.get());
        });
    }
}

/// This invocation's place among the subgroups.
struct Place<'b> {
    /// First row of its subgroup in the tile.
    row: E<'b>,
    /// Which of the subgroups along keys.
    column: E<'b>,
    /// Row of the tile that the invocation looks after, and its number among those who do.
    own: E<'b>,
    part: E<'b>,
    /// Invocations per row.
    parts: u32,
}

/// Writes the body of the kernel.
pub fn attend<'b>(
    b: &'b Builder,
    p: &Problem,
    tile: Tile,
    io: &impl Io<'b>,
    partials: Option<Partials>,
) {
    b.set_subgroup_size(SUBGROUP);
    let plan = Plan {
        size: tile.size(),
        rows: tile.rows,
        parts: 1,
        block: tile.keys,
        splits: tile.splits,
        fresh: false,
        subgroup: Some(SUBGROUP),
        in_flight: 1,
    };
    let local = b.subgroup_id() * SUBGROUP + b.subgroup_invocation();
    let local = b.assume_max(local, u64::from(tile.size()) - 1);
    let blocks = tile.workgroups(p)[2];
    let w = Work {
        b,
        local,
        head: b.workgroup_id(1),
        split: b.workgroup_id(0),
        first_row: balanced(b, b.workgroup_id(2), blocks) * tile.rows,
        plan,
        group: p.group as u32,
        rows: p.rows() as u32,
    };
    let subgroup = b.assume_max(b.subgroup_id(), 3);
    let parts = tile.size() / tile.rows;
    let at = Place {
        row: subgroup / tile.columns * (tile.rows / tile.across()),
        column: subgroup % tile.columns,
        own: local / parts,
        part: local % parts,
        parts,
    };
    let stride = tile.stride(p);
    let tokens = b.shared("tokens", Scalar::F16, 4, tile.keys.max(tile.rows) * stride / 4);
    let wide = tile.keys + PAD;
    let scores = b.shared("scores", Scalar::F32, 4, tile.rows * wide / 4);
    let weights = b.shared("weights", Scalar::F16, 4, tile.rows * wide / 4);
    let flags = b.shared("flags", Scalar::F32, 1, 4);
    let totals = b.shared("totals", Scalar::F32, 1, tile.rows);

    // queries pass through the memory of keys into matrices
    let quads = p.head_dim as u32 / 4;
    w.each(tile.rows * quads, |i| {
        let (r, quad) = (i / quads, i % quads);
        let q = io.query(&w, &w.row(r), quad * 4u32);
        tokens.store(r * (stride / 4) + quad, q.cast(Scalar::F16));
    });
    b.barrier();
    let high = tile.rows / tile.across() / 16;
    let queries: Vec<Vec<E<'b>>> = (0..high)
        .map(|r| {
            (0..p.head_dim as u32 / 16)
                .map(|k| {
                    tokens.load_matrix(LEFT, (at.row + r * 16) * stride + k * 16, stride, true)
                })
                .collect()
        })
        .collect();
    b.barrier();

    let results: Vec<Vec<V<'b>>> = (0..high)
        .map(|_| {
            (0..p.value_dim as u32 / 16 / tile.columns)
                .map(|_| b.var("result", b.matrix_zero(SUM)))
                .collect()
        })
        .collect();
    let peak = b.var("peak", b.f32(HIDDEN));
    let total = b.var("total", b.f32(0.0));
    let (lo, hi) = io.range(&w);
    let (lo, count) = w.share(lo, hi);
    let hi = lo + count;
    let turns = (count + (tile.keys - 1)) / tile.keys;
    let row = w.row(at.own);
    let keys = Load::new(&w, &tile, p.head_dim, stride);
    let values = Load::new(&w, &tile, p.value_dim, stride);
    // past the range: its last key, whose score is hidden
    let key_of = |start: E<'b>, key: E<'b>| (start + key).min(hi.max(1u32) - 1u32);
    let load_keys = |start: E<'b>| {
        keys.start(b, |key, d| {
            let t = key_of(start, key);
            let k = io.key(&w, t, d);
            io.scales(&w, t).map_or(k, |s| k * s[0].splat(4))
        });
    };
    load_keys(lo);
    b.for_(0u32, turns, 1, |turn| {
        let start = lo + turn * tile.keys;
        keys.keep(b, tokens);
        values.start(b, |key, d| {
            let t = key_of(start, key);
            let v = io.value(&w, t, d);
            io.scales(&w, t).map_or(v, |s| v * s[1].splat(4))
        });
        b.barrier();
        // scores
        let across = tile.keys / tile.columns / 16;
        for c in 0..across {
            let column = at.column * (across * 16) + c * 16;
            let mut sums: Vec<E<'b>> = (0..high).map(|_| b.matrix_zero(SUM)).collect();
            for k in 0..p.head_dim as u32 / 16 {
                let key = tokens.load_matrix(RIGHT, column * stride + k * 16, stride, false);
                for (sum, q) in sums.iter_mut().zip(&queries) {
                    *sum = b.matrix_mul_add(q[k as usize], key, *sum);
                }
            }
            for (r, sum) in (0u32..).zip(sums) {
                scores.store_matrix(sum, (at.row + r * 16) * wide + column, wide, true);
            }
        }
        b.barrier();
        values.keep(b, tokens);
        load_keys(start + tile.keys);
        let softmax = Softmax { w: &w, p, tile: &tile, at: &at, scores, weights, flags };
        let fade = softmax.block(io, &row, start, hi, peak, total);
        // all invocations agree: a loop of one turn or none
        let scaled = b.select(fade.any.and(turn.gt(0u32)), 1u32, b.u32(0));
        b.for_(0u32, scaled, 1, |_| {
            let staging = Staging { w: &w, p, tile: &tile, at: &at, scores };
            staging.each(&results, true, |_, _| {
                for i in 0..tile.keys / 4 / at.parts {
                    let place = at.own * (wide / 4) + at.part + i * at.parts;
                    scores.store(place, scores.load(place) * fade.factor.splat(4));
                }
            });
        });
        // results
        let wide_values = p.value_dim as u32 / tile.columns;
        for k in 0..tile.keys / 16 {
            let rows: Vec<E<'b>> = (0..high)
                .map(|r| {
                    let from = (at.row + r * 16) * wide + k * 16;
                    weights.load_matrix(LEFT, from, wide, true)
                })
                .collect();
            for c in 0..wide_values / 16 {
                let from = at.column * wide_values + c * 16 + k * 16 * stride;
                let value = tokens.load_matrix(RIGHT, from, stride, true);
                for (row, results) in rows.iter().zip(&results) {
                    let sum = &results[c as usize];
                    sum.set(b.matrix_mul_add(*row, value, sum.get()));
                }
            }
        }
        b.barrier();
    });
    // divide and store
    let mut all = total.get();
    let mut mask = 1;
    while mask < at.parts {
        all = all + all.subgroup_shuffle_xor(b.u32(mask));
        mask *= 2;
    }
    b.if_(at.part.eq(0u32), || match partials {
        None => totals.store(at.own, b.f32(1.0) / all.max(1e-30)),
        Some(to) => {
            totals.store(at.own, b.f32(1.0));
            b.if_((w.first_row + at.own).lt(w.rows), || {
                to.store_stats(b, [w.head, row.row, w.split], peak.get(), all);
            });
        }
    });
    let staging = Staging { w: &w, p, tile: &tile, at: &at, scores };
    staging.each(&results, false, |round, columns| {
        let per = tile.keys / tile.columns;
        let quads = tile.keys / 4;
        w.each(tile.rows * quads, |i| {
            let (r, quad) = (i / quads, i % quads);
            let (column, within) = (quad * 4u32 / per, quad * 4u32 % per);
            let d = column * (p.value_dim as u32 / tile.columns) + round * per + within;
            let live = (w.first_row + r).lt(w.rows).and(within.lt(columns));
            b.if_(live, || {
                let x = scores.load(r * (wide / 4) + quad) * totals.load(r).splat(4);
                match partials {
                    None => io.store(&w, &w.row(r), d, x),
                    Some(to) => b.store4(to.sums, &[w.head, w.row(r).row, w.split, d], 3, x),
                }
            });
        });
    });
}

/// Number of the row block that workgroup `z` takes: the first half of the workgroups late ones,
/// which see most keys, the second half early ones; so that neighbours in time make up for each
/// other.
fn balanced<'b>(b: &'b Builder, z: E<'b>, blocks: u32) -> E<'b> {
    let half = blocks.div_ceil(2);
    let late = b.u32(blocks - 1) - z.min(blocks - 1);
    b.select(z.lt(half), late, z.max(half) - half)
}

/// Scores of a block to weights.
struct Softmax<'a, 'b> {
    w: &'a Work<'b>,
    p: &'a Problem,
    tile: &'a Tile,
    at: &'a Place<'b>,
    scores: S<'b>,
    weights: S<'b>,
    flags: S<'b>,
}

/// What the sums of a row are to be multiplied by, and whether any row of the tile needs it.
struct Fade<'b> {
    factor: E<'b>,
    any: E<'b>,
}

impl<'b> Softmax<'_, 'b> {
    fn block(
        &self,
        io: &impl Io<'b>,
        row: &Row<'b>,
        start: E<'b>,
        hi: E<'b>,
        peak: V<'b>,
        total: V<'b>,
    ) -> Fade<'b> {
        let (b, at, tile) = (self.w.b, self.at, self.tile);
        let line = at.own * ((tile.keys + PAD) / 4);
        let count = tile.keys / 4 / at.parts;
        // quads of a row are dealt out in turn, which spreads them over the banks
        let quad = |i: u32| at.part + i * at.parts;
        let values: Vec<E<'b>> = (0..count)
            .map(|i| {
                let x = self.scores.load(line + quad(i));
                let lanes: Vec<E<'b>> = (0..4u32)
                    .map(|lane| {
                        let t = start + (quad(i) * 4u32 + lane);
                        self.score(io, row, t, hi, x.lane(lane as u8))
                    })
                    .collect();
                b.compose(&lanes)
            })
            .collect();
        let most = values.iter().skip(1).fold(values[0], |m, v| m.max(*v));
        let mut most = most.lane(0).max(most.lane(1)).max(most.lane(2).max(most.lane(3)));
        let mut mask = 1;
        while mask < at.parts {
            most = most.max(most.subgroup_shuffle_xor(b.u32(mask)));
            mask *= 2;
        }
        let old = peak.get();
        let exceeds = b.select(most.gt(old + SLACK), 1.0, b.f32(0.0));
        let exceeds = exceeds.subgroup(SubgroupOp::Max);
        b.if_(b.subgroup_invocation().eq(0u32), || self.flags.store(b.subgroup_id(), exceeds));
        b.barrier();
        let any = (0..4u32).map(|i| self.flags.load(i)).reduce(|x, y| x.max(y)).expect("four");
        let any = any.gt(0.0);
        let new = b.select(any, old.max(most), old);
        let factor = (old - new).exp2();
        peak.set(new);
        let mut sum = b.lit_like(0.0, drift_kernel::F32X4);
        for (i, x) in (0u32..).zip(&values) {
            let seen = x.gt(1.6 * LOWEST);
            let weight = b.select(seen, (*x - new.splat(4)).exp2(), b.zero4());
            sum = sum + weight;
            self.weights.store(line + quad(i), weight.cast(Scalar::F16));
        }
        total.set(total.get() * factor + sum.hsum());
        b.barrier();
        Fade { factor, any }
    }

    /// The score of key `t` from its scaled product.
    fn score(&self, io: &impl Io<'b>, row: &Row<'b>, t: E<'b>, hi: E<'b>, product: E<'b>) -> E<'b> {
        let b = self.w.b;
        let mut s = product;
        if self.p.softcap > 0.0 {
            s = s.clamp(-20.0, 20.0).tanh() * (self.p.softcap * LOG2_E) as f32;
        }
        let inside = t.lt(hi);
        let known = t.min(hi.max(1u32) - 1u32);
        if let Some(mask) = io.mask(self.w, row, known) {
            s = (s + mask * LOG2_E as f32).max(HIDDEN);
        }
        let seen = io.visible(self.w, row, known).map_or(inside, |v| inside.and(v));
        b.select(seen, s, b.f32(HIDDEN))
    }
}

/// Result matrices in the memory of scores, as many columns at a time as it holds.
struct Staging<'a, 'b> {
    w: &'a Work<'b>,
    p: &'a Problem,
    tile: &'a Tile,
    at: &'a Place<'b>,
    scores: S<'b>,
}

impl<'b> Staging<'_, 'b> {
    /// Calls `f(round, columns)` while `columns` columns of each subgroup lie in memory, and
    /// takes them `back` after it.
    fn each(&self, results: &[Vec<V<'b>>], back: bool, f: impl Fn(u32, u32)) {
        let (b, tile) = (self.w.b, self.tile);
        let wide = tile.keys + PAD;
        let per = tile.keys / tile.columns;
        let all = self.p.value_dim as u32 / tile.columns / 16;
        let at_once = per / 16;
        for round in 0..all.div_ceil(at_once) {
            let first = round * at_once;
            let columns = at_once.min(all - first);
            b.barrier();
            let places = || {
                (0u32..).zip(results).flat_map(move |(r, row)| {
                    (0..columns).map(move |c| (r, c, row[(first + c) as usize]))
                })
            };
            let at = |r: u32, c: u32| (self.at.row + r * 16) * wide + self.at.column * per + c * 16;
            for (r, c, v) in places() {
                self.scores.store_matrix(v.get(), at(r, c), wide, true);
            }
            b.barrier();
            f(round, columns * 16);
            if back {
                b.barrier();
                for (r, c, v) in places() {
                    v.set(self.scores.load_matrix(SUM, at(r, c), wide, true));
                }
            }
        }
    }
}
