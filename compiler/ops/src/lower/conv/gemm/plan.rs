//! Tiles and the split of the depth, by a small model of time.

use super::Product;
use crate::lower::Target;
use drift_kernel::tensor::Elem;

/// How a product is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows and columns of the tile of one workgroup.
    pub rows: u32,
    pub columns: u32,
    /// Depth that is in workgroup memory at a time.
    pub step: u32,
    /// Subgroups along rows, columns and depth of the tile (1, 1, 1 without matrices).
    pub subgroups: [u32; 3],
    /// Workgroups that share the depth of one tile.
    pub split: u32,
    /// Steps of each of them (the last may have fewer).
    pub steps: u32,
}

impl Plan {
    const fn tile(rows: u32, columns: u32, step: u32, subgroups: [u32; 3]) -> Plan {
        Plan { rows, columns, step, subgroups, split: 1, steps: 0 }
    }

    pub fn workgroups(&self, p: &Product) -> [u32; 3] {
        [p.columns.div_ceil(self.columns), p.rows.div_ceil(self.rows), self.split]
    }

    /// Invocations of a workgroup with matrices.
    pub fn invocations(&self) -> u32 {
        32 * self.subgroups.iter().product::<u32>()
    }

    /// Rows of the band of the tile that goes through workgroup memory at a time in the epilogue.
    pub fn band(&self) -> u32 {
        16 * self.subgroups[0]
    }

    /// Workgroup memory with matrices: both tiles in f16, and partial sums of a band in f32.
    pub fn memory_bytes(&self) -> u32 {
        let left = self.rows * (self.step + PAD) * 2;
        let right = self.columns * (self.step + PAD) * 2;
        let sums = self.subgroups[2] * self.band() * (self.columns + SUM_PAD) * 4;
        left + right + sums
    }
}

/// Elements between the rows of tiles: puts neighbouring rows in other banks, and keeps 16 bytes'
/// alignment.
pub const PAD: u32 = 8;
pub const SUM_PAD: u32 = 4;

/// Tiles for cooperative matrices. Those with subgroups along the depth are for small pictures:
/// many subgroups share a small tile, and each step goes deep.
const COOPERATIVE: [Plan; 6] = [
    Plan::tile(128, 64, 64, [4, 2, 1]),
    Plan::tile(64, 64, 64, [2, 2, 2]),
    Plan::tile(64, 32, 64, [2, 1, 4]),
    Plan::tile(32, 64, 64, [1, 2, 4]),
    Plan::tile(32, 32, 128, [1, 1, 8]),
    Plan::tile(16, 32, 128, [1, 1, 8]),
];

/// Tile of the kernel without matrices: 256 invocations of 4 x 4 elements.
const TILED: Plan = Plan::tile(64, 64, 16, [1, 1, 1]);

/// What the time model knows of a kernel; microseconds, and kilobytes or kilo-multiply-adds per
/// microsecond of one compute unit.
struct Costs {
    /// A dispatch with its barrier.
    dispatch: f64,
    /// A workgroup's start and end.
    start: f64,
    /// Latency of one step, and of every kilobyte it loads.
    step: f64,
    step_kilobyte: f64,
    /// Rates of a unit that is busy.
    load: f64,
    fma: f64,
    /// Epilogue, per kilobyte of sums in f32.
    epilogue: f64,
    /// Extra time of loads whose tap changes within a step, as a share.
    ragged: f64,
    /// Workgroups that a unit overlaps, as far as latency goes.
    resident: f64,
    /// The kernel that adds partial sums, and each kilobyte it reads.
    reduce: f64,
    reduce_kilobyte: f64,
}

/// Fitted to 3,696 times of the layers of ResNet-50 and MobileNetV2 on an H200 (6 tiles, 7 splits):
/// 13% off in the root mean square, and its choices take 2% longer than the best ones. Other devices
/// differ in scale more than in proportions.
const MATRIX_COSTS: Costs = Costs {
    dispatch: 2.64,
    start: 0.63,
    step: 0.353,
    step_kilobyte: 0.0013,
    load: 42.3,
    fma: 1_620.0e3,
    epilogue: 0.0285,
    ragged: 0.28,
    resident: 1.19,
    reduce: 2.9,
    reduce_kilobyte: 0.35e-3,
};
/// Without matrices arithmetic is the limit; not fitted.
const TILED_COSTS: Costs = Costs { fma: 60.0e3, ..MATRIX_COSTS };

