//! The product with cooperative matrices: f16 operands, f32 sums.
//!
//! A workgroup keeps one step of both operands in workgroup memory while the next step's loads are
//! under way into registers. Either operand may lie along K or across it: memory keeps its order,
//! and the matrix loads read rows or columns. Sums are opaque to invocations, so they pass through
//! workgroup memory, one band of 16 rows per row of subgroups at a time.

use super::MatMul;
use crate::Result;
use crate::lower::map::Input;
use crate::lower::{Lowering, Out, Target};
use drift_kernel::builder::{S, V};
use drift_kernel::tensor::Elem;
use drift_kernel::{Builder, Component, E, Matrix, MatrixRole, Scalar, Type};

const HALF4: Type = Type::vec(Scalar::F16, 4);

const fn matrix(role: MatrixRole, component: Component) -> Matrix {
    Matrix { role, component, rows: 16, cols: 16 }
}
const LEFT: Matrix = matrix(MatrixRole::A, Component::F16);
const RIGHT: Matrix = matrix(MatrixRole::B, Component::F16);
const SUM: Matrix = matrix(MatrixRole::C, Component::F32);

/// Elements between the rows of tiles: puts neighbouring rows in other banks, and keeps 16 bytes'
/// alignment.
const PAD: u32 = 8;
const SUM_PAD: u32 = 4;

/// Tile of a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    rows: u32,
    columns: u32,
    /// Depth that is in workgroup memory at a time.
    step: u32,
    /// Subgroups along rows and columns.
    subgroups: [u32; 2],
}

/// Largest first.
const PLANS: [Plan; 4] = [
    Plan { rows: 128, columns: 128, step: 32, subgroups: [2, 4] },
    Plan { rows: 128, columns: 64, step: 32, subgroups: [4, 2] },
    Plan { rows: 64, columns: 64, step: 32, subgroups: [2, 2] },
    Plan { rows: 32, columns: 32, step: 64, subgroups: [2, 2] },
];

impl Plan {
    /// The largest tile that the device holds and that gives every compute unit one; `None` when
    /// the target has no f16 matrices or the product does not fill them.
    pub fn of(target: &Target, p: &MatMul) -> Option<Plan> {
        let caps = &target.caps;
        let pinned = caps.subgroup_size_min <= 32 && 32 <= caps.subgroup_size_max;
        // f16 operands where the user asked for them only
        target.matrix_f16().filter(|_| pinned && target.weight_elem == Elem::F16)?;
        if p.m < 16 || p.n < 16 || p.k < 16 {
            return None;
        }
        let limits = &caps.limits;
        let fits = |t: &&Plan| {
            u64::from(t.memory_bytes()) <= limits.workgroup_memory_bytes
                && u64::from(t.invocations()) <= limits.workgroup_invocations
                && u64::from(t.invocations()) <= limits.workgroup_size[0]
                && t.workgroups(p).iter().all(|&n| n <= 65_535)
        };
        let units = target.full_invocations / 1024;
        let busy =
            |t: &&Plan| t.workgroups(p).iter().map(|&n| u64::from(n)).product::<u64>() >= units;
        let fitting = || PLANS.iter().filter(fits);
        fitting().find(busy).or_else(|| fitting().next_back()).copied()
    }

    fn workgroups(&self, p: &MatMul) -> [u32; 3] {
        let tiles = |n: usize, tile: u32| n.div_ceil(tile as usize) as u32;
        [tiles(p.n, self.columns), tiles(p.m, self.rows), p.batch as u32]
    }

    fn invocations(&self) -> u32 {
        32 * self.subgroups[0] * self.subgroups[1]
    }

    /// Rows of the tile that pass through workgroup memory at a time.
    fn band(&self) -> u32 {
        16 * self.subgroups[0]
    }

