//! Ranges on a calibration prompt: the streamed evaluation against the reference evaluator.

use drift_driver::calibrate::{HEADROOM, Ranges, ranges};
use drift_driver::models::{self, Options, Quantize};
use drift_driver::target::Precision;
use drift_ir::{Graph, Tensor};
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
