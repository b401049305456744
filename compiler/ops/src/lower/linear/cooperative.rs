//! The product of many rows with f16 matrices: weights become f16 and activations are rounded to
//! f16 on their way into workgroup memory; sums are f32.
//!
//! Integers become halves by their bits: a byte under the exponent of 1024 is 1024 plus the byte,
//! one logical operation for two weights, and one subtraction. That takes bytes 0 and 2 of a word,
//! and 1 and 3, so quads lie in memory in the order 0, 2, 1, 3 of K: of both operands.

use super::cooperative_tile::{Fill, Format, Operands, Plan, operands, product};
use super::weights::Weights;
use super::{Linear, quantize_rows};
use crate::Result;
use crate::lower::map::Input;
use crate::lower::{Lowering, Out, Target};
use crate::ops::linear::X;
use drift_kernel::builder::V;
use drift_kernel::tensor::Elem;
use drift_kernel::{Builder, E, F32X4, Packing, Scalar, TensorId, Type, U32};

const HALF2: Type = Type::vec(Scalar::F16, 2);
const HALF4: Type = Type::vec(Scalar::F16, 4);
const WORD4: Type = Type::vec(Scalar::U32, 4);
/// Largest finite f16.
const F16_MAX: f32 = 65504.0;

/// Largest first. The first tile is alone on a multiprocessor of an H200, where the second is one of
/// two; both take the same time.
const PLANS: [Plan; 4] = [
    Plan { rows: 128, columns: 128, step: 64, subgroups: [2, 2] },
    Plan { rows: 128, columns: 128, step: 32, subgroups: [2, 2] },
    Plan { rows: 64, columns: 64, step: 64, subgroups: [2, 2] },
    Plan { rows: 32, columns: 32, step: 64, subgroups: [2, 2] },
];

/// The largest tile that the device holds and that gives every compute unit one; `None` when the
/// target has no f16 matrices or wants no f16.
pub fn plan(target: &Target, p: &Linear) -> Option<Plan> {
    target.matrix_f16().filter(|_| target.weight_elem == Elem::F16)?;
    fitting(target, p, &Format::F16, &PLANS)
}

/// The first of `plans` (the smallest is last) that the device holds and that gives every compute
/// unit a tile.
pub fn fitting(target: &Target, p: &Linear, f: &Format, plans: &[Plan]) -> Option<Plan> {
    let caps = &target.caps;
    // matrices in packed words can be said in SPIR-V and in PTX alone
    let packed = caps.api == drift_bundle::caps::Api::Vulkan
        || caps.features.contains(drift_bundle::caps::Features::INLINE_PTX);
    if !(packed && caps.subgroup_size_min <= 32 && 32 <= caps.subgroup_size_max) {
        return None;
    }
    let limits = &caps.limits;
    let fits = |t: &&Plan| {
        u64::from(t.memory_bytes(f)) <= limits.workgroup_memory_bytes
            && u64::from(t.invocations()) <= limits.workgroup_invocations
            && t.workgroups(p).iter().all(|&n| n <= 65_535)
    };
    let units = target.full_invocations / 1024;
    // a smaller tile costs more than a quarter of the units does
    let busy =
        |t: &&Plan| 4 * t.workgroups(p).iter().map(|&n| u64::from(n)).product::<u64>() >= 3 * units;
    let fitting = || plans.iter().filter(fits);
    fitting().find(busy).or_else(|| fitting().next_back()).copied()
}

/// Two halves as a word.
fn word<'b>(b: &'b Builder, x: E<'b>, y: E<'b>) -> E<'b> {
    b.compose(&[x, y]).cast(Scalar::F32).pack(Packing::Half2)
}

