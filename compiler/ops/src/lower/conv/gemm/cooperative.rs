//! The product with cooperative matrices: f16 operands, f32 sums.
//!
//! A workgroup keeps one step of both operands in workgroup memory while the loads of the next two
//! steps are under way into registers. Subgroups divide the tile by rows, by columns and, where the tile is
//! small, by depth. Sums are opaque to invocations, so they pass through workgroup memory, one
//! band of 16 rows per subgroup at a time; there, those of subgroups along the depth are added.

use super::plan::{PAD, Plan, SUM_PAD};
use super::{
    Conv, Filters, Product, Sink, Source, partial, pin, pixel, pixels_adjoin, reduce, steps,
};
use crate::Result;
use crate::lower::Lowering;
use drift_kernel::builder::{S, V};
use drift_kernel::{Access, Builder, Component, E, Matrix, MatrixRole, Scalar, Type};

/// Steps whose loads are under way at a time. Two hide more of the latency of memory; with several
/// taps, the longer code costs more than that.
const fn ahead(product: &Product) -> u32 {
    if product.taps == 1 { 2 } else { 1 }
}

const HALF4: Type = Type::vec(Scalar::F16, 4);

const fn matrix(role: MatrixRole, component: Component) -> Matrix {
    Matrix { role, component, rows: 16, cols: 16 }
}
const LEFT: Matrix = matrix(MatrixRole::A, Component::F16);
const RIGHT: Matrix = matrix(MatrixRole::B, Component::F16);
const SUM: Matrix = matrix(MatrixRole::C, Component::F32);

/// One operand's share of an invocation: where in the tile, and registers for the next steps.
struct Share<'b> {
    /// Four elements along the depth.
    quad: E<'b>,
    /// Pixel (left) or column (right) in the tile.
    row: E<'b>,
    /// Present for every quad but those of the last, incomplete turn.
    inside: Option<E<'b>>,
    /// Loads under way, of the step after this one and of the one after that.
    next: Vec<V<'b>>,
}

/// Quads of a tile of `rows` x `depth` elements, dealt out to `invocations`. `rows_adjoin`:
/// neighbouring invocations take neighbouring rows.
fn shares<'b>(
    b: &'b Builder,
    rows: u32,
    depth: u32,
    invocations: u32,
    rows_adjoin: bool,
    ahead: usize,
) -> Vec<Share<'b>> {
    let quads = depth / 4;
    let count = rows * quads;
    (0..count.div_ceil(invocations))
        .map(|turn| {
            let i = b.local_index() + turn * invocations;
            let complete = (turn + 1) * invocations <= count;
            let (row, quad) = match rows_adjoin {
                true => (i % rows, i / rows),
                false => (i / quads, i % quads),
            };
            Share {
                quad,
                row,
                inside: (!complete).then(|| i.lt(count)),
                next: (0..ahead).map(|_| b.var_uninit("next", HALF4)).collect(),
            }
        })
        .collect()
}

fn guarded(b: &Builder, inside: Option<E<'_>>, f: impl FnOnce()) {
    match inside {
        Some(cond) => b.if_(cond, f),
        None => f(),
    }
}

