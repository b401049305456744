//! The kernel *draw*: one workgroup, from the chunks' results to the new token.
//!
//! top_k and top_p ask for the same thing: the largest x = t at which the weights of all x >= t
//! reach a target (weight 1 and target k, or weight exp(x) and a share of the sum). It is found by
//! cutting an interval into eight, again and again, all invocations together. Chunks whose largest
//! x is below the interval are skipped, so that a pass mostly reads the few chunks that have
//! candidates; the first lower end comes from the chunks' largest alone.

use super::{Chunks, GROUPS, NONE, Reduce, SIZE, Temps, fold, position, setting, trips};
use crate::Result;
use crate::lower::Lowering;
use crate::lower::map::Input;
use crate::ops::sample::{HASH, SAMPLING, Setting};
use drift_ir::View;
use drift_kernel::builder::{S, V};
use drift_kernel::{Access, Builder, E, F32, Scalar, TensorId};

/// Weights this far below the largest are nothing in f32: exp(-90) is 8e-40.
const DEPTH: f32 = 90.0;
/// Cuts of an interval of 91 into eight, until 7e-7 are left.
const ROUNDS: u32 = 9;
/// Chunks that a pass looks at together.
const SIDE_BY_SIDE: u32 = 16;

struct Draw<'b> {
    b: &'b Builder,
    chunks: Chunks,
    reduce: Reduce<'b>,
    local: E<'b>,
    x: TensorId,
    /// Largest of all.
    top: E<'b>,
    /// Largest x of each chunk.
    largest: S<'b>,
    /// Weights of each chunk; exp(x) of its largest alone during a search.
    weights: S<'b>,
    sums: [(S<'b>, S<'b>); 2],
}

/// Lowers the kernel.
pub fn lower(l: &mut Lowering<'_>, chunks: Chunks, temps: Temps) -> Result<()> {
    let k = l.kernel("sample_draw", [SIZE, 1, 1], [1, 1, 1]);
    let sampling = Input::of(l, &k, SAMPLING)?;
    let tokens = l.result_arg(&k, 0, Access::ReadWrite, View::identity());
    let params = l.result_arg(&k, 1, Access::ReadWrite, View::identity());
    let x = l.temp_arg(&k, temps.x, Access::Read);
    let stats = l.temp_arg(&k, temps.stats, Access::Read);
    let ids = l.temp_arg(&k, temps.at, Access::Read);
    let b = &k.b;
    let local = b.local_index();
    let q = position(b, params, tokens);
    let seed = b.load(params, &[b.u32(3)]).cast(Scalar::U32);

    let (mine, id) = (b.var("largest", b.f32(NONE)), b.var("id", b.u32(u32::MAX)));
    let sum = b.var("weights", b.f32(0.0));
    b.if_(local.lt(chunks.count), || {
        let chunk = local.min(chunks.count - 1);
        mine.set(b.load(stats, &[chunk, b.u32(0)]));
        sum.set(b.load(stats, &[chunk, b.u32(1)]));
        id.set(b.load(ids, &[chunk]));
    });
    let reduce = Reduce::new(b);
    let (top, best) = reduce.best(mine.get(), id.get());
    let token = b.var("token", best);

    let on = setting(b, &sampling, Setting::Temperature).gt(0.0f32);
    b.for_(0u32, trips(b, on, 1), 1, |_| {
        let sums = ["low", "high"].map(|name| {
            (b.shared(name, Scalar::F32, 4, SIZE), b.shared(name, Scalar::F32, 4, GROUPS))
        });
        let largest = b.shared("largest", Scalar::F32, 1, SIZE);
        let weights = b.shared("weights", Scalar::F32, 1, SIZE);
        let draw = Draw { b, chunks, reduce, local, x, top, largest, weights, sums };
        largest.store(local, mine.get());
        b.barrier();
        let cut = draw.cut(&sampling, mine.get(), sum.get());
        draw.weigh_chunks(cut, mine.get(), sum.get());
        draw.pick(cut.least, uniform(b, seed, q), token);
    });
    b.if_(local.eq(0u32), || {
        b.store(tokens, &[q], token.get().cast(Scalar::I32));
        b.store(params, &[b.u32(0)], q.cast(Scalar::I32));
        b.store(params, &[b.u32(1)], b.i32(1));
    });
    l.kernels.push(k.finish(u64::from(chunks.vocabulary)));
    Ok(())
}

