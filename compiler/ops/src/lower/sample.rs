//! The next token, in two kernels with nothing for the host to decide in between.
//!
//! *scan*: the vocabulary in up to 256 chunks, one workgroup each, gives every chunk's largest
//! logit, its id, and the sum of the chunk's weights; with a temperature also the penalized, scaled
//! logits. *draw*: one workgroup takes the largest of all, or finds the cut of top_k,
//! top_p and min_p and draws. All settings are read on the device, so the same two dispatches
//! serve them all; loops that a setting does not need run zero times.

mod draw;

use super::Lowering;
use super::map::Input;
use crate::Result;
use crate::ops::sample::{LARGEST, LOGITS, SAMPLING, SAMPLING_LEN, Setting};
use drift_ir::View;
use drift_kernel::builder::{S, V};
use drift_kernel::{Access, Builder, E, Elem, F32X4, Scalar, TensorId, Type};

/// Invocations of both kernels, and the most chunks.
const SIZE: u32 = 256;
/// Groups of a reduction: each of the first invocations puts as many parts together.
const GROUPS: u32 = 16;
/// Quads of a chunk that one invocation may hold in registers.
const MOST_QUADS: u32 = 16;
/// Positions whose tokens the penalty compares at a time.
const TILE: u32 = SIZE * 4;
/// Below every logit: what lies beyond the vocabulary.
const NONE: f32 = f32::MIN;

/// How the vocabulary is cut.
#[derive(Clone, Copy, Debug)]
struct Chunks {
    /// Ids.
    vocabulary: u32,
    /// Quads of a chunk per invocation.
    quads: u32,
    /// Workgroups.
    count: u32,
}

impl Chunks {
    fn of(vocabulary: u32) -> Chunks {
        let quads = vocabulary.div_ceil(SIZE * SIZE * 4);
        Chunks { vocabulary, quads, count: vocabulary.div_ceil(SIZE * 4 * quads) }
    }

    /// Ids of one chunk.
    fn len(self) -> u32 {
        SIZE * 4 * self.quads
    }
}

/// What *scan* leaves for *draw*.
#[derive(Clone, Copy, Debug)]
struct Temps {
    /// Scaled logits, in whole chunks.
    x: usize,
    /// Largest x and sum of the weights of each chunk.
    stats: usize,
    /// Id of each chunk's largest.
    at: usize,
}

/// Lowers a `sample` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let v = l.shape(LOGITS)?[1];
    let most = (SIZE * SIZE * 4 * MOST_QUADS) as usize;
    if v > most {
        let why = format!("a vocabulary of {v}; at most {most} are supported");
        return Err(l.unsupported(why));
    }
    if l.target.caps.limits.workgroup_invocations < u64::from(SIZE) {
        return Err(l.unsupported(format!("the device has workgroups of less than {SIZE}")));
    }
    let chunks = Chunks::of(v as u32);
    let temps = Temps {
        x: l.temp([(chunks.count * chunks.len()) as usize], Elem::F32),
        stats: l.temp([chunks.count as usize, 2], Elem::F32),
        at: l.temp([chunks.count as usize], Elem::U32),
    };
    scan(l, chunks, temps)?;
    draw::lower(l, chunks, temps)
}

/// One of the settings, known to be the same everywhere: read from memory that nothing writes.
fn setting<'b>(b: &'b Builder, sampling: &Input, which: Setting) -> E<'b> {
    debug_assert!((which as usize) < SAMPLING_LEN);
    sampling.load(b, &[b.u32(which as u32)])
}

/// Position of the new token.
fn position<'b>(b: &'b Builder, params: TensorId, tokens: TensorId) -> E<'b> {
    let at = |i: u32| b.load(params, &[b.u32(i)]);
    let last = b.shape(tokens)[0] as u32 - 1;
    let q = (at(0) + at(1)).clamp(0i32, last as i32).cast(Scalar::U32);
    b.assume_max(q, u64::from(last))
}

/// A logit without NaN and infinities.
fn clamped<'b>(b: &'b Builder, l: E<'b>) -> E<'b> {
    let low = b.lit_like(f64::from(-LARGEST), l.ty());
    b.select(l.ge(low), l.min(LARGEST), low)
}

/// Workgroup memory of reductions over `SIZE` invocations.
struct Reduce<'b> {
    b: &'b Builder,
    local: E<'b>,
    values: S<'b>,
    group_values: S<'b>,
}

impl<'b> Reduce<'b> {
    fn new(b: &'b Builder) -> Reduce<'b> {
        Reduce {
            b,
            local: b.local_index(),
            values: b.shared("values", Scalar::F32, 1, SIZE),
            group_values: b.shared("group_values", Scalar::F32, 1, GROUPS),
        }
    }

    /// Every invocation's value put together; all get the result.
    fn all(&self, value: E<'b>, op: impl Fn(E<'b>, E<'b>) -> E<'b>) -> E<'b> {
        let b = self.b;
        fold(b, self.local, &[(self.values, self.group_values)], &[value], |a, c| {
            vec![op(a[0], c[0])]
        })[0]
    }

