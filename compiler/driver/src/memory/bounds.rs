//! What no plan can beat.

use super::usage::UsageRecord;

/// Live bytes (rounded) from this step on, until the next point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivePoint {
    pub step: u32,
    pub bytes: u64,
}

/// The arena's lower bound in bytes: the largest sum of rounded sizes of records live at one step.
pub fn lower_bound_bytes(records: &[UsageRecord]) -> u64 {
    live_curve(records).iter().map(|p| p.bytes).max().unwrap_or(0)
}

/// Live bytes over the steps, as the points where the sum changes, in step order. The sum is 0
/// before the first point; after the last record's end there is a point with 0 bytes (unless that
/// end is the largest step there is). O(n log n), whatever the step numbers.
pub fn live_curve(records: &[UsageRecord]) -> Vec<LivePoint> {
    // i128: a running sum of at most 2^64 values below 2^64, rising and falling.
    let mut events: Vec<(u32, i128)> = Vec::with_capacity(records.len() * 2);
    for r in records {
        let bytes = i128::from(r.rounded_bytes());
        events.push((r.first_step, bytes));
        if let Some(after) = r.last_step.checked_add(1) {
            events.push((after, -bytes));
        }
    }
    events.sort_unstable();
    let mut curve: Vec<LivePoint> = Vec::new();
    let mut sum = 0i128;
    for (step, change) in events {
        sum += change;
        let bytes = u64::try_from(sum.max(0)).unwrap_or(u64::MAX);
        match curve.last_mut() {
            Some(last) if last.step == step => last.bytes = bytes,
            _ => curve.push(LivePoint { step, bytes }),
        }
    }
    curve.dedup_by_key(|p| p.bytes);
    curve
}

/// The lower bound in bytes of an [`ObjectPlan`](super::ObjectPlan): the sum of the positional
/// maxima.
pub fn objects_lower_bound_bytes(records: &[UsageRecord]) -> u64 {
    positional_maxima(records).iter().fold(0, |sum, &b| sum.saturating_add(b))
}

/// The i-th entry is the largest i-th-largest rounded size that is live at any step. No plan's i-th
/// largest object can be smaller. Falling; O(n²) time.
pub(super) fn positional_maxima(records: &[UsageRecord]) -> Vec<u64> {
    let mut starts: Vec<usize> = (0..records.len()).collect();
    starts.sort_by_key(|&i| records[i].first_step);
    let mut ends = starts.clone();
    ends.sort_by_key(|&i| records[i].last_step);
    let mut live: Vec<u64> = Vec::new(); // falling
    let mut maxima: Vec<u64> = Vec::new();
    let mut ended = 0;
    let mut k = 0;
    while k < starts.len() {
        let step = records[starts[k]].first_step;
        while ended < ends.len() && records[ends[ended]].last_step < step {
            let bytes = records[ends[ended]].rounded_bytes();
            // Present: it began before it ended, and this step is later still.
            live.remove(live.partition_point(|&b| b > bytes));
            ended += 1;
        }
        while k < starts.len() && records[starts[k]].first_step == step {
            let bytes = records[starts[k]].rounded_bytes();
            live.insert(live.partition_point(|&b| b > bytes), bytes);
            k += 1;
        }
        if maxima.len() < live.len() {
            maxima.resize(live.len(), 0);
        }
        for (max, &bytes) in maxima.iter_mut().zip(&live) {
            *max = (*max).max(bytes);
        }
    }
    maxima
}