    /// Both tiles in f16 (the longer of both orders), and a band of sums.
    fn memory_bytes(&self) -> u32 {
        let tile = |across: u32| {
            let along_k = across * (self.step + PAD);
            2 * along_k.max(self.step * (across + PAD))
        };
        let sums = 4 * self.band() * (self.columns + SUM_PAD);
        tile(self.rows) + tile(self.columns) + sums
    }
}

/// One operand: its tile in workgroup memory, and this invocation's share of it.
struct Side<'b> {
    b: &'b Builder,
    input: Input,
    /// Axis of rows (left) or columns (right); K is the other one of 1 and 2.
    axis: usize,
    batch: E<'b>,
    /// First row or column.
    first: E<'b>,
    depth: u32,
    along_k: bool,
    memory: S<'b>,
    /// Elements between lines of the tile.
    stride: u32,
    /// Line, element in the line, whether there is one, and registers for the next step.
    shares: Vec<(E<'b>, E<'b>, Option<E<'b>>, V<'b>)>,
}

impl<'b> Side<'b> {
    /// `across`: rows or columns of the tile.
    fn new(
        b: &'b Builder,
        plan: &Plan,
        input: Input,
        axis: usize,
        first: E<'b>,
        along_k: bool,
    ) -> Side<'b> {
        let across = if axis == 1 { plan.rows } else { plan.columns };
        let (lines, length) = if along_k { (across, plan.step) } else { (plan.step, across) };
        let stride = length + PAD;
        let name = if axis == 1 { "left" } else { "right" };
        let memory = b.shared(name, Scalar::F16, 4, lines * stride / 4);
        let (quads, invocations) = (length / 4, plan.invocations());
        let count = lines * quads;
        let shares = (0..count.div_ceil(invocations))
            .map(|turn| {
                let i = b.local_index() + turn * invocations;
                let complete = (turn + 1) * invocations <= count;
                let inside = (!complete).then(|| i.lt(count));
                (i / quads, i % quads * 4u32, inside, b.var_uninit("next", HALF4))
            })
            .collect();
        let depth = input.shape[3 - axis] as u32;
        let batch = b.workgroup_id(2);
        Side { b, input, axis, batch, first, depth, along_k, memory, stride, shares }
    }

    fn guarded(&self, inside: Option<E<'b>>, f: impl FnOnce()) {
        match inside {
            Some(cond) => self.b.if_(cond, f),
            None => f(),
        }
    }

    /// Starts the loads of the step at depth `k`.
    fn load(&self, k: E<'b>) {
        let b = self.b;
        let limit = self.input.shape[self.axis] as u32;
        for &(line, along, inside, next) in &self.shares {
            let (row, depth) = match self.along_k {
                true => (self.first + line, k + along),
                false => (self.first + along, k + line),
            };
            self.guarded(inside, || {
                let mut at = [self.batch; 3];
                // past the edges: some row, whose sums are dropped, and zeros along K
                at[self.axis] = row.min(limit - 1);
                at[3 - self.axis] = depth.min(self.depth - 1);
                let lanes = if self.along_k { 3 - self.axis } else { self.axis };
                let v = self.input.lanes(b, &at, Some(lanes));
                let v = b.select(depth.lt(self.depth), v, b.zero4());
                next.set(v.cast(Scalar::F16));
            });
        }
    }

    /// Puts what was loaded into workgroup memory.
    fn keep(&self) {
        for &(line, along, inside, next) in &self.shares {
            self.guarded(inside, || {
                self.memory.store(line * (self.stride / 4) + along / 4u32, next.get());
            });
        }
    }

    /// The 16 x 16 matrix at row or column `across` and depth `k` of the tile.
    fn matrix(&self, across: E<'b>, k: u32) -> E<'b> {
        let at = match self.along_k {
            true => across * self.stride + k,
            false => across + k * self.stride,
        };
        match self.axis {
            1 => self.memory.load_matrix(LEFT, at, self.stride, self.along_k),
            _ => self.memory.load_matrix(RIGHT, at, self.stride, !self.along_k),
        }
    }
}

