//! OpenCL C with PTX between its statements as a compiler like NVIDIA's, which is a clang, takes it: whole
//! kernels, whose tensors lie in more bindings than other tests give them.
//!
//! Nothing runs. One case of each operator, all of them with `DRIFT_FULL=1`.

use drift_conformance::gpu;
use drift_conformance::op_case::{Setup, shaders};
use drift_conformance::suite::{Cases, setup};
use drift_kernel::tensor::Elem;
use drift_ops::OPS;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// clang 15, which `cargo xtask test` installs for the tests of MSL, or newer; else a visible line.
fn clang() -> Option<&'static str> {
    let names = ["clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20"];
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found = names.into_iter().find(runs);
    if found.is_none() {
        println!("skipped: no clang of version 15 to 20 is installed");
    }
    found
}

/// What clang says of a text that it does not take.
fn errors(clang: &str, text: &[u8]) -> Option<String> {
    let mut child = Command::new(clang)
        .args(["-x", "cl", "-cl-std=CL1.2", "-target", "nvptx64-nvidia-nvcl", "-fsyntax-only"])
        .args(["-Xclang", "-finclude-default-header", "-Xclang", "-fdeclare-opencl-builtins"])
        .args(["-Xclang", "-cl-ext=+all,-cl_khr_fp16"])
        .args(["-Werror", "-Wall", "-Wno-unused", "-Wno-ignored-pragmas", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it has run before");
    // it may stop reading at an error
    let written = child.stdin.take().expect("a pipe").write_all(text);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (written.is_err() || !output.status.success()).then_some(said)
}

/// Compiles the kernels of all `wanted` operators in a setup.
fn check(setup: &Setup, cases: Cases, wanted: impl Fn(&str) -> bool) {
    let Some(clang) = clang() else { return };
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for def in OPS.iter().filter(|d| !d.import_only() && wanted(d.name)) {
        for case in cases.choose((def.cases)()) {
            let name = format!("{} / {}", def.name, case.name);
            match shaders(def, &case, setup) {
                Err(e) => wrong.push(format!("{name}: {e}")),
                Ok(texts) => wrong.extend(
                    texts
                        .into_iter()
                        .filter(|text| seen.insert(text.clone()))
                        .filter_map(|text| errors(clang, &text))
                        .map(|said| format!("{name}: {said}")),
                ),
            }
        }
    }
    println!("{}: {} kernels", setup.name, seen.len());
    assert!(!seen.is_empty(), "no kernel");
    assert!(wrong.is_empty(), "{} are not taken:\n{}", wrong.len(), wrong.join("\n"));
}

fn some() -> Cases {
    if gpu::full() { Cases::All } else { Cases::Some(1) }
}

#[test]
fn split_f32() {
    check(&Setup { max_object_bytes: 512, ..setup("split, f32", "opencl-h200") }, some(), |_| true);
}

#[test]
fn split_slices_f16() {
    let (max_object_bytes, float) = (256, Elem::F16);
    let base = setup("split slices, f16", "opencl-h200");
    let setup = Setup { max_object_bytes, float, slices: true, constants: true, ..base };
    check(&setup, some(), |_| true);
}

/// Tensors of more parts than clang takes brackets within brackets (256).
#[test]
fn hundreds_of_bindings() {
    let mut base = setup("hundreds of bindings", "opencl-h200");
    base.spec.caps.limits.storage_buffers = 2047;
    check(&Setup { max_object_bytes: 512, ..base }, Cases::All, |op| op == "sample");
}
