//! What a compilation did, in a few lines or as JSON.

use drift_driver::pipeline::{Compiled, Variant};
use drift_driver::rounding::Why;
use serde_json::{Value, json};
use std::path::Path;

/// Bytes for people.
pub fn bytes(n: u64) -> String {
    match n {
        0..1000 => format!("{n} B"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

fn dispatches(v: &Variant) -> usize {
    v.steps().count()
}

fn barriers(v: &Variant) -> usize {
    let steps = v.planned.iter().flat_map(|p| &p.plan.entry_points).flat_map(|e| &e.steps);
    steps.filter(|s| matches!(s, drift_bundle::plan::Step::Barrier)).count()
}

pub fn print(c: &Compiled, bundle: Option<u64>, path: Option<&Path>) {
    for note in &c.notes {
        eprintln!("note: {note}");
    }
    println!(
        "nodes       {} in the model, {} imported, {} after fusion",
        c.model_nodes,
        c.entries.iter().map(|e| e.imported.node_count()).sum::<usize>(),
        c.entries.iter().map(|e| e.graph.node_count()).sum::<usize>()
    );
    let rules: Vec<String> =
        c.rewrites.applied.iter().map(|(rule, n)| format!("{rule} {n}")).collect();
    if !rules.is_empty() {
        println!("rewrites    {}", rules.join(", "));
    }
    for v in &c.variants {
        let Some(planned) = &v.planned else { continue };
        let m = &planned.plan.memory;
        println!(
            "{:<11} {} dispatches, {} kernels, {} barriers; arena {} (naive {}, lower bound {}); shaders {}",
            v.spec.id,
            dispatches(v),
            planned.plan.pipelines.len(),
            barriers(v),
            bytes(m.planned_bytes),
            bytes(m.naive_bytes),
            bytes(m.lower_bound_bytes),
            bytes(v.shaders.bytes()),
        );
    }
    let time: std::time::Duration = c.stats.iter().map(|s| s.time).sum();
    println!("weights     {} in final layouts, shared by all variants", bytes(c.weights.bytes()));
    if let (Some(n), Some(path)) = (bundle, path) {
        println!("bundle      {}, {} ({n} bytes)", path.display(), bytes(n));
    }
    println!("time        {:.2} s", time.as_secs_f64());
}

pub fn json(c: &Compiled, bundle: Option<u64>) -> Value {
    let variants: Vec<Value> = c
        .variants
        .iter()
        .map(|v| {
            let memory = v.planned.as_ref().map(|p| {
                json!({
                    "naive_bytes": p.plan.memory.naive_bytes,
                    "planned_bytes": p.plan.memory.planned_bytes,
                    "lower_bound_bytes": p.plan.memory.lower_bound_bytes,
                })
            });
            json!({
                "target": v.spec.id,
                "dispatches": dispatches(v),
                "kernels": v.planned.as_ref().map(|p| p.plan.pipelines.len()),
                "barriers": barriers(v),
                "memory": memory,
                "shader_bytes": v.shaders.bytes(),
                "flops": v.steps().map(|s| s.flops).sum::<u64>(),
            })
        })
        .collect();
    let stages: Vec<Value> = c
        .stats
        .iter()
        .map(|s| {
            json!({
                "stage": s.stage.name(),
                "target": s.target,
                "millis": s.time.as_secs_f64() * 1e3,
                "nodes": s.nodes,
            })
        })
        .collect();
    json!({
        "model_nodes": c.model_nodes,
        "imported_nodes": c.entries.iter().map(|e| e.imported.node_count()).sum::<usize>(),
        "fused_nodes": c.entries.iter().map(|e| e.graph.node_count()).sum::<usize>(),
        "rewrites": c.rewrites.applied,
        "notes": c.notes,
        "calibration": calibration(c),
        "variants": variants,
        "weights_bytes": c.weights.bytes(),
        "bundle_bytes": bundle,
        "stages": stages,
    })
}

/// What `--calibrate NAME=FILE` measured and chose; null without it.
fn calibration(c: &Compiled) -> Value {
    let Some(rounding) = c.rounding.first() else { return Value::Null };
    let kept = rounding.wide.iter().map(|(id, why)| {
        let node = &c.graph().node(*id).path;
        match why {
            Why::Range(most) => json!({ "node": node, "largest": most }),
            Why::Share(share) => json!({ "node": node, "share_of_error": share }),
        }
    });
    json!({
        "error_f16": rounding.all_f16,
        "error": rounding.chosen,
        "candidates": rounding.candidates,
        "kept_in_f32": kept.collect::<Vec<_>>(),
    })
}
