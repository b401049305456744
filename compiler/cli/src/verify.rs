//! `driftc verify`: compile, run, compare.

use crate::args::VerifyArgs;
use crate::array::Array;
use crate::compile;
use crate::error::{CliError, Result, Status};
use crate::run::arrays;
use crate::runner::Runner;
use drift_driver::target::Precision;
use drift_driver::{Stage, package};
use drift_runtime::Bundle;
use serde_json::{Value, json};

/// One output against its expectation.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub name: String,
    pub max_abs: f64,
    /// Largest |expected|.
    pub scale: f64,
    pub worst: usize,
    pub got: f64,
    pub want: f64,
    pub differing: usize,
    pub elems: usize,
}

/// Compares element by element: |got - want| <= atol + rtol * |want|. NaN equals NaN only, and an
/// infinity only itself.
pub fn compare(name: &str, got: &[f64], want: &[f64], atol: f64, rtol: f64) -> Comparison {
    let scale = want.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    let mut c = Comparison {
        name: name.to_owned(),
        max_abs: 0.0,
        scale,
        worst: 0,
        got: got.first().copied().unwrap_or(0.0),
        want: want.first().copied().unwrap_or(0.0),
        differing: 0,
        elems: want.len(),
    };
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan());
        let d = if same { 0.0 } else { (g - w).abs() };
        let d = if d.is_nan() { f64::INFINITY } else { d };
        if d > atol + rtol * w.abs() || (d.is_infinite() && !same) {
            c.differing += 1;
        }
        if d > c.max_abs {
            (c.max_abs, c.worst, c.got, c.want) = (d, i, *g, *w);
        }
    }
    c
}

pub fn run(args: &VerifyArgs) -> Result {
    let inputs = arrays(&args.inputs, "--input")?;
    let expected = arrays(&args.expected, "--expect")?;
    if expected.is_empty() {
        return Err(CliError::bad("nothing to compare with").help("add --expect NAME=FILE.npy"));
    }
    let mut options = compile::options(&args.options, Stage::Package)?;
    // what is fed tells the shapes that the model leaves open
    for (name, array) in &inputs {
        let shape = array.shape.iter().map(|&d| d as usize).collect();
        options.bindings.shapes.entry(name.clone()).or_insert(shape);
    }
    let compiled = compile::compile(&args.options, &options, args.json)?;
    let bytes = package::to_vec(&compiled, compile::meta(&args.options, &options))?;
    let mut runner = Runner::load(&Bundle::from_vec(bytes)?, &args.place)?;
    let outputs = runner.run(&inputs)?;
    let mut results = Vec::new();
    for (name, want) in &expected {
        let Some(got) = outputs.get(name) else {
            let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            return Err(CliError::bad(format!("the model has no output `{name}`"))
                .help(format!("its outputs are: {}", names.join(", "))));
        };
        if got.shape != want.shape {
            return Err(CliError::new(
                Status::OutputsDiffer,
                format!("output `{name}` has shape {:?}, expected {:?}", got.shape, want.shape),
            ));
        }
        let got = Array { elem: got.elem, shape: got.shape.clone(), bytes: got.bytes.clone() };
        let (got, want) = (got.to_f64(), want.to_f64());
        let scale = want.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
        let relative = if options.precision == Precision::F32 { 1e-3 } else { 2e-2 };
        let atol = args.atol.unwrap_or(if args.rtol.is_some() { 0.0 } else { relative * scale });
        results.push(compare(name, &got, &want, atol, args.rtol.unwrap_or(0.0)));
    }
    report(args, &runner.place(), &results)
}

fn report(args: &VerifyArgs, place: &str, results: &[Comparison]) -> Result {
    if args.json {
        let rows: Vec<Value> = results
            .iter()
            .map(|c| {
                json!({
                    "output": c.name, "max_abs_error": c.max_abs, "max_abs_expected": c.scale,
                    "elements": c.elems, "differing": c.differing, "ok": c.differing == 0,
                })
            })
            .collect();
        println!("{:#}", json!({ "device": place, "outputs": rows }));
    } else {
        println!("ran on {place}");
        for c in results {
            let verdict = if c.differing == 0 { "ok" } else { "DIFFERS" };
            println!(
                "{:<8} {}  max error {:.3e} ({:.2e} of the largest value {:.4})",
                verdict,
                c.name,
                c.max_abs,
                if c.scale > 0.0 { c.max_abs / c.scale } else { c.max_abs },
                c.scale,
            );
        }
    }
    let bad: Vec<&Comparison> = results.iter().filter(|c| c.differing > 0).collect();
    match bad.first() {
        None => Ok(()),
        Some(c) => Err(CliError::new(
            Status::OutputsDiffer,
            format!(
                "output `{}` differs in {} of {} elements; worst at element {}: {} instead of {}",
                c.name, c.differing, c.elems, c.worst, c.got, c.want
            ),
        )
        .help(
            "`--backend reference` and `--disable PASS` (or `--bisect N`) show where it comes from",
        )),
    }
}
