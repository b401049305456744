//! Weights inside a kernel: loads of packed words and what they stand for.

use crate::Result;
use crate::lower::{KernelArgs, Lowering};
use crate::quant::Scheme;
use drift_kernel::tensor::Elem;
use drift_kernel::{Builder, E, Packing, Scalar, TensorId};

/// The operands *data* and *scales* of a weight matrix `[n, k]`.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    pub scheme: Scheme,
    pub n: usize,
    /// Columns without padding.
    pub k: usize,
    data: TensorId,
    scales: Option<TensorId>,
}

/// Low halves of the bytes of a word.
const LOW: u32 = 0x0f0f_0f0f;
/// 1.0, whose mantissa takes the bits of a small integer: an exact conversion of one shift, one
/// logical operation and one fused multiply-add, where integer conversions are slow.
const ONE: u32 = 0x3f80_0000;

impl Weights {
    /// Operands `first` (data) and `first + 1` (scales) of the node; `n` counts the rows that
    /// kernels being written read (see [`Lowering::rows`]).
    pub fn of(
        l: &Lowering<'_>,
        k: &KernelArgs,
        first: usize,
        (scheme, n, columns): (Scheme, usize, usize),
    ) -> Result<Weights> {
        let data = l.operand_rows(k, first)?;
        let has_scales = scheme.scales_type(n, columns).is_some();
        let scales = if has_scales { Some(l.operand_rows(k, first + 1)?) } else { None };
        Ok(Weights { scheme, n, k: columns, data, scales })
    }

    /// Integer weights that an earlier kernel of the node left: data and a scale per row.
    pub fn left(scheme: Scheme, [n, k]: [usize; 2], data: TensorId, scales: TensorId) -> Weights {
        Weights { scheme, n, k, data, scales: Some(scales) }
    }

    /// Columns with their padding.
    pub fn padded_k(&self) -> usize {
        self.scheme.padded_k(self.k)
    }

    /// Four words of an integer scheme from `word` (a multiple of 4) of row `n` on: one 16-byte
    /// load of 16 or 32 weights.
    pub fn words<'b>(&self, b: &'b Builder, n: E<'b>, word: E<'b>) -> E<'b> {
        b.load4(self.data, &[n, word], 1)
    }

    /// Four floats of a float scheme from column `k` (a multiple of 4 below the end) on; 0 past
    /// the end.
    pub fn floats<'b>(&self, b: &'b Builder, n: E<'b>, k: E<'b>) -> E<'b> {
        b.load4(self.data, &[n, k], 1)
    }

    /// Element type of the data in memory.
    pub fn elem(&self, b: &Builder) -> Elem {
        b.elem(self.data)
    }

    /// The scale of the weights of row `n` around column `k`; `None` for float schemes.
    pub fn scale<'b>(&self, b: &'b Builder, n: E<'b>, k: E<'b>) -> Option<E<'b>> {
        Some(match self.scheme.group() {
            None => b.load(self.scales?, &[n]),
            Some(_) => self.scale_in(b, self.scale_word(b, n, k), k),
        })
    }

    /// The scales of rows `n` to `n + 3` of a scheme with one per row.
    pub fn channel_scales<'b>(&self, b: &'b Builder, n: E<'b>) -> E<'b> {
        match self.scales {
            Some(scales) => b.load4(scales, &[n], 0),
            None => b.lit_like(1.0, drift_kernel::F32X4),
        }
    }

    /// The word that holds the scale of the group of column `k` of row `n`.
    pub fn scale_word<'b>(&self, b: &'b Builder, n: E<'b>, k: E<'b>) -> E<'b> {
        match (self.scales, self.scheme.group()) {
            (Some(scales), Some(g)) => b.load(scales, &[n, k / (2 * g as u32)]),
            _ => b.u32(0),
        }
    }

    /// The scales of groups `2 pair` and `2 pair + 1` of row `n`.
    pub fn scale_pair<'b>(&self, b: &'b Builder, n: E<'b>, pair: E<'b>) -> [E<'b>; 2] {
        let word = self.scales.map_or_else(|| b.u32(0), |s| b.load(s, &[n, pair]));
        let both = word.unpack(Packing::Half2);
        [both.lane(0), both.lane(1)]
    }

    /// The scale of the group of column `k` in the word that holds it.
    pub fn scale_in<'b>(&self, _: &'b Builder, word: E<'b>, k: E<'b>) -> E<'b> {
        let group = k / self.scheme.group().unwrap_or(1) as u32;
        let half = word.shr(group % 2u32 * 16u32);
        half.unpack(Packing::Half2).lane(0)
    }

    /// Four weights of row `n` from column `k` (a multiple of 4 below the end) on, with their
    /// scale; columns past the end are 0.
    pub fn four<'b>(&self, b: &'b Builder, n: E<'b>, k: E<'b>) -> E<'b> {
        let q = match self.scheme {
            Scheme::F32 | Scheme::F16 => b.load4(self.data, &[n, k], 1),
            Scheme::Q8 | Scheme::Q8Groups(_) => signed_bytes(b, b.load(self.data, &[n, k / 4u32])),
            Scheme::Q4 | Scheme::Q4Groups(_) => {
                // the odd quad of a word lies in the high halves of its bytes
                let quad = k / 4u32;
                let word = b.load(self.data, &[n, quad / 2u32]);
                nibbles(b, word.shr(quad % 2u32 * 4u32))[0]
            }
        };
        self.scale(b, n, k).map_or(q, |s| q * s.splat(4))
    }

    /// Eight weights of row `n` from column `k` (a multiple of 8, below `padded_k`) on, as two
    /// quads of f32. Integer schemes give integers, to be multiplied by [`Weights::scale`];
    /// columns past the end are 0.
    pub fn eight<'b>(&self, b: &'b Builder, n: E<'b>, k: E<'b>) -> [E<'b>; 2] {
        match self.scheme {
            Scheme::F32 | Scheme::F16 => [0u32, 4].map(|i| {
                let at = k + i;
                if i == 0 || self.k.is_multiple_of(8) {
                    return b.load4(self.data, &[n, at], 1);
                }
                let last = (self.k as u32 - 1) / 4 * 4;
                let v = b.load4(self.data, &[n, at.min(last)], 1);
                b.select(at.lt(self.k as u32), v, b.zero4())
            }),
            Scheme::Q8 | Scheme::Q8Groups(_) => {
                let word = k / 4u32;
                [0u32, 1].map(|i| signed_bytes(b, b.load(self.data, &[n, word + i])))
            }
            Scheme::Q4 | Scheme::Q4Groups(_) => {
                let word = b.load(self.data, &[n, k / 8u32]);
                nibbles(b, word)
            }
        }
    }
}

