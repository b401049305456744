//! Every operator with a GPU lowering, on all its cases: lower, virtualize, interpret, and compare
//! with the reference. Variants try other layouts, f16 storage, constants and epilogues.
//!
//! `DRIFT_OP=softmax` runs one operator and prints each failure in full.

mod lowering;

use drift_ops::{ErrorKind, OPS};
use lowering::{Failure, Variant, check};
use std::collections::BTreeMap;

#[test]
fn kernels_agree_with_the_reference() {
    let only = std::env::var("DRIFT_OP").ok();
    let mut failures = Vec::new();
    let mut table = String::new();
    for def in OPS.iter().filter(|d| !d.import_only()) {
        if only.as_ref().is_some_and(|o| o != def.name) {
            continue;
        }
        let (mut passed, mut skipped) = (0, BTreeMap::<String, usize>::new());
        for case in (def.cases)().into_iter().chain(lowering::shapes::of(def.name)) {
            for variant in Variant::all() {
                match check(def, &case, variant) {
                    Ok(true) => passed += 1,
                    Ok(false) => {}
                    Err(Failure::Lower(e)) if e.kind == ErrorKind::Unsupported => {
                        *skipped.entry(e.message).or_default() += 1;
                    }
                    Err(e) => {
                        failures.push(format!("{} / {} / {variant:?}: {e}", def.name, case.name));
                    }
                }
            }
        }
        table += &format!("{:<20} {passed:>4} passed", def.name);
        for (why, n) in skipped {
            table += &format!("; {n} unsupported: {why}");
        }
        table += "\n";
    }
    println!("{table}");
    let shown: Vec<_> = failures.iter().take(40).cloned().collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), shown.join("\n"));
}

/// Matrices that no binding spans: several kernels with a binding each.
#[test]
fn matrices_in_parts() {
    for op in ["linear", "embedding", "gather"] {
        let def = OPS.iter().find(|d| d.name == op).expect("in the table");
        for case in lowering::parts::of(op) {
            for variant in [Variant::Parts, Variant::PartsEpilogue] {
                match check(def, &case, variant) {
                    Ok(_) => {}
                    Err(e) => panic!("{op} / {} / {variant:?}: {e}", case.name),
                }
            }
        }
    }
}
