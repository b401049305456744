//! Set `DRIFT_REPORT_DIR` to have the pages of these tests written there, to look at them.

use super::*;
use crate::memory::{Strategy, UsageRecord, plan_offsets};

const HOSTILE: &str = "</script><script>alert(1)</script><!--\"'&\u{2028}\u{0}\u{202e}";

/// A residual network with this many nodes before fusion, drawn as a compiler would fill it.
fn residual_network(name: &str, blocks: u64) -> Report {
    let mut before = GraphView::default();
    let node = |id: u64, op: &str, inputs: Vec<u64>, channels: u64, side: u64| NodeView {
        id,
        label: format!("{op}_{id}"),
        op: op.into(),
        inputs,
        shape: format!("1x{channels}x{side}x{side} f32"),
        bytes: channels * side * side * 4,
        detail: vec![("kernel".into(), "3x3".into()), ("padding".into(), "1, 1, 1, 1".into())],
    };
    before.nodes.push(node(0, "input", vec![], 3, 224));
    let mut last = 0;
    let mut after = GraphView { nodes: vec![node(0, "input", vec![], 3, 224)] };
    let mut after_last = 0;
    let (mut dispatches, mut records, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let mut push = |ops: &[&str], from: &mut u64, channels: u64, side: u64, skip: Option<u64>| {
        for op in ops {
            let id = before.nodes.len() as u64;
            let mut inputs = vec![*from];
            if *op == "add" {
                inputs.extend(skip);
            }
            before.nodes.push(node(id, op, inputs, channels, side));
            *from = id;
        }
    };
    for block in 0..blocks {
        let stage = block * 4 / blocks.max(1);
        let (channels, side) = (64 << stage, 56 >> stage);
        let skip = last;
        push(&["conv", "batchnorm", "relu"], &mut last, channels, side, None);
        push(&["conv", "batchnorm", "add", "relu"], &mut last, channels, side, Some(skip));
        if block % 7 == 6 {
            push(&["reduce_mean", "sigmoid", "mul"], &mut last, channels, side, None);
        }
        for half in 0..2u64 {
            let id = after.nodes.len() as u64;
            let mut inputs = vec![after_last];
            if half == 1 {
                inputs.push(id.saturating_sub(2));
            }
            after.nodes.push(node(id, "conv", inputs, channels, side));
            after_last = id;
            let step = dispatches.len() as u32;
            records.push(UsageRecord {
                id: step as usize,
                bytes: channels * side * side * 2,
                first_step: step,
                last_step: step + if half == 0 { 1 } else { 2 },
                alignment: 256,
            });
            let tensor = |name: String| TensorView {
                name,
                shape: format!("1x{channels}x{side}x{side}"),
                dtype: "f16".into(),
                layout: "slices-of-4".into(),
                storage: "buffer".into(),
                bytes: channels * side * side * 2,
            };
            dispatches.push(DispatchView {
                index: step,
                label: format!("conv_{id} + relu{}", if half == 1 { " + add" } else { "" }),
                op: "conv".into(),
                kernel: format!("conv_direct_3x3_b2212_{}", stage),
                workgroups: [(side / 8 + 1) as u32, (side / 8 + 1) as u32, (channels / 16) as u32],
                workgroup_size: [8, 8, 1],
                inputs: vec![tensor(format!("t{}", step.saturating_sub(1)))],
                outputs: vec![tensor(format!("t{step}"))],
                flops: 2 * 9 * channels * channels * side * side,
                weight_bytes: 9 * channels * channels * 2,
                shader: Some(stage as usize),
            });
            weights.push(WeightView {
                name: format!("layer{stage}.{block}.conv{half}.weight"),
                shape: format!("{channels}x{channels}x3x3"),
                dtype: "f32".into(),
                stored_as: "f16, G2 O4 HW I4".into(),
                bytes: 9 * channels * channels * 2,
            });
        }
    }
    let steps = dispatches.len() as u32;
    for r in &mut records {
        r.last_step = r.last_step.min(steps.saturating_sub(1));
    }
    let plan = plan_offsets(Strategy::Best, &records).unwrap();
    let memory = MemoryView::new(Strategy::Best, steps, &records, &plan, |id| {
        (format!("conv_{id}"), if id % 5 == 4 { "add" } else { "conv" }.into())
    });
    let shader = |i: usize| ShaderView {
        name: format!("conv_direct_3x3_b2212_{i}"),
        dialect: "SPIR-V".into(),
        hash: format!("{:016x}", 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(i as u64 + 1)),
        bytes: 6200 + 117 * i as u64,
        text: format!("fn main_{i}() {{\n    for (var k = 0u; k < 9u; k++) {{ /* … */ }}\n}}\n"),
    };
    let variant = |target: &str| VariantView {
        target: target.into(),
        api: "Vulkan, SPIR-V".into(),
        precision: "mixed".into(),
        memory: memory.clone(),
        dispatches: dispatches.clone(),
        shaders: (0..4).map(shader).collect(),
    };
    let stage = |name: &str, description: &str, millis: f64, nodes: usize, note: &str| StageStat {
        name: name.into(),
        description: description.into(),
        millis,
        nodes,
        note: note.into(),
    };
    let (n, m) = (before.nodes.len(), after.nodes.len());
    Report {
        generator: "driftc 0.1.0".into(),
        model: ModelView {
            name: name.into(),
            source: format!("{name}.onnx"),
            inputs: vec![PortView {
                name: "image".into(),
                dtype: "f32".into(),
                shape: "1x3x224x224".into(),
            }],
            outputs: vec![PortView {
                name: "logits".into(),
                dtype: "f32".into(),
                shape: "1x1000".into(),
            }],
            parameters: weights.iter().map(|w| w.bytes / 2).sum(),
            notes: vec![("opset".into(), "17".into())],
        },
        stages: vec![
            stage("import", "ONNX to the graph", 12.4, n, ""),
            stage("canonicalize", "one way to say each thing", 3.1, n - 1, "1 identity removed"),
            stage("fuse", "operators into dispatches", 9.7, m, "batch norms folded, adds fused"),
            stage("lower", "kernels for every node", 31.0, m, "4 kernels, 28 found again"),
            stage("plan-memory", "offsets in the arena", 1.9, m, "1.000 of the lower bound"),
            stage("emit", "kernels to SPIR-V", 88.2, m, ""),
            stage("package", "sections to a bundle", 14.0, m, ""),
        ],
        graph_before: before,
        graph_after: after,
        bundle_bytes: weights.iter().map(|w| w.bytes).sum::<u64>() + 90_000,
        variants: vec![variant("vulkan-modern"), variant("nvidia-h200")],
        weights,
    }
}

fn written(name: &str, page: String) -> String {
    if let Some(folder) = std::env::var_os("DRIFT_REPORT_DIR") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), &page).unwrap();
    }
    page
}