    /// The largest value and its id, of equal ones the lowest id; all invocations get it.
    fn best(&self, value: E<'b>, id: E<'b>) -> (E<'b>, E<'b>) {
        let b = self.b;
        let ids = b.shared("ids", Scalar::U32, 1, SIZE);
        let group_ids = b.shared("group_ids", Scalar::U32, 1, GROUPS);
        let memory = [(self.values, self.group_values), (ids, group_ids)];
        let best = fold(b, self.local, &memory, &[value, id], |a, c| {
            let win = c[0].gt(a[0]).or(c[0].eq(a[0]).and(c[1].lt(a[1])));
            vec![b.select(win, c[0], a[0]), b.select(win, c[1], a[1])]
        });
        (best[0], best[1])
    }
}

/// Puts the `values` of all invocations together, in a fixed order; all get the result. `memory` has
/// an array of `SIZE` and one of `GROUPS` for each value. Two barriers: the first invocations put
/// a group together each, then everybody the groups.
fn fold<'b>(
    b: &'b Builder,
    local: E<'b>,
    memory: &[(S<'b>, S<'b>)],
    values: &[E<'b>],
    op: impl Fn(&[E<'b>], &[E<'b>]) -> Vec<E<'b>>,
) -> Vec<E<'b>> {
    let walk = |from: &dyn Fn(&(S<'b>, S<'b>)) -> S<'b>, first: E<'b>, n: u32| -> Vec<V<'b>> {
        let load = |i: E<'b>| memory.iter().map(|m| from(m).load(i)).collect::<Vec<_>>();
        let sums: Vec<V<'b>> = load(first).into_iter().map(|v| b.var("sum", v)).collect();
        b.for_(1u32, n, 1, |i| {
            let so_far: Vec<E<'b>> = sums.iter().map(|s| s.get()).collect();
            for (s, v) in sums.iter().zip(op(&so_far, &load(first + i))) {
                s.set(v);
            }
        });
        sums
    };
    for (m, v) in memory.iter().zip(values) {
        m.0.store(local, *v);
    }
    b.barrier();
    b.if_(local.lt(GROUPS), || {
        let sums = walk(&|m| m.0, local * (SIZE / GROUPS), SIZE / GROUPS);
        for (m, s) in memory.iter().zip(sums) {
            m.1.store(local, s.get());
        }
    });
    b.barrier();
    walk(&|m| m.1, b.u32(0), GROUPS).into_iter().map(V::get).collect()
}

fn scan(l: &mut Lowering<'_>, chunks: Chunks, temps: Temps) -> Result<()> {
    let k = l.kernel("sample_scan", [SIZE, 1, 1], [chunks.count, 1, 1]);
    let logits = Input::of(l, &k, LOGITS)?;
    let sampling = Input::of(l, &k, SAMPLING)?;
    let tokens = l.result_arg(&k, 0, Access::Read, View::identity());
    let params = l.result_arg(&k, 1, Access::Read, View::identity());
    let x_out = l.temp_arg(&k, temps.x, Access::Write);
    let stats = l.temp_arg(&k, temps.stats, Access::Write);
    let at_out = l.temp_arg(&k, temps.at, Access::Write);
    let b = &k.b;
    let (local, chunk) = (b.local_index(), b.workgroup_id(0));
    let v = chunks.vocabulary;
    // first id of this invocation's quad `j`
    let first = |j: u32| chunk * chunks.len() + (local + j * SIZE) * 4u32;

    let x: Vec<V<'_>> = (0..chunks.quads)
        .map(|j| {
            let x = b.var("x", b.lit_like(f64::from(NONE), F32X4));
            let id = first(j);
            b.if_(id.lt(v), || {
                let l = clamped(b, logits.lanes(b, &[b.u32(0), id], Some(1)));
                let lanes: Vec<E<'_>> = (0..4u32)
                    .map(|i| match v.is_multiple_of(4) {
                        true => l.lane(i as u8),
                        false => b.select((id + i).lt(v), l.lane(i as u8), b.f32(NONE)),
                    })
                    .collect();
                x.set(b.compose(&lanes));
            });
            x
        })
        .collect();
    let penalty = Penalty { b, sampling: &sampling, tokens, params };
    penalty.apply(&x, &first);

    let temperature = setting(b, &sampling, Setting::Temperature);
    let draws = temperature.gt(0.0f32);
    let best = b.var("best", b.f32(NONE));
    let best_id = b.var("best_id", first(0).min(v - 1));
    for (j, x) in (0..).zip(&x) {
        let logit = x.get();
        let scaled = clamped(b, logit / temperature.splat(4));
        // lanes beyond the vocabulary stay below all others
        let scaled = b.select(logit.gt(NONE), scaled, logit);
        x.set(b.select(draws, scaled, logit));
        let x = x.get();
        for i in 0..4u8 {
            let win = x.lane(i).gt(best.get());
            best.set(b.select(win, x.lane(i), best.get()));
            best_id.set(b.select(win, first(j) + u32::from(i), best_id.get()));
        }
        b.if_(draws, || b.store4(x_out, &[first(j)], 0, x));
    }
    let reduce = Reduce::new(b);
    let (largest, id) = reduce.best(best.get(), best_id.get());
    let sum = b.var("weights", b.f32(0.0));
    b.for_(0u32, trips(b, draws, 1), 1, |_| {
        let mut mine = b.f32(0.0);
        for x in &x {
            mine = mine + (x.get() - largest.splat(4)).exp().hsum();
        }
        sum.set(reduce.all(mine, |a, c| a + c));
    });
    b.if_(local.eq(0u32), || {
        b.store(stats, &[chunk, b.u32(0)], largest);
        b.store(stats, &[chunk, b.u32(1)], sum.get());
        b.store(at_out, &[chunk], id);
    });
    l.kernels.push(k.finish(u64::from(v)));
    Ok(())
}

