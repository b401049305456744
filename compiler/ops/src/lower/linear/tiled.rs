//! Many rows on any device: a workgroup computes a square tile of the result from tiles of x and of
//! the weights in workgroup memory. Weights become f32 on their way there, so they are unpacked
//! once per tile of rows.

use super::{Args, Linear};
use crate::Result;
use crate::lower::Lowering;
use drift_kernel::builder::{S, V};
use drift_kernel::{Builder, E, Scalar};

/// Depth of a tile along K, in elements: two units of eight weights.
const DEPTH: u32 = 16;
const QUADS: u32 = DEPTH / 4;
/// Quads between rows of a tile in memory: one more than used, so that rows lie in other banks.
const PITCH: u32 = QUADS + 1;

/// How the tile is cut among invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows and columns of the tile.
    side: u32,
    /// Rows of an invocation; it has 16 elements, so that gated pairs of them make a group of four.
    rows: u32,
}

impl Plan {
    /// `None` where the kernel does not apply: a norm in front needs whole rows.
    pub fn of(l: &Lowering<'_>, p: &Linear) -> Option<Plan> {
        if p.spec.norm.is_some() {
            return None;
        }
        let tiles = |t: usize| (p.m.div_ceil(t) * p.n.div_ceil(t)) as u64;
        let limits = &l.target.caps.limits;
        let large = limits.workgroup_invocations >= 256
            && p.m > 32
            && tiles(64) * 256 >= l.target.full_invocations;
        let side = if large { 64 } else { 32 };
        let plan = Plan { side, rows: if p.spec.gate.is_some() { 2 } else { 4 } };
        let fits = plan.groups(p).iter().all(|&n| n <= 65_535);
        (fits && limits.workgroup_memory_bytes >= u64::from(2 * side * PITCH * 16)).then_some(plan)
    }

    fn columns(self) -> u32 {
        16 / self.rows
    }

    fn invocations(self) -> u32 {
        self.side * self.side / 16
    }

    fn groups(self, p: &Linear) -> [u32; 3] {
        [(p.n as u32).div_ceil(self.side), (p.m as u32).div_ceil(self.side), 1]
    }
}

struct Tile<'b, 'a> {
    b: &'b Builder,
    p: Linear,
    plan: Plan,
    args: &'a Args<'a>,
    m0: E<'b>,
    n0: E<'b>,
}

impl<'b> Tile<'b, '_> {
    /// Calls `each` with the numbers below `count`, dealt to the invocations.
    fn deal(&self, count: u32, each: impl Fn(E<'b>)) {
        let (b, invocations) = (self.b, self.plan.invocations());
        for turn in 0..count.div_ceil(invocations) {
            let i = b.local_index() + turn * invocations;
            if (turn + 1) * invocations <= count {
                each(i);
            } else {
                b.if_(i.lt(count), || each(i));
            }
        }
    }

    /// Rows of x from `k` on; rows past the end repeat the last, and are never stored.
    fn fill_left(&self, memory: S<'b>, k: E<'b>) {
        self.deal(self.plan.side * QUADS, |i| {
            let (row, quad) = (i / QUADS, i % QUADS);
            let m = (self.m0 + row).min(self.p.m as u32 - 1);
            memory.store(row * PITCH + quad, self.args.x4(self.b, m, k + quad * 4u32));
        });
    }

    /// Rows of the weights from `k` on, with their scales where these vary along K.
    fn fill_right(&self, memory: S<'b>, k: E<'b>) {
        let (b, w) = (self.b, &self.args.w);
        let last = (w.padded_k() as u32 - 1) / 8 * 8;
        self.deal(self.plan.side * QUADS / 2, |i| {
            let (column, unit) = (i / (QUADS / 2), i % (QUADS / 2));
            let n = (self.n0 + column).min(self.p.n as u32 - 1);
            // past the end x is zero, and some weights do
            let at = (k + unit * 8u32).min(last);
            let scale = w.scheme.group().and_then(|_| w.scale(b, n, at));
            for (q, v) in (0u32..).zip(w.eight(b, n, at)) {
                let v = scale.map_or(v, |s| v * s.splat(4));
                memory.store(column * PITCH + unit * 2u32 + q, v);
            }
        });
    }
}

