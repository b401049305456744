//! Shared objects: each holds one record at a time and is as large as its largest record.

use super::bounds::positional_maxima;
use super::offsets::{OffsetPlan, by_size, in_order};
use super::usage::{UsageRecord, align_up};
use super::{Strategy, breadth};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Which object each record takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPlan {
    /// Index of each record's object, in the order of the records.
    pub object_of: Vec<usize>,
    /// Bytes of each object: the largest rounded size among its records.
    pub object_bytes: Vec<u64>,
}

impl ObjectPlan {
    /// Bytes of all objects together.
    pub fn total_bytes(&self) -> u64 {
        self.object_bytes.iter().fold(0, |sum, &b| sum.saturating_add(b))
    }

    /// The first two records that are live together in one object, if the plan is wrong.
    pub fn first_overlap(&self, records: &[UsageRecord]) -> Option<(usize, usize)> {
        let mut by_start: Vec<usize> = (0..records.len()).collect();
        by_start.sort_by_key(|&i| records[i].first_step);
        let mut last_in: Vec<Option<usize>> = vec![None; self.object_bytes.len()];
        for i in by_start {
            let object = self.object_of[i];
            if let Some(j) = last_in[object].filter(|&j| records[j].lives_with(&records[i])) {
                return Some((i.min(j), i.max(j)));
            }
            last_in[object] = Some(i);
        }
        None
    }

    /// The objects one after another in an arena.
    pub(super) fn laid_end_to_end(&self, records: &[UsageRecord]) -> OffsetPlan {
        let mut alignment = vec![1u64; self.object_bytes.len()];
        for (r, &object) in records.iter().zip(&self.object_of) {
            // Alignments of one object's records nearly always divide each other; if not, their
            // least common multiple could overflow, and the product's saturation then only makes
            // the plan larger than naive, which the caller replaces.
            alignment[object] = least_common_multiple(alignment[object], r.alignment.max(1));
        }
        let mut start = vec![0; self.object_bytes.len()];
        let mut end = 0u64;
        for (object, &bytes) in self.object_bytes.iter().enumerate() {
            start[object] = align_up(end, alignment[object]);
            end = start[object].saturating_add(bytes);
        }
        let offsets = records
            .iter()
            .zip(&self.object_of)
            .map(|(r, &object)| if r.bytes == 0 { 0 } else { start[object] })
            .collect();
        OffsetPlan { offsets, total_bytes: end }
    }
}

pub(super) fn least_common_multiple(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a.max(1), b.max(1));
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a.max(1) / x).saturating_mul(b.max(1))
}

/// The object plan of a strategy; strategies that are about offsets give their nearest relative.
pub(super) fn plan(strategy: Strategy, records: &[UsageRecord]) -> ObjectPlan {
    match strategy {
        Strategy::Naive => ObjectPlan {
            object_of: (0..records.len()).collect(),
            object_bytes: records.iter().map(UsageRecord::rounded_bytes).collect(),
        },
        Strategy::Equality => {
            let keys: Vec<(u64, u64)> =
                records.iter().map(|r| (r.rounded_bytes(), r.alignment)).collect();
            plan_equal(records, &keys)
        }
        Strategy::GreedyInOrder => closest_size(records, &in_order(records)),
        Strategy::GreedyBySize => closest_size(records, &by_size(records)),
        Strategy::GreedyByBreadth => closest_size(records, &breadth::order(records)),
        Strategy::SharedObjects => by_size_and_distance(records),
        Strategy::GreedyBest | Strategy::Best => [
            closest_size(records, &breadth::order(records)),
            closest_size(records, &by_size(records)),
            closest_size(records, &in_order(records)),
        ]
        .into_iter()
        .fold(by_size_and_distance(records), |best, other| {
            if other.total_bytes() < best.total_bytes() { other } else { best }
        }),
    }
}

/// Objects shared only by records of equal key: the way for images, where the key holds extent and
/// format. Uses the fewest objects possible for each key.
///
/// `keys` has one entry per record; a missing entry makes the record's key unique.
pub fn plan_equal<K: Hash + Eq>(records: &[UsageRecord], keys: &[K]) -> ObjectPlan {
    let mut plan = ObjectPlan { object_of: vec![0; records.len()], object_bytes: Vec::new() };
    // Objects of each key by the step of their last use: interval partitioning in order of start.
    let mut pools: HashMap<&K, BTreeMap<(u32, usize), ()>> = HashMap::new();
    for i in in_order(records) {
        let r = &records[i];
        let pool = keys.get(i).map(|key| pools.entry(key).or_default());
        let free = pool.as_ref().and_then(|pool| {
            // The object freed last before this record: its memory is the warmest.
            let before = pool.range(..(r.first_step, 0)).next_back();
            before.map(|(&key, ())| key)
        });
        let object = match free {
            Some((_, object)) => object,
            None => {
                plan.object_bytes.push(0);
                plan.object_bytes.len() - 1
            }
        };
        if let Some(pool) = pool {
            if let Some(key) = free {
                pool.remove(&key);
            }
            pool.insert((r.last_step, object), ());
        }
        plan.object_of[i] = object;
        plan.object_bytes[object] = plan.object_bytes[object].max(r.rounded_bytes());
    }
    plan
}

