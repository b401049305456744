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
//! Few rows wait for memory more than they compute: where registers hold a block, its keys and
//! values are loaded before anything else, those of the next block while this one is worked on.
//! Ranges may be split over workgroups (long caches, few rows); a reduction then joins the parts.

use super::io::{HIDDEN, Io, Keys, LOWEST, Queries, Work};
use super::partials::Partials;
use super::plan::{LOG2_E, Plan, Problem, SLICES};
use drift_kernel::builder::{S, V};
use drift_kernel::{Builder, E, F32, F32X4, Scalar, Type};

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

/// Keys of which an invocation takes its part at a time.
#[derive(Clone, Copy)]
struct Block<'b> {
    start: E<'b>,
    /// 1 to the block's size; where nothing is read, 0.
    count: E<'b>,
    /// Whether these are the new tokens; `None` = never.
    fresh: Option<E<'b>>,
}

/// An invocation's part of a block, in registers.
struct Ahead<'b> {
    keys: Vec<V<'b>>,
    key_scales: Vec<V<'b>>,
    values: Vec<V<'b>>,
    value_scales: Vec<V<'b>>,
}

/// The kernel being written.
struct Attend<'a, 'b, I> {
    w: &'a Work<'b>,
    p: &'a Problem,
    plan: Plan,
    io: &'a I,
    memory: Memory<'b>,
    online: Online<'b>,
    ahead: Option<Ahead<'b>>,
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
    let vectors = plan.rows / u32::from(lanes);
    let queries = b.shared("queries", Scalar::F32, 4, plan.rows * plan.quads(p));
    let memory = Memory {
        queries: Queries { memory: queries, quads: plan.quads(p) },
        scores: b.shared("scores", Scalar::F32, lanes, plan.block * vectors),
        slices: b.shared("slices", Scalar::F32, lanes, SLICES * vectors),
    };
    let wide = Type::vec(Scalar::F32, lanes);
    let hidden = b.lit_like(f64::from(HIDDEN), wide);
    let online = Online {
        peak: (0..vectors).map(|_| b.var("peak", hidden)).collect(),
        total: (0..vectors).map(|_| b.var("total", b.lit_like(0.0, wide))).collect(),
        sums: (0..plan.rows).map(|_| b.var("sums", b.zero4())).collect(),
    };
    let mut a = Attend { w: &w, p, plan, io, memory, online, ahead: None };
    let (lo, hi) = io.range(&w);
    let (start, count) = w.share(lo, hi);
    // blocks of the range, then one of the new tokens
    let old = (count + (plan.block - 1)) / plan.block;
    let fresh = io.fresh(&w).map(|(first, n)| {
        let mine = w.split.eq(plan.splits - 1).and(n.gt(0u32));
        (first, n, b.select(mine, old + 1u32, old))
    });
    let turns = fresh.map_or(old, |f| f.2);
    let block = |turn: E<'b>| {
        let done = turn * plan.block;
        let left = (count.max(done) - done).min(plan.block);
        match fresh {
            None => Block { start: start + done, count: left, fresh: None },
            Some((first, n, _)) => {
                let is_fresh = turn.ge(old);
                Block {
                    start: b.select(is_fresh, first, start + done),
                    count: b.select(is_fresh, n, left),
                    fresh: Some(is_fresh),
                }
            }
        }
    };
    if plan.ahead(p) {
        a.ahead = Some(a.registers());
        let first = Block { start, count, fresh: None };
        b.if_(old.gt(0u32), || {
            a.load_keys(&first);
            a.load_values(&first);
        });
        io.prepare(&w, a.memory.queries);
        b.barrier();
        if fresh.is_some() {
            b.if_(old.eq(0u32).and(turns.gt(0u32)), || {
                a.load_keys(&block(b.u32(0)));
                a.load_values(&block(b.u32(0)));
            });
        }
    } else {
        io.prepare(&w, a.memory.queries);
        b.barrier();
    }
    b.for_(0u32, turns, 1, |turn| {
        let more = (turn + 1u32).lt(turns);
        a.block(&block(turn), &block(turn + 1u32), more);
    });
    a.finish(partials);
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

/// What `get` gives for the keys of a block: from the range, or from the new tokens.
fn fetch<'b, I: Io<'b>>(
    io: &I,
    b: &'b Builder,
    block: &Block<'b>,
    to: &[V<'b>],
    get: &dyn Fn(&dyn Keys<'b>, usize) -> E<'b>,
) {
    let all = |keys: &dyn Keys<'b>| {
        let values: Vec<E<'b>> = (0..to.len()).map(|i| get(keys, i)).collect();
        to.iter().zip(values).for_each(|(v, x)| v.set(x));
    };
    let old: &dyn Keys<'b> = &Range(io);
    match (block.fresh, io.fresh_keys()) {
        (Some(is_fresh), Some(fresh)) => b.if_else(is_fresh, || all(fresh), || all(old)),
        _ => all(old),
    }
}

/// The keys of a range.
struct Range<'a, I>(&'a I);