/// The two halves of a word.
fn halves(word: E<'_>) -> E<'_> {
    word.unpack(Packing::Half2).cast(Scalar::F16)
}

/// Two quads of floats as a granule of halves. `split`: in the order 0, 2, 1, 3.
fn granule<'b>(b: &'b Builder, quads: [E<'b>; 2], split: bool) -> E<'b> {
    let pairs = if split { [[0, 2], [1, 3]] } else { [[0, 1], [2, 3]] };
    let words: Vec<E<'b>> =
        quads.into_iter().flat_map(|q| pairs.map(|[x, y]| word(b, q.lane(x), q.lane(y)))).collect();
    b.compose(&words)
}

/// Rows of x.
struct Rows<'x> {
    x: &'x Input,
    k: u32,
    split: bool,
}

impl<'b> Fill<'b> for Rows<'_> {
    fn granules(&self) -> u32 {
        1
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        let ty = if b.elem(self.x.t) == Elem::F16 { HALF4 } else { F32X4 };
        (0..2).map(|_| b.var_uninit("x", ty)).collect()
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        for (i, to) in (0u32..).zip(to) {
            let at = k + 4 * i;
            let half = b.elem(self.x.t) == Elem::F16;
            let float = |v: E<'b>| if half { v.cast(Scalar::F16) } else { v };
            let inside = b.max_of(at).is_none_or(|most| most >= u64::from(self.k));
            if inside {
                let last = (self.k - 1) / 4 * 4;
                let v = float(self.x.lanes(b, &[line, at.min(last)], Some(1)));
                to.set(b.select(at.lt(self.k), v, b.lit_like(0.0, v.ty())));
            } else {
                to.set(float(self.x.lanes(b, &[line, at], Some(1))));
            }
        }
    }

    fn take(&self, b: &'b Builder, _: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        let quads = [0, 1].map(|i| {
            let v: E<'b> = from[i as usize].get();
            match v.ty() == F32X4 {
                true => v.clamp(-F16_MAX, F16_MAX),
                false => v,
            }
        });
        vec![granule(b, quads, self.split)]
    }
}

/// Rows of x that lie in memory as halves, eight to a load.
struct HalfRows {
    words: TensorId,
    split: bool,
}

impl<'b> Fill<'b> for HalfRows {
    fn granules(&self) -> u32 {
        1
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        vec![b.var_uninit("x", WORD4)]
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        to[0].set(b.load4(self.words, &[line, k / 2u32], 1));
    }

    fn take(&self, b: &'b Builder, _: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        let quad = from[0].get();
        if !self.split {
            return vec![quad];
        }
        let words: Vec<E<'b>> = [0u8, 2]
            .into_iter()
            .flat_map(|i| {
                let (x, y) = (quad.lane(i), quad.lane(i + 1));
                let low = x.and(0xffffu32).or(y.shl(16u32));
                [low, x.shr(16u32).or(y.and(0xffff_0000u32))]
            })
            .collect();
        vec![b.compose(&words)]
    }
}

/// Rows of weights stored as floats.
struct Floats<'w> {
    w: &'w Weights,
}

impl<'b> Fill<'b> for Floats<'_> {
    fn granules(&self) -> u32 {
        1
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        (0..2).map(|_| b.var_uninit("w", HALF4)).collect()
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        // past the end x is 0, and these are some finite numbers
        let last = (self.w.padded_k() as u32 - 1) / 8 * 8;
        for (v, to) in self.w.eight(b, line, k.min(last)).into_iter().zip(to) {
            to.set(v.cast(Scalar::F16));
        }
    }

    fn take(&self, b: &'b Builder, _: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        vec![granule(b, [from[0].get(), from[1].get()], false)]
    }
}

/// Rows of integer weights, with their scale where it is that of a group.
struct Integers<'w> {
    w: &'w Weights,
    bits: u32,
}

impl Integers<'_> {
    /// Weights in a word.
    const fn in_word(&self) -> u32 {
        32 / self.bits
    }
}

