//! MatMulNBits: weights of 4 or 8 bits in blocks, dequantized at compile time.

use crate::Result;
use crate::def::{OpDef, composite, ms};
use crate::import::ImportCtx;
use crate::ops::matmul::product;
use drift_ir::{PointwiseOp, Tensor, ValueId};

pub static OP: OpDef = composite("matmul_nbits", &[ms("MatMulNBits")], import);

/// Inputs: A `[.., K]`, B u8 `[N, K / block, block · bits / 8]`, scales `[N · K / block]`, zero
/// points (u8 packed like B, or of A's type)?, g_idx?, bias `[N]`?.
fn import(c: &mut ImportCtx) -> Result<Vec<ValueId>> {
    let a = c.input(0)?;
    let size = |name: &str| {
        let v = usize::try_from(c.attrs.int(name, 0)).ok().filter(|v| *v > 0);
        v.ok_or_else(|| c.invalid(format!("attribute {name} is missing or not positive")))
    };
    let (k, n, block) = (size("K")?, size("N")?, size("block_size")?);
    let bits = c.attrs.int("bits", 4) as usize;
    if !matches!(bits, 4 | 8) {
        return Err(c.unsupported(format!("{bits} bits; 4 and 8 are supported")));
    }
    if c.opt(4).is_some() {
        return Err(c.unsupported("g_idx (reordered groups)"));
    }
    let per_byte = 8 / bits;
    let blocks = k.div_ceil(block);
    let blob = block.div_ceil(per_byte);
    let b = c.const_input(1, "the weights")?.clone();
    let scales = c.const_input(2, "the scales")?.to_f64s();
    let sizes = |v: &[usize]| v.iter().try_fold(1usize, |a, b| a.checked_mul(*b));
    let fits = b.dtype.bytes() == 1
        && sizes(&[n, blocks, blob]) == Some(b.elems())
        && sizes(&[n, blocks]) == Some(scales.len());
    if !fits {
        return Err(c.invalid(format!(
            "weights {} and {} scales do not fit K = {k}, N = {n}, block_size = {block}",
            b.shape,
            scales.len()
        )));
    }
    let zeros = match c.opt(3) {
        Some(_) => Some(c.const_input(3, "the zero points")?.clone()),
        None => None,
    };
    let float_zeros = zeros.as_ref().filter(|z| z.dtype.is_float()).map(Tensor::to_f64s);
    let row_bytes = blocks.div_ceil(per_byte);
    let middle = (1u32 << (bits - 1)) as f64;
    let field = |bytes: &[u8], i: usize| -> f64 {
        let byte = bytes[i / per_byte];
        f64::from(if bits == 8 { byte } else { byte >> (4 * (i % 2)) & 15 })
    };
    let zero = |row: usize, blk: usize| -> Option<f64> {
        match (&zeros, &float_zeros) {
            (None, _) => Some(middle),
            (_, Some(z)) => z.get(row * blocks + blk).copied(),
            (Some(z), None) => {
                let bytes = z.bytes().get(row * row_bytes..(row + 1) * row_bytes)?;
                Some(field(bytes, blk))
            }
        }
    };
    let mut w = vec![0f32; k * n];
    for row in 0..n {
        for blk in 0..blocks {
            let z = zero(row, blk).ok_or_else(|| c.invalid("too few zero points"))?;
            let s = scales[row * blocks + blk];
            let bytes = &b.bytes()[(row * blocks + blk) * blob..][..blob];
            for i in 0..block.min(k - blk * block) {
                // stored transposed: the product wants [K, N]
                w[(blk * block + i) * n + row] = ((field(bytes, i) - z) * s) as f32;
            }
        }
    }
    let w = c.add_const(Tensor::from_f32([k, n], &w));
    let dtype = c.dtype(a);
    let w = c.cast(w, dtype)?;
    let mut y = product(c, a, w)?;
    if let Some(bias) = c.opt(5) {
        y = c.binary(PointwiseOp::Add, y, bias)?;
    }
    Ok(vec![y])
}
