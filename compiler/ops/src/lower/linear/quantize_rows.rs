//! Rows of x made ready for many products with them: normalized, or as int8 with one scale per
//! row, normalized on the way. One workgroup per row.

use super::Linear;
use crate::Result;
use crate::lower::map::Input;
use crate::lower::{KernelArgs, Lowering};
use drift_ir::DType;
use drift_kernel::builder::{S, V};
use drift_kernel::tensor::Elem;
use drift_kernel::{Access, Builder, E, F32X4, Packing, Scalar};

/// Invocations of a workgroup: what every device has.
const WORKGROUP: u32 = 256;
/// Rows of int8 are padded with zeros to a multiple of this: the longest step of a product.
const PADDED: usize = 128;
/// Largest int8 used: as many below zero as above.
const LARGEST: f32 = 127.0;

/// Rows as int8, in temps.
#[derive(Clone, Copy, Debug)]
pub struct Quantized {
    /// u32 `[m, padded / 4]`: four int8 to a word.
    pub data: usize,
    /// f32 `[m]`.
    pub scales: usize,
}

/// A row on its way: x (times gamma) and where its quads are.
struct Row<'b, 'a> {
    b: &'b Builder,
    x: &'a Input,
    gamma: Option<&'a Input>,
    k: u32,
    row: E<'b>,
}

impl<'b> Row<'b, '_> {
    /// Elements `at..at + 4`, before and after gamma; 0 past the end.
    fn quad(&self, at: E<'b>) -> [E<'b>; 2] {
        let b = self.b;
        let last = (self.k - 1) / 4 * 4;
        let from = at.min(last);
        let x = self.x.lanes(b, &[self.row, from], Some(1));
        let x = b.select(at.lt(self.k), x, b.zero4());
        [x, self.gamma.map_or(x, |g| x * g.lanes(b, &[from], Some(0)))]
    }

    /// Calls `f` with the first element of every quad of this invocation.
    fn each(&self, len: u32, f: impl FnOnce(E<'b>)) {
        let b = self.b;
        let quads = len.div_ceil(4);
        b.for_(0u32, quads.div_ceil(WORKGROUP), 1, |turn| {
            let quad = turn * WORKGROUP + b.local_index();
            b.if_(quad.lt(quads), || f(quad * 4u32));
        });
    }
}

/// Reduces a value of every invocation; all get the result.
fn across<'b>(b: &'b Builder, memory: S<'b>, v: E<'b>, f: impl Fn(E<'b>, E<'b>) -> E<'b>) -> E<'b> {
    let i = b.local_index();
    memory.store(i, v);
    b.barrier();
    let mut half = WORKGROUP / 2;
    while half > 0 {
        b.if_(i.lt(half), || memory.store(i, f(memory.load(i), memory.load(i + half))));
        b.barrier();
        half /= 2;
    }
    memory.load(b.u32(0))
}

/// The grid: rows, over two axes where there are many.
fn grid(m: usize) -> [u32; 3] {
    const MOST: u32 = 65_535;
    let m = m as u32;
    [m.min(MOST), m.div_ceil(MOST), 1]
}

/// Declares x and gamma, and begins the row of this workgroup. Workgroups past the last row repeat
/// it.
fn row<'b>(b: &'b Builder, p: &Linear) -> E<'b> {
    let [wide, _, _] = grid(p.m);
    (b.workgroup_id(1) * wide + b.workgroup_id(0)).min(p.m as u32 - 1)
}

fn operands(l: &Lowering<'_>, p: &Linear, k: &KernelArgs) -> Result<(Input, Option<Input>)> {
    let x = p.x(l, k)?;
    let gamma = match p.spec.norm {
        Some(_) => Some(Input::of(l, k, crate::ops::linear::GAMMA)?),
        None => None,
    };
    Ok((x, gamma))
}

/// `1 / sqrt(mean(x²) + eps)` from the sum of squares.
fn factor<'b>(p: &Linear, eps: f64, squares: E<'b>) -> E<'b> {
    (squares * (1.0 / p.k as f32) + eps as f32).rsqrt()
}

