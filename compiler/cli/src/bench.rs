//! `driftc bench`: GPU time per inference and per kernel.

use crate::args::BenchArgs;
use crate::array::Array;
use crate::error::{CliError, Result, Status};
use crate::runner::Runner;
use drift_bundle::plan::{ElemType, Io};
use serde_json::{Value, json};
use std::time::Instant;

/// Plausible values for an input: small floats (never all equal), zeros for integers, ones for bool.
fn filler(io: &Io) -> Array {
    let count = io.elems().unwrap_or(0) as usize;
    let bytes = match io.elem {
        ElemType::F32 => (0..count)
            .flat_map(|i| (((i * 7919) % 1000) as f32 / 500.0 - 1.0).to_le_bytes())
            .collect(),
        ElemType::Bool => vec![1; count],
        other => vec![0; count * other.bytes() as usize],
    };
    Array { elem: io.elem, shape: io.shape.clone(), bytes }
}

pub fn run(args: &BenchArgs) -> Result {
    let start = Instant::now();
    let mut runner = Runner::load(&crate::runner::open(&args.bundle)?, &args.place)?;
    let inputs: Vec<(String, Array)> =
        runner.inputs().iter().map(|io| (io.name.clone(), filler(io))).collect();
    runner.run(&inputs)?;
    let first = start.elapsed();
    let Some((times, profile)) = runner.bench(args.runs.max(1))? else {
        return Err(CliError::new(
            Status::Unsupported,
            "the interpreter has no GPU time to report",
        )
        .help("choose a GPU back end"));
    };
    let mut rows: Vec<(String, u64, u32)> = Vec::new();
    for row in &profile.rows {
        match rows.iter_mut().find(|r| r.0 == row.label) {
            Some(r) => {
                r.1 += row.nanos;
                r.2 += 1;
            }
            None => rows.push((row.label.clone(), row.nanos, 1)),
        }
    }
    rows.sort_by_key(|r| std::cmp::Reverse(r.1));
    let (median, min) = (times.median_nanos(), times.min_nanos());
    let wall = times.wall.as_secs_f64() / f64::from(args.runs.max(1));
    if args.json {
        let kernels: Vec<Value> = rows
            .iter()
            .map(|(label, nanos, n)| json!({ "label": label, "nanos": nanos, "dispatches": n }))
            .collect();
        println!(
            "{:#}",
            json!({
                "device": runner.place(), "runs": args.runs, "gpu_median_nanos": median,
                "gpu_min_nanos": min, "wall_nanos": wall * 1e9,
                "open_to_first_result_nanos": first.as_nanos() as u64,
                "sum_of_kernels_nanos": profile.total_nanos(), "kernels": kernels,
            })
        );
        return Ok(());
    }
    println!("{}", runner.place());
    println!(
        "GPU time {:.4} ms median, {:.4} ms least, of {}; wall {:.4} ms; open to first result {:.1} ms",
        median as f64 / 1e6,
        min as f64 / 1e6,
        args.runs,
        wall * 1e3,
        first.as_secs_f64() * 1e3,
    );
    println!(
        "kernels one by one: {:.4} ms in {} dispatches",
        profile.total_nanos() as f64 / 1e6,
        profile.rows.len()
    );
    for (label, nanos, _) in rows.iter().take(args.top) {
        println!("  {:>9.2} us  {label}", *nanos as f64 / 1e3);
    }
    Ok(())
}
