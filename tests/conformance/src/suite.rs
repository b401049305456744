//! Every case of every operator in a setup, on the device of an API.
//!
//! A table is printed: operator × passed / unsupported, because … / failed. What is not supported
//! says so itself; what fails must be listed in `KNOWN`, and what is listed must fail.
//! `DRIFT_OP=softmax` runs one operator, `DRIFT_CASE=odd` the cases with this in their name.
//! `DRIFT_RESULTS=FOLDER` keeps the table as a file ([`crate::results`]).

use crate::op_case::{Outcome, Setup, run};
use crate::results::{self, Driver, Row};
use crate::{gpu, network};
use drift_bundle::caps::{Api, ImageKind};
use drift_kernel::tensor::{Elem, Storage};
use drift_ops::{Case, OPS};

/// Failures that are known.
struct Known {
    api: Api,
    /// A part of the device's name; "" = all of the API.
    device: &'static str,
    /// A part of the setup's name; "" = all of them.
    setup: &'static str,
    operator: &'static str,
    /// The case's name.
    case: &'static str,
    why: &'static str,
}

const KNOWN: &[Known] = &[
    rough_sine(Api::Vulkan, "SwiftShader", "sin"),
    rough_sine(Api::Vulkan, "SwiftShader", "cos"),
    // the same driver, as Chromium names it
    rough_sine(Api::WebGpu, "swiftshader", "sin"),
    rough_sine(Api::WebGpu, "swiftshader", "cos"),
];

const fn rough_sine(api: Api, device: &'static str, case: &'static str) -> Known {
    // halves are judged more mildly
    Known { api, device, setup: "f32", operator: "pointwise", case, why: ROUGH_SINE }
}

const ROUGH_SINE: &str = "the driver's sin and cos are off by up to 1.9e-4: more than we allow (5e-5), \
                          less than Vulkan does (2^-11)";

/// Which cases of an operator are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cases {
    All,
    /// At most this many of each operator, spread over all of them.
    Some(usize),
}

impl Cases {
    pub fn choose(self, all: Vec<Case>) -> Vec<Case> {
        let most = match self {
            Cases::Some(most) if all.len() > most => most,
            _ => return all,
        };
        let n = all.len();
        let chosen = |i: usize| (i * most) / n != ((i + 1) * most) / n;
        all.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, c)| c).collect()
    }
}

/// The device under test and what it is compiled for.
#[derive(Clone)]
pub struct Bench {
    pub api: Api,
    pub device: drift_runtime::Device,
    pub target: &'static str,
    /// A target with fewer features.
    pub baseline: &'static str,
}

impl Bench {
    /// The device of the tests ([`gpu::device`]).
    pub fn new() -> Option<Bench> {
        Bench::of(gpu::api())
    }

    pub fn of(api: Api) -> Option<Bench> {
        let device = gpu::device_of(api)?;
        let (target, baseline) = (network::target_for(&device), network::baseline_for(&device));
        Some(Bench { api, device, target, baseline })
    }

    /// Plain buffers of f32.
    pub fn setup(&self, name: &'static str) -> Setup {
        setup(name, self.target)
    }

    /// Values in images, constants packed by the compiler.
    pub fn images(&self, name: &'static str, kind: ImageKind, float: Elem) -> Setup {
        let storage = Storage::Image(kind);
        Setup { float, storage, slices: true, constants: true, ..self.setup(name) }
    }

