//! Import and reference against the ONNX project's own node tests.
//!
//! `ONNX_NODE_TESTS` names the folder `onnx/backend/test/data/node` (it comes with the Python
//! package `onnx`). Every test there is a model of one operator with inputs and outputs. A result
//! is *passed*, *unsupported because …* (a clean error), or *failed*; no test may fail.
//! `ONNX_NODE_FILTER=substring` runs a part, `ONNX_NODE_VERBOSE=1` lists what is unsupported.

use drift_ir::{Attr, Attrs, DType, Graph, Tensor, ValueId};
use drift_onnx::{Attribute, ElemType};
use drift_ops::{ErrorKind, ImportCtx, eval_graph, import_node};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Tests whose expected data disagrees with the specification or with the other runtimes, and why
/// Drift computes something else. (Newer releases of the suite corrected some of them.)
const DIFFERENT: &[(&str, &str)] = &[
    (
        "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
        "the data counts positions beyond the padded input, against the operator's text; \
         onnxruntime agrees with us",
    ),
    ("test_qlinearmatmul_2D_int8_float16", WRAPS),
    ("test_qlinearmatmul_2D_int8_float32", WRAPS),
    ("test_qlinearmatmul_3D_int8_float16", WRAPS),
    ("test_qlinearmatmul_3D_int8_float32", WRAPS),
    (
        "test_l2normalization_axis_0",
        "the data has 0/0 for a zero vector; corrected to 0 in later releases",
    ),
    ("test_attention_4d_causal_bf16_expanded", "one step of bf16 more than the tolerance"),
    ("test_resize_downsample_scales_cubic_align_corners", FRACTION),
    ("test_resize_downsample_scales_linear_align_corners", FRACTION),
];
const WRAPS: &str = "the data wraps where the text says saturate; onnxruntime saturates";
const FRACTION: &str = "the data aligns to a fractional size (2.4 for 2 elements); onnxruntime and \
                        PyTorch align to the real one";

enum Outcome {
    Passed,
    Unsupported(String),
    Failed(String),
}

fn dtype(t: ElemType) -> Result<DType, String> {
    DType::from_name(t.name()).ok_or_else(|| format!("element type {t}"))
}

fn tensor(t: &drift_onnx::Tensor) -> Result<Tensor, String> {
    let dims: Vec<usize> = t.dims.iter().map(|d| *d as usize).collect();
    Tensor::from_bytes(dtype(t.dtype)?, dims, t.data.clone()).ok_or_else(|| "size".to_owned())
}

fn attribute(a: &Attribute) -> Result<Option<Attr>, String> {
    let text = |s: &[u8]| String::from_utf8_lossy(s).into_owned();
    Ok(Some(match a {
        Attribute::Int(v) => Attr::Int(*v),
        Attribute::Float(v) => Attr::Float(f64::from(*v)),
        Attribute::Str(v) => Attr::Str(text(v)),
        Attribute::Ints(v) => Attr::Ints(v.clone()),
        Attribute::Floats(v) => Attr::Floats(v.iter().map(|x| f64::from(*x)).collect()),
        Attribute::Tensor(t) => Attr::Tensor(tensor(t)?),
        Attribute::Strs(v) => Attr::Str(v.iter().map(|s| text(s)).collect::<Vec<_>>().join(",")),
        other => return Err(format!("attributes of kind {}", other.kind())),
    }))
}

/// Reads `<kind>_0.pb`, `<kind>_1.pb`, .. of a test.
fn tensors(dir: &Path, kind: &str) -> Result<Vec<Tensor>, String> {
    let mut out = Vec::new();
    loop {
        let path = dir.join(format!("{kind}_{}.pb", out.len()));
        let Ok(bytes) = std::fs::read(&path) else { return Ok(out) };
        let t = drift_onnx::tensor_from_pb(bytes).map_err(|_| "sequences and optionals")?;
        out.push(tensor(&t)?);
    }
}

/// Which inputs of the model are known at compile time.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    Nothing,
    /// Integers, bools and single numbers, but never the first input.
    Small,
    /// Every input but the first.
    Rest,
    All,
}

