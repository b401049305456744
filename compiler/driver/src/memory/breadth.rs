//! The order of "Greedy by Breadth": the steps with most live bytes decide, so their tensors are
//! placed first.

use super::bounds::live_curve;
use super::usage::UsageRecord;
use std::cmp::Reverse;

/// Indices of `records`: steps by falling breadth (live rounded bytes), and at each step its
/// unplaced records, largest first.
///
/// Only steps at which a record begins need a look: the set of live records at any other step is a
/// subset of the set at the latest such step before it.
pub(super) fn order(records: &[UsageRecord]) -> Vec<usize> {
    let mut by_start: Vec<usize> = (0..records.len()).collect();
    by_start.sort_by_key(|&i| records[i].first_step);
    let curve = live_curve(records);
    let mut steps: Vec<(u32, u64)> = by_start
        .iter()
        .map(|&i| {
            let step = records[i].first_step;
            let at = curve.partition_point(|p| p.step <= step);
            (step, at.checked_sub(1).map_or(0, |at| curve[at].bytes))
        })
        .collect();
    steps.dedup();
    steps.sort_by_key(|&(step, bytes)| (Reverse(bytes), step));

    let mut taken = vec![false; records.len()];
    let mut order = Vec::with_capacity(records.len());
    for (step, _) in steps {
        let begin = order.len();
        // Records that begin later are not live at this step.
        for &i in &by_start[..by_start.partition_point(|&i| records[i].first_step <= step)] {
            if !taken[i] && records[i].last_step >= step {
                taken[i] = true;
                order.push(i);
            }
        }
        order[begin..].sort_by_key(|&i| (Reverse(records[i].rounded_bytes()), i));
    }
    order
}