/// The repetition penalty.
struct Penalty<'b, 'i> {
    b: &'b Builder,
    sampling: &'i Input,
    tokens: TensorId,
    params: TensorId,
}

impl<'b> Penalty<'b, '_> {
    /// Lowers the logits `x` of the ids that `first` gives, where they occur in the window. Tokens
    /// come through workgroup memory, a tile at a time, and every invocation compares them all with
    /// its ids: no two invocations then write the same flag.
    fn apply(&self, x: &[V<'b>], first: &dyn Fn(u32) -> E<'b>) {
        let b = self.b;
        let factor = setting(b, self.sampling, Setting::Penalty);
        let on = factor.gt(0.0f32).and(factor.ne(1.0f32));
        let end = position(b, self.params, self.tokens);
        let window =
            setting(b, self.sampling, Setting::Window).clamp(0.0f32, 1e9).cast(Scalar::U32);
        let all = window.eq(0u32).or(window.ge(end));
        let start = b.select(all, b.u32(0), end - window);
        // quads of tokens start at multiples of four
        let base = start / 4u32 * 4u32;
        let tiles = b.select(on, (end - base + (TILE - 1)) / TILE, b.u32(0));
        let local = b.local_index();
        let tile = b.shared("tile", Scalar::I32, 4, SIZE);
        let no = b.lit_like(0.0, Type::vec(Scalar::U32, 4));
        let yes = b.lit_like(1.0, Type::vec(Scalar::U32, 4));
        let seen: Vec<V<'b>> = x.iter().map(|_| b.var("seen", no)).collect();
        b.for_(0u32, tiles, 1, |t| {
            let from = base + t * TILE;
            let mine = from + local * 4u32;
            let ids = b.var("ids", b.lit_like(-1.0, Type::vec(Scalar::I32, 4)));
            b.if_(mine.lt(end), || {
                // says that it is inside, which the simplifier cannot see
                let at = mine.min(b.shape(self.tokens)[0] as u32 - 1);
                let loaded = b.load4(self.tokens, &[at], 0).cast(Scalar::I32);
                let lanes: Vec<E<'b>> = (0..4u32)
                    .map(|i| {
                        let inside = (mine + i).ge(start).and((mine + i).lt(end));
                        b.select(inside, loaded.lane(i as u8), b.i32(-1))
                    })
                    .collect();
                ids.set(b.compose(&lanes));
            });
            tile.store(local, ids.get());
            b.barrier();
            let left = (end - from + 3u32) / 4u32;
            b.for_(0u32, left.min(SIZE), 1, |i| {
                let token = tile.load(i);
                for (j, seen) in (0..).zip(&seen) {
                    let lanes: Vec<E<'b>> = (0..4u32).map(|i| first(j) + i).collect();
                    let mine = b.compose(&lanes).cast(Scalar::I32);
                    for lane in 0..4u8 {
                        let found = mine.eq(token.lane(lane).splat(4));
                        seen.set(b.select(found, yes, seen.get()));
                    }
                }
            });
            b.barrier();
        });
        for (x, seen) in x.iter().zip(&seen) {
            let l = x.get();
            let f = factor.splat(4);
            let lowered = clamped(b, b.select(l.gt(0.0f32), l / f, l * f));
            x.set(b.select(seen.get().ne(0u32), lowered, l));
        }
    }
}

/// The first `trips` of a loop whose length is a setting: 0 or `n`.
fn trips<'b>(b: &'b Builder, on: E<'b>, n: u32) -> E<'b> {
    b.select(on, b.u32(n), b.u32(0))
}