/// The JSON block of a page.
fn data_of(page: &str) -> serde_json::Value {
    let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let end = start + page[start..].find("</script>").unwrap();
    serde_json::from_str(&page[start..end]).unwrap()
}

#[test]
fn pages_are_self_contained_and_small() {
    for (name, blocks, most) in
        [("small", 8, 150_000), ("large", 110, 700_000), ("huge", 280, 1_700_000)]
    {
        let report = residual_network(name, blocks);
        let page = written(name, report.to_html());
        assert!(page.len() < most, "{name} has {} bytes", page.len());
        assert!(!page.contains("http:") && !page.contains("https:"), "something is loaded");
        assert!(!page.contains("//cdn") && !page.contains("@import") && !page.contains("url("));
        for tag in ["<link", "<iframe", "<img", "src=", "fetch(", "XMLHttp", "innerHTML", "eval("] {
            assert!(!page.contains(tag), "{tag} in the page");
        }
        assert!(page.contains("default-src 'none'"));
        assert_eq!(data_of(&page), report.to_json(), "the page carries the JSON unchanged");
        // One script block, one data block, and nothing that closes them early.
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script>").count(), 2);
    }
}

#[test]
fn hostile_names_stay_text() {
    let mut report = residual_network("small", 2);
    let evil = || HOSTILE.to_owned();
    report.model.name = evil();
    report.model.source = evil();
    report.model.notes = vec![(evil(), evil())];
    report.generator = evil();
    report.model.inputs[0].name = evil();
    report.stages[0].note = evil();
    report.stages[0].millis = f64::NAN;
    report.weights[0].name = evil();
    for node in &mut report.graph_before.nodes {
        node.label = evil();
        node.op = evil();
        node.shape = evil();
        node.detail = vec![(evil(), evil())];
    }
    let variant = &mut report.variants[0];
    variant.target = evil();
    variant.dispatches[0].label = evil();
    variant.dispatches[0].inputs[0].layout = evil();
    variant.memory.records[0].name = evil();
    variant.shaders[0].text = evil();
    let page = written("hostile", report.to_html());
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<!--") && !page.contains('\u{2028}') && !page.contains('\0'));
    // The title shows it as text, and the data still says the same.
    assert!(page.contains("<title>&lt;/script&gt;"));
    let data = data_of(&page);
    assert!(data["model"]["name"].as_str().unwrap().starts_with("</script><script>"));
    assert_eq!(data["variants"][0]["shaders"][0]["text"], HOSTILE);
    assert_eq!(data["stages"][0]["millis"], 0.0);
}

