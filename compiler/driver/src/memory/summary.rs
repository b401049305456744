use super::{OffsetPlan, UsageRecord, live_curve, lower_bound_bytes, naive_bytes};

/// A plan in four numbers, all in bytes and all counting rounded sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySummary {
    pub planned_bytes: u64,
    /// Without any reuse.
    pub naive_bytes: u64,
    /// The largest sum of live bytes at any step; no arena can be smaller.
    pub lower_bound_bytes: u64,
    /// A step at which the lower bound is reached.
    pub widest_step: u32,
}

impl MemorySummary {
    /// Planned over lower bound, at least 1.
    pub fn overhead(&self) -> f64 {
        if self.lower_bound_bytes == 0 {
            return 1.0;
        }
        self.planned_bytes as f64 / self.lower_bound_bytes as f64
    }
}

/// Compares a plan of `records` with what would be best and worst.
pub fn summarize(records: &[UsageRecord], plan: &OffsetPlan) -> MemorySummary {
    let lower_bound_bytes = lower_bound_bytes(records);
    let widest = live_curve(records).into_iter().find(|p| p.bytes == lower_bound_bytes);
    MemorySummary {
        planned_bytes: plan.total_bytes,
        naive_bytes: naive_bytes(records),
        lower_bound_bytes,
        widest_step: widest.map_or(0, |p| p.step),
    }
}