impl<'b> Fill<'b> for Integers<'_> {
    fn granules(&self) -> u32 {
        4 * self.in_word() / 8
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        let mut out = vec![b.var_uninit("w", WORD4)];
        if self.w.scheme.group().is_some() {
            out.push(b.var_uninit("scales", U32));
        }
        out
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        let last = self.w.padded_k() as u32 - 4 * self.in_word();
        let k = k.min(last);
        to[0].set(self.w.words(b, line, k / self.in_word()));
        if let Some(to) = to.get(1) {
            to.set(self.w.scale_word(b, line, k));
        }
    }

    fn take(&self, b: &'b Builder, k: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        let quad = from[0].get();
        let scale = self.w.scheme.group().map(|g| {
            let odd = k / g as u32 % 2u32;
            let half = from[1].get().shr(odd * 16u32).and(0xffffu32);
            halves(half.or(half.shl(16u32)))
        });
        let finish = |v: E<'b>| {
            let v = scale.map_or(v, |s| v * s);
            v.cast(Scalar::F32).pack(Packing::Half2)
        };
        let lit = |v: f64| b.lit_like(v, HALF2);
        let words: Vec<E<'b>> = (0..4u8)
            .flat_map(|lane| {
                let w = quad.lane(lane);
                let high = w.shr(8u32);
                if self.bits == 8 {
                    // 1024 + 128 + q: the sign bit of a byte counts the other way round
                    let pair = |w: E<'b>| {
                        let biased = w.and(0x00ff_00ffu32).xor(0x6480_6480u32);
                        finish(halves(biased) - lit(1152.0))
                    };
                    return vec![pair(w), pair(high)];
                }
                let low = |w: E<'b>| {
                    let biased = w.and(0x000f_000fu32).or(0x6400_6400u32);
                    finish(halves(biased) - lit(1032.0))
                };
                // 1024 + 16 (q + 8), without a shift
                let upper = |w: E<'b>| {
                    let biased = w.and(0x00f0_00f0u32).or(0x6400_6400u32);
                    finish(halves(biased).fma(lit(0.0625), lit(-72.0)))
                };
                vec![low(w), low(high), upper(w), upper(high)]
            })
            .collect();
        words.chunks(4).map(|quad| b.compose(quad)).collect()
    }
}

/// Lowers a product with `plan`.
pub fn lower(l: &mut Lowering<'_>, p: &Linear, plan: &Plan) -> Result<()> {
    let normal = match p.spec.norm {
        Some(eps) => Some(quantize_rows::normalize(l, p, eps, Elem::F16)?),
        None => None,
    };
    let k = l.kernel("linear_matrix", [plan.invocations(), 1, 1], plan.workgroups(p));
    // whole steps only: there is no zero past the end of a word
    let words =
        (normal.is_none() && p.spec.post.is_none() && p.k.is_multiple_of(plan.step as usize))
            .then(|| l.operand_words(&k, X))
            .flatten();
    let x = match words {
        Some(_) => None,
        None => Some(quantize_rows::input(l, p, &k, normal)?),
    };
    let (w, out) = operands(l, p, &k)?;
    let b = &k.b;
    let scheme = w.scheme;
    let split = scheme.bits() < 16;
    let half_rows = words.map(|words| HalfRows { words, split });
    let other_rows = x.as_ref().map(|x| Rows { x, k: p.k as u32, split });
    let rows: &dyn Fill<'_> = match (&half_rows, &other_rows) {
        (Some(rows), _) => rows,
        (None, Some(rows)) => rows,
        (None, None) => return Err(l.unsupported("it has no x")),
    };
    let floats = Floats { w: &w };
    let integers = Integers { w: &w, bits: scheme.bits() as u32 };
    let weights: &dyn Fill<'_> = if split { &integers } else { &floats };
    let depth = (p.k as u32).next_multiple_of(plan.step);
    let lanes = if p.spec.gate.is_some() { 8 } else { 4 };
    let operands = Operands { left: rows, right: weights, depth };
    product(b, p, plan, &Format::F16, &operands, lanes, &|m, n, quads| {
        finish(b, p, &w, &out, [m, n], quads);
    });
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}

/// Scales, gates and stores the f32 sums of row `m` and weights `n..`.
pub fn finish<'b>(
    b: &'b Builder,
    p: &Linear,
    w: &Weights,
    out: &Out<'_>,
    [m, n]: [E<'b>; 2],
    sums: &[E<'b>],
) {
    let per_channel = !w.scheme.is_float() && w.scheme.group().is_none();
    // the second quad may lie past the end; what is computed there is dropped
    let last = (w.n as u32 - 1) / 4 * 4;
    let scaled: Vec<E<'b>> = (0u32..)
        .zip(sums)
        .map(|(i, sum)| match per_channel {
            true => *sum * w.channel_scales(b, (n + 4 * i).min(last)),
            false => *sum,
        })
        .collect();
    match scaled.as_slice() {
        [x, y] => {
            let even = b.compose(&[x.lane(0), x.lane(2), y.lane(0), y.lane(2)]);
            let odd = b.compose(&[x.lane(1), x.lane(3), y.lane(1), y.lane(3)]);
            out.store4(b, &[m, n / 2u32], 1, Some(p.gated(b, even, odd)));
        }
        [x] => out.store4(b, &[m, n], 1, Some(*x)),
        _ => unreachable!("one quad, or two when gated"),
    }
}
