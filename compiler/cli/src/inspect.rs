//! `driftc inspect`: everything that is in a bundle.

use crate::args::InspectArgs;
use crate::error::{CliError, Result};
use crate::summary::bytes as human;
use drift_bundle::plan::{Bind, Io, ObjectKind, Plan, Step};
use drift_bundle::{Bundle, Variant};
use serde_json::{Value, json};

pub fn run(args: &InspectArgs) -> Result {
    let bytes = std::fs::read(&args.bundle)
        .map_err(|e| CliError::bad(format!("{}: {e}", args.bundle.display())))?;
    let bundle = Bundle::parse(&bytes)
        .and_then(|b| b.verify().map(|()| b))
        .map_err(|e| CliError::bad(format!("{}: {e}", args.bundle.display())))?;
    if args.json {
        println!("{:#}", as_json(&bundle, bytes.len()));
    } else {
        print(&bundle, bytes.len());
    }
    Ok(())
}

fn print(bundle: &Bundle<'_>, len: usize) {
    println!("{} bytes, model {}", len, bundle.meta().model());
    for (key, value) in bundle.meta().iter() {
        println!("  {key}: {value}");
    }
    println!("sections");
    for s in bundle.sections() {
        let variant = s.variant.map_or(String::new(), |v| format!(" of variant {v}"));
        println!(
            "  {:<14}{variant} at {}, {} bytes",
            format!("{:?}", s.section),
            s.offset,
            s.bytes
        );
    }
    for (name, bytes) in bundle.assets() {
        println!("asset {name}, {} bytes", bytes.len());
    }
    for (i, v) in bundle.variants().enumerate() {
        print_variant(i, &v);
    }
}

fn print_variant(i: usize, v: &Variant<'_>) {
    let (r, plan) = (v.requirements, v.plan);
    println!("variant {i}: {} ({} through {}), rank {}", r.target, r.dialect, r.api, r.rank);
    let features: Vec<&str> = r.features.names().collect();
    println!(
        "  features: {}",
        if features.is_empty() { "none".into() } else { features.join(", ") }
    );
    println!(
        "  limits: {} per binding, {} per buffer, {} workgroup memory, {} invocations, {} storage buffers",
        human(r.limits.storage_range_bytes),
        human(r.limits.buffer_bytes),
        human(r.limits.workgroup_memory_bytes),
        r.limits.workgroup_invocations,
        r.limits.storage_buffers,
    );
    let m = &plan.memory;
    println!(
        "  memory: arena {} ({}), naive {}, lower bound {}",
        human(m.planned_bytes),
        m.strategy,
        human(m.naive_bytes),
        human(m.lower_bound_bytes)
    );
    println!(
        "  shaders: {} ({})",
        v.shaders().len(),
        human(v.shaders().iter().map(|s| s.len() as u64).sum())
    );
    for (n, o) in plan.objects.iter().enumerate() {
        let what = match &o.kind {
            ObjectKind::Buffer { bytes } => format!("buffer, {bytes} bytes"),
            ObjectKind::Image { kind, format, extent } => format!("{kind:?} {extent:?} {format:?}"),
        };
        println!("  object {n}: {:?}, {what}", o.role);
    }
    for s in &plan.states {
        println!(
            "  state {} {:?} {:?} (as {:?} in object {} at {})",
            s.name, s.elem, s.shape, s.device_elem, s.object, s.offset
        );
    }
    for e in &plan.entry_points {
        let (dispatches, barriers) = counts(&e.steps);
        println!("  entry point {}: {dispatches} dispatches, {barriers} barriers", e.name);
        for (way, list) in [("input", &e.inputs), ("output", &e.outputs)] {
            for io in list {
                println!(
                    "    {way} {} {:?} {:?} (as {:?} in object {})",
                    io.name, io.elem, io.shape, io.device_elem, io.object
                );
            }
        }
        for (n, step) in e.steps.iter().enumerate() {
            println!("    {n:>4} {}", step_text(plan, step));
        }
    }
}

