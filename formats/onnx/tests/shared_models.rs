//! Every model of the shared set parses, with the counts of its manifest.

mod common;

use std::collections::BTreeMap;

use drift_onnx::{Dim, ElemType, Graph, Model};
use serde_json::Value;

/// Operator counts, subgraphs included; other domains are written before the operator.
fn ops(graph: &Graph, counts: &mut BTreeMap<String, u64>) {
    for node in &graph.nodes {
        let op = match node.domain.as_str() {
            "" => node.op_type.clone(),
            domain => format!("{domain}::{}", node.op_type),
        };
        *counts.entry(op).or_default() += 1;
        node.subgraphs().for_each(|inner| ops(inner, counts));
    }
}

fn elem_type(name: &str) -> ElemType {
    match name {
        "FLOAT" => ElemType::F32,
        "INT64" => ElemType::I64,
        "INT32" => ElemType::I32,
        other => panic!("the manifest names the type {other}"),
    }
}

#[test]
fn all_models_match_the_manifest() {
    let Some(folder) = common::shared_models() else { return };
    let text = std::fs::read_to_string(folder.join("MANIFEST.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for entry in manifest["models"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let Some(file) = entry["model"].as_str() else { continue };
        let model =
            Model::open(folder.join(name).join(file)).unwrap_or_else(|err| panic!("{name}: {err}"));
        seen += 1;
        assert_eq!(Some(model.ir_version), entry["ir_version"].as_i64(), "{name}");
        for (domain, version) in entry["opset"].as_object().unwrap() {
            assert_eq!(model.opset(domain), version.as_i64(), "{name}: {domain}");
        }
        let mut counts = BTreeMap::new();
        ops(&model.graph, &mut counts);
        assert_eq!(counts.values().sum::<u64>(), entry["nodes"].as_u64().unwrap(), "{name}");
        for (op, count) in entry["ops"].as_object().unwrap() {
            assert_eq!(counts.get(op).copied(), count.as_u64(), "{name}: {op}");
        }
        let inputs: Vec<_> = model.graph.runtime_inputs().collect();
        let expected = entry["inputs"].as_array().unwrap();
        assert_eq!(inputs.len(), expected.len(), "{name}");
        for (input, expected) in inputs.iter().zip(expected) {
            assert_eq!(Some(input.name.as_str()), expected["name"].as_str(), "{name}");
            let dtype = expected["dtype"].as_str().unwrap();
            assert_eq!(input.elem_type, Some(elem_type(dtype)), "{name}");
            let dims = input.dims.as_ref().unwrap();
            let shape = expected["shape"].as_array().unwrap();
            assert_eq!(dims.len(), shape.len(), "{name}: {}", input.name);
            for (dim, size) in dims.iter().zip(shape) {
                let expected = match size {
                    Value::String(symbol) => Dim::Symbol(symbol.clone()),
                    size => Dim::Known(size.as_u64().unwrap()),
                };
                assert_eq!(*dim, expected, "{name}: {}", input.name);
            }
        }
        let outputs: Vec<_> = entry["outputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["name"].as_str().unwrap())
            .collect();
        let have: Vec<_> = model.graph.outputs.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(have, outputs, "{name}");
        assert!(model.warnings.is_empty(), "{name}: {:?}", model.warnings);
    }
    assert!(seen >= 20, "only {seen} models were read");
}
