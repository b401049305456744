//! Ranges on a calibration prompt: the streamed evaluation against the reference evaluator. What
//! rounding costs on inputs: small networks of which it is known.

use drift_driver::calibrate::{HEADROOM, Ranges, ranges};
use drift_driver::dims::DimBindings;
use drift_driver::memory::Strategy;
use drift_driver::models::{self, Options, Quantize};
use drift_driver::rounding::{GOAL, Inputs, Rounding, Why, measure};
use drift_driver::target::{self, Precision};
use drift_driver::{Calibration, CompileOptions, Compiled, Stage, StageError, compile};
use drift_ir::{Graph, Tensor};
use drift_onnx::builder::ModelBuilder;
use drift_onnx::{ElemType, Model};
use std::path::Path;

const FOLDER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/data/llm/gemma2");

fn prefill(quantize: &str) -> Graph {
    let options = Options {
        context: Some(64),
        chunk: 16,
        quantize: Quantize::parse(quantize).expect("a scheme"),
        precision: Precision::Mixed,
        ..Options::default()
    };
    let module = models::module(Path::new(FOLDER), &options).expect("the folder is a model");
    module.entries.into_iter().find(|(name, _)| name == "prefill").expect("there is one").1
}

/// The state `hidden` by the reference evaluator, in f64.
fn hidden(graph: &Graph, ids: &[i32]) -> Vec<f64> {
    let inputs: Vec<Tensor> = graph
        .inputs
        .iter()
        .map(|v| {
            let value = graph.value(*v);
            let mut data = vec![0i64; value.shape.elems()];
            match value.name.as_str() {
                "params" => data[1] = 16,
                "tokens" => {
                    let ids = ids.iter().cycle();
                    data.iter_mut().zip(ids).for_each(|(t, i)| *t = i64::from(*i));
                }
                _ => {}
            }
            Tensor::from_i64s(value.dtype, value.shape.clone(), &data)
        })
        .collect();
    let outputs = drift_ops::eval_graph(graph, &inputs).expect("the graph can be evaluated");
    let at = graph.outputs.iter().position(|(name, _)| name == "hidden").expect("a prefill");
    outputs[at].to_f64s()
}

#[test]
fn streamed_ranges_are_those_of_the_reference() {
    let ids: Vec<i32> = (3..19).collect();
    for scheme in ["none", "q8", "q4g32"] {
        let graph = prefill(scheme);
        let seen = ranges(&graph, &ids, &mut |_| ()).expect("ranges");
        let want = hidden(&graph, &ids).into_iter().fold(0.0f64, |a, b| a.max(b.abs()));
        let value = graph.outputs.iter().find(|(name, _)| name == "hidden").expect("a prefill").1;
        let got = seen.0[&graph.value(value).name];
        assert!((got - want).abs() <= 1e-4 * want, "{scheme}: {got} instead of {want}");
        // every layer is seen, and a healthy model needs no exception
        assert!(seen.0.keys().any(|n| n.contains("layers.1")), "{:?}", seen.0.keys());
        assert_eq!(seen.beyond_f16().count(), 0);
    }
}

#[test]
fn values_near_the_end_of_f16_are_wide() {
    let values = [("a", 1.0), ("b", 65504.0 / HEADROOM), ("c", 9000.0), ("d", f64::NAN)];
    let ranges = Ranges(values.map(|(n, v)| (n.to_owned(), v)).into());
    let names: Vec<&str> = ranges.beyond_f16().map(|(n, _)| n).collect();
    assert_eq!(names, ["c", "d"]);
}

#[test]
fn an_empty_prompt_is_refused() {
    let error = ranges(&prefill("none"), &[], &mut |_| ()).expect_err("no tokens");
    assert!(error.to_string().contains("no tokens"), "{error}");
}

const ROWS: usize = 64;
const COLUMNS: usize = 128;

