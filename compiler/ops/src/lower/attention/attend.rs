//! The archetype of attention on plain arithmetic: a workgroup takes a few rows of queries that
//! share a key head, and walks a range of keys block by block with an online softmax.
//!
//! Rows are those of the paper's `S * group` (section 3.6): row r is token `r / group`, query head
//! `r % group` of the key head, so each key and value is read once for all of them. In a block
//!
//! 1. `parts` neighbouring invocations share a key; their partial products meet by shuffles;
//! 2. a few invocations look for each row's maximum, all take up the new one;
//! 3. scores become weights, in place;
//! 4. an invocation adds up four elements of the result over its share of the block's keys.
//!
//! Ranges may be split over workgroups (long caches, few rows); a reduction then joins the parts.

use crate::lower::{Lowering, Target};
use drift_bundle::caps::Features;
use drift_kernel::builder::{S, V};
use drift_kernel::{Access, BinaryOp, Builder, E, Scalar, TensorId, Type};

/// Score of a key that a row does not see; far below any that counts, and finite.
pub const HIDDEN: f32 = -1e30;
/// The lowest score of a key that is seen.
pub const LOWEST: f32 = -5e29;

/// Log2 of e: weights are powers of two.
pub const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// Slices of a block in which maxima are looked for.
const SLICES: u32 = 8;

/// Invocations below which a device is taken for a CPU.
const FEW_INVOCATIONS: u64 = 1024;

/// What is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Key heads, of all batches.
    pub heads: usize,
    /// Query heads per key head.
    pub group: usize,
    pub tokens: usize,
    /// Elements of a query or key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    /// The most keys that a row may see.
    pub keys: usize,
    pub scale: f64,
    /// 0 = none.
    pub softcap: f64,
    /// Keys lie one after the other, each in one piece (else the same elements of many keys do).
    pub keys_whole: bool,
}

impl Problem {
    /// Rows of a key head.
    pub fn rows(&self) -> usize {
        self.tokens * self.group
    }

    /// Factor of queries that makes products scores: the scale, and what comes before `score`.
    pub fn factor(&self) -> f64 {
        if self.softcap > 0.0 { self.scale / self.softcap } else { self.scale * LOG2_E }
    }

    pub fn flops(&self) -> u64 {
        (2 * self.heads * self.rows() * self.keys * (self.head_dim + self.value_dim)) as u64
    }
}

/// How it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Invocations of a workgroup.
    pub size: u32,
    /// Rows of a workgroup.
    pub rows: u32,
    /// Invocations that share a key.
    pub parts: u32,
    /// Keys of a block.
    pub block: u32,
    pub splits: u32,
    /// Subgroup size, where kernels shuffle.
    pub subgroup: Option<u32>,
    /// Keys or values that an invocation has in flight.
    pub in_flight: u32,
}

/// The subgroup size that kernels may rely on for shuffles.
pub fn shuffles(target: &Target) -> Option<u32> {
    let caps = &target.caps;
    let able = caps.features.contains(Features::SUBGROUP_SHUFFLE)
        && caps.subgroup_size_min == caps.subgroup_size_max
        && caps.subgroup_size >= 8;
    able.then_some(caps.subgroup_size)
}

impl Plan {
    /// Quads of a query in workgroup memory, zeros to fill up the last of the parts.
    pub fn quads(&self, p: &Problem) -> u32 {
        (p.head_dim.div_ceil(4) as u32).next_multiple_of(self.parts)
    }

    /// Row lanes: rows that lie in one vector.
    pub fn lanes(&self) -> u32 {
        if self.rows.is_multiple_of(4) {
            4
        } else if self.rows.is_multiple_of(2) {
            2
        } else {
            1
        }
    }

    /// Keys that the workgroup takes at a time.
    fn keys_at_once(&self) -> u32 {
        self.size / self.parts
    }

    /// Keys that an invocation has in flight.
    fn unroll(&self) -> u32 {
        (self.block / self.keys_at_once()).clamp(1, 2.min(self.in_flight))
    }

    /// Groups of invocations that share the keys of a block in the last step.
    fn value_groups(&self, p: &Problem) -> u32 {
        (self.size / p.value_dim.div_ceil(4) as u32).min(16)
    }

