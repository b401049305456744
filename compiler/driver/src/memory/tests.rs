use super::*;
use proptest::prelude::{
    Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy as _;

fn record(id: usize, bytes: u64, first_step: u32, last_step: u32) -> UsageRecord {
    UsageRecord { id, bytes, first_step, last_step, alignment: 1 }
}

fn records(list: &[(u64, u32, u32)]) -> Vec<UsageRecord> {
    list.iter().enumerate().map(|(i, &(b, f, l))| record(i, b, f, l)).collect()
}

/// Any records with valid lifetimes; alignments as devices have them, and odd ones.
fn any_records(most: usize) -> impl proptest::strategy::Strategy<Value = Vec<UsageRecord>> {
    let one = (
        prop_oneof![0u64..40, 0u64..100_000, Just(1u64 << 33)],
        0u32..60,
        prop_oneof![0u32..3, 0u32..60],
        prop_oneof![Just(0u64), Just(1), Just(4), Just(16), Just(256), Just(4096), Just(12)],
    );
    prop::collection::vec(one, 0..most).prop_map(|list| {
        list.into_iter()
            .enumerate()
            .map(|(id, (bytes, first_step, lasts, alignment))| UsageRecord {
                id,
                bytes,
                first_step,
                last_step: first_step + lasts,
                alignment,
            })
            .collect()
    })
}

/// Every pair, against the definition; the planners' own check is tested by it too.
fn assert_valid(records: &[UsageRecord], plan: &OffsetPlan) {
    assert_eq!(plan.offsets.len(), records.len());
    for (i, a) in records.iter().enumerate() {
        assert_eq!(plan.offsets[i] % a.alignment.max(1), 0, "record {i} is misaligned");
        assert!(plan.offsets[i] + a.bytes <= plan.total_bytes, "record {i} leaves the arena");
        for (j, b) in records.iter().enumerate().skip(i + 1) {
            let apart = plan.offsets[i] + a.bytes <= plan.offsets[j]
                || plan.offsets[j] + b.bytes <= plan.offsets[i]
                || a.bytes == 0
                || b.bytes == 0
                || !a.lives_with(b);
            assert!(apart, "records {i} and {j} overlap: {a:?} {b:?}");
        }
    }
    assert_eq!(plan.first_overlap(records), None);
}

/// By brute force over steps.
fn slow_lower_bound(records: &[UsageRecord]) -> u64 {
    let last = records.iter().map(|r| r.last_step).max().unwrap_or(0);
    (0..=last)
        .map(|s| {
            let live = records.iter().filter(|r| r.first_step <= s && s <= r.last_step);
            live.map(UsageRecord::rounded_bytes).sum()
        })
        .max()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn offset_plans_are_valid_and_bounded(records in any_records(40)) {
        let naive = naive_bytes(&records);
        let bound = lower_bound_bytes(&records);
        prop_assert_eq!(bound, slow_lower_bound(&records));
        for &strategy in Strategy::ALL {
            let plan = plan_offsets(strategy, &records).unwrap();
            assert_valid(&records, &plan);
            prop_assert!(plan.total_bytes >= bound, "{} below the bound", strategy);
            prop_assert!(plan.total_bytes <= naive, "{} above naive", strategy);
            prop_assert_eq!(&plan, &plan_offsets(strategy, &records).unwrap());
        }
    }

    #[test]
    fn best_is_no_worse_than_any_greedy_plan(records in any_records(30)) {
        let best = plan_offsets(Strategy::Best, &records).unwrap().total_bytes;
        for strategy in
            [Strategy::GreedyBySize, Strategy::GreedyByBreadth, Strategy::GreedyInOrder]
        {
            prop_assert!(best <= plan_offsets(strategy, &records).unwrap().total_bytes);
        }
    }

    #[test]
    fn object_plans_are_valid_and_bounded(records in any_records(40)) {
        let bound = objects_lower_bound_bytes(&records);
        let naive: u64 = records.iter().map(UsageRecord::rounded_bytes).sum();
        for &strategy in Strategy::ALL {
            let plan = plan_objects(strategy, &records).unwrap();
            prop_assert_eq!(plan.object_of.len(), records.len());
            for (i, a) in records.iter().enumerate() {
                prop_assert!(a.rounded_bytes() <= plan.object_bytes[plan.object_of[i]]);
                for (j, b) in records.iter().enumerate().skip(i + 1) {
                    prop_assert!(plan.object_of[i] != plan.object_of[j] || !a.lives_with(b));
                }
            }
            prop_assert_eq!(plan.first_overlap(&records), None);
            prop_assert!(plan.total_bytes() >= bound, "{} below the bound", strategy);
            prop_assert!(plan.total_bytes() <= naive, "{} above naive", strategy);
            prop_assert_eq!(&plan, &plan_objects(strategy, &records).unwrap());
        }
    }

    #[test]
    fn equal_keys_use_the_fewest_objects(records in any_records(40), kinds in 1u64..4) {
        let keys: Vec<u64> = records.iter().map(|r| r.bytes % kinds).collect();
        let plan = plan_equal(&records, &keys);
        prop_assert_eq!(plan.first_overlap(&records), None);
        for kind in 0..kinds {
            let mut objects: Vec<usize> = (0..records.len())
                .filter(|&i| keys[i] == kind)
                .map(|i| plan.object_of[i])
                .collect();
            objects.sort_unstable();
            objects.dedup();
            let most_live = (0..130u32)
                .map(|s| {
                    let live = |r: &UsageRecord| r.first_step <= s && s <= r.last_step;
                    (0..records.len()).filter(|&i| keys[i] == kind && live(&records[i])).count()
                })
                .max();
            prop_assert_eq!(Some(objects.len()), most_live);
            // No object serves two keys.
            for o in objects {
                let others = (0..records.len()).filter(|&i| plan.object_of[i] == o);
                prop_assert!(others.map(|i| keys[i]).all(|k| k == kind));
            }
        }
    }

    #[test]
    fn merged_views_stay_inside_their_holder(
        roots in any_records(8),
        views in prop::collection::vec((any::<usize>(), any::<u64>(), any::<u64>(), 0u32..90), 0..24),
    ) {
        let mut all: Vec<AliasRecord> = roots
            .iter()
            .map(|&record| AliasRecord { record, alias_of: None })
            .collect();
        for (parent, offset, bytes, first_step) in views {
            if all.is_empty() {
                break;
            }
            let parent = parent % all.len();
            let holder = all[parent].record.bytes;
            let offset = offset % (holder + 1) / 4 * 4;
            let bytes = bytes % (holder - offset + 1);
            let record =
                UsageRecord { id: all.len(), bytes, first_step, last_step: first_step + 1, alignment: 4 };
            all.push(AliasRecord { record, alias_of: Some((parent, offset)) });
        }
        let merged = merge_aliases(&all).unwrap();
        prop_assert_eq!(merged.records.len(), roots.len());
        let plan = plan_offsets(Strategy::GreedyBySize, &merged.records).unwrap();
        let offsets = merged.offsets(&plan);
        for (i, r) in all.iter().enumerate() {
            let (holder, within) = merged.place[i];
            let h = &merged.records[holder];
            prop_assert!(within + r.record.bytes <= h.bytes);
            prop_assert!(h.first_step <= r.record.first_step && r.record.last_step <= h.last_step);
            prop_assert_eq!(offsets[i] % r.record.alignment.max(1), 0);
            if let Some((parent, offset)) = r.alias_of {
                prop_assert_eq!(offsets[i], offsets[parent] + offset);
            }
        }
    }
}

/// The worked case of the paper's rule: the tightest gap wins, not the lowest one.
#[test]
fn greedy_by_size_takes_the_tightest_gap() {
    let r = records(&[
        (40, 0, 9), // at 0
        (30, 0, 1), // at 40, over when 4 comes
        (20, 0, 9), // at 70
        (12, 0, 1), // at 90, over when 4 comes
        (11, 0, 9), // at 102
        (10, 2, 3), // fits in 40..70 (slack 20) and in 90..102 (slack 2): the latter
    ]);
    let plan = plan_offsets(Strategy::GreedyBySize, &r).unwrap();
    assert_eq!(plan.offsets, [0, 40, 70, 90, 102, 90]);
    assert_eq!(plan.total_bytes, 113);
}

/// A chain needs just the two largest neighbours.
#[test]
fn a_chain_of_layers_reaches_its_lower_bound() {
    let r = records(&[(32, 0, 1), (28, 1, 2), (36, 2, 3), (16, 3, 4), (8, 4, 5), (64, 5, 6)]);
    assert_eq!(lower_bound_bytes(&r), 72);
    for s in [Strategy::GreedyBySize, Strategy::GreedyByBreadth, Strategy::Best] {
        assert_eq!(plan_offsets(s, &r).unwrap().total_bytes, 72, "{s}");
    }
    assert_eq!(naive_bytes(&r), 184);
    assert_eq!(objects_lower_bound_bytes(&r), 64 + 28);
    // 64 and 36 share one object; the others need hardly more than the bound.
    let objects = plan_objects(Strategy::SharedObjects, &r).unwrap();
    assert!(objects.total_bytes() <= 64 + 36, "{objects:?}");
}

/// Greedy-by-size leaves a hole here; the search closes it.
#[test]
fn best_improves_on_greedy_by_size() {
    let mut worse = 0;
    for seed in 0..40u64 {
        let r = residual_network(seed, 60);
        let greedy = plan_offsets(Strategy::GreedyBySize, &r).unwrap().total_bytes;
        let best = plan_offsets(Strategy::Best, &r).unwrap();
        assert_valid(&r, &best);
        let bound = lower_bound_bytes(&r);
        worse += usize::from(greedy > bound);
        assert!(
            best.total_bytes as f64 <= 1.05 * bound as f64,
            "seed {seed}: {} over the bound {bound}; greedy-by-size {greedy}",
            best.total_bytes
        );
    }
    assert!(worse > 0, "the networks are too easy to tell the strategies apart");
}

/// A feature pyramid with skip connections across many steps, sizes as they come out of padding.
fn residual_network(seed: u64, layers: u32) -> Vec<UsageRecord> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    (0..layers)
        .map(|step| {
            let level = (step * 5 / layers).min(4);
            let bytes = (1 + random(7)) * (400_000 >> level);
            let reach = if random(4) == 0 { 2 + random(u64::from(layers)) as u32 } else { 1 };
            UsageRecord {
                id: step as usize,
                bytes,
                first_step: step,
                last_step: (step + reach).min(layers),
                alignment: 256,
            }
        })
        .collect()
}

