//! Memory planning: where every intermediate tensor lives, and for how long.
//!
//! A plan starts from [`UsageRecord`]s: how many bytes a tensor needs and the first and last step
//! that touch it. Two records whose step ranges intersect are *live together* and must not share
//! memory; all others may. There are two kinds of plan:
//!
//! - an [`OffsetPlan`] gives each record an offset into one **arena**, where the API can bind a
//!   buffer at an offset ([`plan_offsets`]);
//! - an [`ObjectPlan`] gives each record one of several **shared objects**, where it cannot, as with
//!   images ([`plan_objects`], [`plan_equal`]).
//!
//! The strategies are those of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
//! Inference" (arXiv 2001.03288), which is also what ML Drift uses, plus [`Strategy::Best`]: several
//! orders, then a bounded search that stops at the lower bound. Packing is NP-hard, but networks are
//! mostly chains with a few long edges, and on those the search nearly always ends at the bound.
//!
//! **Rounding.** A record occupies its bytes rounded up to its own alignment. Plans, the naive size
//! and the lower bound all count rounded sizes, so their ratios compare packing and nothing else.
//!
//! - **Invariant:** every planner is deterministic: the same records give the same plan.
//! - **Invariant:** no plan is larger than [`Strategy::Naive`]'s.
//! - **Invariant:** planners see no shapes and no graph; views are merged before ([`merge_aliases`]).

mod alias;
mod bounds;
mod breadth;
mod error;
mod naive;
mod offsets;
mod search;
mod shared_objects;
mod strategy;
mod summary;
#[cfg(test)]
mod tests;
mod usage;

pub use alias::{AliasRecord, MergedRecords, merge_aliases};
pub use bounds::{LivePoint, live_curve, lower_bound_bytes, objects_lower_bound_bytes};
pub use error::MemoryError;
pub use naive::naive_bytes;
pub use offsets::OffsetPlan;
pub use shared_objects::{ObjectPlan, plan_equal};
pub use strategy::Strategy;
pub use summary::{MemorySummary, summarize};
pub use usage::UsageRecord;

/// Places `records` in one arena. Offsets are in bytes and in the order of `records`.
///
/// Takes O(n²) time; [`Strategy::Best`] repeats that a bounded number of times, fewer for larger n.
///
/// # Errors
/// A record that ends before it begins, or sizes that overflow 64 bits when added up.
pub fn plan_offsets(
    strategy: Strategy,
    records: &[UsageRecord],
) -> Result<OffsetPlan, MemoryError> {
    usage::check(records)?;
    let naive = naive::offsets(records);
    let planned = match strategy {
        Strategy::Naive => return Ok(naive),
        Strategy::Equality | Strategy::SharedObjects => {
            shared_objects::plan(strategy, records).laid_end_to_end(records)
        }
        Strategy::GreedyInOrder => offsets::place_all(records, &offsets::in_order(records)),
        Strategy::GreedyBySize => offsets::place_all(records, &offsets::by_size(records)),
        Strategy::GreedyByBreadth => offsets::place_all(records, &breadth::order(records)),
        Strategy::GreedyBest => {
            let by_size = offsets::place_all(records, &offsets::by_size(records));
            let by_breadth = offsets::place_all(records, &breadth::order(records));
            if by_breadth.total_bytes < by_size.total_bytes { by_breadth } else { by_size }
        }
        Strategy::Best => search::plan(records),
    };
    // Only padding between records of different alignments can make a greedy plan this large.
    Ok(if planned.total_bytes > naive.total_bytes { naive } else { planned })
}

/// Distributes `records` over objects that hold one record at a time.
///
/// # Errors
/// As [`plan_offsets`].
pub fn plan_objects(
    strategy: Strategy,
    records: &[UsageRecord],
) -> Result<ObjectPlan, MemoryError> {
    usage::check(records)?;
    Ok(shared_objects::plan(strategy, records))
}