/// Lowers a product with `plan`.
pub fn lower(l: &mut Lowering<'_>, p: &MatMul, plan: &Plan) -> Result<()> {
    let k = l.kernel("matmul_matrix", [plan.invocations(), 1, 1], plan.workgroups(p));
    let (x, w, out) = p.args(l, &k)?;
    let b = &k.b;
    b.set_subgroup_size(32);
    let (m0, n0) = (b.workgroup_id(1) * plan.rows, b.workgroup_id(0) * plan.columns);
    let left = Side::new(b, plan, x, 1, m0, p.a_along_k);
    let right = Side::new(b, plan, w, 2, n0, p.b_along_k);
    let [sub_rows, sub_columns] = plan.subgroups;
    let id = b.subgroup_id();
    let (row, column) = (id / sub_columns % sub_rows, id % sub_columns);
    let (high, wide) = (plan.rows / 16 / sub_rows, plan.columns / 16 / sub_columns);
    let sums: Vec<Vec<V<'_>>> =
        (0..high).map(|_| (0..wide).map(|_| b.var("sum", b.matrix_zero(SUM))).collect()).collect();
    left.load(b.u32(0));
    right.load(b.u32(0));
    let depth = (p.k as u32).next_multiple_of(plan.step);
    b.for_(0u32, depth, plan.step, |k| {
        left.keep();
        right.keep();
        b.barrier();
        let next = k + plan.step;
        b.if_(next.lt(depth), || {
            left.load(next);
            right.load(next);
        });
        for k in (0..plan.step).step_by(16) {
            let lefts: Vec<E<'_>> =
                (0..high).map(|r| left.matrix(row * (16 * high) + r * 16, k)).collect();
            let rights: Vec<E<'_>> =
                (0..wide).map(|c| right.matrix(column * (16 * wide) + c * 16, k)).collect();
            for (x, sums) in lefts.iter().zip(&sums) {
                for (y, sum) in rights.iter().zip(sums) {
                    sum.set(b.matrix_mul_add(*x, *y, sum.get()));
                }
            }
        }
        b.barrier();
    });
    store(b, p, plan, &out, &sums, [m0, n0, row, column]);
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}

/// Stores the sums through workgroup memory, band by band. `at`: first row and column of the tile,
/// row and column of the subgroup in it.
fn store<'b>(
    b: &'b Builder,
    p: &MatMul,
    plan: &Plan,
    out: &Out<'_>,
    sums: &[Vec<V<'b>>],
    at: [E<'b>; 4],
) {
    let [m0, n0, row, column] = at;
    let (band, stride) = (plan.band(), plan.columns + SUM_PAD);
    let memory = b.shared("sums", Scalar::F32, 4, band * stride / 4);
    let (high, wide) = (sums.len() as u32, sums[0].len() as u32);
    for (turn, sums) in (0u32..).zip(sums) {
        if turn > 0 {
            b.barrier();
        }
        for (c, sum) in (0u32..).zip(sums) {
            let to = row * (16 * stride) + column * (16 * wide) + c * 16;
            memory.store_matrix(sum.get(), to, stride, true);
        }
        b.barrier();
        let (quads, invocations) = (plan.columns / 4, plan.invocations());
        let count = band * quads;
        for part in 0..count.div_ceil(invocations) {
            let i = b.local_index() + part * invocations;
            let (r, quad) = (i / quads, i % quads);
            let m = m0 + r / 16u32 * (16 * high) + r % 16u32 + turn * 16;
            let n = n0 + quad * 4u32;
            let inside = i.lt(count).and(m.lt(p.m as u32)).and(n.lt(p.n as u32));
            b.if_(inside, || {
                let v = memory.load(r * (stride / 4) + quad);
                out.store4(b, &[b.workgroup_id(2), m, n], 2, Some(v));
            });
        }
    }
}