/// [`crate::ops::sample::uniform`].
fn uniform<'b>(b: &'b Builder, seed: E<'b>, position: E<'b>) -> E<'b> {
    let hash = |h: E<'b>| {
        let h = h.xor(h.shr(16u32)) * HASH[0];
        let h = h.xor(h.shr(15u32)) * HASH[1];
        h.xor(h.shr(16u32))
    };
    // its bound as a position is no bound of the hash
    let position = b.var("position", position).get();
    let h = hash(seed.xor(hash(position + HASH[2])));
    h.shr(8u32).cast(Scalar::F32) * (1.0 / (1 << 24) as f32)
}

/// What truncation leaves.
#[derive(Clone, Copy)]
struct Cut<'b> {
    /// x >= this stays.
    least: E<'b>,
    /// Whether anything was cut off.
    some: E<'b>,
}

impl<'b> Draw<'b> {
    /// Finds what top_k, top_p and min_p leave. `mine` and `sum` are the largest x and the weights
    /// of this invocation's chunk.
    fn cut(&self, sampling: &Input, mine: E<'b>, sum: E<'b>) -> Cut<'b> {
        let b = self.b;
        let (k, p) = (setting(b, sampling, Setting::TopK), setting(b, sampling, Setting::TopP));
        let min_p = setting(b, sampling, Setting::MinP);
        let by_k = k.ge(1.0f32).and(k.lt(self.chunks.vocabulary as f32));
        let by_p = p.lt(1.0f32);
        let least = b.var("least", self.top - DEPTH);
        b.for_(0u32, 2u32, 1, |turn| {
            let shares = turn.eq(1u32);
            b.for_(0u32, trips(b, b.select(shares, by_p, by_k), 1), 1, |_| {
                // what is there to share: all, or what top_k has left
                let cut = least.get().splat(4);
                let scans = trips(b, shares.and(by_k), self.passes());
                let left = self.weights_from([cut, cut], shares, scans)[0].lane(0);
                let all = self.reduce.all(sum * (mine - self.top).exp(), |a, c| a + c);
                let sum = b.select(by_k, left, all);
                // the largest alone has weight 1
                let share = (p.max(0.0f32) * sum).max(1e-6f32);
                let target = b.select(shares, share, k.trunc());
                least.set(self.lower_end(least.get(), target, mine, shares));
                self.search(least, target, shares);
            });
        });
        let floor = self.top + min_p.log().min(0.0f32);
        let by_min = min_p.gt(0.0f32);
        let raised = least.get().max(floor);
        Cut { least: b.select(by_min, raised, least.get()), some: by_k.or(by_p).or(by_min) }
    }

    fn weight(&self, x: E<'b>, shares: E<'b>) -> E<'b> {
        let one = self.b.lit_like(1.0, x.ty());
        let width = x.ty().vector().width;
        self.b.select(shares, (x - self.top.splat(width)).exp(), one)
    }

    /// Turns over the chunks in [`Draw::weights_from`].
    fn passes(&self) -> u32 {
        self.chunks.count.div_ceil(SIDE_BY_SIDE)
    }

    /// The weights of all x >= t, for eight ascending t. `passes` is [`Draw::passes`], or 0 to look
    /// at nothing. All invocations get the sums.
    fn weights_from(&self, t: [E<'b>; 2], shares: E<'b>, passes: E<'b>) -> [E<'b>; 2] {
        let (b, chunks) = (self.b, self.chunks);
        let share = SIZE / SIDE_BY_SIDE;
        let lane = self.local % share;
        let sums = t.map(|_| b.var("sum", b.zero4()));
        b.for_(0u32, passes, 1, |pass| {
            let chunk = b.assume_max(pass * SIDE_BY_SIDE + self.local / share, SIZE.into());
            let inside = chunk.lt(chunks.count);
            let chunk = b.assume_max(chunk.min(chunks.count - 1), u64::from(chunks.count) - 1);
            let candidates = inside.and(self.largest.load(chunk).ge(t[0].lane(0)));
            b.if_(candidates, || {
                b.for_(0u32, chunks.len() / 4 / share, 1, |i| {
                    let x = self.quad(chunk, i * share + lane);
                    let w = self.weight(x, shares);
                    for n in 0..4u8 {
                        for (sum, t) in sums.iter().zip(t) {
                            let w = w.lane(n).splat(4);
                            let more = b.select(x.lane(n).splat(4).ge(t), w, b.zero4());
                            sum.set(sum.get() + more);
                        }
                    }
                });
            });
        });
        let values = sums.map(V::get);
        let all = fold(b, self.local, &self.sums, &values, |a, c| {
            a.iter().zip(c).map(|(a, c)| *a + *c).collect()
        });
        [all[0], all[1]]
    }

    /// Four neighbours of a chunk.
    fn quad(&self, chunk: E<'b>, quad: E<'b>) -> E<'b> {
        let b = self.b;
        let last = u64::from(self.chunks.len()) / 4 - 1;
        let quad = b.assume_max(quad, last);
        b.load4(self.x, &[chunk * self.chunks.len() + quad * 4u32], 0)
    }

    /// A lower end of the search: the chunks' largest x are elements too, and where those of them
    /// from some x on have the target's weight, all elements have.
    fn lower_end(&self, least: E<'b>, target: E<'b>, mine: E<'b>, shares: E<'b>) -> E<'b> {
        let (b, count) = (self.b, self.chunks.count);
        self.weights.store(self.local, self.weight(mine, shares));
        b.barrier();
        let sum = b.var("sum", b.f32(0.0));
        b.for_(0u32, count, 1, |i| {
            let more = self.largest.load(i).ge(mine);
            sum.set(sum.get() + b.select(more, self.weights.load(i), b.f32(0.0)));
        });
        let inside = self.local.lt(count);
        let reached = inside.and(sum.get().ge(target)).and(mine.ge(least));
        self.reduce.all(b.select(reached, mine, least), |a, c| a.max(c))
    }

    /// Raises `least` to where the weights from there on just reach the target.
    fn search(&self, least: V<'b>, target: E<'b>, shares: E<'b>) {
        let b = self.b;
        let upper = b.var("upper", self.top + 1.0f32);
        b.for_(0u32, ROUNDS, 1, |_| {
            let (low, high) = (least.get(), upper.get());
            let step = (high - low) * 0.125f32;
            let t: Vec<E<'b>> =
                (1..8u8).map(|i| step.fma(f32::from(i), low)).chain([high]).collect();
            let quads = [b.compose(&t[..4]), b.compose(&t[4..])];
            let sums = self.weights_from(quads, shares, b.u32(self.passes()));
            least.set(low);
            upper.set(t[0]);
            for i in 0..7 {
                let reached = sums[i / 4].lane((i % 4) as u8).ge(target);
                least.set(b.select(reached, t[i], least.get()));
                upper.set(b.select(reached, t[i + 1], upper.get()));
            }
        });
    }

    /// Fills `weights` with the weight of what each chunk keeps: of all of it, as *scan* has
    /// summed it up, where nothing is cut off.
    fn weigh_chunks(&self, cut: Cut<'b>, mine: E<'b>, sum: E<'b>) {
        let (b, chunks) = (self.b, self.chunks);
        // four invocations to a chunk, in up to four turns
        let (sub, lane) = (self.local / 4u32, self.local % 4u32);
        let turns = chunks.count.div_ceil(SIZE / 4);
        let sums = b.array("sums", F32, 4);
        (0..4u32).for_each(|i| sums.set_at(i, b.f32(0.0)));
        b.for_(0u32, trips(b, cut.some, turns), 1, |turn| {
            let turn = b.assume_max(turn, 3);
            let chunk = turn * (SIZE / 4) + sub;
            let inside = chunk.lt(chunks.count);
            let chunk = b.assume_max(chunk.min(chunks.count - 1), u64::from(chunks.count) - 1);
            let acc = b.var("acc", b.zero4());
            b.if_(inside.and(self.largest.load(chunk).ge(cut.least)), || {
                b.for_(0u32, chunks.len() / 16, 1, |i| {
                    let x = self.quad(chunk, i * 4u32 + lane);
                    acc.set(acc.get() + self.kept(x, cut.least));
                });
            });
            sums.set_at(turn, acc.get().hsum());
        });
        let parts = self.sums[0].0;
        let all: Vec<E<'b>> = (0..4u32).map(|i| sums.at(i)).collect();
        parts.store(self.local, b.compose(&all));
        b.barrier();
        let part = |i: u32| {
            let v = parts.load(self.local % (SIZE / 4) * 4u32 + i);
            v.lane_dyn(self.local / (SIZE / 4))
        };
        let kept = part(0) + part(1) + part(2) + part(3);
        let whole = sum * (mine - self.top).exp();
        self.weights.store(self.local, b.select(cut.some, kept, whole));
        b.barrier();
    }

    /// exp(x) of what stays.
    fn kept(&self, x: E<'b>, least: E<'b>) -> E<'b> {
        let width = x.ty().vector().width;
        let zero = self.b.lit_like(0.0, x.ty());
        let shares = self.b.bool(true);
        self.b.select(x.ge(least.splat(width)), self.weight(x, shares), zero)
    }

    /// Draws: first the chunk, then the invocation, then the element at which the sum of the weights
    /// passes `u` times all of it. "Passes" is: the last that has any weight and begins at or
    /// before the target, so that rounding never leaves a draw without a result.
    fn pick(&self, least: E<'b>, u: E<'b>, token: V<'b>) {
        let (b, chunks) = (self.b, self.chunks);
        let (begin, all) = self.running_sum();
        let target = u * all;
        let own = self.weights.load(self.local);
        let (chunk, rest) = self.last_before(begin, own, target);
        let found = chunk.ge(0.0f32);
        let chunk = chunk.max(0.0f32).cast(Scalar::U32);
        let chunk = b.assume_max(chunk, u64::from(chunks.count) - 1);
        let quads: Vec<E<'b>> = (0..chunks.quads)
            .map(|j| self.kept(self.quad(chunk, self.local * chunks.quads + j), least))
            .collect();
        let sum = quads.iter().map(|q| q.hsum()).reduce(|a, c| a + c).unwrap_or(b.f32(0.0));
        self.weights.store(self.local, sum);
        b.barrier();
        let (begin, _) = self.running_sum();
        let (invocation, _) = self.last_before(begin, sum, rest);
        let invocation = invocation.max(0.0f32).cast(Scalar::U32);
        // everybody walks its own elements, the chosen one says what it found
        let so_far = b.var("so_far", begin);
        let first = chunk * chunks.len() + self.local * (chunks.quads * 4);
        let id = b.var("element", first);
        for (j, q) in (0..).zip(&quads) {
            for i in 0..4u8 {
                let (w, before) = (q.lane(i), so_far.get());
                let here = w.gt(0.0f32).and(before.le(rest));
                id.set(b.select(here, first + (j * 4 + u32::from(i)), id.get()));
                so_far.set(before + w);
            }
        }
        let said = b.shared("said", Scalar::U32, 1, 1);
        b.if_(self.local.eq(invocation), || said.store(0u32, id.get()));
        b.barrier();
        let drawn = said.load(0u32).min(chunks.vocabulary - 1);
        token.set(b.select(found, drawn, token.get()));
    }

    /// The sum of `weights` before this invocation's, and that of all; the same additions in the
    /// same order for everybody. A barrier follows.
    fn running_sum(&self) -> (E<'b>, E<'b>) {
        let b = self.b;
        let (begin, all) = (b.var("begin", b.f32(0.0)), b.var("all", b.f32(0.0)));
        b.for_(0u32, SIZE, 1, |i| {
            begin.set(b.select(i.eq(self.local), all.get(), begin.get()));
            all.set(all.get() + self.weights.load(i));
        });
        b.barrier();
        (begin.get(), all.get())
    }

    /// Number of the last invocation whose weight is not 0 and begins at or before the target (-1
    /// when there is none), and what is left of the target there.
    fn last_before(&self, begin: E<'b>, own: E<'b>, target: E<'b>) -> (E<'b>, E<'b>) {
        let b = self.b;
        let candidate = own.gt(0.0f32).and(begin.le(target));
        let number = b.select(candidate, self.local.cast(Scalar::F32), b.f32(-1.0));
        let last = self.reduce.all(number, |a, c| a.max(c));
        let mine = b.select(last.eq(number), target - begin, b.f32(0.0));
        // only one has the number; with none, all have 0 or less
        (last, self.reduce.all(mine.max(0.0f32), |a, c| a.max(c)))
    }
}
