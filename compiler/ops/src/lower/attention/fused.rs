//! The decode step in one kernel: each workgroup turns its queries and the new keys for itself, the
//! last split of a head also attends to the new tokens and writes them into the cache.
//!
//! Nobody waits for another workgroup: old keys come from the cache, whose slots for the new
//! tokens nobody reads, and new ones from qkv.

use super::cache::{Cache, quantized};
use super::cached::{in_window, store_result, window_start};
use super::heads::{Heads, Params, Parts};
use super::io::{Io, Keys, Queries, Row, Work};
use super::plan::{Plan, Problem};
use crate::Result;
use crate::lower::{KernelArgs, Lowering};
use crate::ops::cached_attention::{self as op, CachedAttention};
use drift_kernel::builder::S;
use drift_kernel::{Access, E, Scalar, TensorId};

/// Invocations that add up the squares of a head.
const SHARES: u32 = 8;

/// The kernel's arguments and its workgroup memory for the new tokens.
pub struct Fused<'b> {
    a: CachedAttention,
    factor: f32,
    heads: Heads,
    cache: Cache,
    params: Params<'b>,
    out: Option<TensorId>,
    fresh: Fresh<'b>,
}

/// The new tokens of a key head.
struct Fresh<'b> {
    /// Keys `S x quads`; of an int8 cache whole multiples of their scales.
    keys: S<'b>,
    /// Likewise, of int8 caches.
    values: Option<S<'b>>,
    /// Scales of keys, then of values.
    scales: Option<S<'b>>,
    /// Sums of squares, or maxima: [`SHARES`] per head.
    shares: Option<S<'b>>,
    quads: u32,
    rows: u32,
    /// Position of the first.
    first: E<'b>,
    /// For values in floats: where they are, and the head of the first.
    heads: Heads,
    first_value: u32,
}

impl<'b> Fused<'b> {
    /// The plan of the kernel, where the device can run it.
    pub fn plan(l: &Lowering<'_>, a: &CachedAttention, p: &Problem) -> Option<Plan> {
        // the last: sums and stats of splits
        let buffers = Parts::ALL.buffers(l, a) + 2;
        if buffers as u64 > l.target.caps.limits.storage_buffers {
            return None;
        }
        let quads = a.head_dim.div_ceil(4).next_multiple_of(8);
        let fresh = if a.int8 { 2 } else { 1 };
        let vectors = fresh * a.rows + p.rows().min(16);
        let extra = 16 * fresh * a.rows * quads + 4 * (vectors * SHARES as usize + 2 * a.rows);
        Plan::of(l.target, p, extra as u64, true)
    }