/// The records of one object: last step by first step, disjoint.
#[derive(Debug, Default)]
struct Occupied(BTreeMap<u32, u32>);

impl Occupied {
    /// Steps between `r` and the nearest record in the object; `None` if `r` is live with one.
    fn distance(&self, r: &UsageRecord) -> Option<u32> {
        let before = self.0.range(..=r.last_step).next_back();
        if before.is_some_and(|(_, &last)| last >= r.first_step) {
            return None;
        }
        let to_before = before.map(|(_, &last)| r.first_step - last);
        let to_after = self.0.range(r.last_step..).next().map(|(&first, _)| first - r.last_step);
        Some(to_before.unwrap_or(u32::MAX).min(to_after.unwrap_or(u32::MAX)))
    }

    fn insert(&mut self, r: &UsageRecord) {
        self.0.insert(r.first_step, r.last_step);
    }
}

/// Each record, in `order`, takes the free object whose size is nearest: the smallest one that is
/// large enough, else the largest one, which then grows; else a new one.
fn closest_size(records: &[UsageRecord], order: &[usize]) -> ObjectPlan {
    let mut plan = ObjectPlan { object_of: vec![0; records.len()], object_bytes: Vec::new() };
    let mut objects: Vec<Occupied> = Vec::new();
    for &i in order {
        let bytes = records[i].rounded_bytes();
        let nearest = (0..objects.len())
            .filter(|&o| objects[o].distance(&records[i]).is_some())
            .min_by_key(|&o| (plan.object_bytes[o] < bytes, plan.object_bytes[o].abs_diff(bytes)));
        assign(&mut plan, &mut objects, i, &records[i], nearest);
    }
    plan
}

fn assign(
    plan: &mut ObjectPlan,
    objects: &mut Vec<Occupied>,
    i: usize,
    record: &UsageRecord,
    object: Option<usize>,
) -> usize {
    let object = object.unwrap_or_else(|| {
        objects.push(Occupied::default());
        plan.object_bytes.push(0);
        objects.len() - 1
    });
    objects[object].insert(record);
    plan.object_of[i] = object;
    plan.object_bytes[object] = plan.object_bytes[object].max(record.rounded_bytes());
    object
}

/// "Greedy by Size Improved" with distance priority: records are taken by (the rightmost positional
/// maximum that is at least their size, the smallest distance to a record already in some object,
/// the larger size), and go into that nearest object, or a new one if no object is free for them.
///
/// Records of one size class are thus chained closely in time, which leaves long free spans in the
/// other objects of the class.
fn by_size_and_distance(records: &[UsageRecord]) -> ObjectPlan {
    let maxima = positional_maxima(records);
    let class: Vec<usize> = records
        .iter()
        .map(|r| maxima.partition_point(|&m| m >= r.rounded_bytes()).saturating_sub(1))
        .collect();
    let mut plan = ObjectPlan { object_of: vec![0; records.len()], object_bytes: Vec::new() };
    let mut objects: Vec<Occupied> = Vec::new();
    // Nearest object of each record that has none yet, as (distance, object).
    let mut nearest: Vec<(u32, Option<usize>)> = vec![(u32::MAX, None); records.len()];
    let mut waiting: Vec<usize> = (0..records.len()).collect();
    while let Some(at) = (0..waiting.len()).min_by_key(|&at| {
        let i = waiting[at];
        (class[i], nearest[i].0, Reverse(records[i].rounded_bytes()), i)
    }) {
        let i = waiting.swap_remove(at);
        let object = assign(&mut plan, &mut objects, i, &records[i], nearest[i].1);
        for &j in &waiting {
            if let Some(distance) = objects[object].distance(&records[j]) {
                if distance < nearest[j].0 || nearest[j].1.is_none() {
                    nearest[j] = (distance, Some(object));
                }
            } else if nearest[j].1 == Some(object) {
                nearest[j] = objects
                    .iter()
                    .enumerate()
                    .filter_map(|(o, occupied)| Some((occupied.distance(&records[j])?, o)))
                    .min()
                    .map_or((u32::MAX, None), |(distance, o)| (distance, Some(o)));
            }
        }
    }
    plan
}