/// `Err((true, _))`: unsupported.
fn import(
    model: &drift_onnx::Model,
    inputs: &[Tensor],
    known: Known,
) -> Result<(Graph, Vec<Tensor>), (bool, String)> {
    let unsupported = |m: String| (true, m);
    let mut graph = Graph::new("test");
    let mut values: HashMap<String, ValueId> = HashMap::new();
    let mut fed = Vec::new();
    let mut next = inputs.iter();
    for (i, info) in model.graph.runtime_inputs().enumerate() {
        let Some(t) = next.next() else {
            return Err((true, "an input without data".to_owned()));
        };
        let small = !t.dtype.is_float() || t.elems() == 1;
        let constant = match known {
            Known::Nothing => false,
            Known::Small => small && i > 0,
            Known::Rest => i > 0,
            Known::All => true,
        };
        let id = if constant {
            graph.add_const(&info.name, t.clone())
        } else {
            fed.push(t.clone());
            graph.add_input(&info.name, t.dtype, t.shape.clone())
        };
        values.insert(info.name.clone(), id);
    }
    for (name, t) in &model.graph.initializers {
        let id = graph.add_const(name, tensor(t).map_err(unsupported)?);
        values.insert(name.clone(), id);
    }
    for node in &model.graph.nodes {
        if node.subgraphs().next().is_some() {
            return Err((true, "control flow".to_owned()));
        }
        let mut attrs = Attrs::new();
        for (k, a) in &node.attributes {
            if let Some(a) = attribute(a).map_err(unsupported)? {
                attrs.0.insert(k.clone(), a);
            }
        }
        let mut ctx = ImportCtx {
            op_type: node.op_type.clone(),
            domain: node.domain.clone(),
            opset: model.opset(&node.domain).unwrap_or(1),
            attrs,
            inputs: node.inputs.iter().map(|n| values.get(n).copied()).collect(),
            output_names: node.outputs.clone(),
            path: node.path.clone(),
            graph: &mut graph,
        };
        let results =
            import_node(&mut ctx).map_err(|e| (e.kind == ErrorKind::Unsupported, e.to_string()))?;
        for (name, v) in node.outputs.iter().zip(results) {
            values.insert(name.clone(), v);
        }
    }
    for o in &model.graph.outputs {
        graph.outputs.push((o.name.clone(), values[&o.name]));
    }
    graph.remove_dead_nodes();
    Ok((graph, fed))
}

fn compare(got: &Tensor, want: &Tensor, rtol: f64) -> Result<(), String> {
    if got.dtype != want.dtype || got.shape != want.shape {
        return Err(format!("got {}{}, want {}{}", got.dtype, got.shape, want.dtype, want.shape));
    }
    if !got.dtype.is_float() {
        let (g, w) = (got.to_i64s(), want.to_i64s());
        let bad = g.iter().zip(&w).position(|(a, b)| a != b);
        return match bad {
            None => Ok(()),
            Some(i) => Err(format!("element {i} is {}, want {}", g[i], w[i])),
        };
    }
    let eps = if matches!(got.dtype, DType::F16 | DType::BF16) { 1e-2 } else { rtol };
    for (i, (g, w)) in got.to_f64s().iter().zip(want.to_f64s()).enumerate() {
        let same = *g == w || (g.is_nan() && w.is_nan());
        if !same && ((g - w).abs() > eps * w.abs() + 1e-5 || g.is_nan() != w.is_nan()) {
            return Err(format!("element {i} is {g}, want {w}"));
        }
    }
    Ok(())
}

fn as_declared(t: &mut Tensor, info: &drift_onnx::ValueInfo) {
    if t.dtype == DType::U16 && info.elem_type == Some(ElemType::BF16) {
        t.dtype = DType::BF16;
    }
}

fn run(dir: &Path) -> Outcome {
    let model = match drift_onnx::Model::open(dir.join("model.onnx")) {
        Ok(m) => m,
        Err(e) => return Outcome::Unsupported(format!("reader: {e}")),
    };
    let data = dir.join("test_data_set_0");
    let (mut inputs, mut outputs) = match (tensors(&data, "input"), tensors(&data, "output")) {
        (Ok(i), Ok(o)) => (i, o),
        (Err(e), _) | (_, Err(e)) => return Outcome::Unsupported(e),
    };
    // the suite stores bf16 data as u16
    for (t, info) in inputs.iter_mut().zip(&model.graph.inputs) {
        as_declared(t, info);
    }
    for (t, info) in outputs.iter_mut().zip(&model.graph.outputs) {
        as_declared(t, info);
    }
    check(&model, &inputs, &outputs)
}