    pub fn bind(
        l: &Lowering<'_>,
        k: &'b KernelArgs,
        a: &CachedAttention,
        p: &Problem,
        plan: &Plan,
        out: Option<TensorId>,
    ) -> Result<Fused<'b>> {
        let b = &k.b;
        let params = l.operand(k, op::PARAMS)?;
        let params = Params::load(b, params, a);
        let heads = Heads::bind(l, k, a, Parts::ALL)?;
        let cache = Cache::bind(l, k, a, true, true, Access::ReadWrite);
        let quads = plan.quads(p);
        let rows = a.rows as u32;
        let norms = heads.q_gamma().is_some() || heads.k_gamma().is_some();
        let mut vectors = if norms { plan.rows + rows } else { 0 };
        if a.int8 {
            vectors = vectors.max(2 * rows);
        }
        let fresh = Fresh {
            keys: b.shared("new_keys", Scalar::F32, 4, rows * quads),
            values: a.int8.then(|| b.shared("new_values", Scalar::F32, 4, rows * quads)),
            scales: a.int8.then(|| b.shared("new_scales", Scalar::F32, 1, 2 * rows)),
            shares: (vectors > 0).then(|| b.shared("shares", Scalar::F32, 1, vectors * SHARES)),
            quads,
            rows,
            first: params.position,
            heads: heads.clone(),
            first_value: (a.heads + a.kv_heads) as u32,
        };
        let factor = p.factor() as f32;
        Ok(Fused { a: a.clone(), factor, heads, cache, params, out, fresh })
    }

    /// Row and head in qkv of vector `v`: the workgroup's queries, then the new keys.
    fn vector(&self, w: &Work<'b>, v: E<'b>) -> (E<'b>, [E<'b>; 2]) {
        let (b, rows) = (w.b, w.plan.rows);
        let is_query = v.lt(rows);
        let row = w.row(v.min(rows - 1));
        let token = b.select(is_query, row.token, v.max(rows) - rows);
        let query = w.head * w.group + row.member;
        (is_query, [token, b.select(is_query, query, w.head + self.a.heads as u32)])
    }

    /// Sums of squares of all vectors, [`SHARES`] parts each.
    fn squares(&self, w: &Work<'b>, shares: S<'b>) {
        let b = w.b;
        let quads = self.a.head_dim.div_ceil(4) as u32;
        w.each((w.plan.rows + self.a.rows as u32) * SHARES, |i| {
            let (_, [token, head]) = self.vector(w, i / SHARES);
            let first = i % SHARES;
            let mut sum = b.f32(0.0);
            for turn in 0..quads.div_ceil(SHARES) {
                let quad = first + turn * SHARES;
                let all = (turn + 1) * SHARES <= quads;
                let d = if all { quad } else { quad.min(quads - 1) } * 4u32;
                let x = self.heads.raw(b, token, head, d);
                let more = sum + x.dot(x);
                sum = if all { more } else { b.select(quad.lt(quads), more, sum) };
            }
            shares.store(i, sum);
        });
        b.barrier();
    }

    /// Queries and new keys, normalized and rotated.
    fn turn(&self, w: &Work<'b>, to: Queries<'b>, shares: Option<S<'b>>) {
        let b = w.b;
        let quads = self.a.head_dim.div_ceil(4) as u32;
        let queries = w.plan.rows * self.fresh.quads;
        w.each(queries + self.a.rows as u32 * self.fresh.quads, |i| {
            let (v, quad) = (i / self.fresh.quads, i % self.fresh.quads);
            let (is_query, [token, head]) = self.vector(w, v);
            let d = if quads == self.fresh.quads { quad } else { quad.min(quads - 1) } * 4u32;
            let x = match shares {
                None => self.heads.turned(b, [token, head, d], None, &self.params),
                Some(shares) => {
                    let sum = (0..SHARES)
                        .map(|s| shares.load(v * SHARES + s))
                        .reduce(|x, y| x + y)
                        .expect("some shares");
                    let mean = sum / self.a.head_dim as f32;
                    let inv = (mean + self.a.norm_eps as f32).rsqrt();
                    let x = b.var_uninit("x", drift_kernel::F32X4);
                    let turn = |gamma: Option<TensorId>| {
                        let norm = gamma.map(|g| (inv, g));
                        x.set(self.heads.turned(b, [token, head, d], norm, &self.params));
                    };
                    b.if_else(
                        is_query,
                        || turn(self.heads.q_gamma()),
                        || turn(self.heads.k_gamma()),
                    );
                    x.get()
                }
            };
            let x = self.heads.inside(b, d, x);
            let x = match quads == self.fresh.quads {
                true => x,
                false => b.select(quad.lt(quads).splat(4), x, b.zero4()),
            };
            b.if_else(
                is_query,
                || to.memory.store(i, x * self.factor),
                || self.fresh.keys.store(i - queries, x),
            );
        });
    }

    /// New keys and values as whole multiples of their scales.
    fn quantize(&self, w: &Work<'b>, values: S<'b>, scales: S<'b>, shares: S<'b>) {
        let b = w.b;
        let (rows, quads) = (self.a.rows as u32, self.a.head_dim as u32 / 4);
        let pad = self.fresh.quads;
        w.each(rows * quads, |i| {
            let (token, quad) = (i / quads, i % quads);
            let head = w.head + (self.a.heads + self.a.kv_heads) as u32;
            values.store(token * pad + quad, self.heads.raw(b, token, head, quad * 4u32));
        });
        b.barrier();
        // vectors: keys, then values
        let element = |v: E<'b>, quad: E<'b>| {
            let is_key = v.lt(rows);
            let at = b.select(is_key, v, v.max(rows) - rows) * pad + quad;
            (is_key, at)
        };
        w.each(2 * rows * SHARES, |i| {
            let (v, first) = (i / SHARES, i % SHARES);
            let mut peak = b.f32(0.0);
            for turn in 0..quads.div_ceil(SHARES) {
                let quad = (first + turn * SHARES).min(quads - 1);
                let (is_key, at) = element(v, quad);
                let x = b.select(is_key, self.fresh.keys.load(at), values.load(at)).abs();
                peak = peak.max(x.lane(0).max(x.lane(1))).max(x.lane(2).max(x.lane(3)));
            }
            shares.store(i, peak);
        });
        b.barrier();
        w.each(2 * rows * quads, |i| {
            let (v, quad) = (i / quads, i % quads);
            let peak = (0..SHARES)
                .map(|s| shares.load(v * SHARES + s))
                .reduce(|x, y| x.max(y))
                .expect("some shares");
            let scale = peak / 127.0;
            let (is_key, at) = element(v, quad);
            b.if_else(
                is_key,
                || self.fresh.keys.store(at, quantized(b, self.fresh.keys.load(at), scale)),
                || values.store(at, quantized(b, values.load(at), scale)),
            );
            b.if_(quad.eq(0u32), || scales.store(v, scale));
        });
    }

    /// New keys and values into the cache.
    fn write(&self, w: &Work<'b>) {
        let b = w.b;
        let (rows, quads) = (self.a.rows as u32, self.a.head_dim.div_ceil(4) as u32);
        let last = w.split.eq(w.plan.splits - 1).and(b.workgroup_id(2).eq(0u32));
        b.if_(last, || {
            w.each(rows * quads, |i| {
                let (token, quad) = (i / quads, i % quads);
                b.if_(token.lt(self.params.active), || {
                    let slot = (self.params.position + token) % self.a.context as u32;
                    let at = [w.head, slot, quad * 4u32];
                    let scale = |first: u32| self.fresh.scales.map(|s| s.load(token + first));
                    let key = self.fresh.keys.load(token * self.fresh.quads + quad);
                    self.cache.store_key(b, at, key, scale(0));
                    let value = self.fresh.value_of(w, token, quad * 4u32);
                    self.cache.store_value(b, at, value, scale(rows));
                });
            });
        });
    }
}