/// The four signed bytes of a word as f32.
pub fn signed_bytes<'b>(b: &'b Builder, word: E<'b>) -> E<'b> {
    let biased = word.xor(0x8080_8080u32);
    let parts: Vec<E<'b>> = [15i32, 7, -1, -9]
        .into_iter()
        .zip([0xffu32, 0xff00, 0x00ff_0000, 0xff00_0000])
        .map(|(shift, byte)| {
            // 1 + (q + 128) / 256
            let byte = biased.and(byte);
            let moved =
                if shift > 0 { byte.shl(shift as u32) } else { byte.shr(shift.unsigned_abs()) };
            moved.or(ONE).bitcast(Scalar::F32)
        })
        .collect();
    b.compose(&parts).fma(256.0f32, -384.0f32)
}

/// The eight 4-bit integers of a word as f32, in the order of k.
pub fn nibbles<'b>(b: &'b Builder, word: E<'b>) -> [E<'b>; 2] {
    [0u32, 4].map(|half| {
        let parts: Vec<E<'b>> = (0..4u32)
            .map(|i| {
                // 1 + (q + 8) / 16: the nibble moves to bits 19 to 22
                let from = 8 * i + half;
                let nibble = word.and(15u32 << from);
                let moved = if from <= 19 { nibble.shl(19 - from) } else { nibble.shr(from - 19) };
                moved.or(ONE).bitcast(Scalar::F32)
            })
            .collect();
        b.compose(&parts).fma(16.0f32, -24.0f32)
    })
}

/// The 4-bit integers of a word as operands of signed dot products, with two logical operations:
/// weights 0 to 3 plus 8, and weights 4 to 7 times 16.
pub fn nibble_bytes(word: E<'_>) -> [E<'_>; 2] {
    [word.and(LOW), word.and(!LOW).xor(0x8080_8080u32)]
}

/// 1.5 * 2^23: added to a float below 2^22, it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Four floats times `inverse` as int8 in a word, the first in its low byte; -128 to 127 each.
pub fn rounded<'b>(b: &'b Builder, v: E<'b>, inverse: E<'b>) -> E<'b> {
    let bits = v.fma(inverse.splat(4), b.lit_like(f64::from(ROUND), v.ty())).bitcast(Scalar::U32);
    let byte = |i: u8| bits.lane(i).and(0xffu32);
    let low = byte(0).or(byte(1).shl(8u32));
    low.or(byte(2).shl(16u32)).or(bits.lane(3).shl(24u32))
}
