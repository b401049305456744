//! MatMulNBits: weights of 4 or 8 bits in blocks along K, each with a scale and perhaps a zero point.
//!
//! Where blocks are groups of a scheme of ours and the scales are f16 numbers, the weights stay in
//! their bits ([`crate::quant`]): `w = (u - z) s = (u - m) s + (m - z) s` with m in the middle of the
//! range, so that zero points cost a small product of the sums of x over the blocks. Everything else is
//! unpacked here.

use crate::Result;
use crate::def::{OpDef, composite, ms};
use crate::import::ImportCtx;
use crate::ops::{matmul::product, reduce};
use crate::quant::{Group, Scheme};
use drift_ir::{Attrs, DType, PointwiseOp, Shape, Tensor, ValueId};

pub static OP: OpDef = composite("matmul_nbits", &[ms("MatMulNBits")], import);

/// Inputs: A `[.., K]`, B u8 `[N, K / block, block · bits / 8]`, scales `[N · K / block]`, zero
/// points (u8 packed like B, or of A's type)?, g_idx?, bias `[N]`?.
fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let a = c.input(0)?;
    if c.opt(4).is_some() {
        return Err(c.unsupported("g_idx (reordered groups)"));
    }
    let w = Blocks::read(c)?;
    let dtype = c.dtype(a);
    let mut y = match w.scheme() {
        Some(scheme) if dtype.is_float() && c.shape(a).last() == Some(&w.k) => {
            w.packed(c, a, scheme)?
        }
        _ => {
            let dense = c.add_const(Tensor::from_f32([w.k, w.n], &w.transposed()));
            let dense = c.cast(dense, dtype)?;
            product(c, a, dense)?
        }
    };
    if let Some(bias) = c.opt(5) {
        y = c.binary(PointwiseOp::Add, y, bias)?;
    }
    Ok(vec![y])
}

/// The constant operands.
struct Blocks {
    k: usize,
    n: usize,
    block: usize,
    bits: usize,
    data: Tensor,
    /// `[N, blocks]`.
    scales: Vec<f64>,
    /// `[N, blocks]`.
    zeros: Vec<f64>,
}

impl Blocks {
    fn read(c: &ImportCtx) -> Result<Blocks> {
        let size = |name: &str| {
            let v = usize::try_from(c.attrs.int(name, 0)).ok().filter(|v| *v > 0);
            v.ok_or_else(|| c.invalid(format!("attribute {name} is missing or not positive")))
        };
        let (k, n, block) = (size("K")?, size("N")?, size("block_size")?);
        let bits = c.attrs.int("bits", 4) as usize;
        if !matches!(bits, 4 | 8) {
            return Err(c.unsupported(format!("{bits} bits; 4 and 8 are supported")));
        }
        let per_byte = 8 / bits;
        let blocks = k.div_ceil(block);
        let blob = block.div_ceil(per_byte);
        let data = c.const_input(1, "the weights")?.clone();
        let scales = c.const_input(2, "the scales")?.to_f64s();
        let sizes = |v: &[usize]| v.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
        let fits = data.dtype.bytes() == 1
            && sizes(&[n, blocks, blob]) == Some(data.elems())
            && sizes(&[n, blocks]) == Some(scales.len());
        if !fits {
            return Err(c.invalid(format!(
                "weights {} and {} scales do not fit K = {k}, N = {n}, block_size = {block}",
                data.shape,
                scales.len()
            )));
        }
        let middle = f64::from(1u32 << (bits - 1));
        let mut w = Blocks { k, n, block, bits, data, scales, zeros: vec![middle; n * blocks] };
        if c.opt(3).is_some() {
            let given = c.const_input(3, "the zero points")?;
            let row_bytes = blocks.div_ceil(per_byte);
            let enough = match given.dtype.is_float() {
                true => given.elems() == n * blocks,
                false => given.dtype.bytes() == 1 && given.elems() == n * row_bytes,
            };
            if !enough {
                return Err(c.invalid(format!("zero points {} for {n} x {blocks}", given.shape)));
            }
            w.zeros = match given.dtype.is_float() {
                true => given.to_f64s(),
                false => (0..n * blocks)
                    .map(|i| {
                        let row = &given.bytes()[i / blocks * row_bytes..][..row_bytes];
                        f64::from(field(row, i % blocks, bits))
                    })
                    .collect(),
            };
        }
        Ok(w)
    }

    fn blocks(&self) -> usize {
        self.k.div_ceil(self.block)
    }

    /// The bits of weight `k` of a row.
    fn field(&self, row: usize, k: usize) -> u8 {
        let blob = self.block.div_ceil(8 / self.bits);
        let block = row * self.blocks() + k / self.block;
        field(&self.data.bytes()[block * blob..][..blob], k % self.block, self.bits)
    }