struct Kernel<'b, 'c> {
    b: &'b Builder,
    plan: Plan,
    product: Product,
    source: Source<'c>,
    left: S<'b>,
    right: S<'b>,
    left_shares: Vec<Share<'b>>,
    right_shares: Vec<Share<'b>>,
    /// Pixels of the left shares.
    pixels: Vec<[E<'b>; 4]>,
    first_column: E<'b>,
    /// Row, column and depth number of the subgroup in its workgroup.
    subgroup: [E<'b>; 3],
    /// Sums of 16 x 16 elements, by rows.
    sums: Vec<Vec<V<'b>>>,
}

impl<'b> Kernel<'b, '_> {
    /// Starts the loads of a step into registers `to`.
    fn load(&self, step: E<'b>, to: usize) {
        for (s, pixel) in self.left_shares.iter().zip(&self.pixels) {
            guarded(self.b, s.inside, || {
                let (v, inside) = self.source.patch(step, s.quad, pixel);
                let v = v.cast(Scalar::F16);
                let zero = self.b.lit_like(0.0, HALF4);
                s.next[to].set(inside.map_or(v, |inside| self.b.select(inside, v, zero)));
            });
        }
        for s in &self.right_shares {
            guarded(self.b, s.inside, || {
                let column = self.first_column + s.row;
                let v = self.source.filter_along_depth(step, s.quad, column);
                s.next[to].set(v.cast(Scalar::F16));
            });
        }
    }

    /// Puts what was loaded into registers `from` into workgroup memory.
    fn keep(&self, from: usize) {
        let pitch = (self.plan.step + PAD) / 4;
        let put = |memory: S<'b>, s: &Share<'b>| {
            guarded(self.b, s.inside, || {
                memory.store(s.row * pitch + s.quad, s.next[from].get());
            });
        };
        self.left_shares.iter().for_each(|s| put(self.left, s));
        self.right_shares.iter().for_each(|s| put(self.right, s));
    }

    /// Multiplies what is in workgroup memory.
    fn multiply(&self) {
        let stride = self.plan.step + PAD;
        let [row, column, depth] = self.subgroup;
        let (rows, columns) = (self.sums.len() as u32, self.sums[0].len() as u32);
        let deep = self.plan.step / 16 / self.plan.subgroups[2];
        for i in 0..deep {
            let k = depth * (16 * deep) + i * 16;
            let load_left = |r: u32| {
                let at = (row * (16 * rows) + r * 16) * stride + k;
                self.left.load_matrix(LEFT, at, stride, true)
            };
            let load_right = |c: u32| {
                let at = (column * (16 * columns) + c * 16) * stride + k;
                self.right.load_matrix(RIGHT, at, stride, false)
            };
            let lefts: Vec<E<'b>> = (0..rows).map(load_left).collect();
            let rights: Vec<E<'b>> = (0..columns).map(load_right).collect();
            for (x, sums) in lefts.iter().zip(&self.sums) {
                for (y, sum) in rights.iter().zip(sums) {
                    sum.set(self.b.matrix_mul_add(*x, *y, sum.get()));
                }
            }
        }
    }

    /// Stores the sums through workgroup memory, band by band.
    fn store(&self, conv: &Conv, sink: &Sink<'_>, first_row: E<'b>, by_row: bool) {
        let (b, plan) = (self.b, &self.plan);
        let (band, stride) = (plan.band(), plan.columns + SUM_PAD);
        let shared = b.shared("sums", Scalar::F32, 4, plan.subgroups[2] * band * stride / 4);
        let [row, column, depth] = self.subgroup;
        let columns = self.sums[0].len() as u32;
        let height = 16 * self.sums.len() as u32;
        for (turn, sums) in (0u32..).zip(&self.sums) {
            if turn > 0 {
                b.barrier();
            }
            for (c, sum) in (0u32..).zip(sums) {
                let at = (depth * band + row * 16u32) * stride;
                let at = at + column * (16 * columns) + c * 16;
                shared.store_matrix(sum.get(), at, stride, true);
            }
            b.barrier();
            let (quads, invocations) = (plan.columns / 4, plan.invocations());
            let count = band * quads;
            for part in 0..count.div_ceil(invocations) {
                let i = b.local_index() + part * invocations;
                let (r, quad) = match by_row {
                    true => (i % band, i / band),
                    false => (i / quads, i % quads),
                };
                let m = first_row + r / 16u32 * height + r % 16u32 + turn * 16;
                let n = self.first_column + quad * 4u32;
                let mut inside = i.lt(count);
                if !self.product.rows.is_multiple_of(plan.rows) {
                    inside = inside.and(m.lt(self.product.rows));
                }
                if !self.product.columns.is_multiple_of(plan.columns) {
                    inside = inside.and(n.lt(self.product.columns));
                }
                b.if_(inside, || {
                    let read = |d: u32| shared.load((r + d * band) * (stride / 4) + quad);
                    let sum = (0..plan.subgroups[2]).map(read).reduce(|x, y| x + y);
                    let sum = sum.unwrap_or_else(|| b.zero4());
                    sink.put(conv, m, n, b.workgroup_id(2), by_row, sum);
                });
            }
        }
    }
}

/// Lowers a convolution with `plan`.
pub fn lower(l: &mut Lowering<'_>, conv: &Conv, plan: &Plan) -> Result<()> {
    let product = Product::of(conv);
    let by_row = pixels_adjoin(&l.result_placement(0).layout);
    let temp = (plan.split > 1).then(|| partial(l, &product, plan, by_row));
    let invocations = plan.invocations();
    let k = l.kernel("conv_matrix", [invocations, 1, 1], plan.workgroups(&product));
    let source = Source::new(l, &k, conv, plan, Filters::AlongDepth)?;
    let sink = match temp {
        Some(t) => Sink::Partial(l.temp_arg(&k, t, Access::Write)),
        None => Sink::results(l, &k, conv)?,
    };
    let b = &k.b;
    b.set_subgroup_size(32);
    let [sub_rows, sub_columns, _] = plan.subgroups;
    let left = b.shared("left", Scalar::F16, 4, plan.rows * (plan.step + PAD) / 4);
    let right = b.shared("right", Scalar::F16, 4, plan.columns * (plan.step + PAD) / 4);
    let first_row = b.workgroup_id(1) * plan.rows;
    // registers for as many steps as there are, and no more
    let ahead = plan.steps.min(ahead(&product)) as usize;
    let left_shares = shares(b, plan.rows, plan.step, invocations, source.pixels_adjoin, ahead);
    let mut pixels: Vec<[E<'_>; 4]> = Vec::new();
    for (i, s) in left_shares.iter().enumerate() {
        // shares of one row have one pixel
        if let Some(same) = left_shares[..i].iter().position(|o| o.row.id == s.row.id) {
            let same = pixels[same];
            pixels.push(same);
            continue;
        }
        // rows past the last are computed from some pixel and dropped
        let m = (first_row + s.row).min(product.rows - 1);
        pixels.push(pixel(conv, m).map(|e| pin(b, e)));
    }
    let id = b.subgroup_id();
    let kernel = Kernel {
        b,
        plan: *plan,
        product,
        source,
        left,
        right,
        left_shares,
        right_shares: shares(b, plan.columns, plan.step, invocations, false, ahead),
        pixels,
        first_column: b.workgroup_id(0) * plan.columns,
        subgroup: [id / sub_columns % sub_rows, id % sub_columns, id / (sub_rows * sub_columns)],
        sums: (0..plan.rows / 16 / sub_rows)
            .map(|_| {
                (0..plan.columns / 16 / sub_columns)
                    .map(|_| b.var("sum", b.matrix_zero(SUM)))
                    .collect()
            })
            .collect(),
    };
    let (from, to) = steps(b, &product, plan);
    for i in 0..ahead as u32 {
        let first = from + i;
        // a workgroup has one step at least
        if i == 0 {
            kernel.load(first, 0)
        } else {
            b.if_(first.lt(to), || kernel.load(first, i as usize))
        }
    }
    b.for_(from, to, ahead as u32, |first| {
        for i in 0..ahead as u32 {
            let step = first + i;
            let body = || {
                kernel.keep(i as usize);
                b.barrier();
                let next = step + ahead as u32;
                b.if_(next.lt(to), || kernel.load(next, i as usize));
                kernel.multiply();
                b.barrier();
            };
            if i == 0 {
                body();
            } else {
                // a loop of one turn or none, not an `if`: naga takes no matrices in branches
                // whose condition it does not see to be uniform
                b.for_(step, (step + 1u32).min(to), 1, |_| body());
            }
        }
    });
    kernel.store(conv, &sink, first_row, by_row);
    l.kernels.push(k.finish(conv.flops()));
    match temp {
        Some(t) => reduce(l, conv, plan, t, by_row),
        None => Ok(()),
    }
}