#[test]
fn long_names_and_lists_are_cut() {
    let mut report = Report::default();
    let long = "x".repeat(5_000_000);
    report.model.name.clone_from(&long);
    report.model.notes = vec![(long.clone(), long.clone()); 100];
    report.graph_before.nodes = (0..3)
        .map(|id| NodeView {
            id,
            label: long.clone(),
            op: long.clone(),
            detail: vec![(long.clone(), long.clone()); 5],
            ..NodeView::default()
        })
        .collect();
    let shader = ShaderView { text: long.clone(), ..ShaderView::default() };
    report.variants = vec![VariantView { shaders: vec![shader; 60], ..VariantView::default() }];
    let page = report.to_html();
    assert!(page.len() < 2_500_000, "{} bytes", page.len());
    let data = data_of(&page);
    assert!(data["model"]["name"].as_str().unwrap().ends_with('…'));
    assert_eq!(data["variants"][0]["shaders"][0]["is_cut"], true);

    report = Report::default();
    report.graph_after.nodes = (0..25_000)
        .map(|id| NodeView { id, inputs: vec![id.wrapping_sub(1)], ..NodeView::default() })
        .collect();
    let data = report.to_json();
    assert_eq!(data["graph_after"]["nodes_left_out"], 5_000);
    assert_eq!(data["graph_after"]["nodes"].as_array().unwrap().len(), 20_000);
}

#[test]
fn an_empty_report_is_a_page_too() {
    let page = written("empty", Report::default().to_html());
    assert!(page.contains("Drift report"));
}

/// What a drawing must keep: every node has its own place, edges go down except between columns.
fn assert_readable(graph: &GraphView) -> GraphLayout {
    let layout = layout_graph(graph);
    assert_eq!(layout.centers.len(), graph.nodes.len());
    assert_eq!(layout, layout_graph(graph), "the same graph gives the same drawing");
    let mut boxes = layout.centers.clone();
    boxes.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
    for pair in boxes.windows(2) {
        let same_row = (pair[0].1 - pair[1].1).abs() < 1.0;
        assert!(!same_row || pair[1].0 - pair[0].0 >= 149.0, "two nodes overlap: {pair:?}");
    }
    for &(x, y) in &layout.centers {
        assert!(x.is_finite() && y.is_finite());
        assert!((74.0..=layout.width - 74.0).contains(&x) && (0.0..=layout.height).contains(&y));
    }
    layout
}

#[test]
fn drawings_are_readable() {
    for blocks in [1, 8, 110] {
        let report = residual_network("x", blocks);
        for graph in [&report.graph_before, &report.graph_after] {
            let layout = assert_readable(graph);
            let edges: usize = graph
                .nodes
                .iter()
                .map(|n| {
                    let mut from: Vec<u64> =
                        n.inputs.iter().copied().filter(|&i| i != n.id).collect();
                    from.sort_unstable();
                    from.dedup();
                    from.len()
                })
                .sum();
            assert_eq!(layout.edges.len(), edges);
            if blocks > 8 {
                let aspect = layout.width / layout.height;
                assert!((0.8..4.0).contains(&aspect), "{} x {}", layout.width, layout.height);
            }
        }
    }
}

#[test]
fn odd_graphs_are_drawn() {
    let node =
        |id: u64, inputs: &[u64]| NodeView { id, inputs: inputs.to_vec(), ..NodeView::default() };
    // A cycle, a loop, an unknown operand, a doubled id, a doubled operand, an island.
    let odd = GraphView {
        nodes: vec![
            node(1, &[3]),
            node(2, &[1]),
            node(3, &[2]),
            node(4, &[4]),
            node(5, &[99]),
            node(5, &[1, 1]),
            node(6, &[]),
        ],
    };
    let layout = assert_readable(&odd);
    assert_eq!(layout.edges.len(), 3, "{:?}", layout.edges);
    // Very wide: one input, 500 readers.
    let mut wide = GraphView { nodes: vec![node(0, &[])] };
    wide.nodes.extend((1..=500).map(|id| node(id, &[0])));
    assert_readable(&wide);
    // Densely connected: every node reads up to 40 before it.
    let dense: Vec<u64> = (0..600).collect();
    let dense = GraphView {
        nodes: dense
            .iter()
            .map(|&id| node(id, &dense[id.saturating_sub(40) as usize..id as usize]))
            .collect(),
    };
    assert_readable(&dense);
}

#[test]
fn operators_have_kinds() {
    for (op, kind) in [
        ("Conv", "matrix"),
        ("com.microsoft::FusedMatMul", "matrix"),
        ("relu", "element"),
        ("LayerNormalization", "norm"),
        ("GlobalAveragePool", "reduce"),
        ("Reshape", "move"),
        ("LSTM", "recurrent"),
        ("input", "port"),
        ("", "element"),
    ] {
        assert_eq!(json::kind_of(op), kind, "{op}");
    }
}