    /// Rows whose results are put together at a time.
    fn band(&self, p: &Problem) -> u32 {
        let row = self.value_groups(p) * p.value_dim.div_ceil(4) as u32 * 16;
        (8192 / row.max(1)).clamp(1, self.rows)
    }

    /// Workgroup memory, without what `prepare` asks for.
    pub fn memory_bytes(&self, p: &Problem) -> u64 {
        let groups = self.value_groups(p);
        let queries = self.rows * self.quads(p) * 16;
        let scores = self.block * self.rows * 4;
        let small = (SLICES + groups + 1) * self.rows * 4;
        let results = self.band(p) * groups * p.value_dim.div_ceil(4) as u32 * 16;
        u64::from(queries + scores + small + results)
    }

    /// The largest plan that fits the device. `extra`: bytes of workgroup memory for each row that
    /// the caller needs besides; `splits`: whether ranges may be split.
    pub fn of(target: &Target, p: &Problem, extra: u64, splits: bool) -> Option<Plan> {
        let limits = &target.caps.limits;
        let subgroup = shuffles(target);
        let quads = p.head_dim.div_ceil(4) as u32;
        let value_quads = p.value_dim.div_ceil(4) as u32;
        let most = limits.workgroup_invocations.min(limits.workgroup_size[0]).min(256) as u32;
        let parts = match subgroup {
            Some(_) if p.keys_whole => 8.min(quads.next_power_of_two()),
            _ => 1,
        };
        // a CPU gains nothing from work in flight, and its compilers suffer from long kernels
        let small = target.full_invocations < FEW_INVOCATIONS;
        let (in_flight, longest) = if small { (1, 4) } else { (4, 16) };
        let mut rows = (p.rows() as u32).min(longest);
        loop {
            for size in [256, 128, 64] {
                if size > most || value_quads > size || size > 64.max(value_quads * 16) {
                    continue;
                }
                let block = (size / parts * 2).clamp(64, 128);
                let mut plan = Plan { size, rows, parts, block, splits: 1, subgroup, in_flight };
                if block < plan.keys_at_once() {
                    continue;
                }
                if plan.memory_bytes(p) + extra <= limits.workgroup_memory_bytes {
                    if splits {
                        plan.splits = plan.best_splits(target, p);
                    }
                    return Some(plan);
                }
            }
            if rows == 1 {
                return None;
            }
            rows = rows.div_ceil(2);
        }
    }

    /// Splits that give each compute unit one or two workgroups, but none less than 32 keys of a
    /// full cache.
    fn best_splits(&self, target: &Target, p: &Problem) -> u32 {
        let groups = (p.heads * p.rows().div_ceil(self.rows as usize)) as u64;
        let wanted = (target.full_invocations / u64::from(self.size)).div_ceil(groups);
        let most = (p.keys as u64).div_ceil(32);
        let splits = wanted.min(most).clamp(1, 64);
        // a handful of keys is not worth a second kernel
        if p.keys <= 128 { 1 } else { splits as u32 }
    }

    pub fn workgroups(&self, p: &Problem) -> [u32; 3] {
        [self.splits, p.heads as u32, p.rows().div_ceil(self.rows as usize) as u32]
    }
}

/// A row of queries.
#[derive(Clone, Copy, Debug)]
pub struct Row<'b> {
    /// Number of the row in its key head.
    pub row: E<'b>,
    pub token: E<'b>,
    /// Query head within the group.
    pub member: E<'b>,
}

/// One workgroup.
#[derive(Debug)]
pub struct Work<'b> {
    pub b: &'b Builder,
    /// Number of the invocation; neighbours are in one subgroup.
    pub local: E<'b>,
    /// Key head (of all batches).
    pub head: E<'b>,
    pub split: E<'b>,
    pub first_row: E<'b>,
    pub plan: Plan,
    pub group: u32,
    /// Rows of the key head.
    pub rows: u32,
}

/// Memory of a workgroup for its queries times the factor: `rows x quads` of four elements, zeros
/// behind the last.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'b> {
    pub memory: S<'b>,
    /// Quads of a row.
    pub quads: u32,
}