impl<'b, I: Io<'b>> Keys<'b> for Range<'_, I> {
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.0.key(w, t, d)
    }
    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.0.value(w, t, d)
    }
    fn scales(&self, w: &Work<'b>, t: E<'b>) -> Option<[E<'b>; 2]> {
        self.0.scales(w, t)
    }
}

impl<'b, I: Io<'b>> Attend<'_, 'b, I> {
    fn registers(&self) -> Ahead<'b> {
        let (b, plan, p) = (self.w.b, &self.plan, self.p);
        let quad = |n: u32| (0..n).map(|_| b.var("next", b.zero4())).collect::<Vec<_>>();
        let scale = |n: u32| {
            let n = if self.io.scaled() { n } else { 0 };
            (0..n).map(|_| b.var("scale", b.f32(0.0))).collect::<Vec<_>>()
        };
        Ahead {
            keys: quad(plan.unroll() * plan.quads(p) / plan.parts),
            key_scales: scale(plan.unroll()),
            values: quad(plan.value_unroll(p)),
            value_scales: scale(plan.value_unroll(p)),
        }
    }

    /// Key number `u` of this invocation in a block: its place, and its position (that of the last
    /// key for those past the end).
    fn key_at(&self, block: &Block<'b>, turn: E<'b>, u: u32) -> (E<'b>, E<'b>) {
        let (plan, at_once) = (&self.plan, self.plan.keys_at_once());
        let place = turn * (plan.unroll() * at_once) + u * at_once + self.w.local / plan.parts;
        (place, block.start + place.min(block.count.max(1u32) - 1u32))
    }

    /// First element of quad number `i` of this invocation's part of a key.
    fn depth(&self, i: impl drift_kernel::builder::IntoExpr<'b>) -> E<'b> {
        let (b, plan) = (self.w.b, &self.plan);
        let quad = i.into_expr(b, drift_kernel::U32) * plan.parts + self.w.local % plan.parts;
        let quads = self.p.head_dim.div_ceil(4) as u32;
        if plan.quads(self.p) == quads { quad * 4u32 } else { quad.min(quads - 1) * 4u32 }
    }

    fn value_at(&self, block: &Block<'b>, turn: E<'b>, u: u32) -> (E<'b>, E<'b>) {
        let groups = self.plan.value_groups(self.p);
        let group = self.w.local / self.p.value_dim.div_ceil(4) as u32;
        let place = turn * (self.plan.value_unroll(self.p) * groups) + u * groups + group;
        (place, block.start + place.min(block.count.max(1u32) - 1u32))
    }

    fn value_depth(&self) -> E<'b> {
        self.w.local % self.p.value_dim.div_ceil(4) as u32 * 4u32
    }

    fn load_keys(&self, block: &Block<'b>) {
        let (w, b) = (self.w, self.w.b);
        let Some(ahead) = &self.ahead else { return };
        let quads = ahead.keys.len() / self.plan.unroll() as usize;
        let token = |u: usize| self.key_at(block, b.u32(0), u as u32).1;
        fetch(self.io, b, block, &ahead.keys, &|keys, i| {
            keys.key(w, token(i / quads), self.depth((i % quads) as u32))
        });
        fetch(self.io, b, block, &ahead.key_scales, &|keys, u| {
            keys.scales(w, token(u)).map_or_else(|| b.f32(1.0), |s| s[0])
        });
    }

    fn load_values(&self, block: &Block<'b>) {
        let (w, b) = (self.w, self.w.b);
        let Some(ahead) = &self.ahead else { return };
        let token = |u: usize| self.value_at(block, b.u32(0), u as u32).1;
        // invocations beyond the last group read what the first one does
        fetch(self.io, b, block, &ahead.values, &|keys, u| {
            keys.value(w, token(u), self.value_depth())
        });
        fetch(self.io, b, block, &ahead.value_scales, &|keys, u| {
            keys.scales(w, token(u)).map_or_else(|| b.f32(1.0), |s| s[1])
        });
    }

    /// One block of keys. `next` is the block after it, if there is `more`.
    fn block(&self, block: &Block<'b>, next: &Block<'b>, more: E<'b>) {
        let (b, w, plan) = (self.w.b, self.w, &self.plan);
        let (memory, online) = (&self.memory, &self.online);
        let lanes = plan.lanes();
        let vectors = plan.rows / lanes;
        let count = block.count;
        b.barrier();
        self.scores(block);
        if self.ahead.is_some() {
            b.if_(more, || self.load_keys(next));
        }
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
            for turn in 0..plan.block.div_ceil(plan.size) {
                let key = w.local + turn * plan.size;
                b.if_(key.lt(count), || {
                    let at = key * vectors + v;
                    let s = memory.scores.load(at);
                    // between the lowest score that is seen and that of hidden keys
                    let seen = s.gt(1.6 * LOWEST);
                    let none = b.lit_like(0.0, s.ty());
                    memory.scores.store(at, b.select(seen, (s - *peak).exp2(), none));
                });
            }
        }
        b.barrier();
        self.values(block);
        if self.ahead.is_some() {
            b.if_(more, || self.load_values(next));
        }
    }

    /// Scores of a block, in units of powers of two.
    fn scores(&self, block: &Block<'b>) {
        let (b, w, plan) = (self.w.b, self.w, &self.plan);
        let (lanes, unroll) = (plan.lanes(), plan.unroll());
        let part = w.local % plan.parts;
        let stride = self.memory.queries.quads;
        let quads = stride / plan.parts;
        let query =
            |r: u32, i: u32| self.memory.queries.memory.load(part + (r * stride + i * plan.parts));
        // the queries of few rows stay in registers
        let held: Option<Vec<Vec<E<'b>>>> = (plan.rows * quads <= 16)
            .then(|| (0..plan.rows).map(|r| (0..quads).map(|i| query(r, i)).collect()).collect());
        let step = unroll * plan.keys_at_once();
        let turns = match &self.ahead {
            Some(_) => b.u32(1),
            None => (block.count + (step - 1)) / step,
        };
        b.for_(0u32, turns, 1, |turn| {
            let keys: Vec<(E<'b>, E<'b>)> =
                (0..unroll).map(|u| self.key_at(block, turn, u)).collect();
            let mut sums = vec![vec![b.f32(0.0); plan.rows as usize]; unroll as usize];
            if quads <= 8 {
                let fetched;
                let loaded: &[V<'b>] = match &self.ahead {
                    Some(ahead) => &ahead.keys,
                    None => {
                        fetched = (0..unroll * quads)
                            .map(|_| b.var_uninit("key", F32X4))
                            .collect::<Vec<_>>();
                        fetch(self.io, b, block, &fetched, &|from, i| {
                            let (u, i) = (i / quads as usize, i % quads as usize);
                            from.key(w, keys[u].1, self.depth(i as u32))
                        });
                        &fetched
                    }
                };
                for i in 0..quads {
                    let k: Vec<E<'b>> =
                        (0..unroll).map(|u| loaded[(u * quads + i) as usize].get()).collect();
                    for r in 0..plan.rows {
                        let q = match &held {
                            Some(h) => h[r as usize][i as usize],
                            None => query(r, i),
                        };
                        for (sums, k) in sums.iter_mut().zip(&k) {
                            let sum = &mut sums[r as usize];
                            *sum = dot(q, *k, *sum);
                        }
                    }
                }
            } else {
                let vars: Vec<Vec<V<'b>>> = (0..unroll)
                    .map(|_| (0..plan.rows).map(|_| b.var("sum", b.f32(0.0))).collect())
                    .collect();
                b.for_(0u32, quads, 1, |i| {
                    let fetched: Vec<V<'b>> =
                        (0..unroll).map(|_| b.var_uninit("key", F32X4)).collect();
                    fetch(self.io, b, block, &fetched, &|from, u| {
                        from.key(w, keys[u].1, self.depth(i))
                    });
                    let k: Vec<E<'b>> = fetched.iter().map(|v| v.get()).collect();
                    let quad = i * plan.parts + part;
                    for r in 0..plan.rows {
                        let q = self.memory.queries.memory.load(quad + r * stride);
                        for (vars, k) in vars.iter().zip(&k) {
                            let sum = &vars[r as usize];
                            sum.set(dot(q, *k, sum.get()));
                        }
                    }
                });
                for (sums, vars) in sums.iter_mut().zip(&vars) {
                    sums.iter_mut().zip(vars).for_each(|(s, v)| *s = v.get());
                }
            }
            for (u, ((place, t), sums)) in keys.iter().zip(sums).enumerate() {
                let whole: Vec<E<'b>> =
                    sums.into_iter().map(|s| joined(b, s, plan.parts)).collect();
                let store = || {
                    let scale = self.scale(block, *t, u, 0);
                    let scores: Vec<E<'b>> = (0u32..)
                        .zip(&whole)
                        .map(|(r, s)| self.score(r, *t, scale.map_or(*s, |f| *s * f)))
                        .collect();
                    let vectors = plan.rows / lanes;
                    for v in 0..vectors {
                        let some = &scores[(v * lanes) as usize..((v + 1) * lanes) as usize];
                        let vector = if lanes == 1 { some[0] } else { b.compose(some) };
                        self.memory.scores.store(*place * vectors + v, vector);
                    }
                };
                let inside = place.lt(block.count);
                b.if_(if plan.parts > 1 { inside.and(part.eq(0u32)) } else { inside }, store);
            }
        });
    }

    /// Scale of the key (`which` 0) or value (1) that an invocation has as number `u`.
    fn scale(&self, block: &Block<'b>, t: E<'b>, u: usize, which: usize) -> Option<E<'b>> {
        if !self.io.scaled() {
            return None;
        }
        let b = self.w.b;
        if let Some(ahead) = &self.ahead {
            let vars = if which == 0 { &ahead.key_scales } else { &ahead.value_scales };
            return Some(vars[u].get());
        }
        let scale = b.var_uninit("scale", F32);
        fetch(self.io, b, block, &[scale], &|keys, _| {
            keys.scales(self.w, t).map_or_else(|| b.f32(1.0), |s| s[which])
        });
        Some(scale.get())
    }

    /// The score of row `r` and key `t` from their scaled product.
    fn score(&self, r: u32, t: E<'b>, product: E<'b>) -> E<'b> {
        let (b, w) = (self.w.b, self.w);
        let mut s = product;
        if self.p.softcap > 0.0 {
            // tanh is made of exponentials, which overflow far beyond where it is 1
            s = s.clamp(-20.0, 20.0).tanh() * (self.p.softcap * LOG2_E) as f32;
        }
        let row = w.row(r);
        if let Some(mask) = self.io.mask(w, &row, t) {
            s = (s + mask * LOG2_E as f32).max(HIDDEN);
        }
        match self.io.visible(w, &row, t) {
            Some(visible) => b.select(visible, s, b.f32(HIDDEN)),
            None => s,
        }
    }

    /// Adds the weighted values of a block.
    fn values(&self, block: &Block<'b>) {
        let (b, w, plan) = (self.w.b, self.w, &self.plan);
        let (memory, online) = (&self.memory, &self.online);
        let lanes = plan.lanes();
        let vectors = plan.rows / lanes;
        let quads = self.p.value_dim.div_ceil(4) as u32;
        let groups = plan.value_groups(self.p);
        let unroll = plan.value_unroll(self.p);
        let step = groups * unroll;
        let turns = match &self.ahead {
            Some(_) => b.u32(1),
            None => (block.count + (step - 1)) / step,
        };
        let add = || {
            b.for_(0u32, turns, 1, |turn| {
                let keys: Vec<(E<'b>, E<'b>)> =
                    (0..unroll).map(|u| self.value_at(block, turn, u)).collect();
                let fetched;
                let loaded: &[V<'b>] = match &self.ahead {
                    Some(ahead) => &ahead.values,
                    None => {
                        fetched =
                            (0..unroll).map(|_| b.var_uninit("value", F32X4)).collect::<Vec<_>>();
                        fetch(self.io, b, block, &fetched, &|from, u| {
                            from.value(w, keys[u].1, self.value_depth())
                        });
                        &fetched
                    }
                };
                for (u, (place, t)) in keys.iter().enumerate() {
                    let value = loaded[u].get();
                    let scale = self.scale(block, *t, u, 1);
                    let inside = place.lt(block.count);
                    let at = place.min(block.count - 1) * vectors;
                    for v in 0..vectors {
                        let weight = memory.scores.load(at + v);
                        let weight = b.select(inside, weight, b.lit_like(0.0, weight.ty()));
                        let total = &online.total[v as usize];
                        total.set(total.get() + weight);
                        let weight = scale.map_or(weight, |s| weight * s.splat(lanes as u8));
                        for lane in 0..lanes {
                            let sums = &online.sums[(v * lanes + lane) as usize];
                            let weight = weight.lane(lane as u8).splat(4);
                            sums.set(value.fma(weight, sums.get()));
                        }
                    }
                }
            });
        };
        if groups * quads == plan.size {
            add();
        } else {
            b.if_((w.local / quads).lt(groups), add);
        }
    }

    /// Puts the parts of the invocations together, and stores.
    fn finish(&self, partials: Option<Partials>) {
        let (b, w, plan) = (self.w.b, self.w, &self.plan);
        let online = &self.online;
        let (lanes, band) = (plan.lanes(), plan.band(self.p));
        let quads = self.p.value_dim.div_ceil(4) as u32;
        let groups = plan.value_groups(self.p);
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
                        self.io.store(w, &row, quad * 4u32, sum * inv.splat(4));
                    }
                    Some(to) => {
                        b.store4(to.sums, &[w.head, row.row, w.split, quad * 4u32], 3, sum);
                        b.if_(quad.eq(0u32), || {
                            to.store_stats(b, [w.head, row.row, w.split], peaks.load(r), total);
                        });
                    }
                });
            });
            first += n;
        }
    }
}
