//! [`Strategy::Best`](super::Strategy::Best): greedy plans in several orders, then repeated
//! placement in orders that learn from what went wrong, until the lower bound is reached or the
//! budget is spent.
//!
//! The search is squeaky-wheel optimization: records that end up above the lower bound move towards
//! the front of the order, so that next time they choose earlier; now and then the order is shaken.
//! Everything is decided by a fixed seed, so a model always gets the same plan.

use super::offsets::{Fit, OffsetPlan, Scratch, by_size, in_order, place};
use super::usage::UsageRecord;
use super::{bounds::lower_bound_bytes, breadth, naive};
use std::cmp::Reverse;

/// Visits of placed records that one search may spend: about a quarter of a second.
const BUDGET_VISITS: u64 = 150_000_000;
/// Placements that one search may spend, however few the records.
const MAX_ROUNDS: u64 = 4_000;
/// Rounds without progress before the search goes back to the best order and shakes it.
const PATIENCE: u32 = 24;

pub(super) fn plan(records: &[UsageRecord]) -> OffsetPlan {
    let bound = lower_bound_bytes(records);
    let mut search = Search {
        records,
        best: naive::offsets(records),
        best_order: Vec::new(),
        best_fit: Fit::Tightest,
        offsets: vec![0; records.len()],
        scratch: Scratch::default(),
    };
    // Records of no bytes take no place.
    let n = records.iter().filter(|r| r.bytes > 0).count() as u64;
    let rounds = (BUDGET_VISITS / (n * n / 2).max(1)).clamp(12, MAX_ROUNDS);

    let mut spent = 0;
    for order in starting_orders(records) {
        for fit in [Fit::Tightest, Fit::Lowest] {
            search.try_order(&order, fit);
            spent += 1;
            if search.best.total_bytes <= bound {
                return search.best;
            }
        }
    }
    search.refine(bound, rounds.saturating_sub(spent));
    search.best
}

/// Orders that do well on some family of graphs, best first.
fn starting_orders(records: &[UsageRecord]) -> Vec<Vec<usize>> {
    let keyed = |key: &dyn Fn(&UsageRecord) -> (u128, u128)| {
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by_key(|&i| Reverse(key(&records[i])));
        order
    };
    let bytes = |r: &UsageRecord| u128::from(r.rounded_bytes());
    let steps = |r: &UsageRecord| u128::from(r.lifetime());
    let mut by_end = in_order(records);
    by_end.sort_by_key(|&i| Reverse(records[i].last_step));
    vec![
        by_size(records),
        breadth::order(records),
        keyed(&|r| (bytes(r) * steps(r), bytes(r))),
        keyed(&|r| (steps(r), bytes(r))),
        in_order(records),
        by_end,
    ]
}

struct Search<'a> {
    records: &'a [UsageRecord],
    best: OffsetPlan,
    best_order: Vec<usize>,
    best_fit: Fit,
    offsets: Vec<u64>,
    scratch: Scratch,
}

impl Search<'_> {
    /// Places in this order; keeps the plan if it is the best yet. Returns the arena's bytes;
    /// `self.offsets` holds the offsets.
    fn try_order(&mut self, order: &[usize], fit: Fit) -> u64 {
        let total = place(self.records, order, fit, u64::MAX, &mut self.scratch, &mut self.offsets)
            .unwrap_or(u64::MAX);
        if total < self.best.total_bytes || self.best_order.is_empty() {
            self.best_order = order.to_vec();
            self.best_fit = fit;
            if total < self.best.total_bytes {
                self.best.offsets.clone_from(&self.offsets);
                self.best.total_bytes = total;
            }
        }
        total
    }

    fn refine(&mut self, bound: u64, rounds: u64) {
        let n = self.records.len();
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut order = self.best_order.clone();
        let mut fit = self.best_fit;
        // The rank of each record; the order is by rank.
        let mut rank = ranks(&order);
        let mut stale = 0u32;
        for _ in 0..rounds {
            let before = self.best.total_bytes;
            let total = self.try_order(&order, fit);
            if self.best.total_bytes <= bound {
                return;
            }
            stale = if self.best.total_bytes < before { 0 } else { stale + 1 };
            if stale > PATIENCE {
                stale = 0;
                order.clone_from(&self.best_order);
                rank = ranks(&order);
                fit = if random.below(3) == 0 { Fit::Lowest } else { self.best_fit };
                // A shake of up to an eighth of the order, sometimes of all of it.
                let reach = if random.below(8) == 0 { n } else { (n / 8).max(2) } as i64;
                for r in &mut rank {
                    *r += random.below(2 * reach as u64 + 1) as i64 - reach;
                }
            } else {
                self.promote(bound, total, &mut rank, &mut random);
            }
            order.sort_by_key(|&i| (rank[i], i));
            rank = ranks(&order);
        }
    }

    /// Moves the records that reach above the bound forwards: the ones at the very top by far, the
    /// others by less.
    fn promote(&self, bound: u64, total: u64, rank: &mut [i64], random: &mut Random) {
        let above = (total - bound).max(1);
        for (i, record) in self.records.iter().enumerate() {
            let end = self.offsets[i].saturating_add(record.rounded_bytes());
            if record.bytes == 0 || end <= bound {
                continue;
            }
            // 1..=3 quarters of the way to the front, by how far the record sticks out.
            let quarters = 1 + (u128::from(end - bound) * 2 / u128::from(above)) as i64;
            let jump = rank[i] * quarters / 4;
            rank[i] -= jump.max(1) + random.below(3) as i64;
        }
    }
}

/// Position in `order` of each record.
fn ranks(order: &[usize]) -> Vec<i64> {
    let mut rank = vec![0; order.len()];
    for (position, &i) in order.iter().enumerate() {
        rank[i] = position as i64;
    }
    rank
}

/// SplitMix64: enough randomness for shaking, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}