impl<'b> Work<'b> {
    /// Row number `r` of the workgroup; the last one for those past the end.
    pub fn row(&self, r: impl drift_kernel::builder::IntoExpr<'b>) -> Row<'b> {
        let row = (self.first_row + r).min(self.rows - 1);
        Row { row, token: row / self.group, member: row % self.group }
    }

    /// Runs `f` for each of `count` numbers, the invocations side by side.
    pub fn each(&self, count: u32, f: impl FnOnce(E<'b>)) {
        let (b, size) = (self.b, self.plan.size);
        let turns = count.div_ceil(size);
        b.for_(0u32, turns, 1, |turn| {
            let i = turn * size + self.local;
            if count.is_multiple_of(size) {
                f(i);
            } else {
                b.if_(i.lt(count), || f(i));
            }
        });
    }
}

/// Keys and values of a range.
pub trait Keys<'b> {
    /// Elements `d .. d + 4` of key `t`, before its scale; zeros past the end.
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b>;
    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b>;
    /// Scales of key and value.
    fn scales(&self, _w: &Work<'b>, _t: E<'b>) -> Option<[E<'b>; 2]> {
        None
    }
    /// Whether a row sees key `t`; `None` = all do.
    fn visible(&self, _w: &Work<'b>, _row: &Row<'b>, _t: E<'b>) -> Option<E<'b>> {
        None
    }
    /// What is added to a score (in units of e), at least [`LOWEST`].
    fn mask(&self, _w: &Work<'b>, _row: &Row<'b>, _t: E<'b>) -> Option<E<'b>> {
        None
    }
}

/// Where a kernel's data comes from and goes to.
pub trait Io<'b>: Keys<'b> {
    /// Elements `d .. d + 4` of a query, times the factor; zeros past the end.
    fn query(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>) -> E<'b>;
    /// Elements of a query.
    fn head_dim(&self) -> usize;
    /// Fills the memory of queries.
    fn prepare(&self, w: &Work<'b>, to: Queries<'b>) {
        let b = w.b;
        let quads = self.head_dim().div_ceil(4) as u32;
        w.each(w.plan.rows * to.quads, |i| {
            let (r, quad) = (i / to.quads, i % to.quads);
            let inside = quads == to.quads;
            let d = if inside { quad } else { quad.min(quads - 1) } * 4u32;
            let q = self.query(w, &w.row(r), d);
            let filled = || b.select(quad.lt(quads).splat(4), q, b.zero4());
            to.memory.store(i, if inside { q } else { filled() });
        });
    }
    /// The first key that some row of the workgroup sees, and one past the last.
    fn range(&self, w: &Work<'b>) -> (E<'b>, E<'b>);
    /// Calls `f` with the number of keys besides the range that the last split takes, if there are
    /// such keys.
    fn more(&self, _w: &Work<'b>, _f: &mut dyn FnMut(E<'b>, &dyn Keys<'b>)) {}
    /// Stores elements `d .. d + 4` of the result.
    fn store(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>, value: E<'b>);
}

/// Scratch between the splits and their reduction.
#[derive(Clone, Copy, Debug)]
pub struct Partials {
    /// `[heads, rows, splits, value_dim]`: weighted sums.
    sums: TensorId,
    /// `[heads, rows, splits, 2]`: maximum and sum of weights.
    stats: TensorId,
}

/// Running state of an invocation.
struct Online<'b> {
    /// Maximum per row, rows in lanes.
    peak: Vec<V<'b>>,
    /// Sum of weights over this invocation's keys.
    total: Vec<V<'b>>,
    /// Four elements of the result per row.
    sums: Vec<V<'b>>,
}

struct Memory<'b> {
    queries: Queries<'b>,
    scores: S<'b>,
    slices: S<'b>,
}

/// Writes the body of the kernel.
pub fn attend<'b>(
    b: &'b Builder,
    p: &Problem,
    plan: Plan,
    io: &impl Io<'b>,
    partials: Option<Partials>,
) {
    let lanes = plan.lanes() as u8;
    let local = match plan.subgroup {
        None => b.local_index(),
        // invocations of a subgroup are neighbours whatever order the device numbers them in
        Some(size) => {
            b.set_subgroup_size(size);
            let id = b.subgroup_id() * size + b.subgroup_invocation();
            b.assume_max(id, u64::from(plan.size) - 1)
        }
    };
    let blocks = plan.workgroups(p)[2];
    let w = Work {
        b,
        local,
        head: b.workgroup_id(1),
        split: b.workgroup_id(0),
        // late rows see most keys: they come first
        first_row: (b.u32(blocks - 1) - b.workgroup_id(2)) * plan.rows,
        plan,
        group: p.group as u32,
        rows: p.rows() as u32,
    };
    let memory = b.shared("queries", Scalar::F32, 4, plan.rows * plan.quads(p));
    let queries = Queries { memory, quads: plan.quads(p) };
    let vectors = plan.rows / u32::from(lanes);
    let memory = Memory {
        queries,
        scores: b.shared("scores", Scalar::F32, lanes, plan.block * vectors),
        slices: b.shared("slices", Scalar::F32, lanes, SLICES * vectors),
    };
    io.prepare(&w, queries);
    b.barrier();
    let wide = Type::vec(Scalar::F32, lanes);
    let online = Online {
        peak: (0..vectors).map(|_| b.var("peak", b.lit_like(f64::from(HIDDEN), wide))).collect(),
        total: (0..vectors).map(|_| b.var("total", b.lit_like(0.0, wide))).collect(),
        sums: (0..plan.rows).map(|_| b.var("sums", b.zero4())).collect(),
    };
    let (lo, hi) = io.range(&w);
    let (start, count) = share(&w, lo, hi);
    let turns = (count + (plan.block - 1)) / plan.block;
    b.for_(0u32, turns, 1, |turn| {
        let done = turn * plan.block;
        block(&w, p, &memory, &online, io, start + done, (count - done).min(plan.block));
    });
    io.more(&w, &mut |count, keys| {
        // all invocations of a workgroup agree: a loop of one turn or none
        let mine = w.split.eq(plan.splits - 1).and(count.gt(0u32));
        let turns = b.select(mine, 1u32, b.u32(0));
        b.for_(0u32, turns, 1, |_| block(&w, p, &memory, &online, keys, b.u32(0), count));
    });
    finish(&w, p, &online, io, partials);
}

/// This split's part of the keys `lo..hi`: the first and their number.
fn share<'b>(w: &Work<'b>, lo: E<'b>, hi: E<'b>) -> (E<'b>, E<'b>) {
    let all = hi.max(lo) - lo;
    if w.plan.splits == 1 {
        return (lo, all);
    }
    // whole groups of eight, so that splits start where vector loads are aligned
    let each = ((all + (w.plan.splits - 1)) / w.plan.splits + 7u32) / 8u32 * 8u32;
    let done = (w.split * each).min(all);
    (lo + done, (all - done).min(each))
}

/// One block of keys: `count` (1 to the block's size) from `start` on.
fn block<'b>(
    w: &Work<'b>,
    p: &Problem,
    memory: &Memory<'b>,
    online: &Online<'b>,
    keys: &(impl Keys<'b> + ?Sized),
    start: E<'b>,
    count: E<'b>,
) {
    let (b, plan) = (w.b, &w.plan);
    let lanes = plan.lanes();
    let vectors = plan.rows / lanes;
    b.barrier();
    scores(w, p, memory, keys, start, count);
    b.barrier();
    // maxima of slices
    w.each(SLICES * vectors, |i| {
        let (slice, vector) = (i / vectors, i % vectors);
        let hidden = b.lit_like(f64::from(HIDDEN), Type::vec(Scalar::F32, lanes as u8));
        let most = b.var("most", hidden);
        let turns = (count.max(slice) - slice + (SLICES - 1)) / SLICES;
        b.for_(0u32, turns, 1, |turn| {
            let key = turn * SLICES + slice;
            most.set(most.get().max(memory.scores.load(key * vectors + vector)));
        });
        memory.slices.store(i, most.get());
    });
    b.barrier();
    let mut peaks = Vec::new();
    for (v, peak) in (0u32..).zip(&online.peak) {
        let old = peak.get();
        let new = (0..SLICES).fold(old, |m, s| m.max(memory.slices.load(s * vectors + v)));
        let fade = (old - new).exp2();
        peak.set(new);
        peaks.push(new);
        let total = &online.total[v as usize];
        total.set(total.get() * fade);
        for lane in 0..lanes {
            let sums = &online.sums[(v * lanes + lane) as usize];
            sums.set(sums.get() * fade.lane(lane as u8).splat(4));
        }
    }
    // weights in place
    for (v, peak) in (0u32..).zip(&peaks) {
        let turns = plan.block.div_ceil(plan.size);
        for turn in 0..turns {
            let key = w.local + turn * plan.size;
            b.if_(key.lt(count), || {
                let at = key * vectors + v;
                let s = memory.scores.load(at);
                let weight =
                    b.select(s.gt(2.0 * LOWEST * 0.8), (s - *peak).exp2(), b.lit_like(0.0, s.ty()));
                memory.scores.store(at, weight);
            });
        }
    }
    b.barrier();
    values(w, p, memory, online, keys, start, count);
}

/// Scores of a block, in units of powers of two.
fn scores<'b>(
    w: &Work<'b>,
    p: &Problem,
    memory: &Memory<'b>,
    keys: &(impl Keys<'b> + ?Sized),
    start: E<'b>,
    count: E<'b>,
) {
    let (b, plan) = (w.b, &w.plan);
    let (lanes, unroll, at_once) = (plan.lanes(), plan.unroll(), plan.keys_at_once());
    let (part, key) = (w.local % plan.parts, w.local / plan.parts);
    let stride = memory.queries.quads;
    let quads = stride / plan.parts;
    let last = p.head_dim.div_ceil(4) as u32 - 1;
    let query = |r: u32, i: u32| memory.queries.memory.load(part + (r * stride + i * plan.parts));
    // the queries of few rows stay in registers
    let held: Option<Vec<Vec<E<'b>>>> = (plan.rows * quads <= 16)
        .then(|| (0..plan.rows).map(|r| (0..quads).map(|i| query(r, i)).collect()).collect());
    let step = unroll * at_once;
    let turns = (count + (step - 1)) / step;
    b.for_(0u32, turns, 1, |turn| {
        let places: Vec<E<'b>> = (0..unroll).map(|u| turn * step + u * at_once + key).collect();
        let tokens: Vec<E<'b>> = places.iter().map(|c| start + c.min(count - 1)).collect();
        let depth = |i: u32| {
            let quad = part + i * plan.parts;
            if stride > last + 1 { quad.min(last) * 4u32 } else { quad * 4u32 }
        };
        // all of a key's loads are under way before the first is used
        let few = quads <= 8;
        let mut sums: Vec<Vec<E<'b>>> = vec![vec![b.f32(0.0); plan.rows as usize]; unroll as usize];
        if few {
            let loaded: Vec<Vec<E<'b>>> = tokens
                .iter()
                .map(|t| (0..quads).map(|i| keys.key(w, *t, depth(i))).collect())
                .collect();
            for i in 0..quads {
                for r in 0..plan.rows {
                    let q = match &held {
                        Some(h) => h[r as usize][i as usize],
                        None => query(r, i),
                    };
                    for (sums, k) in sums.iter_mut().zip(&loaded) {
                        let sum = &mut sums[r as usize];
                        *sum = dot(q, k[i as usize], *sum);
                    }
                }
            }
        } else {
            let vars: Vec<Vec<V<'b>>> = (0..unroll)
                .map(|_| (0..plan.rows).map(|_| b.var("sum", b.f32(0.0))).collect())
                .collect();
            b.for_(0u32, quads, 1, |i| {
                let quad = i * plan.parts + part;
                let d = if stride > last + 1 { quad.min(last) } else { quad } * 4u32;
                let loaded: Vec<E<'b>> = tokens.iter().map(|t| keys.key(w, *t, d)).collect();
                for r in 0..plan.rows {
                    let q = memory.queries.memory.load(quad + r * stride);
                    for (vars, k) in vars.iter().zip(&loaded) {
                        let sum = &vars[r as usize];
                        sum.set(dot(q, *k, sum.get()));
                    }
                }
            });
            for (sums, vars) in sums.iter_mut().zip(&vars) {
                sums.iter_mut().zip(vars).for_each(|(s, v)| *s = v.get());
            }
        }
        for ((place, t), sums) in places.iter().zip(&tokens).zip(sums) {
            let whole: Vec<E<'b>> = sums.into_iter().map(|s| joined(b, s, plan.parts)).collect();
            let store = || {
                let scale = keys.scales(w, *t).map(|s| s[0]);
                let scores: Vec<E<'b>> = (0u32..)
                    .zip(&whole)
                    .map(|(r, s)| {
                        let s = scale.map_or(*s, |f| *s * f);
                        score(w, p, keys, r, *t, s)
                    })
                    .collect();
                let vectors = plan.rows / lanes;
                for v in 0..vectors {
                    let some = &scores[(v * lanes) as usize..((v + 1) * lanes) as usize];
                    let vector = if lanes == 1 { some[0] } else { b.compose(some) };
                    memory.scores.store(*place * vectors + v, vector);
                }
            };
            let inside = place.lt(count);
            b.if_(if plan.parts > 1 { inside.and(part.eq(0u32)) } else { inside }, store);
        }
    });
}

/// `acc + q · k`.
fn dot<'b>(q: E<'b>, k: E<'b>, acc: E<'b>) -> E<'b> {
    (0..4u8).fold(acc, |acc, i| q.lane(i).fma(k.lane(i), acc))
}