/// Adds the kernel that quantizes the rows of x.
pub fn quantize(l: &mut Lowering<'_>, p: &Linear) -> Result<Quantized> {
    let padded = p.k.next_multiple_of(PADDED);
    let out =
        Quantized { data: l.temp([p.m, padded / 4], Elem::U32), scales: l.temp([p.m], Elem::F32) };
    let k = l.kernel("linear_quantize", [WORKGROUP, 1, 1], grid(p.m));
    let (x, gamma) = operands(l, p, &k)?;
    let data = l.temp_arg(&k, out.data, Access::Write);
    let scales = l.temp_arg(&k, out.scales, Access::Write);
    let b = &k.b;
    let this = Row { b, x: &x, gamma: gamma.as_ref(), k: p.k as u32, row: row(b, p) };
    let memory = b.shared("across", Scalar::F32, 1, WORKGROUP);
    let most: V<'_> = b.var("most", b.zero4());
    let squares = b.var("squares", b.zero4());
    this.each(p.k as u32, |at| {
        let [x, scaled] = this.quad(at);
        most.set(most.get().max(scaled.abs()));
        if p.spec.norm.is_some() {
            squares.set(x.fma(x, squares.get()));
        }
    });
    let m = most.get();
    let m = m.lane(0).max(m.lane(1)).max(m.lane(2)).max(m.lane(3));
    let most = across(b, memory, m, |x, y| x.max(y));
    let norm = p.spec.norm.map(|eps| {
        b.barrier();
        factor(p, eps, across(b, memory, squares.get().hsum(), |x, y| x + y))
    });
    // a row of zeros stays zeros
    let inverse = b.select(most.gt(0.0), b.f32(LARGEST) / most, b.f32(0.0));
    b.if_(b.local_index().eq(0u32), || {
        let scale = most * (1.0 / LARGEST);
        b.store(scales, &[this.row], norm.map_or(scale, |n| scale * n));
    });
    let inverse = inverse.splat(4);
    this.each(padded as u32, |at| {
        let [_, v] = this.quad(at);
        let q = (v * inverse).round().clamp(-LARGEST, LARGEST).cast(Scalar::I32);
        b.store(data, &[this.row, at / 4u32], q.pack(Packing::I8x4));
    });
    l.kernels.push(k.finish(0));
    Ok(out)
}

/// Adds the kernel that normalizes the rows of x, and gives the temp `[m, k]` they lie in.
pub fn normalize(l: &mut Lowering<'_>, p: &Linear, eps: f64, elem: Elem) -> Result<usize> {
    let out = l.temp([p.m, p.k], elem);
    let k = l.kernel("linear_normalize", [WORKGROUP, 1, 1], grid(p.m));
    let (x, gamma) = operands(l, p, &k)?;
    let to = l.temp_arg(&k, out, Access::Write);
    let b = &k.b;
    let this = Row { b, x: &x, gamma: gamma.as_ref(), k: p.k as u32, row: row(b, p) };
    let memory = b.shared("across", Scalar::F32, 1, WORKGROUP);
    let squares = b.var("squares", b.zero4());
    this.each(p.k as u32, |at| {
        let [x, _] = this.quad(at);
        squares.set(x.fma(x, squares.get()));
    });
    let sum = across(b, memory, squares.get().hsum(), |x, y| x + y);
    let factor = factor(p, eps, sum).splat(4);
    this.each(p.k as u32, |at| {
        let [_, v] = this.quad(at);
        let v = v * factor;
        debug_assert_eq!(v.ty(), F32X4);
        b.store4(to, &[this.row, at], 1, v.clamp(-65504.0, 65504.0));
    });
    l.kernels.push(k.finish(0));
    Ok(out)
}

/// The rows of x that a product reads: those in temp `rows`, or the operand.
pub fn input(l: &Lowering<'_>, p: &Linear, k: &KernelArgs, rows: Option<usize>) -> Result<Input> {
    match rows {
        Some(temp) => {
            let t = l.temp_arg(k, temp, Access::Read);
            Ok(Input { t, dtype: DType::F32, shape: k.b.shape(t) })
        }
        None => Ok(operands(l, p, k)?.0),
    }
}
