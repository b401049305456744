//! What an attention kernel computes, and how large its pieces are.

use crate::lower::Target;
use drift_bundle::caps::Features;

/// Log2 of e: weights are powers of two.
pub const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// Slices of a block in which maxima are looked for.
pub const SLICES: u32 = 8;

/// Invocations below which a device is taken for a CPU.
const FEW_INVOCATIONS: u64 = 1024;

/// What is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Key heads, of all batches.
    pub heads: usize,
    /// Query heads per key head.
    pub group: usize,
    pub tokens: usize,
    /// Elements of a query or key.
    pub head_dim: usize,
    /// Elements of a value.
    pub value_dim: usize,
    /// The most keys that a row may see.
    pub keys: usize,
    pub scale: f64,
    /// 0 = none.
    pub softcap: f64,
    /// Keys lie one after the other, each in one piece (else the same elements of many keys do).
    pub keys_whole: bool,
}

impl Problem {
    /// Rows of a key head.
    pub fn rows(&self) -> usize {
        self.tokens * self.group
    }

    /// Factor of queries that makes products scores: the scale, and what comes before `score`.
    pub fn factor(&self) -> f64 {
        if self.softcap > 0.0 { self.scale / self.softcap } else { self.scale * LOG2_E }
    }

    pub fn flops(&self) -> u64 {
        (2 * self.heads * self.rows() * self.keys * (self.head_dim + self.value_dim)) as u64
    }
}

/// How it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Invocations of a workgroup.
    pub size: u32,
    /// Rows of a workgroup.
    pub rows: u32,
    /// Invocations that share a key.
    pub parts: u32,
    /// Keys of a block.
    pub block: u32,
    pub splits: u32,
    /// The last split takes the new tokens, and no keys of the cache.
    pub fresh: bool,
    /// Subgroup size, where kernels shuffle.
    pub subgroup: Option<u32>,
    /// Keys or values that an invocation has in flight.
    pub in_flight: u32,
}

/// The subgroup size that kernels may rely on for shuffles.
pub fn shuffles(target: &Target) -> Option<u32> {
    let caps = &target.caps;
    let able = caps.features.contains(Features::SUBGROUP_SHUFFLE)
        && caps.subgroup_size_min == caps.subgroup_size_max
        && caps.subgroup_size >= 8;
    able.then_some(caps.subgroup_size)
}

impl Plan {
    /// Quads of a query in workgroup memory, zeros to fill up the last of the parts.
    pub fn quads(&self, p: &Problem) -> u32 {
        (p.head_dim.div_ceil(4) as u32).next_multiple_of(self.parts)
    }

    /// Row lanes: rows that lie in one vector.
    pub fn lanes(&self) -> u32 {
        if self.rows.is_multiple_of(4) {
            4
        } else if self.rows.is_multiple_of(2) {
            2
        } else {
            1
        }
    }

    /// Keys that the workgroup takes at a time.
    pub fn keys_at_once(&self) -> u32 {
        self.size / self.parts
    }

    /// Keys that an invocation has in flight.
    pub fn unroll(&self) -> u32 {
        (self.block / self.keys_at_once()).clamp(1, 2.min(self.in_flight))
    }

    /// Values that an invocation has in flight.
    pub fn value_unroll(&self, p: &Problem) -> u32 {
        (self.block / self.value_groups(p)).clamp(1, 2 * self.in_flight)
    }

    /// Whether an invocation's part of a block, keys and values, fits its registers: loads are then
    /// under way long before they are needed.
    pub fn ahead(&self, p: &Problem) -> bool {
        let keys = self.unroll() * self.quads(p) / self.parts;
        let values = self.value_unroll(p);
        let whole = self.unroll() * self.keys_at_once() == self.block
            && values * self.value_groups(p) >= self.block;
        self.in_flight > 1 && whole && keys <= 16 && values <= 8 && self.rows <= 8
    }

    /// Groups of invocations that share the keys of a block in the last step.
    pub fn value_groups(&self, p: &Problem) -> u32 {
        (self.size / p.value_dim.div_ceil(4) as u32).min(16)
    }

    /// Rows whose results are put together at a time.
    pub fn band(&self, p: &Problem) -> u32 {
        let row = self.value_groups(p) * p.value_dim.div_ceil(4) as u32 * 16;
        (8192 / row.max(1)).clamp(1, self.rows)
    }

    /// Workgroup memory, without what `prepare` asks for.
    pub fn memory_bytes(&self, p: &Problem) -> u64 {
        let groups = self.value_groups(p);
        let queries = self.rows * self.quads(p) * 16;
        let scores = self.block * self.rows * 4;
        let small = (SLICES + groups + 1) * self.rows * 4;
        let results = self.band(p) * groups * p.value_dim.div_ceil(4) as u32 * 16;
        u64::from(queries + scores + small + results)
    }

    /// The largest plan that fits the device. `extra`: bytes of workgroup memory for each row that
    /// the caller needs besides; `splits`: whether ranges may be split.
    pub fn of(target: &Target, p: &Problem, extra: u64, splits: bool) -> Option<Plan> {
        let limits = &target.caps.limits;
        let subgroup = shuffles(target);
        let quads = p.head_dim.div_ceil(4) as u32;
        let value_quads = p.value_dim.div_ceil(4) as u32;
        let most = limits.workgroup_invocations.min(limits.workgroup_size[0]).min(256) as u32;
        let parts = match subgroup {
            Some(_) if p.keys_whole => 8.min(quads.next_power_of_two()),
            _ => 1,
        };
        // a CPU gains nothing from work in flight, and its compilers suffer from long kernels
        let small = target.full_invocations < FEW_INVOCATIONS;
        let (in_flight, longest) = if small { (1, 4) } else { (4, 16) };
        let mut rows = (p.rows() as u32).min(longest);
        loop {
            // few rows wait for memory: small workgroups, of which more are under way
            let sizes: [u32; 3] = if rows <= 8 { [128, 64, 256] } else { [256, 128, 64] };
            for size in sizes {
                if size > most || value_quads > size || size > 64.max(value_quads * 16) {
                    continue;
                }
                let at_once = size / parts;
                let block = if rows <= 8 { at_once * 2 } else { (at_once * 2).clamp(64, 128) };
                let mut plan =
                    Plan { size, rows, parts, block, splits: 1, fresh: false, subgroup, in_flight };
                if block < at_once || plan.memory_bytes(p) + extra > limits.workgroup_memory_bytes {
                    continue;
                }
                if splits {
                    plan.splits = plan.best_splits(target, p);
                }
                return Some(plan);
            }
            if rows == 1 {
                return None;
            }
            rows = rows.div_ceil(2);
        }
    }

    /// Splits that fill the device with workgroups, but none less than 64 keys of a full cache.
    fn best_splits(&self, target: &Target, p: &Problem) -> u32 {
        let groups = (p.heads * p.rows().div_ceil(self.rows as usize)) as u64;
        let wanted = (target.full_invocations / u64::from(self.size)).div_ceil(groups);
        let most = (p.keys as u64).div_ceil(64);
        // a handful of keys is not worth a second kernel
        if p.keys <= 128 { 1 } else { wanted.min(most).clamp(1, 64) as u32 }
    }

    pub fn workgroups(&self, p: &Problem) -> [u32; 3] {
        [self.splits, p.heads as u32, p.rows().div_ceil(self.rows as usize) as u32]
    }
}
