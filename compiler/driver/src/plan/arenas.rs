//! One arena, or several where a dispatch should write to other buffers than it reads.
//!
//! WebGPU lets a dispatch use a buffer either for reading or for writing, so what a kernel reads of
//! an arena that it also writes has to be declared writable (`exclusive`), and shader compilers do
//! less with such reads: convolutions took up to a quarter longer on an H200. With the values of a
//! dispatch in different arenas they stay reads.

use crate::memory::{self, MemoryError, MergedRecords, OffsetPlan, Strategy, UsageRecord};
use std::collections::BTreeSet;

/// What a dispatch reads (often two values) and what it writes.
const MOST: usize = 3;

/// Offsets of all records, as if the arenas followed each other.
pub(super) struct Arenas {
    pub plan: OffsetPlan,
    /// Arena of each record.
    of: Vec<usize>,
    /// Where each arena starts, and the end of the last.
    starts: Vec<u64>,
}

impl Arenas {
    /// All records in one.
    pub fn one(strategy: Strategy, merged: &MergedRecords) -> Result<Arenas, MemoryError> {
        Arenas::plan(strategy, merged, vec![0; merged.records.len()])
    }

    /// Records of a pair in `conflicts` in different ones, as far as [`MOST`] arenas suffice.
    pub fn several(
        strategy: Strategy,
        merged: &MergedRecords,
        conflicts: &BTreeSet<(usize, usize)>,
    ) -> Result<Arenas, MemoryError> {
        let count = merged.records.len();
        let mut of = vec![0; count];
        let mut order: Vec<usize> = (0..count).filter(|r| merged.records[*r].bytes > 0).collect();
        order.sort_by_key(|r| merged.records[*r].first_step);
        let mut placed = vec![false; count];
        for &r in &order {
            let met = |other: usize| conflicts.contains(&(r.min(other), r.max(other)));
            let taken: BTreeSet<usize> =
                (0..count).filter(|o| placed[*o] && met(*o)).map(|o| of[o]).collect();
            of[r] = (0..MOST).find(|arena| !taken.contains(arena)).unwrap_or(0);
            placed[r] = true;
        }
        Arenas::plan(strategy, merged, of)
    }

    fn plan(
        strategy: Strategy,
        merged: &MergedRecords,
        of: Vec<usize>,
    ) -> Result<Arenas, MemoryError> {
        let mut plan = OffsetPlan { offsets: vec![0; of.len()], total_bytes: 0 };
        let mut starts = vec![0];
        for arena in 0..=of.iter().copied().max().unwrap_or(0) {
            let inside: Vec<usize> = (0..of.len()).filter(|r| of[*r] == arena).collect();
            let records: Vec<UsageRecord> = inside.iter().map(|r| merged.records[*r]).collect();
            let planned = memory::plan_offsets(strategy, &records)?;
            for (r, offset) in inside.iter().zip(&planned.offsets) {
                plan.offsets[*r] = plan.total_bytes + offset;
            }
            plan.total_bytes = (plan.total_bytes + planned.total_bytes).next_multiple_of(256);
            starts.push(plan.total_bytes);
        }
        Ok(Arenas { plan, of, starts })
    }

    /// Number of the arena of a record, and where it starts.
    pub fn of(&self, record: usize) -> (usize, u64) {
        (self.of[record], self.starts[self.of[record]])
    }

    /// Bytes of each arena.
    pub fn bytes(&self) -> impl Iterator<Item = u64> {
        self.starts.windows(2).map(|w| w[1] - w[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lives: &[(u32, u32)]) -> MergedRecords {
        let record = |(id, (first_step, last_step)): (usize, &(u32, u32))| UsageRecord {
            id,
            bytes: 1000,
            first_step: *first_step,
            last_step: *last_step,
            alignment: 256,
        };
        let records: Vec<_> = lives.iter().enumerate().map(record).collect();
        let place = (0..records.len()).map(|i| (i, 0)).collect();
        MergedRecords { records, place }
    }

    #[test]
    fn a_chain_takes_turns_between_two_arenas() {
        let merged = records(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
        let conflicts = (0..3).map(|i| (i, i + 1)).collect();
        let arenas = Arenas::several(Strategy::default(), &merged, &conflicts).unwrap();
        assert_eq!([0, 1, 2, 3].map(|r| arenas.of(r).0), [0, 1, 0, 1]);
        assert_eq!(arenas.bytes().collect::<Vec<_>>(), [1024, 1024]);
        assert_eq!(arenas.plan.offsets, [0, 1024, 0, 1024]);
        assert!(arenas.plan.first_overlap(&merged.records).is_none());
        let one = Arenas::one(Strategy::default(), &merged).unwrap();
        assert_eq!(one.bytes().collect::<Vec<_>>(), [2048]);
    }

    #[test]
    fn more_conflicts_than_arenas_share_the_first() {
        let merged = records(&[(0, 9); 5]);
        let conflicts = (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b))).collect();
        let arenas = Arenas::several(Strategy::default(), &merged, &conflicts).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|r| arenas.of(r).0), [0, 1, 2, 0, 0]);
        assert!(arenas.plan.first_overlap(&merged.records).is_none());
    }
}
