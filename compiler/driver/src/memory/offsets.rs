//! Offsets into one arena: the placement step that all greedy orders share.

use super::usage::{UsageRecord, align_up};
use std::cmp::Reverse;

/// Where each record lies in one arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetPlan {
    /// Byte offset of each record, in the order of the records. Records of no bytes are at 0.
    pub offsets: Vec<u64>,
    /// Bytes of the arena.
    pub total_bytes: u64,
}

impl OffsetPlan {
    /// The first two records that are live together and share bytes, if the plan is wrong.
    pub fn first_overlap(&self, records: &[UsageRecord]) -> Option<(usize, usize)> {
        let mut by_offset: Vec<usize> =
            (0..records.len()).filter(|&i| records[i].bytes > 0).collect();
        by_offset.sort_by_key(|&i| self.offsets[i]);
        for (k, &a) in by_offset.iter().enumerate() {
            let end = self.offsets[a].saturating_add(records[a].bytes);
            for &b in &by_offset[k + 1..] {
                if self.offsets[b] >= end {
                    break;
                }
                if records[a].lives_with(&records[b]) {
                    return Some((a.min(b), a.max(b)));
                }
            }
        }
        None
    }
}

/// Which gap between placed records a record takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The smallest gap that is large enough; the first of those. This is the paper's rule.
    Tightest,
    /// The lowest gap that is large enough.
    Lowest,
}

/// A record as the placement loop wants it: packed and rounded once.
#[derive(Clone, Copy, Debug)]
struct Placed {
    offset: u64,
    end: u64,
    first_step: u32,
    last_step: u32,
}

/// Buffers of [`place`], kept between the many calls of the search.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    placed: Vec<Placed>,
}

/// Places records one by one in `order` (indices into `records`), writing `offsets`, and returns the
/// arena's bytes. Stops early with `None` when the arena grows to `give_up_at` bytes or more.
///
/// Every record is placed against the placed ones that are live with it, walked by rising offset:
/// `reached` is the highest end seen so far, so `reached..offset` is a gap free for the record's
/// whole lifetime.
pub(super) fn place(
    records: &[UsageRecord],
    order: &[usize],
    fit: Fit,
    give_up_at: u64,
    scratch: &mut Scratch,
    offsets: &mut [u64],
) -> Option<u64> {
    let placed = &mut scratch.placed;
    placed.clear();
    let mut total = 0u64;
    for &i in order {
        let record = &records[i];
        let bytes = record.rounded_bytes();
        if bytes == 0 {
            offsets[i] = 0;
            continue;
        }
        let mut best: Option<(u64, u64)> = None; // (gap bytes, offset)
        let mut reached = 0u64;
        for p in placed.iter() {
            if p.first_step > record.last_step || p.last_step < record.first_step {
                continue;
            }
            let start = align_up(reached, record.alignment);
            if p.offset >= start {
                let gap = p.offset - start;
                if gap >= bytes && best.is_none_or(|(smallest, _)| gap < smallest) {
                    best = Some((gap, start));
                    // No later gap can be tighter, or lower.
                    if gap == bytes || fit == Fit::Lowest {
                        break;
                    }
                }
            }
            reached = reached.max(p.end);
        }
        let offset = best.map_or_else(|| align_up(reached, record.alignment), |(_, o)| o);
        let end = offset.saturating_add(bytes);
        total = total.max(end);
        if total >= give_up_at {
            return None;
        }
        offsets[i] = offset;
        let at = placed.partition_point(|p| p.offset <= offset);
        placed.insert(
            at,
            Placed { offset, end, first_step: record.first_step, last_step: record.last_step },
        );
    }
    Some(total)
}

/// [`place`] by the paper's rule.
pub(super) fn place_all(records: &[UsageRecord], order: &[usize]) -> OffsetPlan {
    let mut offsets = vec![0; records.len()];
    let mut scratch = Scratch::default();
    let total = place(records, order, Fit::Tightest, u64::MAX, &mut scratch, &mut offsets);
    OffsetPlan { offsets, total_bytes: total.unwrap_or(u64::MAX) }
}

/// Largest first; records of one size keep their order.
pub(super) fn by_size(records: &[UsageRecord]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&i| Reverse(records[i].rounded_bytes()));
    order
}

/// By first use; records first used together go largest first.
pub(super) fn in_order(records: &[UsageRecord]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&i| (records[i].first_step, Reverse(records[i].rounded_bytes())));
    order
}