/// The sum over `parts` neighbouring invocations, in each of them.
fn joined<'b>(b: &'b Builder, part: E<'b>, parts: u32) -> E<'b> {
    let mut sum = part;
    let mut mask = 1;
    while mask < parts {
        sum = sum + sum.subgroup_shuffle_xor(b.u32(mask));
        mask *= 2;
    }
    sum
}

/// The score of row `r` and key `t` from their scaled product.
fn score<'b>(
    w: &Work<'b>,
    p: &Problem,
    keys: &(impl Keys<'b> + ?Sized),
    r: u32,
    t: E<'b>,
    product: E<'b>,
) -> E<'b> {
    let b = w.b;
    let mut s = product;
    if p.softcap > 0.0 {
        // tanh is made of exponentials, which overflow far beyond where it is 1
        s = s.clamp(-20.0, 20.0).tanh() * (p.softcap * LOG2_E) as f32;
    }
    let row = w.row(r);
    if let Some(mask) = keys.mask(w, &row, t) {
        s = (s + mask * LOG2_E as f32).max(HIDDEN);
    }
    match keys.visible(w, &row, t) {
        Some(visible) => b.select(visible, s, b.f32(HIDDEN)),
        None => s,
    }
}

/// Adds the weighted values of a block.
fn values<'b>(
    w: &Work<'b>,
    p: &Problem,
    memory: &Memory<'b>,
    online: &Online<'b>,
    keys: &(impl Keys<'b> + ?Sized),
    start: E<'b>,
    count: E<'b>,
) {
    let (b, plan) = (w.b, &w.plan);
    let lanes = plan.lanes();
    let vectors = plan.rows / lanes;
    let quads = p.value_dim.div_ceil(4) as u32;
    let groups = plan.value_groups(p);
    let (quad, group) = (w.local % quads, w.local / quads);
    let unroll = (plan.block / groups).clamp(1, plan.in_flight);
    let step = groups * unroll;
    let add = || {
        let turns = (count + (step - 1)) / step;
        b.for_(0u32, turns, 1, |turn| {
            let places: Vec<E<'b>> =
                (0..unroll).map(|u| turn * step + u * groups + group).collect();
            let loaded: Vec<_> = places
                .iter()
                .map(|c| {
                    let t = start + c.min(count - 1);
                    (keys.value(w, t, quad * 4u32), keys.scales(w, t).map(|s| s[1]))
                })
                .collect();
            for (c, (value, scale)) in places.iter().zip(loaded) {
                let inside = c.lt(count);
                let at = c.min(count - 1) * vectors;
                for v in 0..vectors {
                    let weight = memory.scores.load(at + v);
                    let weight = b.select(inside, weight, b.lit_like(0.0, weight.ty()));
                    let total = &online.total[v as usize];
                    total.set(total.get() + weight);
                    let weight = match scale {
                        None => weight,
                        Some(s) => weight * s.splat(lanes as u8),
                    };
                    for lane in 0..lanes {
                        let sums = &online.sums[(v * lanes + lane) as usize];
                        let weight = weight.lane(lane as u8).splat(4);
                        sums.set(value.fma(weight, sums.get()));
                    }
                }
            }
        });
    };
    if (groups * quads) == plan.size { add() } else { b.if_(group.lt(groups), add) }
}

