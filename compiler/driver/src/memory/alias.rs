//! Views inside the arena: a concat's inputs written straight into its result, a slice that reads
//! its source in place, an element-wise operator that overwrites its operand.

use super::shared_objects::least_common_multiple;
use super::{MemoryError, OffsetPlan, UsageRecord};

/// A record that may live inside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasRecord {
    pub record: UsageRecord,
    /// Index of the parent among the records, and this record's byte offset in it. Chains are fine.
    pub alias_of: Option<(usize, u64)>,
}

/// Records with all views merged into the record that holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedRecords {
    /// What to plan: the records that are no views. Lifetimes are the union with all their views;
    /// alignments serve all of them.
    pub records: Vec<UsageRecord>,
    /// For each original record: index into `records`, and byte offset in it.
    pub place: Vec<(usize, u64)>,
}

impl MergedRecords {
    /// Byte offsets of the original records, from a plan of [`MergedRecords::records`].
    pub fn offsets(&self, plan: &OffsetPlan) -> Vec<u64> {
        self.place.iter().map(|&(root, within)| plan.offsets[root].saturating_add(within)).collect()
    }
}

/// Merges every view into the record that holds it.
///
/// A view's lifetime counts for the whole of its parent: the parent's bytes are taken from the first
/// use of any view to the last. Whether two views of one parent may be live with overlapping bytes
/// is the caller's business, as for an operator that overwrites its operand.
///
/// # Errors
/// An unknown parent, a cycle, a view that reaches outside its parent, or one whose offset its
/// alignment does not divide.
pub fn merge_aliases(records: &[AliasRecord]) -> Result<MergedRecords, MemoryError> {
    // Root and offset of each record, filled along each chain once.
    let mut resolved: Vec<Option<(usize, u64)>> = vec![None; records.len()];
    let mut chain: Vec<usize> = Vec::new();
    for start in 0..records.len() {
        chain.clear();
        let mut at = start;
        let (root, mut within) = loop {
            if let Some(found) = resolved[at] {
                break found;
            }
            let Some((parent, offset)) = records[at].alias_of else {
                resolved[at] = Some((at, 0));
                break (at, 0);
            };
            // A chain longer than the records must have come back to one of them.
            if chain.len() > records.len() {
                return Err(MemoryError::AliasCycle { id: records[at].record.id });
            }
            check_within(records, at, parent, offset)?;
            chain.push(at);
            at = parent;
        };
        while let Some(child) = chain.pop() {
            // Inside the parent's bytes, by `check_within`, hence no overflow.
            within += records[child].alias_of.map_or(0, |(_, offset)| offset);
            resolved[child] = Some((root, within));
        }
    }

    let mut index_of: Vec<usize> = vec![usize::MAX; records.len()];
    let mut merged = Vec::new();
    for (i, r) in records.iter().enumerate() {
        if r.alias_of.is_none() {
            index_of[i] = merged.len();
            merged.push(r.record);
        }
    }
    let mut place = Vec::with_capacity(records.len());
    for (i, r) in records.iter().enumerate() {
        let (root, within) = resolved[i].unwrap_or((i, 0));
        let holder = &mut merged[index_of[root]];
        let alignment = r.record.alignment.max(1);
        if within % alignment != 0 {
            return Err(MemoryError::AliasMisaligned {
                id: r.record.id,
                offset: within,
                alignment,
            });
        }
        holder.first_step = holder.first_step.min(r.record.first_step);
        holder.last_step = holder.last_step.max(r.record.last_step);
        holder.alignment = least_common_multiple(holder.alignment, alignment);
        place.push((index_of[root], within));
    }
    Ok(MergedRecords { records: merged, place })
}

fn check_within(
    records: &[AliasRecord],
    child: usize,
    parent: usize,
    offset: u64,
) -> Result<(), MemoryError> {
    let r = &records[child].record;
    let Some(holder) = records.get(parent) else {
        return Err(MemoryError::AliasOfUnknown { id: r.id, parent, records: records.len() });
    };
    match offset.checked_add(r.bytes) {
        Some(end) if end <= holder.record.bytes => Ok(()),
        _ => Err(MemoryError::AliasOutOfParent {
            id: r.id,
            offset,
            bytes: r.bytes,
            parent: holder.record.id,
            parent_bytes: holder.record.bytes,
        }),
    }
}
