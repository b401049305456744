//! Matrix products: the choice of a kernel, and what the kernels share.
//!
//! All kernels see `[batch, M, K]` times `[batch, K, N]`; broadcasts and transposes are views.
//! Batches that share the right matrix are more rows of one product.

mod cooperative;
mod gemv;
mod plain;
mod tiled;

use super::map::Input;
use super::{KernelArgs, Lowering, Out};
use crate::Result;
use drift_ir::{Shape, View, ViewStep};
use drift_kernel::Layout;

/// Rows up to which a product is computed column by column.
const FEW_ROWS: usize = 4;

/// A matrix product with its operands as views.
#[derive(Clone, Debug)]
pub struct MatMul {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: View,
    pub b: View,
    pub out: View,
    /// Whether neighbours along K lie side by side in the left operand (else along M).
    pub a_along_k: bool,
    /// Whether neighbours along K lie side by side in the right operand (else along N).
    pub b_along_k: bool,
}

impl MatMul {
    pub fn of(l: &Lowering<'_>) -> Result<MatMul> {
        let (sa, sb, own) = (l.shape(0)?, l.shape(1)?, l.own_shape(0));
        let r = own.rank();
        let (m, n, k) = (own[r - 2], own[r - 1], sa[sa.rank() - 1]);
        let lead = Shape::from(&own[..r - 2]);
        let shared = sb[..sb.rank() - 2].iter().all(|&d| d == 1);
        // rows of all batches in one matrix, unless the left operand repeats itself
        let whole = sa[..sa.rank() - 2].iter().product::<usize>() == lead.elems();
        let (batch, rows) = match shared && whole {
            true => (1, lead.elems() * m),
            false => (lead.elems(), m),
        };
        let repeat = |s: &Shape| {
            let mut shape = lead.clone();
            shape.extend(&s[s.rank() - 2..]);
            match shape == *s {
                true => View::identity(),
                false => View::identity().then(ViewStep::Broadcast { shape }),
            }
        };
        let to =
            |view: View, shape: [usize; 3]| view.then(ViewStep::Reshape { shape: shape.into() });
        let a = if shared && whole { View::identity() } else { repeat(&sa) };
        let b = if batch == 1 { View::identity() } else { repeat(&sb) };
        let mut product = MatMul {
            batch,
            m: rows,
            n,
            k,
            a: to(a, [batch, rows, k]),
            b: to(b, [batch, k, n]),
            out: to(View::identity(), [batch, rows, n]),
            a_along_k: true,
            b_along_k: false,
        };
        product.a_along_k = product.m == 1 || !adjoins(l, &product, 0, 1, 2);
        product.b_along_k = product.k > 1 && adjoins(l, &product, 1, 1, 2);
        Ok(product)
    }

    pub fn flops(&self) -> u64 {
        2 * (self.batch * self.m * self.n * self.k) as u64
    }

    pub fn args<'a>(&self, l: &Lowering<'a>, k: &KernelArgs) -> Result<(Input, Input, Out<'a>)> {
        let a = Input::viewed(l, k, 0, self.a.clone(), None)?;
        let b = Input::viewed(l, k, 1, self.b.clone(), None)?;
        Ok((a, b, l.out(k, &self.out)?))
    }
}

/// Whether neighbours along axis `this` of operand `i` lie side by side in memory, and those along
/// axis `other` do not.
fn adjoins(l: &Lowering<'_>, p: &MatMul, i: usize, this: usize, other: usize) -> bool {
    let Some(Some(operand)) = l.node.operands.get(i) else { return false };
    let stored = &l.graph.value(operand.value).shape;
    let view = if i == 0 { &p.a } else { &p.b }.after(&operand.view);
    let Some(shape) = view.apply(stored) else { return false };
    let layout = l.placement(operand.value).map_or(Layout::RowMajor, |x| x.layout.clone());
    let element = |at: [usize; 3]| {
        let coord = view.source_coord(stored, &at)?;
        Some(layout.element(stored, &coord))
    };
    let near = |axis: usize| {
        let mut at = [0; 3];
        at[axis] = 1;
        shape[axis] > 1 && element(at).zip(element([0; 3])).is_some_and(|(a, b)| a.abs_diff(b) == 1)
    };
    near(this) && !near(other)
}

/// Lowers a `matmul` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let product = MatMul::of(l)?;
    if l.own_shape(0).elems() == 0 {
        return Ok(());
    }
    let float = l.dtype(0).is_some_and(|d| d.is_float());
    if !float || product.k < 8 {
        return plain::lower(l, &product);
    }
    if product.m <= FEW_ROWS {
        return gemv::lower(l, &product);
    }
    let in_f32 = l.needs_f32(0) || l.needs_f32(1);
    match cooperative::Plan::of(l.target, &product).filter(|_| !in_f32) {
        Some(plan) => cooperative::lower(l, &product, &plan),
        None => tiled::lower(l, &product),
    }
}
