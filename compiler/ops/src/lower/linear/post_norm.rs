//! x from the result of a block that is normalized before it is added to the residual stream.

use super::Linear;
use crate::Result;
use crate::lower::map::Input;
use crate::lower::{KernelArgs, Lowering};
use crate::ops::linear::{POST_GAMMA, RESIDUAL, X};
use drift_kernel::{Access, Builder, E, Scalar, TensorId};

/// Arguments of a kernel besides the block's result.
pub struct Args {
    /// `[m, k]`.
    residual: Input,
    /// `[k]`.
    scale: Input,
    /// The second result, x `[m, k]`.
    to: TensorId,
    k: u32,
    eps: f32,
}

impl Args {
    pub fn bind(l: &Lowering<'_>, k: &KernelArgs, p: &Linear) -> Result<Args> {
        let view = p.matrix(p.k);
        Ok(Args {
            residual: Input::viewed(l, k, RESIDUAL, view.clone(), None)?,
            scale: Input::of(l, k, POST_GAMMA)?,
            to: l.result_arg(k, 1, Access::Write, view),
            k: p.k as u32,
            eps: p.spec.post.unwrap_or_default() as f32,
        })
    }

    /// The factor of a row from its sum of squares.
    pub fn factor<'b>(&self, squares: E<'b>) -> E<'b> {
        (squares * (1.0 / self.k as f32) + self.eps).rsqrt()
    }

    /// Elements of the residual stream from `k` on, a multiple of 4 below the end.
    pub fn residual4<'b>(&self, b: &'b Builder, row: E<'b>, k: E<'b>) -> E<'b> {
        self.residual.lanes(b, &[row, k], Some(1))
    }

    /// Elements of the scale from `k` on, likewise.
    pub fn scale4<'b>(&self, b: &'b Builder, k: E<'b>) -> E<'b> {
        self.scale.lanes(b, &[k], Some(0))
    }

    /// Keeps elements of x from `k` on.
    pub fn store<'b>(&self, b: &'b Builder, row: E<'b>, k: E<'b>, x: E<'b>) {
        b.store4(self.to, &[row, k], 1, x);
    }
}

/// Elements of x from those of the block's result.
pub fn sum<'b>(z: E<'b>, factor: E<'b>, [residual, scale]: [E<'b>; 2]) -> E<'b> {
    (z * factor.splat(4)).fma(scale, residual)
}

/// Invocations of a workgroup, one workgroup per row.
const WORKGROUP: u32 = 256;

/// Adds the kernel that makes x, for products that do not make it themselves.
pub fn lower(l: &mut Lowering<'_>, p: &Linear) -> Result<()> {
    const MOST: usize = 65_535;
    let grid = [p.m.min(MOST) as u32, p.m.div_ceil(MOST) as u32, 1];
    let k = l.kernel("linear_residual", [WORKGROUP, 1, 1], grid);
    let z = Input::viewed(l, &k, X, p.matrix(p.k), None)?;
    let args = Args::bind(l, &k, p)?;
    let b = &k.b;
    // workgroups past the last row repeat it
    let row = (b.workgroup_id(1) * grid[0] + b.workgroup_id(0)).min(p.m as u32 - 1);
    let quads = (p.k as u32).div_ceil(4);
    let each = |f: &dyn Fn(E<'_>)| {
        b.for_(0u32, quads.div_ceil(WORKGROUP), 1, |turn| {
            let quad = turn * WORKGROUP + b.local_index();
            b.if_(quad.lt(quads), || f(quad * 4u32));
        });
    };
    let squares = b.var("squares", b.f32(0.0));
    each(&|at| {
        let v = z.lanes(b, &[row, at], Some(1));
        squares.set(squares.get() + v.dot(v));
    });
    let memory = b.shared("across", Scalar::F32, 1, WORKGROUP);
    let i = b.local_index();
    memory.store(i, squares.get());
    b.barrier();
    let mut half = WORKGROUP / 2;
    while half > 0 {
        b.if_(i.lt(half), || memory.store(i, memory.load(i) + memory.load(i + half)));
        b.barrier();
        half /= 2;
    }
    let factor = args.factor(memory.load(b.u32(0)));
    each(&|at| {
        let v = z.lanes(b, &[row, at], Some(1));
        args.store(b, row, at, sum(v, factor, [args.residual4(b, row, at), args.scale4(b, at)]));
    });
    l.kernels.push(k.finish(0));
    Ok(())
}
