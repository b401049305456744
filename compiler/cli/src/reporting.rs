//! `--report`: the compilation as a page for people, or as JSON.

use crate::error::{CliError, Result};
use drift_bundle::caps::Dialect;
use drift_driver::pipeline::{Compiled, Variant};
use drift_driver::plan::{ArgInfo, DispatchInfo};
use drift_driver::report::{
    DispatchView, GraphView, MemoryView, ModelView, NodeView, PortView, RecordView, Report,
    ShaderView, StageStat, TensorView, VariantView, WeightView,
};
use drift_ir::{Def, Graph, NodeId, Shape};
use drift_kernel::{Access, Layout, Storage};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes the report; the file's ending chooses its form.
pub fn write(
    compiled: &Compiled,
    model: &Path,
    precision: &str,
    bundle_bytes: Option<u64>,
    path: &Path,
) -> Result {
    let report = report(compiled, model, precision, bundle_bytes.unwrap_or(0));
    let text = match path.extension().and_then(|e| e.to_str()) {
        Some("html" | "htm") => report.to_html(),
        Some("json") => format!("{:#}", report.to_json()),
        _ => {
            return Err(CliError::bad(format!("--report {}: unknown ending", path.display()))
                .help("reports are .html or .json"));
        }
    };
    std::fs::write(path, text).map_err(|e| CliError::bad(format!("{}: {e}", path.display())))
}

fn report(c: &Compiled, model: &Path, precision: &str, bundle_bytes: u64) -> Report {
    Report {
        generator: format!("driftc {}", env!("CARGO_PKG_VERSION")),
        model: model_view(c, model, precision),
        stages: c
            .stats
            .iter()
            .map(|s| StageStat {
                name: if s.target.is_empty() {
                    s.stage.name().to_owned()
                } else {
                    format!("{} ({})", s.stage, s.target)
                },
                description: s.stage.description().to_owned(),
                millis: s.time.as_secs_f64() * 1e3,
                nodes: s.nodes,
                note: s.note.clone(),
            })
            .collect(),
        graph_before: graph_view(&c.entries[0].imported),
        graph_after: with_reasons(graph_view(c.graph()), c),
        variants: c.variants.iter().map(|v| variant_view(c, v, precision)).collect(),
        weights: weights(c),
        bundle_bytes,
    }
}

