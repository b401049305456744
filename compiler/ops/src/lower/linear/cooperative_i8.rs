//! The product of many rows with int8 matrices: rows of x are quantized first, each with its own
//! scale; weights of 8 bits go into workgroup memory as they are, those of 4 bits as bytes; those with
//! scales of groups are copied with one scale per row first. Sums are exact in int32 over the whole
//! depth and are scaled once, at the end.

use super::cooperative_tile::{Fill, Format, Operands, Plan, product};
use super::weights::Weights;
use super::{Linear, cooperative, quantize_rows, rescale_rows};
use crate::Result;
use crate::lower::{Lowering, Target};
use crate::ops::linear::DATA;
use crate::quant::Scheme;
use drift_bundle::caps::{MatrixElem, MatrixShape};
use drift_kernel::builder::V;
use drift_kernel::{Access, Builder, E, Scalar, TensorId, Type};

const WORD4: Type = Type::vec(Scalar::U32, 4);

/// The product that the device must have.
const SHAPE: MatrixShape =
    MatrixShape { m: 16, n: 16, k: 32, ab: MatrixElem::S8, acc: MatrixElem::S32 };

/// Largest first.
const PLANS: [Plan; 3] = [
    Plan { rows: 128, columns: 128, step: 64, subgroups: [2, 2] },
    Plan { rows: 64, columns: 64, step: 64, subgroups: [2, 2] },
    Plan { rows: 32, columns: 32, step: 128, subgroups: [2, 2] },
];

/// Rows of x from which weights with scales of groups are worth a rescaled copy.
const MANY_ROWS: usize = 256;

/// The tile, where the device gains by int8 and has such matrices.
pub fn plan(target: &Target, p: &Linear) -> Option<Plan> {
    let integers = match p.spec.scheme {
        Scheme::Q8 | Scheme::Q4 => true,
        Scheme::Q8Groups(_) | Scheme::Q4Groups(_) => {
            let bytes = (p.n * p.spec.scheme.padded_k(p.k)) as u64;
            p.m >= MANY_ROWS && bytes <= target.max_object_bytes
        }
        Scheme::F32 | Scheme::F16 => false,
    };
    let has = target.int8_activations && target.caps.matrix_shapes.contains(&SHAPE);
    if !(integers && has) {
        return None;
    }
    cooperative::fitting(target, p, &Format::I8, &PLANS)
}

/// Quantized rows of x.
struct Rows {
    data: TensorId,
}

impl<'b> Fill<'b> for Rows {
    fn granules(&self) -> u32 {
        1
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        vec![b.var_uninit("x", WORD4)]
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        to[0].set(b.load4(self.data, &[line, k / 4u32], 1));
    }

    fn take(&self, _: &'b Builder, _: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        vec![from[0].get()]
    }
}

/// Rows of integer weights.
struct Integers<'w> {
    w: &'w Weights,
    /// Weights in a word.
    in_word: u32,
}

impl<'b> Fill<'b> for Integers<'_> {
    fn granules(&self) -> u32 {
        self.in_word / 4
    }

    fn registers(&self, b: &'b Builder) -> Vec<V<'b>> {
        vec![b.var_uninit("w", WORD4)]
    }

    fn load(&self, b: &'b Builder, line: E<'b>, k: E<'b>, to: &[V<'b>]) {
        // past the end x is 0
        let most = self.w.padded_k() as u32 / (4 * self.in_word) - 1;
        let quad = (k / (4 * self.in_word)).min(most);
        to[0].set(self.w.words(b, line, quad * 4u32));
    }

    fn take(&self, b: &'b Builder, _: E<'b>, from: &[V<'b>]) -> Vec<E<'b>> {
        let quad = from[0].get();
        if self.in_word == 4 {
            return vec![quad];
        }
        // q + 8 in 0..16 to q, in four bytes at a time: no byte borrows from its neighbour
        let signed = |nibbles: E<'b>| {
            let raised = nibbles.and(0x0f0f_0f0fu32).or(0x8080_8080u32);
            (raised - 0x0808_0808u32).xor(0x8080_8080u32)
        };
        let words: Vec<E<'b>> = (0..4u8)
            .flat_map(|lane| {
                let w = quad.lane(lane);
                [signed(w), signed(w.shr(4u32))]
            })
            .collect();
        words.chunks(4).map(|quad| b.compose(quad)).collect()
    }
}

/// Lowers a product with `plan`.
pub fn lower(l: &mut Lowering<'_>, p: &Linear, plan: &Plan) -> Result<()> {
    let quantized = quantize_rows::quantize(l, p)?;
    let rescaled = match p.spec.scheme.group() {
        Some(_) => Some(rescale_rows::rescale(l, p)?),
        None => None,
    };
    let k = l.kernel("linear_matrix_i8", [plan.invocations(), 1, 1], plan.workgroups(p));
    let data = l.temp_arg(&k, quantized.data, Access::Read);
    let row_scales = l.temp_arg(&k, quantized.scales, Access::Read);
    let w = match rescaled {
        Some(r) => {
            let [data, scales] = [r.data, r.scales].map(|t| l.temp_arg(&k, t, Access::Read));
            Weights::left(Scheme::Q8, [p.n, p.k], data, scales)
        }
        None => Weights::of(l, &k, DATA, (p.spec.scheme, p.n, p.k))?,
    };
    let out = p.out(l, &k)?;
    let b = &k.b;
    let rows = Rows { data };
    let weights = Integers { w: &w, in_word: w.scheme.per_word() as u32 };
    let depth = (p.k as u32).next_multiple_of(plan.step);
    let lanes = if p.spec.gate.is_some() { 8 } else { 4 };
    let operands = Operands { left: &rows, right: &weights, depth };
    product(b, p, plan, &Format::I8, &operands, lanes, &|m, n, quads| {
        let scale = b.load(row_scales, &[m]).splat(4);
        let sums: Vec<E<'_>> = quads.iter().map(|q| *q * scale).collect();
        cooperative::finish(b, p, &w, &out, [m, n], &sums);
    });
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}
