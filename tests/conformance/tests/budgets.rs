//! Dispatches, kernels and bytes of every network against committed figures.
//!
//! Fewer is fine, more fails. `DRIFT_BLESS=1 cargo test -p drift-conformance --test budgets` writes
//! `budgets.toml` anew; the difference belongs into the review of the change that made it.

use drift_conformance::network::{self, Precision};
use drift_conformance::shared::{self, Network};
use drift_driver::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

/// Figures of one network: case 0, f32, target `vulkan-modern`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    dispatches: u64,
    /// Distinct kernels.
    kernels: u64,
    /// Dispatches that must wait for an earlier one.
    barriers: u64,
    arena_bytes: u64,
    weight_bytes: u64,
}

type Budgets = BTreeMap<String, Budget>;

const HEAD: &str = "\
# What each network costs: case 0 of its test data, f32, target vulkan-modern.
# Fewer is fine, more fails tests/budgets.rs. Written by
# DRIFT_BLESS=1 cargo test -p drift-conformance --test budgets

";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("budgets.toml")
}

/// The figures, or why there are none; planned over lower bound must be at most 1.05.
fn measure(network: &Network) -> Result<Budget, String> {
    let targets = network::targets(&["vulkan-modern"]);
    let shapes = network.input_shapes(0);
    let options = network::options(shapes, Precision::F32, targets, Stage::PlanMemory);
    let compiled = network::compile(network, &options).map_err(|e| e.to_string())?;
    let planned = compiled.variants[0].planned.as_ref().ok_or("no plan")?;
    let memory = &planned.main().summary;
    let steps = &planned.plan.entry_points[0].steps;
    let barriers = steps.iter().filter(|s| matches!(s, drift_bundle::plan::Step::Barrier)).count();
    let dispatches =
        steps.iter().filter(|s| matches!(s, drift_bundle::plan::Step::Dispatch { .. })).count();
    println!(
        "{:<28} {dispatches:>5} dispatches  arena {:>9} B, {:.3} x lower bound, {:.3} x naive",
        network.name,
        memory.planned_bytes,
        memory.planned_bytes as f64 / memory.lower_bound_bytes.max(1) as f64,
        memory.planned_bytes as f64 / memory.naive_bytes.max(1) as f64,
    );
    if memory.planned_bytes as f64 > 1.05 * memory.lower_bound_bytes as f64 {
        return Err(format!(
            "the arena of {} bytes is more than 1.05 x the lower bound of {} bytes",
            memory.planned_bytes, memory.lower_bound_bytes
        ));
    }
    Ok(Budget {
        dispatches: dispatches as u64,
        kernels: planned.kernels.len() as u64,
        barriers: barriers as u64,
        arena_bytes: memory.planned_bytes,
        weight_bytes: compiled.weights.bytes(),
    })
}

#[test]
fn no_network_costs_more_than_its_budget() {
    let Some(networks) = shared::networks() else { return };
    let bless = std::env::var("DRIFT_BLESS").is_ok_and(|v| v == "1");
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let committed: Budgets = toml::from_str(&text).unwrap_or_else(|e| panic!("budgets.toml: {e}"));
    let queue = Mutex::new(networks.iter());
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(network) = { queue.lock().expect("no panic inside").next() } {
                    let result = measure(network);
                    results.lock().expect("no panic inside").insert(network.name.clone(), result);
                }
            });
        }
    });
    let results = results.into_inner().expect("no panic inside");
    let mut wrong: Vec<String> = Vec::new();
    let mut measured = committed.clone();
    for (name, result) in results {
        match (result, committed.get(&name)) {
            (Err(e), _) => wrong.push(format!("{name}: {e}")),
            (Ok(now), budget) => {
                let lines = over(&now, &budget.cloned().unwrap_or_default());
                if budget.is_none() {
                    wrong.push(format!("{name}: has no budget"));
                } else {
                    wrong.extend(lines.iter().map(|l| format!("{name}: {l}")));
                    if lines.is_empty() && budget != Some(&now) {
                        println!("{name}: costs less than its budget: {now:?}");
                    }
                }
                measured.insert(name, now);
            }
        }
    }
    if bless {
        let text = toml::to_string(&measured).expect("plain numbers");
        std::fs::write(path(), format!("{HEAD}{text}")).expect("budgets.toml is writable");
        wrong.retain(|w| w.contains("lower bound"));
    }
    assert!(
        wrong.is_empty(),
        "{}\nif this is meant: DRIFT_BLESS=1 cargo test -p drift-conformance --test budgets",
        wrong.join("\n")
    );
}

/// What is over budget, one line each.
fn over(now: &Budget, budget: &Budget) -> Vec<String> {
    let rows = [
        ("dispatches", now.dispatches, budget.dispatches),
        ("kernels", now.kernels, budget.kernels),
        ("barriers", now.barriers, budget.barriers),
        ("arena bytes", now.arena_bytes, budget.arena_bytes),
        ("weight bytes", now.weight_bytes, budget.weight_bytes),
    ];
    let over = rows.iter().filter(|(_, now, budget)| now > budget);
    over.map(|(what, now, budget)| format!("{now} {what}, the budget is {budget}")).collect()
}

#[test]
fn a_budget_is_an_upper_bound() {
    let budget = Budget { dispatches: 3, arena_bytes: 100, ..Budget::default() };
    assert!(
        over(&Budget { dispatches: 2, arena_bytes: 100, ..Budget::default() }, &budget).is_empty()
    );
    let more = Budget { dispatches: 4, arena_bytes: 101, ..Budget::default() };
    assert_eq!(
        over(&more, &budget),
        ["4 dispatches, the budget is 3", "101 arena bytes, the budget is 100"]
    );
}