/// `y = OP((x + 1000) - 1000)`, to be compiled without fusion, so that every operator has its values in
/// memory.
fn network(op: &str) -> Model {
    let shape = [ROWS as i64, COLUMNS as i64];
    let scalar = |v: f32| drift_onnx::Tensor::from_f32(&[1], &[v]).expect("a number");
    ModelBuilder::new(17)
        .input("x", ElemType::F32, &shape)
        .initializer("far", scalar(1000.0))
        .node("Add", &["x", "far"], &["moved"], &[])
        .node("Sub", &["moved", "far"], &["back"], &[])
        .node(op, &["back"], &["y"], &[])
        .output("y", ElemType::F32, &shape)
        .build()
        .unwrap_or_else(|e| panic!("{e}"))
}

fn compiled(model: &Model, calibration: Calibration) -> Result<Compiled, StageError> {
    let options = CompileOptions {
        bindings: DimBindings::default(),
        precision: Precision::Mixed,
        disabled: vec!["fuse".into()],
        bisect_limit: None,
        quantize: None,
        calibration,
        memory: Strategy::default(),
        targets: target::resolve(&["vulkan-modern".to_owned()]).expect("a target"),
        stop_after: Stage::PlanMemory,
    };
    compile(model, &options, &mut |_, _, _| {})
}

fn inputs(scale: f32) -> Inputs {
    let values: Vec<f32> =
        (0..ROWS * COLUMNS).map(|i| scale * ((i * 37 % 101) as f32 / 50.0 - 1.0)).collect();
    [("x".to_owned(), Tensor::from_f32([ROWS, COLUMNS], &values))].into()
}

fn rounding(op: &str, scale: f32) -> (Rounding, Compiled) {
    let c = compiled(&network(op), Calibration::Inputs(inputs(scale)))
        .unwrap_or_else(|e| panic!("{op}: {e}"));
    (c.rounding[0].clone(), c)
}

/// 1000 + x in f16 has steps of 0.5: only in f32 does the difference keep x.
#[test]
fn what_loses_its_digits_stays_in_f32() {
    let (r, c) = rounding("Relu", 1.0);
    assert!(r.all_f16 > 0.05, "{r:?}");
    assert!(r.chosen <= GOAL, "{r:?}");
    let names: Vec<&str> = r.wide.keys().map(|id| c.graph().node(*id).path.as_str()).collect();
    assert_eq!(names.len(), 1, "{names:?}: the sum alone");
    assert!(matches!(r.wide.values().next(), Some(Why::Share(share)) if *share > 0.9), "{r:?}");
    assert!(c.notes.iter().any(|n| n.contains("1 of 2 nodes in f32")), "{:?}", c.notes);
    // and is placed so
    let placed = c.variants[0].entries[0].placements.iter().flatten();
    let halves = placed.filter(|p| p.elem == drift_kernel::tensor::Elem::F16).count();
    assert_eq!(halves, 1, "the difference alone is in f16");
}

#[test]
fn what_f16_holds_stays_in_f16() {
    // of x from -1000 to 1000, half a step is little
    let (r, c) = rounding("Relu", 1000.0);
    assert!(r.all_f16 <= GOAL && r.wide.is_empty(), "{r:?}");
    assert!(c.notes.iter().any(|n| n.contains("nothing needs f32")), "{:?}", c.notes);
}

#[test]
fn what_comes_near_the_end_of_f16_stays_in_f32() {
    let (r, _) = rounding("Neg", 20_000.0);
    assert_eq!(r.wide.len(), 2, "{r:?}");
    assert!(r.wide.values().all(|why| matches!(why, Why::Range(v) if *v > 8188.0)), "{r:?}");
}

#[test]
fn calibration_values_must_fit_the_inputs() {
    let model = network("Relu");
    let refused = |inputs: Inputs| {
        compiled(&model, Calibration::Inputs(inputs))
            .expect_err("not the model's inputs")
            .to_string()
    };
    assert!(refused(Inputs::new()).contains("no calibration values for the input `x`"));
    let mut more = inputs(1.0);
    more.insert("z".into(), Tensor::from_f32([1], &[0.0]));
    assert!(refused(more).contains("no input `z`"));
    let short: Inputs = [("x".to_owned(), Tensor::from_f32([2], &[0.0; 2]))].into();
    assert!(refused(short).contains("f32[2]"));
    let graph = &compiled(&model, Calibration::None).expect("compiles").entries[0].graph;
    assert!(measure(graph, &Inputs::new(), &mut |_| ()).is_err());
}