#[test]
fn extremes_do_not_panic_or_overflow() {
    let huge = [record(0, u64::MAX, 0, 0)];
    assert_eq!(plan_offsets(Strategy::Best, &huge), Err(MemoryError::TooLarge { id: 0 }));
    let two = [record(7, 1 << 63, 0, 0), record(8, 1 << 63, 5, 5)];
    assert_eq!(plan_offsets(Strategy::Naive, &two), Err(MemoryError::TooLarge { id: 8 }));
    let backwards = [record(3, 1, 4, 2)];
    let error = plan_objects(Strategy::Best, &backwards).unwrap_err().to_string();
    assert!(error.contains("tensor 3") && error.contains("step 2"), "{error}");
    let ages = records(&[(8, 0, u32::MAX), (8, u32::MAX, u32::MAX), (8, 0, 0)]);
    for &s in Strategy::ALL {
        assert_valid(&ages, &plan_offsets(s, &ages).unwrap());
        assert_eq!(plan_objects(s, &ages).unwrap().first_overlap(&ages), None);
    }
    assert_eq!(lower_bound_bytes(&ages), 16);
    assert_eq!(plan_offsets(Strategy::Best, &[]).unwrap(), OffsetPlan::default());
}

#[test]
fn five_thousand_records_are_quick() {
    let r = residual_network(1, 5_000);
    let began = std::time::Instant::now();
    let plan = plan_offsets(Strategy::Best, &r).unwrap();
    // A second in release; this build is slower and the machine may be busy.
    assert!(began.elapsed().as_secs() < 60);
    assert_eq!(plan.first_overlap(&r), None);
    assert!(plan.total_bytes as f64 <= 1.05 * lower_bound_bytes(&r) as f64);
}