    /// Runs the operators that are `wanted`; panics with all failures.
    pub fn check(&self, setup: &Setup, cases: Cases, wanted: impl Fn(&str) -> bool) {
        let only = std::env::var("DRIFT_OP").ok();
        let some = std::env::var("DRIFT_CASE").ok();
        let (mut rows, mut failures, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        let device = &self.device.capabilities().device_name;
        for def in OPS.iter().filter(|d| !d.import_only() && wanted(d.name)) {
            if only.as_ref().is_some_and(|o| o != def.name) {
                continue;
            }
            let (operator, name) = (def.name.to_owned(), setup.name.to_owned());
            let mut row = Row { operator, setup: name, ..Row::default() };
            for case in cases.choose((def.cases)()) {
                if some.as_ref().is_some_and(|s| !case.name.contains(s.as_str())) {
                    continue;
                }
                let known = KNOWN.iter().find(|k| {
                    (k.api, k.operator, k.case) == (self.api, def.name, case.name.as_str())
                        && device.contains(k.device)
                        && setup.name.contains(k.setup)
                });
                let start = std::time::Instant::now();
                let outcome = run(&self.device, def, &case, setup);
                if some.is_some() {
                    let seconds = start.elapsed().as_secs_f64();
                    println!("{} / {}: {seconds:.1} s", def.name, case.name);
                }
                match (outcome, known) {
                    (Outcome::Skipped, _) => {}
                    (Outcome::Passed { moved }, None) => {
                        row.passed += 1;
                        row.moved += usize::from(moved);
                    }
                    (Outcome::Unsupported(why), None) => {
                        *row.unsupported.entry(why).or_default() += 1;
                    }
                    (Outcome::Failed(e), None) => {
                        row.failed += 1;
                        failures.push(format!("{} / {}: {e}", def.name, case.name));
                    }
                    (Outcome::Failed(_), Some(known)) => {
                        *row.expected.entry(known.why.to_owned()).or_default() += 1;
                    }
                    (_, Some(known)) => {
                        row.failed += 1;
                        unseen.push(format!("{} / {}: {}", def.name, case.name, known.why));
                    }
                }
            }
            rows.push(row);
        }
        let passed_in_all: usize = rows.iter().map(|r| r.passed).sum();
        let table: String = rows.iter().map(line).collect();
        println!("{} on {}: {passed_in_all} passed\n{table}", setup.name, self.api);
        if cases == Cases::All {
            results::record(&Driver::of(&self.device), setup.name, &rows);
        }
        let shown: Vec<_> = failures.iter().take(60).cloned().collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), shown.join("\n"));
        assert!(unseen.is_empty(), "these pass now, take them off KNOWN:\n{}", unseen.join("\n"));
        let refused = rows.iter().any(|r| !r.unsupported.is_empty());
        assert!(passed_in_all > 0 || refused || only.is_some(), "nothing ran");
    }
}

/// A line of the table.
fn line(row: &Row) -> String {
    let mut line = format!("{:<20} {:>3} passed", row.operator, row.passed);
    if row.moved > 0 {
        line += &format!(" ({} with values moved to f32 or to buffers)", row.moved);
    }
    if row.failed > 0 {
        line += &format!("; {} failed", row.failed);
    }
    for (list, what) in [(&row.unsupported, "unsupported"), (&row.expected, "expected to fail")] {
        for (why, n) in list {
            line += &format!("; {n} {what}: {}", why.replace('\n', " "));
        }
    }
    line + "\n"
}

/// Plain buffers of f32 on a target.
pub fn setup(name: &'static str, target: &str) -> Setup {
    let spec = network::targets(&[target]).remove(0);
    let max_object_bytes = spec.caps.limits.storage_range_bytes.min(spec.caps.limits.buffer_bytes);
    Setup {
        name,
        spec,
        float: Elem::F32,
        slices: false,
        storage: Storage::Buffer,
        max_object_bytes,
        constants: false,
    }
}

/// Operators whose operands and results a target may put into images.
pub fn in_images(op: &str) -> bool {
    let ops = [
        "batch_norm",
        "concat",
        "conv",
        "conv_transpose",
        "group_norm",
        "instance_norm",
        "lrn",
        "matmul",
        "pad",
        "pointwise",
        "pool",
        "reduce",
        "resize",
        "slice",
        "softmax",
        "transpose",
    ];
    ops.contains(&op)
}