    /// The weights as numbers, `[K, N]` as a product wants them.
    fn transposed(&self) -> Vec<f32> {
        let mut w = vec![0f32; self.k * self.n];
        for row in 0..self.n {
            for k in 0..self.k {
                let block = row * self.blocks() + k / self.block;
                let q = f64::from(self.field(row, k)) - self.zeros[block];
                w[k * self.n + row] = (q * self.scales[block]) as f32;
            }
        }
        w
    }

    /// The scheme that holds these weights exactly.
    fn scheme(&self) -> Option<Scheme> {
        let group = match self.block {
            32 => Group::G32,
            64 => Group::G64,
            128 => Group::G128,
            _ => return None,
        };
        let exact = |s: &f64| half::f16::from_f64(*s).to_f64() == *s;
        if !self.scales.iter().all(exact) || !(self.k.is_multiple_of(self.block) || self.centred())
        {
            return None;
        }
        Some(if self.bits == 4 { Scheme::Q4Groups(group) } else { Scheme::Q8Groups(group) })
    }

    /// Whether all zero points are in the middle.
    fn centred(&self) -> bool {
        let middle = f64::from(1u32 << (self.bits - 1));
        self.zeros.iter().all(|z| *z == middle)
    }

    fn packed(&self, c: &mut ImportCtx, x: ValueId, scheme: Scheme) -> Result<ValueId> {
        let (n, k, blocks) = (self.n, self.k, self.blocks());
        let mut data = Vec::with_capacity(n * scheme.data_row_bytes(k));
        let mut scales = Vec::with_capacity(n * scheme.scales_row_bytes(k));
        for row in 0..n {
            self.pack_row(row, scheme.padded_k(k), &mut data);
            let end = scales.len() + scheme.scales_row_bytes(k);
            for s in &self.scales[row * blocks..(row + 1) * blocks] {
                scales.extend_from_slice(&half::f16::from_f64(*s).to_le_bytes());
            }
            scales.resize(end, 0);
        }
        let tensor = |t: (DType, Shape), bytes: Vec<u8>| {
            Tensor::from_bytes(t.0, t.1, bytes.into())
                .ok_or_else(|| c.invalid("the packed weights do not fill their shape"))
        };
        let data = tensor(scheme.data_type(n, k), data)?;
        let kind = scheme.scales_type(n, k).ok_or_else(|| c.invalid("a scheme without scales"))?;
        let scales = tensor(kind, scales)?;
        let (data, scales) = (c.add_const(data), c.add_const(scales));
        let attrs = Attrs::new()
            .with("scheme", scheme.name())
            .with("n", n as i64)
            .with("k", k as i64)
            .with("norm", "")
            .with("norm_eps", 0.0)
            .with("gate", "");
        let y = c.emit_multi("linear", attrs, &[Some(x), Some(data), Some(scales), None])?[0];
        if self.centred() {
            return Ok(y);
        }
        let moved = self.offsets(c, x)?;
        c.binary(PointwiseOp::Add, y, moved)
    }

    /// One row as the scheme stores it.
    fn pack_row(&self, row: usize, padded: usize, out: &mut Vec<u8>) {
        let middle = 1u8 << (self.bits - 1);
        let at = |k: usize| if k < self.k { self.field(row, k) } else { middle };
        if self.bits == 8 {
            out.extend((0..padded).map(|k| at(k).wrapping_sub(middle)));
            return;
        }
        // a word: four low halves, then the four high ones
        for word in (0..padded).step_by(8) {
            out.extend((word..word + 4).map(|k| at(k) | at(k + 4) << 4));
        }
    }

    /// What the zero points add: sums of x over the blocks times `(middle - z) s`.
    fn offsets(&self, c: &mut ImportCtx, x: ValueId) -> Result<ValueId> {
        let blocks = self.blocks();
        let mut dims = c.shape(x).0;
        let last = dims.len() - 1;
        dims[last] = blocks;
        dims.push(self.block);
        let x = c.reshape(x, dims)?;
        let sums = reduce::emit(c, "sum", x, vec![last + 1], false)?;
        let middle = f64::from(1u32 << (self.bits - 1));
        let mut table = vec![0f64; blocks * self.n];
        for (i, (z, s)) in self.zeros.iter().zip(&self.scales).enumerate() {
            table[i % blocks * self.n + i / blocks] = (middle - z) * s;
        }
        let table = Tensor::from_f64s(DType::F32, [blocks, self.n], &table);
        let table = c.add_const(table);
        let dtype = c.dtype(sums);
        let table = c.cast(table, dtype)?;
        product(c, sums, table)
    }
}

/// Field `i` of packed bits.
fn field(bytes: &[u8], i: usize, bits: usize) -> u8 {
    if bits == 8 { bytes[i] } else { bytes[i / 2] >> (4 * (i % 2)) & 15 }
}
