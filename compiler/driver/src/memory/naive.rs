use super::offsets::OffsetPlan;
use super::usage::{UsageRecord, align_up};

/// Bytes when no memory is reused: the sum of all rounded sizes and the padding between them.
/// Saturates instead of overflowing.
pub fn naive_bytes(records: &[UsageRecord]) -> u64 {
    offsets(records).total_bytes
}

/// One record after another.
///
/// Records go by falling alignment, then in their order. For power-of-two alignments that leaves no
/// padding at all, as every end is then a multiple of all alignments that follow.
pub(super) fn offsets(records: &[UsageRecord]) -> OffsetPlan {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(records[i].alignment.max(1)));
    let mut plan = OffsetPlan { offsets: vec![0; records.len()], total_bytes: 0 };
    for i in order {
        let bytes = records[i].rounded_bytes();
        if bytes > 0 {
            plan.offsets[i] = align_up(plan.total_bytes, records[i].alignment);
            plan.total_bytes = plan.offsets[i].saturating_add(bytes);
        }
    }
    plan
}
