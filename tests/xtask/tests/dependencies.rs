//! Who may depend on whom (ARCHITECTURE.md): the rules as data, checked over what cargo resolves.
//!
//! Direct dependencies come from `cargo metadata`, everything below them from `cargo tree`, which
//! resolves the features of one package at a time (`cargo metadata` merges those of the whole
//! workspace). Development dependencies are free.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

struct Rule {
    package: &'static str,
    /// The only crates of this repository it may name; `None`: any.
    ours: Option<&'static [&'static str]>,
    /// What it must not see, however deep.
    never: &'static [&'static str],
    /// Features left out when looking deep; all others are on.
    without: &'static [&'static str],
    why: &'static str,
}

const COMPILER: &[&str] =
    &["naga", "prost", "petgraph", "clap", "toml", "drift-targets", "drift-driver", "drift-onnx"];

const RULES: &[Rule] = &[
    Rule {
        package: "drift-runtime",
        ours: Some(&["drift-bundle"]),
        never: COMPILER,
        // wgpu carries a shader compiler of its own; no other back end may.
        without: &["webgpu"],
        why: "no compiler, no graph and no parser of source models exists on the device",
    },
    Rule {
        package: "drift-c",
        ours: Some(&["drift-runtime"]),
        never: COMPILER,
        without: &["webgpu"],
        why: "it is the runtime for C, and nothing more",
    },
    Rule {
        package: "drift-web",
        ours: Some(&["drift-bundle", "drift-runtime"]),
        never: &["naga", "prost", "clap", "drift-targets", "wgpu", "wasm-bindgen", "serde"],
        without: &[],
        why: "every page loads it: no compiler, no glue code, no second WebGPU",
    },
    Rule {
        package: "drift-bundle",
        ours: Some(&[]),
        never: COMPILER,
        without: &[],
        why: "both sides share it, so it can know neither",
    },
    Rule {
        package: "drift-kernel",
        ours: None,
        never: &["naga", "drift-onnx"],
        without: &[],
        why: "kernels are ours; naga is one way to print them",
    },
    Rule {
        package: "drift-ir",
        ours: None,
        never: &["serde", "serde_core", "naga", "prost"],
        without: &[],
        why: "the graph has a text form of its own and is never a file format",
    },
    Rule {
        package: "drift-onnx",
        ours: Some(&[]),
        never: &["petgraph"],
        without: &[],
        why: "a reader of files, of use without the compiler",
    },
    Rule {
        package: "drift-weights",
        ours: Some(&[]),
        never: &["petgraph"],
        without: &[],
        why: "a reader of files, of use without the compiler",
    },
    Rule {
        package: "drift-tokenizer",
        ours: Some(&[]),
        never: &["tokenizers", "onig", "petgraph"],
        without: &[],
        why: "a reader of files, of use without the compiler",
    },
];

/// A package of the workspace as `cargo metadata` shows it.
#[derive(Default)]
struct Package {
    /// Normal and build dependencies, optional ones too.
    direct: BTreeSet<String>,
    features: BTreeSet<String>,
}

#[test]
fn the_rules_hold() {
    let packages = workspace();
    let mut broken = Vec::new();
    for rule in RULES {
        let package = packages.get(rule.package).unwrap_or_else(|| panic!("no {}", rule.package));
        let features: Vec<&str> = package
            .features
            .iter()
            .map(String::as_str)
            .filter(|name| *name != "default" && !rule.without.contains(name))
            .collect();
        broken.extend(violations(rule, &package.direct, &below(rule.package, &features, true)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_compiler_has_no_gpu_stack_of_another_project() {
    let seen = below("driftc", &[], false);
    let rule = Rule {
        package: "driftc",
        ours: None,
        never: &["wgpu", "wgpu-core", "wgpu-hal", "onnx-protobuf"],
        without: &[],
        why: "it runs bundles through our own runtime",
    };
    let broken = violations(&rule, &BTreeSet::new(), &seen);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_emit_names_naga() {
    let named_by: Vec<String> = workspace()
        .into_iter()
        // Tests may judge what we emit with it.
        .filter(|(name, _)| !["drift-golden", "drift-conformance"].contains(&name.as_str()))
        .filter(|(_, package)| package.direct.contains("naga"))
        .map(|(name, _)| name)
        .collect();
    assert!(
        named_by.iter().all(|name| name == "drift-emit"),
        "naga is a dependency of {named_by:?}; only drift-emit may name it"
    );
}

#[test]
fn a_broken_rule_is_seen() {
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect();
    let direct = names(&["drift-bundle", "drift-emit", "ash"]);
    let seen = names(&["drift-bundle", "drift-emit", "ash", "naga"]);
    let broken = violations(&RULES[0], &direct, &seen);
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(broken[0].contains("drift-runtime depends on drift-emit"), "{broken:?}");
    assert!(broken[1].contains("drift-runtime sees naga"), "{broken:?}");
}

fn violations(rule: &Rule, direct: &BTreeSet<String>, seen: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(ours) = rule.ours {
        let foreign = direct.iter().filter(|name| {
            name.starts_with("drift") && *name != rule.package && !ours.contains(&name.as_str())
        });
        broken.extend(foreign.map(|name| {
            format!(
                "{} depends on {name}; of ours it may only know {ours:?}: {}",
                rule.package, rule.why
            )
        }));
    }
    let forbidden = rule.never.iter().filter(|name| seen.contains(**name));
    broken.extend(forbidden.map(|name| {
        format!(
            "{} sees {name}: {} (cargo tree -p {} -i {name})",
            rule.package, rule.why, rule.package
        )
    }));
    broken
}

fn workspace() -> BTreeMap<String, Package> {
    let text = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("cargo metadata writes JSON");
    let packages = value["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list of dependencies");
            let direct = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                .collect();
            let features = package["features"].as_object().expect("a map of features");
            let name = package["name"].as_str().expect("a name").to_owned();
            (name, Package { direct, features: features.keys().cloned().collect() })
        })
        .collect()
}

/// Every package that `package` is built from with these features (on top of its default ones
/// unless `only`), on any platform.
fn below(package: &str, features: &[&str], only: bool) -> BTreeSet<String> {
    let list = features.join(",");
    let mut args = vec!["tree", "--package", package, "--edges", "normal,build", "--target", "all"];
    args.extend(["--prefix", "none", "--format", "{p}"]);
    if only {
        args.push("--no-default-features");
    }
    if !features.is_empty() {
        args.extend(["--features", &list]);
    }
    let seen: BTreeSet<String> =
        cargo(&args).lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(seen.contains(package), "cargo tree does not list {package} itself: {seen:?}");
    seen
}

fn cargo(args: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(args)
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {shown}", args.join(" "));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}
