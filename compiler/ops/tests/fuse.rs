//! Every rewrite rule against its fixture `tests/fuse/<rule>.txt`: graph in, graph out, and both
//! compute the same. `DRIFT_BLESS=1` rewrites what the rules give.
//!
//! A file holds cases: `==== title`, a graph, `---- becomes`, a graph.

use drift_ir::{Graph, Tensor, parse, print};
use drift_ops::data::sample;
use drift_ops::fuse::{FuseOptions, RULES, Rule, canonicalize, fuse, run_rules, verify_graph};
use drift_ops::{eval_graph, find_op};
use std::path::PathBuf;

fn graph(text: &str, at: &str) -> Graph {
    let g = parse(text, &|n| find_op(n).map(|d| d.name)).unwrap_or_else(|e| panic!("{at}: {e}"));
    verify_graph(&g).unwrap_or_else(|e| panic!("{at}: {e}"));
    g
}

fn inputs(g: &Graph) -> Vec<Tensor> {
    let make = |(i, v): (usize, &drift_ir::ValueId)| {
        let v = g.value(*v);
        sample(i as u64 + 1, v.dtype, v.shape.clone())
    };
    g.inputs.iter().enumerate().map(make).collect()
}

/// Both graphs give the same outputs, up to the rounding of `tolerance` of the output's scale.
fn assert_same(a: &Graph, b: &Graph, tolerance: f64, at: &str) {
    let inputs = inputs(a);
    let before = eval_graph(a, &inputs).unwrap_or_else(|e| panic!("{at}: {e}"));
    let after = eval_graph(b, &inputs).unwrap_or_else(|e| panic!("{at}: {e}"));
    assert_eq!(before.len(), after.len());
    for (i, (x, y)) in before.iter().zip(&after).enumerate() {
        assert_eq!((x.dtype, &x.shape), (y.dtype, &y.shape), "{at}, output {i}");
        let (x, y) = (x.to_f64s(), y.to_f64s());
        let scale = x.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
        for (k, (p, q)) in x.iter().zip(&y).enumerate() {
            let same = (p - q).abs() <= tolerance * scale || (p.is_nan() && q.is_nan());
            assert!(same, "{at}, output {i}, element {k}: {p} became {q} (scale {scale})");
        }
    }
}

struct Case {
    title: String,
    before: String,
    after: String,
}

fn cases(text: &str, at: &str) -> Vec<Case> {
    text.split("==== ")
        .skip(1)
        .map(|part| {
            let (title, rest) = part.split_once('\n').unwrap_or((part, ""));
            let (before, after) = rest.split_once("---- becomes\n").unwrap_or((rest, ""));
            let case = Case {
                title: title.into(),
                before: before.trim().into(),
                after: after.trim().into(),
            };
            assert!(!case.before.is_empty(), "{at}: case {title} has no graph");
            case
        })
        .collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuse")
}

/// Rules by name, each once (a rule may stand in two stages).
fn rules() -> Vec<&'static Rule> {
    let mut out: Vec<&Rule> = Vec::new();
    for rule in RULES {
        if !out.iter().any(|r| r.name == rule.name) {
            out.push(rule);
        }
    }
    out
}

fn check(path: PathBuf, run: impl Fn(Graph) -> Graph, tolerance: f64) -> Vec<String> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let bless = std::env::var_os("DRIFT_BLESS").is_some();
    let mut blessed = text.split("==== ").next().unwrap_or("").to_owned();
    let mut wrong = Vec::new();
    let cases = cases(&text, &name);
    assert!(!cases.is_empty(), "{name} has no cases");
    for case in &cases {
        let at = format!("{name}, {}", case.title);
        let before = graph(&case.before, &at);
        let after = run(before.clone());
        verify_graph(&after).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_same(&before, &after, tolerance, &at);
        let printed = print(&after);
        if printed.trim() != case.after {
            wrong.push(format!("{at} gives\n{printed}"));
        }
        blessed += &format!("==== {}\n{}\n---- becomes\n{printed}", case.title, case.before);
        blessed.push('\n');
    }
    if bless {
        let blessed = format!("{}\n", blessed.trim_end());
        if blessed != text {
            std::fs::write(&path, blessed).unwrap();
        }
        return Vec::new();
    }
    wrong
}

#[test]
fn every_rule_does_what_its_fixture_says() {
    let mut wrong = Vec::new();
    for rule in rules() {
        let path = folder().join(format!("{}.txt", rule.name));
        let run = |g: Graph| run_rules(g, &[rule]).unwrap_or_else(|e| panic!("{e}")).0;
        wrong.extend(check(path, run, 1e-6));
    }
    assert!(wrong.is_empty(), "{}\n(DRIFT_BLESS=1 accepts)", wrong.join("\n"));
}

#[test]
fn whole_passes_do_what_their_fixtures_say() {
    let run = |g: Graph| {
        let (g, _) = canonicalize(g, &FuseOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        fuse(g, &FuseOptions::default()).unwrap_or_else(|e| panic!("{e}")).0
    };
    let wrong = check(folder().join("_passes.txt"), run, 2e-6);
    assert!(wrong.is_empty(), "{}\n(DRIFT_BLESS=1 accepts)", wrong.join("\n"));
}

/// Each fixture of each rule through all rules: rules must get along.
#[test]
fn all_rules_together_keep_the_meaning_of_every_fixture() {
    for rule in rules() {
        let name = format!("{}.txt", rule.name);
        let text = std::fs::read_to_string(folder().join(&name)).unwrap();
        for case in cases(&text, &name) {
            let at = format!("{name}, {}", case.title);
            let before = graph(&case.before, &at);
            let (canonical, _) = canonicalize(before.clone(), &FuseOptions::default())
                .unwrap_or_else(|e| panic!("{at}: {e}"));
            assert_same(&before, &canonical, 2e-6, &at);
            let (fused, report) =
                fuse(canonical, &FuseOptions::default()).unwrap_or_else(|e| panic!("{at}: {e}"));
            assert_same(&before, &fused, 2e-6, &at);
            assert!(report.nodes_after <= before.node_count(), "{at}");
            for id in fused.node_ids() {
                let op = fused.node(id).op;
                assert!(!matches!(op, "reshape" | "transpose" | "slice" | "expand"), "{at}: {op}");
            }
        }
    }
}

#[test]
fn rules_can_be_disabled_and_bisected() {
    let text = "graph \"g\" {
      %0 = input \"x\" f32[4]
      %1 = pointwise(%0) { t0 = neg(o0); return t0 } -> f32[4]
      %2 = pointwise(%1) { t0 = exp(o0); return t0 } -> f32[4]
      %3 = pointwise(%2) { t0 = sqrt(o0); return t0 } -> f32[4]
      output \"y\" %3
    }";
    let g = graph(text, "bisect");
    let run = |options: &FuseOptions| fuse(g.clone(), options).unwrap();
    let (all, report) = run(&FuseOptions::default());
    assert_eq!((all.node_count(), report.applied["merge_pointwise"]), (1, 2));
    assert_eq!((report.nodes_before, report.nodes_after), (3, 1));
    let limit = FuseOptions { bisect_limit: Some(1), ..FuseOptions::default() };
    assert_eq!(run(&limit).0.node_count(), 2);
    let off = ["merge_pointwise", "duplicate_cheap"].map(str::to_owned).into();
    let off = FuseOptions { disabled: off, ..FuseOptions::default() };
    assert_eq!(run(&off).0.node_count(), 3);
    for rule in RULES {
        assert!(!rule.description.is_empty() && rule.description.len() < 100, "{}", rule.name);
    }
}