/// Puts the parts of the invocations together, and stores.
fn finish<'b>(
    w: &Work<'b>,
    p: &Problem,
    online: &Online<'b>,
    io: &impl Io<'b>,
    partials: Option<Partials>,
) {
    let (b, plan) = (w.b, &w.plan);
    let (lanes, band) = (plan.lanes(), plan.band(p));
    let quads = p.value_dim.div_ceil(4) as u32;
    let groups = plan.value_groups(p);
    let (quad, group) = (w.local % quads, w.local / quads);
    let mine = group.lt(groups);
    let results = b.shared("results", Scalar::F32, 4, band * groups * quads);
    let totals = b.shared("totals", Scalar::F32, 1, groups * plan.rows);
    let peaks = b.shared("peaks", Scalar::F32, 1, plan.rows);
    b.if_(mine.and(quad.eq(0u32)), || {
        for r in 0..plan.rows {
            let total = online.total[(r / lanes) as usize].get().lane((r % lanes) as u8);
            totals.store(group * plan.rows + r, total);
        }
    });
    b.if_(w.local.eq(0u32), || {
        for r in 0..plan.rows {
            peaks.store(r, online.peak[(r / lanes) as usize].get().lane((r % lanes) as u8));
        }
    });
    let mut first = 0;
    while first < plan.rows {
        let n = band.min(plan.rows - first);
        if first > 0 {
            b.barrier();
        }
        b.if_(mine, || {
            for r in 0..n {
                let at = group * quads + quad + r * groups * quads;
                results.store(at, online.sums[(first + r) as usize].get());
            }
        });
        b.barrier();
        w.each(n * quads, |i| {
            let (r, quad) = (i / quads, i % quads);
            let at = r * (groups * quads) + quad;
            let r = r + first;
            let sum = b.var("result", b.zero4());
            let total = b.var("weights", b.f32(0.0));
            b.for_(0u32, groups, 1, |g| {
                sum.set(sum.get() + results.load(at + g * quads));
                total.set(total.get() + totals.load(r + g * plan.rows));
            });
            let (sum, total) = (sum.get(), total.get());
            let live = (w.first_row + r).lt(w.rows);
            let row = w.row(r);
            b.if_(live, || match partials {
                None => {
                    let inv = b.f32(1.0) / total.max(1e-30);
                    io.store(w, &row, quad * 4u32, sum * inv.splat(4));
                }
                Some(to) => {
                    b.store4(to.sums, &[w.head, row.row, w.split, quad * 4u32], 3, sum);
                    b.if_(quad.eq(0u32), || {
                        let at = |i: u32| [w.head, row.row, w.split, b.u32(i)];
                        b.store(to.stats, &at(0), peaks.load(r));
                        b.store(to.stats, &at(1), total);
                    });
                }
            });
        });
        first += n;
    }
}