fn dims(shape: &Shape) -> String {
    match shape.is_empty() {
        true => "scalar".to_owned(),
        false => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

fn model_view(c: &Compiled, model: &Path, precision: &str) -> ModelView {
    let port = |name: &str, v| {
        let value = c.graph().value(v);
        PortView {
            name: name.to_owned(),
            dtype: value.dtype.to_string(),
            shape: dims(&value.shape),
        }
    };
    let mut notes = vec![("precision".to_owned(), precision.to_owned())];
    let rules: Vec<String> = c.rewrites.applied.iter().map(|(r, n)| format!("{r} {n}")).collect();
    notes.push(("rewrites".to_owned(), rules.join(", ")));
    notes.extend(c.notes.iter().map(|n| ("note".to_owned(), n.clone())));
    let name = |p: Option<&std::ffi::OsStr>| p.unwrap_or_default().to_string_lossy().into_owned();
    ModelView {
        name: name(model.file_stem()),
        source: name(model.file_name()),
        inputs: c.graph().inputs.iter().map(|v| port(&c.graph().value(*v).name, *v)).collect(),
        outputs: c.graph().outputs.iter().map(|(n, v)| port(n, *v)).collect(),
        parameters: parameters(&c.entries[0].imported),
        notes,
    }
}

/// Elements of float constants that some node reads.
fn parameters(g: &Graph) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    g.node_ids()
        .flat_map(|id| g.node(id).operands.iter().flatten())
        .filter(|o| seen.insert(o.value))
        .filter_map(|o| g.const_of(o.value))
        .filter(|t| t.dtype.is_float())
        .map(|t| t.elems() as u64)
        .sum()
}

/// Says of nodes that calibration keeps in f32 why it does.
fn with_reasons(mut view: GraphView, c: &Compiled) -> GraphView {
    let Some(rounding) = c.rounding.first() else { return view };
    for (id, why) in &rounding.wide {
        let node = view.nodes.iter_mut().find(|n| n.id == u64::from(id.0));
        if let Some(node) = node {
            node.detail.push(("kept in f32".to_owned(), why.to_string()));
        }
    }
    view
}

fn graph_view(g: &Graph) -> GraphView {
    let order = g.topo_order().unwrap_or_default();
    GraphView { nodes: order.into_iter().map(|id| node_view(g, id)).collect() }
}

fn node_view(g: &Graph, id: NodeId) -> NodeView {
    let n = g.node(id);
    let mut inputs: Vec<u64> = n
        .operands
        .iter()
        .flatten()
        .filter_map(|o| match g.value(o.value).def {
            Def::Node(p, _) => Some(u64::from(p.0)),
            _ => None,
        })
        .collect();
    inputs.dedup();
    let first = n.results.first().map(|v| g.value(*v));
    let mut detail = vec![("path".to_owned(), n.path.clone())];
    detail.extend(n.attrs.0.iter().map(|(k, v)| (k.clone(), format!("{v:?}"))));
    if !n.epilogue.is_empty() {
        let steps: Vec<&str> = n.epilogue.steps.iter().map(|s| s.op.name()).collect();
        detail.push(("fused".to_owned(), steps.join(" → ")));
    }
    for o in n.operands.iter().flatten().filter(|o| !o.view.is_identity()) {
        detail.push((format!("view of {}", g.value(o.value).name), o.view.to_string()));
    }
    let label = match n.op {
        "pointwise" => n.epilogue.steps.iter().map(|s| s.op.name()).collect::<Vec<_>>().join("+"),
        op => op.to_owned(),
    };
    NodeView {
        id: u64::from(id.0),
        label,
        op: n.op.to_owned(),
        inputs,
        shape: first.map_or(String::new(), |v| format!("{} {}", dims(&v.shape), v.dtype)),
        bytes: n.results.iter().map(|v| bytes_of(g, *v)).sum(),
        detail,
    }
}

fn bytes_of(g: &Graph, v: drift_ir::ValueId) -> u64 {
    (g.value(v).shape.elems() * g.value(v).dtype.bytes()) as u64
}

fn variant_view(c: &Compiled, v: &Variant, precision: &str) -> VariantView {
    let mut out = VariantView {
        target: v.spec.id.clone(),
        api: format!("{}, {}", v.spec.caps.api, v.spec.dialect),
        precision: precision.to_owned(),
        ..VariantView::default()
    };
    let Some(planned) = &v.planned else { return out };
    let op_of: BTreeMap<&str, &str> = c
        .graph()
        .node_ids()
        .flat_map(|id| {
            let n = c.graph().node(id);
            n.results.iter().map(move |r| (*r, n.op))
        })
        .map(|(r, op)| (c.graph().value(r).name.as_str(), op))
        .collect();
    let usages: Vec<_> =
        planned.main().records.iter().filter(|r| !r.aliased).map(|r| r.usage).collect();
    out.memory = MemoryView {
        strategy: planned.plan.memory.strategy.clone(),
        records: planned
            .main()
            .records
            .iter()
            .map(|r| RecordView {
                name: r.name.clone(),
                op: op_of.get(r.name.as_str()).copied().unwrap_or("scratch").to_owned(),
                bytes: r.usage.bytes,
                first_step: r.usage.first_step,
                last_step: r.usage.last_step,
                offset: r.offset,
            })
            .collect(),
        steps: planned.main().dispatches.len() as u32,
        planned_bytes: planned.main().summary.planned_bytes,
        naive_bytes: planned.main().summary.naive_bytes,
        lower_bound_bytes: planned.main().summary.lower_bound_bytes,
        live: drift_driver::memory::live_curve(&usages).iter().map(|p| (p.step, p.bytes)).collect(),
    };
    out.dispatches =
        planned.main().dispatches.iter().enumerate().map(|(i, d)| dispatch(i, d, c)).collect();
    out.shaders = planned
        .plan
        .pipelines
        .iter()
        .zip(&planned.kernels)
        .map(|(p, k)| {
            let blob = v.shaders.get(p.shader as usize).unwrap_or(&[]);
            let text = matches!(v.spec.dialect, Dialect::Msl | Dialect::Wgsl);
            ShaderView {
                name: k.name.clone(),
                dialect: v.spec.dialect.to_string(),
                hash: String::new(),
                bytes: blob.len() as u64,
                text: if text { String::from_utf8_lossy(blob).into_owned() } else { String::new() },
            }
        })
        .collect();
    out
}

fn dispatch(index: usize, d: &DispatchInfo, c: &Compiled) -> DispatchView {
    let node = c.graph().node_ids().map(|id| c.graph().node(id)).find(|n| n.path == d.node);
    let pick = |written: bool| {
        let of =
            d.args.iter().filter(move |a| !a.weight && (a.arg.access != Access::Read) == written);
        of.map(tensor).collect()
    };
    DispatchView {
        index: index as u32,
        label: d.node.clone(),
        op: node.map_or("", |n| n.op).to_owned(),
        kernel: d.kernel.clone(),
        workgroups: d.workgroups,
        workgroup_size: d.workgroup_size,
        inputs: pick(false),
        outputs: pick(true),
        flops: d.flops,
        weight_bytes: d.args.iter().filter(|a| a.weight).map(|a| a.bytes).sum(),
        shader: Some(d.pipeline as usize),
    }
}

fn layout(l: &Layout) -> String {
    match l {
        Layout::RowMajor => "row-major".to_owned(),
        Layout::Slices4 { order, .. } => format!("slices-of-4 {order:?}"),
        Layout::Weights { group, permutation } => format!("weights G={group} {permutation:?}"),
    }
}

fn tensor(a: &ArgInfo) -> TensorView {
    TensorView {
        name: a.name.clone(),
        shape: dims(&a.arg.stored),
        dtype: format!("{:?}", a.arg.elem).to_lowercase(),
        layout: layout(&a.arg.layout),
        storage: match a.arg.storage {
            Storage::Buffer => "buffer".to_owned(),
            Storage::Image(kind) => format!("{kind:?}").to_lowercase(),
        },
        bytes: a.bytes,
    }
}

/// Packed constants of the main variant, each once.
fn weights(c: &Compiled) -> Vec<WeightView> {
    let mut seen = std::collections::BTreeSet::new();
    let planned = c.main_variant().and_then(|v| v.planned.as_ref());
    let args = planned
        .iter()
        .flat_map(|p| &p.entries)
        .flat_map(|e| &e.dispatches)
        .flat_map(|d| &d.args)
        .filter(|a| a.weight);
    args.filter(|a| seen.insert((a.name.clone(), layout(&a.arg.layout))))
        .map(|a| WeightView {
            name: a.name.clone(),
            shape: dims(&a.arg.stored),
            dtype: "f32".to_owned(),
            stored_as: format!("{:?}, {}", a.arg.elem, layout(&a.arg.layout)).to_lowercase(),
            bytes: a.bytes,
        })
        .collect()
}
