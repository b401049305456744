//! Products with a weight matrix: the choice of a kernel, and what the kernels share.
//!
//! All kernels see x as `[m, k]`, the weights as rows of packed words ([`weights::Weights`]) and
//! the result as `[m, outputs]`; the same packed weights serve one row and many.

mod cooperative;
mod cooperative_i8;
mod cooperative_tile;
mod gemv;
mod plain;
mod post_norm;
mod quantize_rows;
mod rescale_rows;
mod tiled;
pub mod weights;

use super::map::Input;
use super::row_parts::{self, Rows};
use super::{KernelArgs, Lowering, Out};
use crate::Result;
use crate::ops::linear::{DATA, GAMMA, SCALES, Spec, X};
use drift_ir::{DType, View, ViewStep};
use drift_kernel::{Access, Builder, E};
use weights::Weights;

pub use gemv::{MOST_ROWS as FEW_ROWS, link_invocations};

/// A `linear` node as its kernels see it.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// Of these rows of the weights, as all other fields.
    pub spec: Spec,
    /// Rows of x, all leading dims together.
    pub m: usize,
    pub n: usize,
    /// Columns of x and of the weights, without padding.
    pub k: usize,
    /// The product is one of several, each with some rows of the weights: where they are among all.
    /// What is made once for all of them (x of a `post` norm) was made before.
    pub rows: Option<Rows>,
}

/// The arguments of a kernel.
pub struct Args<'a> {
    /// `[m, k]`.
    pub x: Input,
    pub w: Weights,
    /// `[k]`, with a norm.
    pub gamma: Option<Input>,
    /// `[m, outputs]`.
    pub out: Out<'a>,
    /// What makes x of the operand, where the kernel does so.
    pub post: Option<post_norm::Args>,
}

impl Linear {
    pub fn of(l: &Lowering<'_>) -> Result<Linear> {
        let mut spec = Spec::of(&l.node.attrs).map_err(|e| l.unsupported(e))?;
        spec.n = l.rows.map_or(spec.n, |rows| rows.count);
        let x = l.shape(X)?;
        let m = x[..x.rank() - 1].iter().product();
        Ok(Linear { spec, m, n: spec.n, k: spec.k, rows: l.rows })
    }

    /// Columns of the result that this product makes: n, or n / 2 when gated.
    pub fn outputs(&self) -> usize {
        self.spec.outputs()
    }

    pub fn flops(&self) -> u64 {
        2 * (self.m * self.n * self.k) as u64
    }

    /// x or the result as `[m, columns]`.
    pub fn matrix(&self, columns: usize) -> View {
        View::identity().then(ViewStep::Reshape { shape: [self.m, columns].into() })
    }

    /// x as `[m, k]`: the operand, or with a `post` norm the second result, which an earlier kernel
    /// of the node has made.
    pub fn x(&self, l: &Lowering<'_>, k: &KernelArgs) -> Result<Input> {
        if self.spec.post.is_none() {
            return Input::viewed(l, k, X, self.matrix(self.k), None);
        }
        let t = l.result_arg(k, 1, Access::Read, self.matrix(self.k));
        Ok(Input { t, dtype: DType::F32, shape: k.b.shape(t) })
    }

    /// The product's store, `[m, outputs]`.
    pub fn out<'a>(&self, l: &Lowering<'a>, k: &KernelArgs) -> Result<Out<'a>> {
        let Some(rows) = self.rows else {
            return l.out_of(k, &self.matrix(self.outputs()), 1);
        };
        let whole = Spec::of(&l.node.attrs).map_err(|e| l.unsupported(e))?;
        let first = rows.first * whole.outputs() / whole.n;
        if let Some(out) = l.out_range(k, first, self.outputs()) {
            return Ok(out);
        }
        let starts = vec![0, first];
        let (sizes, steps) = (vec![self.m, self.outputs()], vec![1, 1]);
        let part = ViewStep::Slice { starts, sizes, steps };
        l.out_of(k, &self.matrix(whole.outputs()).then(part), 1)
    }

    /// `post`: the kernel makes x itself.
    pub fn args<'a>(&self, l: &Lowering<'a>, k: &KernelArgs, post: bool) -> Result<Args<'a>> {
        let x = match post {
            true => Input::viewed(l, k, X, self.matrix(self.k), None)?,
            false => self.x(l, k)?,
        };
        let post = if post { Some(post_norm::Args::bind(l, k, self)?) } else { None };
        let w = Weights::of(l, k, DATA, (self.spec.scheme, self.n, self.k))?;
        let gamma = match self.spec.norm {
            Some(_) => Some(Input::of(l, k, GAMMA)?),
            None => None,
        };
        Ok(Args { x, w, gamma, out: self.out(l, k)?, post })
    }

    /// The result of a gated pair of sums.
    pub fn gated<'b>(&self, b: &'b Builder, gate: E<'b>, up: E<'b>) -> E<'b> {
        match self.spec.gate {
            Some(op) => super::steps::apply(b, op, &[gate], drift_ir::DType::F32) * up,
            None => gate,
        }
    }
}