#[test]
fn live_curve_shows_where_the_bytes_are() {
    let r = records(&[(10, 0, 2), (5, 1, 1), (7, 3, 3)]);
    let points: Vec<_> = live_curve(&r).iter().map(|p| (p.step, p.bytes)).collect();
    assert_eq!(points, [(0, 10), (1, 15), (2, 10), (3, 7), (4, 0)]);
    let plan = plan_offsets(Strategy::Best, &r).unwrap();
    let summary = summarize(&r, &plan);
    assert_eq!(summary.widest_step, 1);
    assert_eq!((summary.planned_bytes, summary.lower_bound_bytes), (15, 15));
    assert_eq!(summary.naive_bytes, 22);
    assert_eq!(summary.overhead(), 1.0);
}

#[test]
fn aliases_that_cannot_be_are_refused() {
    let at = |bytes, alias_of| AliasRecord { record: record(0, bytes, 0, 1), alias_of };
    let cycle = [at(4, Some((1, 0))), at(4, Some((0, 0)))];
    assert_eq!(merge_aliases(&cycle), Err(MemoryError::AliasCycle { id: 0 }));
    let own = [at(4, Some((0, 0)))];
    assert_eq!(merge_aliases(&own), Err(MemoryError::AliasCycle { id: 0 }));
    let unknown = [at(4, Some((9, 0)))];
    assert!(matches!(merge_aliases(&unknown), Err(MemoryError::AliasOfUnknown { parent: 9, .. })));
    let outside = [at(4, None), at(4, Some((0, 1)))];
    assert!(matches!(
        merge_aliases(&outside),
        Err(MemoryError::AliasOutOfParent { offset: 1, .. })
    ));
    let wraps = [at(4, None), at(4, Some((0, u64::MAX)))];
    assert!(matches!(merge_aliases(&wraps), Err(MemoryError::AliasOutOfParent { .. })));
    let mut odd = [at(8, None), at(4, Some((0, 2)))];
    odd[1].record.alignment = 4;
    assert!(matches!(merge_aliases(&odd), Err(MemoryError::AliasMisaligned { offset: 2, .. })));
}

#[test]
fn names_round_trip_and_errors_list_them() {
    for &s in Strategy::ALL {
        assert_eq!(s.to_string().parse::<Strategy>().unwrap(), s);
        assert!(!s.description().is_empty());
    }
    let error = "greedy".parse::<Strategy>().unwrap_err().to_string();
    assert!(error.contains("`greedy`") && error.contains("shared-objects"), "{error}");
}