/// Time of a product; `units` compute units, `elem_bytes` per operand element.
fn time(p: &Product, plan: &Plan, c: &Costs, units: f64, elem_bytes: f64) -> f64 {
    let [x, y, z] = plan.workgroups(p).map(f64::from);
    let per_unit = (x * y * z / units).ceil();
    let steps = f64::from(plan.steps);
    let (r, n, k) = (f64::from(plan.rows), f64::from(plan.columns), f64::from(plan.step));
    let ragged = p.taps > 1 && !p.channels.is_multiple_of(plan.step);
    let slower = if ragged { 1.0 + c.ragged } else { 1.0 };
    let kilobytes = (r + n) * k * elem_bytes / 1e3;
    let step = (c.step + c.step_kilobyte * kilobytes) * slower;
    let latency = (per_unit / c.resident).ceil() * (c.start + steps * step);
    let work = steps * (kilobytes / c.load * slower + r * n * k / c.fma);
    let busy = per_unit * (work + r * n * 4.0 / 1e3 * c.epilogue);
    let sums = f64::from(p.rows) * f64::from(p.columns) * 4.0 / 1e3 * z;
    let reduce = if plan.split > 1 { c.reduce + c.reduce_kilobyte * sums } else { 0.0 };
    c.dispatch + latency + busy + reduce
}

/// The best of `tiles`, with its best split.
fn best(
    p: &Product,
    tiles: impl Iterator<Item = Plan>,
    c: &Costs,
    units: f64,
    elem_bytes: f64,
) -> Option<Plan> {
    let mut best: Option<(f64, Plan)> = None;
    for tile in tiles {
        let total = p.depth().div_ceil(tile.step);
        for split in [1, 2, 3, 4, 6, 8, 12, 16] {
            let steps = total.div_ceil(split);
            let plan = Plan { split: total.div_ceil(steps), steps, ..tile };
            // a split that leaves workgroups without work is another split
            if plan.split != split || plan.workgroups(p).iter().any(|&n| n > 65_535) {
                continue;
            }
            let t = time(p, &plan, c, units, elem_bytes);
            if best.is_none_or(|(old, _)| t < old) {
                best = Some((t, plan));
            }
        }
    }
    best.map(|(_, plan)| plan)
}

/// Compute units, as far as `full_invocations` tells.
fn units(target: &Target) -> f64 {
    (target.full_invocations as f64 / 1024.0).max(1.0)
}

/// The plan with cooperative matrices, where the target has f16 ones and the product fills them.
pub fn cooperative(target: &Target, p: &Product) -> Option<Plan> {
    let caps = &target.caps;
    target.matrix_f16()?;
    let pinned = caps.subgroup_size_min <= 32 && 32 <= caps.subgroup_size_max;
    if target.weight_elem != Elem::F16 || !pinned || p.columns < 8 || p.depth() < 16 {
        return None;
    }
    let limits = &caps.limits;
    let fits = |t: &Plan| {
        u64::from(t.memory_bytes()) <= limits.workgroup_memory_bytes
            && u64::from(t.invocations()) <= limits.workgroup_invocations
            && u64::from(t.invocations()) <= limits.workgroup_size[0]
    };
    let tiles = COOPERATIVE.into_iter().filter(fits);
    best(p, tiles, &MATRIX_COSTS, units(target), 2.0)
}

/// Devices with fewer invocations run direct kernels better: registers and caches of phones do
/// what workgroup memory does elsewhere, and a CPU has none.
const TILED_INVOCATIONS: u64 = 1 << 15;

/// The plan without matrices.
pub fn tiled(target: &Target, p: &Product) -> Option<Plan> {
    let limits = &target.caps.limits;
    let fits = limits.workgroup_memory_bytes >= 16 << 10
        && limits.workgroup_invocations >= 256
        && limits.workgroup_size[0] >= 256;
    let large = p.rows >= 16 && p.columns >= 32 && p.depth() >= 32;
    if !fits || !large || target.full_invocations < TILED_INVOCATIONS {
        return None;
    }
    best(p, std::iter::once(TILED), &TILED_COSTS, units(target), 4.0)
}