/// Imports and evaluates with as little known at compile time as is supported.
fn check(model: &drift_onnx::Model, inputs: &[Tensor], outputs: &[Tensor]) -> Outcome {
    let mut reason = String::new();
    for known in [Known::Nothing, Known::Small, Known::Rest, Known::All] {
        match import(model, inputs, known) {
            Err((true, m)) => reason = m,
            Err((false, m)) => return Outcome::Failed(format!("import: {m}")),
            Ok((graph, fed)) => {
                let got = match eval_graph(&graph, &fed) {
                    Ok(g) => g,
                    Err(e) => return Outcome::Failed(format!("eval: {e}")),
                };
                for (i, (g, w)) in got.iter().zip(outputs).enumerate() {
                    if let Err(m) = compare(g, w, 1e-3) {
                        return Outcome::Failed(format!("output {i}: {m}"));
                    }
                }
                if got.len() != outputs.len() {
                    return Outcome::Failed(format!("{} of {} outputs", got.len(), outputs.len()));
                }
                return Outcome::Passed;
            }
        }
    }
    Outcome::Unsupported(reason)
}

/// The reason without the node's particulars, to count equal ones.
fn class(reason: &str) -> String {
    let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
    reason.chars().map(digits).take(110).collect()
}

/// Contrib operators against onnxruntime: models of one operator each in `tests/contrib`, made by
/// `tests/contrib.py`, which hold their inputs and results as initializers `in:NAME` and `out:NAME`.
#[test]
fn contrib_operators() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contrib");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/contrib is a folder")
        .map(|e| e.expect("a folder entry").path())
        .collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let model = drift_onnx::Model::open(file).unwrap_or_else(|e| panic!("{name}: {e}"));
        let held = |kind: &str, of: &str| {
            let key = format!("{kind}:{of}");
            let found = model.graph.initializers.iter().find(|(n, _)| **n == key);
            let (_, t) = found.unwrap_or_else(|| panic!("{name}: there is no {key}"));
            tensor(t).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let inputs: Vec<_> = model.graph.runtime_inputs().map(|i| held("in", &i.name)).collect();
        let outputs: Vec<_> = model.graph.outputs.iter().map(|o| held("out", &o.name)).collect();
        match check(&model, &inputs, &outputs) {
            Outcome::Passed => {}
            Outcome::Unsupported(m) | Outcome::Failed(m) => wrong.push(format!("{name}: {m}")),
        }
    }
    assert!(files.len() > 40, "only {} models in {}", files.len(), folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn onnx_node_tests() {
    let Ok(root) = std::env::var("ONNX_NODE_TESTS") else {
        println!("skipped: ONNX_NODE_TESTS is not set");
        return;
    };
    let filter = std::env::var("ONNX_NODE_FILTER").unwrap_or_default();
    let verbose = std::env::var_os("ONNX_NODE_VERBOSE").is_some();
    let mut dirs: Vec<_> = std::fs::read_dir(&root)
        .expect("ONNX_NODE_TESTS is a folder")
        .map(|e| e.expect("a folder entry").path())
        .filter(|p| p.is_dir() && p.to_string_lossy().contains(&filter))
        .collect();
    dirs.sort();
    assert!(!dirs.is_empty(), "no test in {root} matches {filter:?}");
    let mut passed = 0;
    let mut unsupported: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failed = Vec::new();
    for dir in &dirs {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = std::panic::catch_unwind(|| run(dir))
            .unwrap_or_else(|_| Outcome::Failed("panicked".to_owned()));
        match outcome {
            Outcome::Failed(m) if DIFFERENT.iter().any(|d| d.0 == name) => {
                println!("  different: {name}: {m}");
            }
            Outcome::Passed => passed += 1,
            Outcome::Unsupported(m) => unsupported.entry(class(&m)).or_default().push(name),
            Outcome::Failed(m) => failed.push(format!("{name}: {m}")),
        }
    }
    let count: usize = unsupported.values().map(Vec::len).sum();
    println!("{passed} passed, {count} unsupported, {} failed of {}", failed.len(), dirs.len());
    for (reason, names) in &unsupported {
        println!("  {:4} × {reason}", names.len());
        if verbose {
            println!("         {}", names.join(" "));
        }
    }
    for f in &failed {
        println!("  FAILED {f}");
    }
    assert!(failed.is_empty(), "{} node tests failed", failed.len());
    if filter.is_empty() && dirs.len() > 1000 {
        assert!(passed > 900, "only {passed} tests passed: is the folder complete?");
    }
}