/// Dispatches and barriers.
fn counts(steps: &[Step]) -> (usize, usize) {
    let dispatches = steps.iter().filter(|s| matches!(s, Step::Dispatch { .. })).count();
    let barriers = steps.iter().filter(|s| matches!(s, Step::Barrier)).count();
    (dispatches, barriers)
}

fn step_text(plan: &Plan, step: &Step) -> String {
    match step {
        Step::Barrier => "barrier".into(),
        Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
            format!("copy {bytes} bytes from {src}+{src_offset} to {dst}+{dst_offset}")
        }
        Step::Dispatch { pipeline, workgroups, binds, label } => {
            let binds: Vec<String> = binds
                .iter()
                .map(|b| match b {
                    Bind::Buffer { object, offset, bytes } => format!("{object}+{offset}:{bytes}"),
                    Bind::Image { object } => format!("image {object}"),
                })
                .collect();
            let label = plan.labels.get(*label as usize).map_or("", String::as_str);
            format!("dispatch {workgroups:?} pipeline {pipeline} [{}]  {label}", binds.join(" "))
        }
    }
}

fn as_json(bundle: &Bundle<'_>, len: usize) -> Value {
    let meta: serde_json::Map<String, Value> =
        bundle.meta().iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    let sections: Vec<Value> = bundle
        .sections()
        .iter()
        .map(|s| {
            json!({
                "section": format!("{:?}", s.section).to_lowercase(), "variant": s.variant,
                "offset": s.offset, "bytes": s.bytes, "align": s.align,
                "xxh3": format!("{:016x}", s.hash),
            })
        })
        .collect();
    let assets: Vec<Value> =
        bundle.assets().map(|(name, b)| json!({ "name": name, "bytes": b.len() })).collect();
    let variants: Vec<Value> = bundle.variants().map(|v| variant_json(&v)).collect();
    json!({
        "bytes": len, "model": bundle.meta().model(), "meta": meta, "sections": sections,
        "assets": assets,
        "weights_bytes": bundle.weights().len(), "variants": variants,
    })
}

fn io_json(io: &Io) -> Value {
    json!({
        "name": io.name, "dtype": format!("{:?}", io.elem).to_lowercase(), "shape": io.shape,
        "object": io.object,
    })
}

fn variant_json(v: &Variant<'_>) -> Value {
    let (r, plan) = (v.requirements, v.plan);
    let entries: Vec<Value> = plan
        .entry_points
        .iter()
        .map(|e| {
            let io = |list: &[Io]| -> Vec<Value> { list.iter().map(io_json).collect() };
            let (dispatches, barriers) = counts(&e.steps);
            let steps: Vec<String> = e.steps.iter().map(|s| step_text(plan, s)).collect();
            json!({
                "name": e.name, "inputs": io(&e.inputs), "outputs": io(&e.outputs),
                "dispatches": dispatches, "barriers": barriers, "steps": steps,
            })
        })
        .collect();
    json!({
        "target": r.target, "api": r.api.to_string(), "dialect": r.dialect.to_string(),
        "rank": r.rank, "features": r.features.names().collect::<Vec<_>>(),
        "subgroup_sizes": r.subgroup_sizes,
        "limits": {
            "storage_range_bytes": r.limits.storage_range_bytes,
            "buffer_bytes": r.limits.buffer_bytes,
            "workgroup_memory_bytes": r.limits.workgroup_memory_bytes,
            "workgroup_invocations": r.limits.workgroup_invocations,
            "storage_buffers": r.limits.storage_buffers,
            "images": r.limits.images,
        },
        "memory": {
            "strategy": plan.memory.strategy, "naive_bytes": plan.memory.naive_bytes,
            "planned_bytes": plan.memory.planned_bytes,
            "lower_bound_bytes": plan.memory.lower_bound_bytes,
        },
        "pipelines": plan.pipelines.len(), "shaders": v.shaders().len(),
        "objects": plan.objects.len(), "entry_points": entries,
        "states": plan.states.iter().map(io_json).collect::<Vec<_>>(),
    })
}