/// Scratch for the splits of `plan`: two temps of the node.
pub fn partials(l: &mut Lowering<'_>, p: &Problem, plan: &Plan) -> [usize; 2] {
    let shape = |last: usize| [p.heads, p.rows(), plan.splits as usize, last];
    let elem = drift_kernel::Elem::F32;
    [l.temp(shape(p.value_dim), elem), l.temp(shape(2), elem)]
}

impl Partials {
    pub fn bind(
        l: &Lowering<'_>,
        k: &crate::lower::KernelArgs,
        temps: [usize; 2],
        access: Access,
    ) -> Partials {
        let [sums, stats] = temps.map(|t| l.temp_arg(k, t, access));
        Partials { sums, stats }
    }

    /// Elements `d .. d + 4` of a row's result, from all its splits.
    pub fn reduced<'b>(&self, b: &'b Builder, splits: u32, [head, row, d]: [E<'b>; 3]) -> E<'b> {
        let stat = |s: u32, i: u32| b.load(self.stats, &[head, row, b.u32(s), b.u32(i)]);
        let peaks: Vec<E<'b>> = (0..splits).map(|s| stat(s, 0)).collect();
        let totals: Vec<E<'b>> = (0..splits).map(|s| stat(s, 1)).collect();
        let sums: Vec<E<'b>> =
            (0..splits).map(|s| b.load4(self.sums, &[head, row, b.u32(s), d], 3)).collect();
        let peak = peaks.iter().skip(1).fold(peaks[0], |m, p| m.binary(BinaryOp::Max, *p));
        let (mut sum, mut total) = (b.zero4(), b.f32(0.0));
        for ((p, t), s) in peaks.iter().zip(totals).zip(sums) {
            let weight = (*p - peak).exp2();
            total = t.fma(weight, total);
            sum = s.fma(weight.splat(4), sum);
        }
        sum * (b.f32(1.0) / total.max(1e-30)).splat(4)
    }
}
