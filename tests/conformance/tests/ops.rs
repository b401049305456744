//! Every case of every operator on the GPU against its f64 reference, in several storages.
//!
//! Each test prints a table: operator × passed / unsupported, because … / failed. What is not
//! supported says so itself; what fails must be listed in [`KNOWN`], and what is listed must fail.
//! `DRIFT_OP=softmax` runs one operator, `DRIFT_CASE=odd` the cases with this in their name.

use drift_bundle::caps::ImageKind;
use drift_conformance::op_case::{Outcome, Setup, run};
use drift_conformance::{gpu, network};
use drift_kernel::tensor::{Elem, Storage};
use drift_ops::OPS;
use std::collections::BTreeMap;

/// Failures that are known: setup, operator, a part of the case's name, why.
const KNOWN: &[(&str, &str, &str, &str)] = &[];

/// Plain buffers of f32 on the target of the device.
fn setup(name: &'static str, target: &str) -> Setup {
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

fn check(setup: &Setup, wanted: impl Fn(&str) -> bool) {
    let Some(device) = gpu::device() else { return };
    let only = std::env::var("DRIFT_OP").ok();
    let (mut table, mut failures, mut unseen) = (String::new(), Vec::new(), Vec::new());
    let mut passed_in_all = 0;
    for def in OPS.iter().filter(|d| !d.import_only() && wanted(d.name)) {
        if only.as_ref().is_some_and(|o| o != def.name) {
            continue;
        }
        let (mut passed, mut moved, mut failed) = (0, 0, 0);
        let mut unsupported = BTreeMap::<String, usize>::new();
        let some = std::env::var("DRIFT_CASE").ok();
        for case in (def.cases)() {
            if some.as_ref().is_some_and(|s| !case.name.contains(s.as_str())) {
                continue;
            }
            let known = KNOWN.iter().find(|(s, op, part, _)| {
                *s == setup.name && *op == def.name && case.name.contains(part)
            });
            let start = std::time::Instant::now();
            let outcome = run(&device, def, &case, setup);
            if some.is_some() {
                println!("{} / {}: {:.1} s", def.name, case.name, start.elapsed().as_secs_f64());
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
                (_, Some((_, _, _, why))) => {
                    unseen.push(format!("{} / {}: {why}", def.name, case.name));
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
    println!("{}\n{table}", setup.name);
    let shown: Vec<_> = failures.iter().take(60).cloned().collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), shown.join("\n"));
    assert!(unseen.is_empty(), "these pass now, take them off KNOWN:\n{}", unseen.join("\n"));
    assert!(passed_in_all > 0 || only.is_some(), "nothing ran");
}

/// The target that the device of the tests is compiled for.
fn target() -> &'static str {
    gpu::device().as_ref().map_or("lavapipe", network::target_for)
}

#[test]
fn buffers_f32() {
    check(&setup("buffers, f32", target()), |_| true);
}

#[test]
fn constants_f32() {
    check(&Setup { constants: true, ..setup("constants, f32", target()) }, |_| true);
}

#[test]
fn slices_f32() {
    let base = setup("slices, f32", target());
    check(&Setup { slices: true, constants: true, ..base }, |_| true);
}

#[test]
fn buffers_f16() {
    check(&Setup { float: Elem::F16, ..setup("buffers, f16", target()) }, |_| true);
}

#[test]
fn slices_f16() {
    let base = setup("slices, f16", target());
    check(&Setup { float: Elem::F16, slices: true, constants: true, ..base }, |_| true);
}

/// f16 in pairs inside 32-bit words, for devices without 16-bit storage.
#[test]
fn packed_f16() {
    let base = setup("slices, packed f16", "vulkan-baseline");
    check(&Setup { float: Elem::F16Packed, slices: true, constants: true, ..base }, |_| true);
}

/// Tensors over 512 bytes are several bindings.
#[test]
fn split_f32() {
    check(&Setup { max_object_bytes: 512, ..setup("split, f32", target()) }, |_| true);
}

#[test]
fn split_slices_f16() {
    let base = setup("split slices, f16", target());
    let max_object_bytes = 256;
    let float = Elem::F16;
    check(&Setup { max_object_bytes, float, slices: true, constants: true, ..base }, |_| true);
}

/// Operators whose operands and results a target may put into images.
fn in_images(op: &str) -> bool {
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

fn images(name: &'static str, kind: ImageKind, float: Elem) {
    let base = setup(name, target());
    let storage = Storage::Image(kind);
    check(&Setup { float, storage, slices: true, constants: true, ..base }, in_images);
}

#[test]
fn texture_2d_f32() {
    images("2D textures, f32", ImageKind::Texture2d, Elem::F32);
}

#[test]
fn texture_2d_f16() {
    images("2D textures, f16", ImageKind::Texture2d, Elem::F16);
}

#[test]
fn texture_array_f32() {
    images("texture arrays, f32", ImageKind::Texture2dArray, Elem::F32);
}

#[test]
fn texture_3d_f32() {
    images("3D textures, f32", ImageKind::Texture3d, Elem::F32);
}
