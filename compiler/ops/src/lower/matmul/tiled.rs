//! The general product: a workgroup computes a square tile of the result from tiles of both
//! operands in workgroup memory; an invocation computes 4 x 4 elements in registers.

use super::MatMul;
use crate::Result;
use crate::lower::Lowering;
use crate::lower::map::Input;
use drift_kernel::builder::S;
use drift_kernel::{Builder, E, Scalar};

/// Depth of a tile along K, in elements.
const DEPTH: u32 = 16;
const QUADS: u32 = DEPTH / 4;
/// Quads between rows of a tile in memory: one more than used, so that rows lie in other banks.
const PITCH: u32 = QUADS + 1;

/// Invocations along one side of the tile: a tile has 4 times as many rows and columns.
fn side(l: &Lowering<'_>, p: &MatMul) -> u32 {
    let tiles = |t: usize| (p.batch * p.m.div_ceil(t) * p.n.div_ceil(t)) as u64;
    let large = l.target.caps.limits.workgroup_invocations >= 256;
    if large && p.m > 32 && p.n > 32 && tiles(64) * 256 >= l.target.full_invocations {
        16
    } else {
        8
    }
}

struct Tile<'b> {
    b: &'b Builder,
    batch: E<'b>,
    local: E<'b>,
    invocations: u32,
    depth_end: u32,
}

impl<'b> Tile<'b> {
    /// Copies `rows` rows from `first` on, DEPTH elements along K from `k` on. `lanes_along_k`:
    /// memory holds four elements along K per quad at `row * PITCH + quad`, else four rows at
    /// `depth * rows / 4 + quad`. `row_axis` and `k_axis` are axes of the operand.
    #[expect(clippy::too_many_arguments, reason = "a tile has this many coordinates")]
    fn fill(
        &self,
        memory: S<'b>,
        x: &Input,
        rows: u32,
        first: E<'b>,
        k: E<'b>,
        along_k: bool,
        row_axis: usize,
    ) {
        let b = self.b;
        let limit = x.shape[row_axis] as u32;
        let k_axis = 3 - row_axis;
        let (inner, count) = if along_k { (QUADS, rows * QUADS) } else { (rows / 4, rows * QUADS) };
        for turn in 0..count.div_ceil(self.invocations) {
            let i = self.local + turn * self.invocations;
            let (outer, quad) = (i / inner, i % inner);
            let mut at = [self.batch, self.batch, self.batch];
            // elements past the edges only need some finite value in rows (never stored), and 0
            // along K
            let (row, depth) = match along_k {
                true => (first + outer, k + quad * 4u32),
                false => (first + quad * 4u32, k + outer),
            };
            let exact = self.depth_end.is_multiple_of(DEPTH);
            at[row_axis] = row.min(limit - 1);
            at[k_axis] = if exact { depth } else { depth.min(self.depth_end - 1) };
            let v = x.lanes(b, &at, Some(if along_k { k_axis } else { row_axis }));
            let v = match exact {
                true => v,
                false => b.select(depth.lt(self.depth_end), v, b.zero4()),
            };
            let to = if along_k { outer * PITCH + quad } else { outer * (rows / 4) + quad };
            let store = || memory.store(to, v);
            if count.is_multiple_of(self.invocations) { store() } else { b.if_(i.lt(count), store) }
        }
    }
}

/// Lowers a product of many rows.
pub fn lower(l: &mut Lowering<'_>, p: &MatMul) -> Result<()> {
    let side = side(l, p);
    let tile = 4 * side;
    let invocations = side * side;
    let groups =
        [p.n.div_ceil(tile as usize) as u32, p.m.div_ceil(tile as usize) as u32, p.batch as u32];
    if groups[1] > 65_535 || groups[2] > 65_535 {
        return super::plain::lower(l, p);
    }
    let k = l.kernel("matmul", [invocations, 1, 1], groups);
    let (x, w, out) = p.args(l, &k)?;
    let b = &k.b;
    let left = b.shared("left", Scalar::F32, 4, tile * PITCH);
    let right_len = if p.b_along_k { tile * PITCH } else { tile * QUADS };
    let right = b.shared("right", Scalar::F32, 4, right_len);
    let local = b.local_index();
    let (tx, ty) = (local % side, local / side);
    let (m0, n0) = (b.workgroup_id(1) * tile, b.workgroup_id(0) * tile);
    let t = Tile { b, batch: b.workgroup_id(2), local, invocations, depth_end: p.k as u32 };
    let acc: Vec<_> = (0..4).map(|_| b.var("acc", b.zero4())).collect();
    b.for_(0u32, p.k as u32, DEPTH, |k| {
        t.fill(left, &x, tile, m0, k, true, 1);
        t.fill(right, &w, tile, n0, k, p.b_along_k, 2);
        b.barrier();
        for quad in 0..QUADS {
            let rows: Vec<E<'_>> =
                (0..4u32).map(|r| left.load((ty * 4u32 + r) * PITCH + quad)).collect();
            if p.b_along_k {
                let columns: Vec<E<'_>> =
                    (0..4u32).map(|c| right.load((tx * 4u32 + c) * PITCH + quad)).collect();
                for (row, acc) in rows.iter().zip(&acc) {
                    let dots: Vec<E<'_>> = columns.iter().map(|c| row.dot(*c)).collect();
                    acc.set(acc.get() + b.compose(&dots));
                }
            } else {
                for lane in 0..4u8 {
                    let depth = quad * 4 + u32::from(lane);
                    let v = right.load(tx + depth * side);
                    for (row, acc) in rows.iter().zip(&acc) {
                        acc.set(row.lane(lane).splat(4).fma(v, acc.get()));
                    }
                }
            }
        }
        b.barrier();
    });
    let n = n0 + tx * 4u32;
    for (r, acc) in (0u32..).zip(&acc) {
        let m = m0 + ty * 4u32 + r;
        let store = || out.store4(b, &[t.batch, m, n], 2, Some(acc.get()));
        if p.m.is_multiple_of(tile as usize) && p.n.is_multiple_of(tile as usize) {
            store();
        } else {
            b.if_(m.lt(p.m as u32).and(n.lt(p.n as u32)), store);
        }
    }
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}