impl<'b> Fresh<'b> {
    fn value_of(&self, w: &Work<'b>, token: E<'b>, d: E<'b>) -> E<'b> {
        match self.values {
            Some(values) => values.load(token * self.quads + d / 4u32),
            None => self.heads.raw(w.b, token, w.head + self.first_value, d),
        }
    }
}

impl<'b> Keys<'b> for Fused<'b> {
    fn key(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.cache.key(w.b, [w.head, self.cache.slot(t), d])
    }

    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.cache.value(w.b, [w.head, self.cache.slot(t), d])
    }

    fn scales(&self, w: &Work<'b>, t: E<'b>) -> Option<[E<'b>; 2]> {
        self.cache.scales(w.b, w.head, self.cache.slot(t))
    }

    fn scaled(&self) -> bool {
        self.a.int8
    }

    fn visible(&self, _: &Work<'b>, row: &Row<'b>, t: E<'b>) -> Option<E<'b>> {
        if self.a.rows == 1 {
            // its range is exact
            return None;
        }
        let at = self.params.position + row.token;
        let seen = t.le(at);
        Some(in_window(&self.a, at, t).map_or(seen, |w| seen.and(w)))
    }
}

impl<'b> Keys<'b> for Fresh<'b> {
    fn key(&self, _: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.keys.load((t - self.first) * self.quads + d / 4u32)
    }

    fn value(&self, w: &Work<'b>, t: E<'b>, d: E<'b>) -> E<'b> {
        self.value_of(w, t - self.first, d)
    }

    fn scales(&self, _: &Work<'b>, t: E<'b>) -> Option<[E<'b>; 2]> {
        let (scales, token) = (self.scales?, t - self.first);
        Some([scales.load(token), scales.load(token + self.rows)])
    }
}

impl<'b> Io<'b> for Fused<'b> {
    fn query(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>) -> E<'b> {
        let head = w.head * w.group + row.member;
        self.heads.turned(w.b, [row.token, head, d], None, &self.params) * self.factor
    }

    fn head_dim(&self) -> usize {
        self.a.head_dim
    }

    fn prepare(&self, w: &Work<'b>, to: Queries<'b>) {
        let norms = self.heads.q_gamma().is_some() || self.heads.k_gamma().is_some();
        let shares = self.fresh.shares.filter(|_| norms);
        if let Some(shares) = shares {
            self.squares(w, shares);
        }
        self.turn(w, to, shares);
        if let (Some(values), Some(scales), Some(shares)) =
            (self.fresh.values, self.fresh.scales, self.fresh.shares)
        {
            self.quantize(w, values, scales, shares);
        }
        w.b.barrier();
        self.write(w);
    }

    fn range(&self, w: &Work<'b>) -> (E<'b>, E<'b>) {
        let first = w.row(0u32).token;
        let hi = w.b.select(first.lt(self.params.active), self.params.position, w.b.u32(0));
        (window_start(&self.a, self.params.position + first), hi)
    }

    fn fresh(&self, w: &Work<'b>) -> Option<(E<'b>, E<'b>)> {
        let Params { position, active, .. } = self.params;
        let some = w.row(0u32).token.lt(active);
        Some((position, w.b.select(some, active, w.b.u32(0))))
    }

    fn fresh_keys(&self) -> Option<&dyn Keys<'b>> {
        Some(&self.fresh)
    }

    fn store(&self, w: &Work<'b>, row: &Row<'b>, d: E<'b>, value: E<'b>) {
        store_result(w, self.out, self.params.active, row, d, value);
    }
}