impl Args<'_> {
    /// Elements `k` to `k + 3` of row `row` of x, times gamma where there is one; 0 past the end.
    /// `k` is a multiple of 4 and may lie in the padding.
    pub fn x4<'b>(&self, b: &'b Builder, row: E<'b>, k: E<'b>) -> E<'b> {
        let v = self.plain_x4(b, row, k);
        self.gamma4(b, k).map_or(v, |gamma| v * gamma)
    }

    /// Elements `k` to `k + 3` of gamma; some other ones past the end.
    pub fn gamma4<'b>(&self, b: &'b Builder, k: E<'b>) -> Option<E<'b>> {
        let gamma = self.gamma.as_ref()?;
        Some(gamma.lanes(b, &[self.inside(b, k).0], Some(0)))
    }

    /// The same without gamma.
    pub fn plain_x4<'b>(&self, b: &'b Builder, row: E<'b>, k: E<'b>) -> E<'b> {
        let (at, inside) = self.inside(b, k);
        let v = self.x.lanes(b, &[row, at], Some(1));
        inside.map_or(v, |inside| b.select(inside, v, b.zero4()))
    }

    /// Elements `k` to `k + 3` of the residual stream that x is made of; some other ones past the end.
    pub fn residual4<'b>(&self, b: &'b Builder, k: E<'b>) -> Option<E<'b>> {
        Some(self.post.as_ref()?.residual4(b, b.u32(0), self.inside(b, k).0))
    }

    /// The scale that goes with them.
    pub fn post_scale4<'b>(&self, b: &'b Builder, k: E<'b>) -> Option<E<'b>> {
        Some(self.post.as_ref()?.scale4(b, self.inside(b, k).0))
    }

    /// `k` where there is an element, and whether there is one (`None`: always).
    fn inside<'b>(&self, b: &'b Builder, k: E<'b>) -> (E<'b>, Option<E<'b>>) {
        let dim = self.w.k as u32;
        match b.max_of(k) {
            Some(most) if most < u64::from(dim) => (k, None),
            _ => (k.min((dim - 1) / 4 * 4), Some(k.lt(dim))),
        }
    }
}

/// Lowers a `linear` node.
pub fn lower(l: &mut Lowering<'_>) -> Result<()> {
    let product = Linear::of(l)?;
    if product.m == 0 {
        return Ok(());
    }
    let Some(parts) = row_parts::parts(l, &[DATA, SCALES]) else {
        return lower_one(l, &product);
    };
    if product.spec.post.is_some() {
        post_norm::lower(l, &product)?;
    }
    for rows in parts {
        l.rows = Some(rows);
        lower_one(l, &Linear::of(l)?)?;
    }
    Ok(())
}

/// Lowers a product, or one of those that a node was cut into.
fn lower_one(l: &mut Lowering<'_>, product: &Linear) -> Result<()> {
    let plan = gemv::Plan::of(l.target, product);
    let made = product.rows.is_some() || plan.is_some_and(|p| p.makes_x(product));
    if product.spec.post.is_some() && !made {
        post_norm::lower(l, product)?;
    }
    if let Some(plan) = plan {
        return gemv::lower(l, product, &plan);
    }
    if let Some(plan) = cooperative_i8::plan(l.target, product) {
        return cooperative_i8::lower(l, product, &plan);
    }
    if let Some(plan) = cooperative::plan(l.target, product) {
        return cooperative::lower(l, product, &plan);
    }
    match tiled::Plan::of(l, product) {
        Some(plan) => tiled::lower(l, product, &plan),
        None => plain::lower(l, product),
    }
}