/// Lowers a product of many rows.
pub fn lower(l: &mut Lowering<'_>, p: &Linear, plan: &Plan) -> Result<()> {
    let k = l.kernel("linear_tiled", [plan.invocations(), 1, 1], plan.groups(p));
    let args = p.args(l, &k, false)?;
    let b = &k.b;
    let (rows, columns) = (plan.rows, plan.columns());
    let across = plan.side / columns;
    let (tx, ty) = (b.local_index() % across, b.local_index() / across);
    let [n0, m0] = [0, 1].map(|axis| b.workgroup_id(axis) * plan.side);
    let tile = Tile { b, p: *p, plan: *plan, args: &args, m0, n0 };
    let left = b.shared("left", Scalar::F32, 4, plan.side * PITCH);
    let right = b.shared("right", Scalar::F32, 4, plan.side * PITCH);
    // sums of an invocation: rows of groups of four columns
    let sums: Vec<Vec<V<'_>>> =
        (0..rows).map(|_| (0..columns / 4).map(|_| b.var("sum", b.zero4())).collect()).collect();
    b.for_(0u32, args.w.padded_k() as u32, DEPTH, |k| {
        tile.fill_left(left, k);
        tile.fill_right(right, k);
        b.barrier();
        for quad in 0..QUADS {
            let xs: Vec<E<'_>> =
                (0..rows).map(|r| left.load((ty * rows + r) * PITCH + quad)).collect();
            for group in 0..columns / 4 {
                let ws: Vec<E<'_>> = (0..4)
                    .map(|c| right.load((tx * columns + group * 4 + c) * PITCH + quad))
                    .collect();
                for (x, sums) in xs.iter().zip(&sums) {
                    let dots: Vec<E<'_>> = ws.iter().map(|w| x.dot(*w)).collect();
                    let sum = sums[group as usize];
                    sum.set(sum.get() + b.compose(&dots));
                }
            }
        }
        b.barrier();
    });
    for (r, sums) in (0u32..).zip(&sums) {
        let (m, n) = (m0 + ty * rows + r, n0 + tx * columns);
        let inside = m.lt(p.m as u32).and(n.lt(p.n as u32));
        b.if_(inside, || store(b, p, &args, m, n, sums));
    }
    l.kernels.push(k.finish(p.flops()));
    Ok(())
}

/// Stores the sums of one row from column `n` of the weights on.
fn store<'b>(b: &'b Builder, p: &Linear, args: &Args<'_>, m: E<'b>, n: E<'b>, sums: &[V<'b>]) {
    let channels = args.w.scheme.scales_type(p.n, p.k).is_some() && args.w.scheme.group().is_none();
    // groups past the end are never stored
    let last = (p.n as u32 - 1) / 4 * 4;
    let scaled: Vec<E<'b>> = (0u32..)
        .zip(sums)
        .map(|(group, sum)| match channels {
            true => sum.get() * args.w.channel_scales(b, (n + group * 4).min(last)),
            false => sum.get(),
        })
        .collect();
    match p.spec.gate {
        None => args.out.store4(b, &[m, n], 1, Some(scaled[0])),
        Some(_) => {
            let lanes: Vec<E<'b>> =
                scaled.iter().flat_map(|v| (0..4).map(|lane| v.lane(lane))).collect();
            let pairs: Vec<E<'b>> = lanes.chunks(2).map(|v| p.gated(b, v[0], v[1])).collect();
            args.out.store4(b, &[m, n / 2u32], 1, Some(b.compose(&pairs)));
        }
    }
}
