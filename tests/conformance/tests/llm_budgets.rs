//! Dispatches of a decode step against committed figures: fewer is fine, more fails.

use drift_conformance::network::{options, targets};
use drift_conformance::{Precision, language};
use drift_driver::models::Options;
use drift_driver::{Stage, pipeline};
use drift_runtime::plan::Step;
use std::collections::BTreeMap;
use std::time::Instant;

/// Dispatches of a layer (the layer with the most), and of a step besides its layers, at a context
/// that splits attention over workgroups. A layer: qkv with its norm; attention and the join of its
/// parts; output with the residual; gate and up with norms; down with the residual.
const BUDGETS: [(&str, usize, usize); 8] = [
    ("gemma", 6, 4),
    // the last residual sum is one more, since the head has a softcap
    ("gemma2", 6, 5),
    ("gemma3", 6, 4),
    ("llama31", 6, 4),
    ("phi3", 5, 4),
    ("qwen2", 6, 4),
    ("qwen3", 6, 4),
    ("smollm3", 6, 4),
];

/// Dispatches of a layer where workgroups may wait for each other: attention, and a chain of all products
/// up to the next; the first layer has its qkv alone. Besides layers there are as many: the emptying of what is handed over,
/// but no head of its own.
const CHAINED: usize = 3;

#[test]
fn no_decode_step_costs_more_than_its_budget() {
    let mut wrong = Vec::new();
    let alone = BUDGETS.map(|(name, layer, rest)| (name, false, layer, rest));
    // the last residual sum of Gemma 2 is no link, and stands before its head
    let chained =
        BUDGETS.map(|(name, _, rest)| (name, true, CHAINED, rest + usize::from(name == "gemma2")));
    for (name, chains, most_layer, most_rest) in alone.into_iter().chain(chained) {
        let folder = language::folder(name).expect("a model made for these tests");
        let o = Options { context: Some(2048), ..Options::default() };
        let mut compile =
            options(Vec::new(), Precision::Mixed, targets(&["nvidia-h200"]), Stage::PlanMemory);
        compile.targets[0].chains = chains;
        let module = language::graphs(&folder, &o);
        let compiled =
            pipeline::compile_module(module, &compile, Instant::now(), &mut |_, _, _| {})
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        let plan = &compiled.variants[0].planned.as_ref().expect("planned").plan;
        let decode = plan.entry_points.iter().find(|e| e.name == "decode").expect("an entry point");
        let (mut layers, mut rest) = (BTreeMap::<&str, usize>::new(), 0);
        for step in &decode.steps {
            let Step::Dispatch { label, .. } = step else { continue };
            match plan.labels[*label as usize]
                .strip_prefix("layers.")
                .and_then(|l| l.split_once('/'))
            {
                Some((layer, _)) => *layers.entry(layer).or_default() += 1,
                None => rest += 1,
            }
        }
        // what the last layer leaves to the head counts as the head's
        let last = layers.len() - 1;
        let tail = decode.steps.iter().filter(|step| {
            let Step::Dispatch { label, .. } = step else { return false };
            plan.labels[*label as usize]
                .starts_with(&format!("layers.{last}/feed_forward_out_norm"))
        });
        let tail = tail.count();
        if let Some(n) = layers.get_mut(last.to_string().as_str()) {
            *n -= tail;
        }
        rest += tail;
        let layer = layers.values().copied().max().unwrap_or(0);
        println!("{name}, chains {chains}: {layer} dispatches per layer, {rest} besides");
        if layer == 0 || layer > most_layer || rest > most_rest {
            wrong.push(format!(
                "{name}, chains {chains}: {layer} and {rest}, the budget is {most_layer} and {most_rest}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
