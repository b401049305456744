//! Every case of every operator in a setup, on the device of an API.
//!
//! A table is printed: operator × passed / unsupported, because … / failed. What is not supported
//! says so itself; what fails must be listed in `KNOWN`, and what is listed must fail.
//! `DRIFT_OP=softmax` runs one operator, `DRIFT_CASE=odd` the cases with this in their name.

use crate::op_case::{Outcome, Setup, run};
use crate::{gpu, network};
use drift_bundle::caps::{Api, ImageKind};
use drift_kernel::tensor::{Elem, Storage};
use drift_ops::{Case, OPS};
use std::collections::BTreeMap;

/// Failures that are known.
struct Known {
    api: Api,
    setup: &'static str,
    operator: &'static str,
    /// A part of the case's name.
    case: &'static str,
    why: &'static str,
}

const KNOWN: &[Known] = &[];

/// Which cases of an operator are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cases {
    All,
    /// At most this many of each operator, spread over all of them.
    Some(usize),
}

impl Cases {
    fn choose(self, all: Vec<Case>) -> Vec<Case> {
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
        let (mut table, mut failures, mut unseen) = (String::new(), Vec::new(), Vec::new());
        let mut passed_in_all = 0;
        for def in OPS.iter().filter(|d| !d.import_only() && wanted(d.name)) {
            if only.as_ref().is_some_and(|o| o != def.name) {
                continue;
            }
            let (mut passed, mut moved, mut failed) = (0, 0, 0);
            let mut unsupported = BTreeMap::<String, usize>::new();
            for case in cases.choose((def.cases)()) {
                if some.as_ref().is_some_and(|s| !case.name.contains(s.as_str())) {
                    continue;
                }
                let known = KNOWN.iter().find(|k| {
                    (k.api, k.setup, k.operator) == (self.api, setup.name, def.name)
                        && case.name.contains(k.case)
                });
                let start = std::time::Instant::now();
                let outcome = run(&self.device, def, &case, setup);
                if some.is_some() {
                    let seconds = start.elapsed().as_secs_f64();
                    println!("{} / {}: {seconds:.1} s", def.name, case.name);
                }
                match (outcome, known) {
                    (Outcome::Skipped, _) => {}
                    (Outcome::Passed { moved: now }, None) => {
                        passed += 1;
                        moved += usize::from(now);
                    }
                    (Outcome::Unsupported(why), None) => *unsupported.entry(why).or_default() += 1,
                    (Outcome::Failed(e), None) => {
                        failed += 1;
                        failures.push(format!("{} / {}: {e}", def.name, case.name));
                    }
                    (Outcome::Failed(_), Some(_)) => failed += 1,
                    (_, Some(known)) => {
                        unseen.push(format!("{} / {}: {}", def.name, case.name, known.why));
                    }
                }
            }
            passed_in_all += passed;
            table += &format!("{:<20} {passed:>3} passed", def.name);
            if moved > 0 {
                table += &format!(" ({moved} with values moved to f32 or to buffers)");
            }
            if failed > 0 {
                table += &format!("; {failed} failed");
            }
            for (why, n) in unsupported {
                table += &format!("; {n} unsupported: {}", why.replace('\n', " "));
            }
            table.push('\n');
        }
        println!("{} on {}: {passed_in_all} passed\n{table}", setup.name, self.api);
        let shown: Vec<_> = failures.iter().take(60).cloned().collect();
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), shown.join("\n"));
        assert!(unseen.is_empty(), "these pass now, take them off KNOWN:\n{}", unseen.join("\n"));
        assert!(passed_in_all > 0 || only.is_some(), "nothing ran");
    }
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
