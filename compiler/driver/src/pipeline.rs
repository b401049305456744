//! The compiler from end to end: every arrow of the pipeline is one call here.

use crate::calibrate::{self, Ranges};
use crate::chain;
use crate::dims::DimBindings;
use crate::error::{ErrorKind, Result, StageError};
use crate::layouts::{LayoutChoice, assign_layouts, logarithm_nodes, residual_nodes, wide_nodes};
use crate::lowering::{self, LowerOptions, Steps};
use crate::memory::Strategy;
use crate::plan::{self, EntrySteps, PlanOptions, Planned};
use crate::rounding::{self, Rounding};
use crate::stage::Stage;
use crate::target::{Precision, TargetSpec, float_elem};
use crate::weights::WeightPool;
use crate::{import, shaders};
use drift_bundle::ShaderSet;
use drift_bundle::caps::{Api, Requirements};
use drift_ir::{Graph, NodeId};
use drift_kernel::tensor::Storage;
use drift_ops::fuse::{FuseOptions, FuseReport};
use drift_ops::lower::{Link, Placement, Target};
use drift_ops::quant::Scheme;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What to compile for, and how.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    pub bindings: DimBindings,
    pub precision: Precision,
    /// Weights of products with constant matrices in imported graphs (builders of language models
    /// have made their choice when they come here).
    pub quantize: Option<Scheme>,
    /// Below f32, what shows which values f16 cannot hold.
    pub calibration: Calibration,
    /// Rewrite rules and passes left out, by name.
    pub disabled: Vec<String>,
    /// Apply only so many rewrites (to find a wrong one).
    pub bisect_limit: Option<usize>,
    pub memory: Strategy,
    pub targets: Vec<TargetSpec>,
    pub stop_after: Stage,
}

/// What values are measured on for the choice between f16 and f32.
#[derive(Clone, Debug, Default)]
pub enum Calibration {
    #[default]
    None,
    /// Language models: token ids of a prompt.
    Prompt(Vec<i32>),
    /// Other networks, at mixed precision: the values of all inputs.
    Inputs(rounding::Inputs),
}

/// Passes outside the rewrite rules that `--disable` knows.
pub const PASSES: [(&str, &str); 5] = [
    (
        "transformer-products",
        "products in transformers use the kernels of language models where those gain",
    ),
    ("chain", "products of a decode step that follow each other are one dispatch"),
    ("zero-copy-concat", "parts of a concat are written in place"),
    ("in-place", "element-wise results take over the memory of a dying operand"),
    ("fuse", "all structural fusion: every operator becomes a kernel of its own"),
];

/// How long a stage took and what it left.
#[derive(Clone, Debug)]
pub struct StageStat {
    pub stage: Stage,
    /// Target the stage worked for; empty for the shared stages.
    pub target: String,
    pub time: Duration,
    /// Nodes (or steps) after the stage.
    pub nodes: usize,
    pub note: String,
}

/// What is compiled into one bundle: graphs that share weights (by key) and states (by name).
#[derive(Debug, Default)]
pub struct Module {
    /// Nodes in the model's file, for the summary.
    pub model_nodes: usize,
    /// Name and graph of each entry point; reports are about the first.
    pub entries: Vec<(String, Graph)>,
    pub notes: Vec<String>,
    /// Files that travel in the bundle (tokenizer, chat format), by name.
    pub assets: Vec<(String, Vec<u8>)>,
}

/// A graph on its way to an entry point.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    pub imported: Graph,
    /// After canonicalization and fusion, as far as they ran.
    pub graph: Graph,
}

/// An entry point lowered for one target.
#[derive(Debug)]
pub struct VariantEntry {
    pub placements: Vec<Option<Placement>>,
    pub steps: Steps,
}

/// One variant of the bundle in the making.
#[derive(Debug)]
pub struct Variant {
    pub spec: TargetSpec,
    /// Parallel to [`Compiled::entries`].
    pub entries: Vec<VariantEntry>,
    pub planned: Option<Planned>,
    pub requirements: Option<Requirements>,
    pub shaders: ShaderSet,
}

impl Variant {
    /// Steps of all entry points.
    pub fn steps(&self) -> impl Iterator<Item = &lowering::LogicalStep> {
        self.entries.iter().flat_map(|e| &e.steps.steps)
    }
}

/// Everything a compilation made, up to its stop point.
#[derive(Debug)]
pub struct Compiled {
    pub model_nodes: usize,
    pub entries: Vec<Entry>,
    pub assets: Vec<(String, Vec<u8>)>,
    pub notes: Vec<String>,
    /// What calibration on a prompt saw; empty without it.
    pub ranges: Ranges,
    /// What calibration on inputs chose for each entry point; empty without it.
    pub rounding: Vec<Rounding>,
    pub rewrites: FuseReport,
    pub stats: Vec<StageStat>,
    pub variants: Vec<Variant>,
    pub weights: WeightPool,
}

/// Told at the start of each stage: stage, target, and a fraction done.
pub type Progress<'a> = &'a mut dyn FnMut(Stage, &str, f32);

/// Compiles an ONNX model, as far as `options.stop_after`.
pub fn compile(
    model: &drift_onnx::Model,
    options: &CompileOptions,
    progress: Progress<'_>,
) -> Result<Compiled> {
    progress(Stage::Import, "", 0.0);
    let start = Instant::now();
    let imported = import::import(model, &options.bindings)?;
    let module = Module {
        model_nodes: imported.model_nodes,
        entries: vec![("main".to_owned(), imported.graph)],
        notes: imported.notes,
        assets: Vec::new(),
    };
    compile_module(module, options, start, progress)
}

/// Compiles graphs that are one model together. `start` is when making them began.
pub fn compile_module(
    module: Module,
    options: &CompileOptions,
    start: Instant,
    progress: Progress<'_>,
) -> Result<Compiled> {
    check_disabled(&options.disabled)?;
    let entries = module.entries.into_iter();
    let mut out = Compiled {
        model_nodes: module.model_nodes,
        entries: entries
            .map(|(name, graph)| Entry { name, imported: graph.clone(), graph })
            .collect(),
        assets: module.assets,
        notes: module.notes,
        ranges: Ranges::default(),
        rounding: Vec::new(),
        rewrites: FuseReport::default(),
        stats: Vec::new(),
        variants: Vec::new(),
        weights: WeightPool::default(),
    };
    for entry in &out.entries {
        verify(Stage::Import, &entry.graph)?;
    }
    out.stat(Stage::Import, "", start, out.node_count());
    if options.stop_after <= Stage::Import {
        return Ok(out);
    }
    out.calibrate(options, progress)?;
    rewrite(&mut out, options, progress)?;
    if options.stop_after <= Stage::Fuse {
        return Ok(out);
    }
    out.measure_rounding(options, progress)?;
    let count = options.targets.len().max(1) as f32;
    let mut left_out = None;
    for (i, spec) in options.targets.iter().enumerate() {
        progress(Stage::Lower, &spec.id, i as f32 / count);
        match compile_variant(&mut out, spec, options) {
            Ok(variant) => out.variants.push(variant),
            Err(e) if !spec.required && e.kind == ErrorKind::Unsupported => {
                out.notes.push(format!("no variant for {}: {}", spec.id, e.message));
                left_out.get_or_insert(e);
            }
            Err(mut e) => {
                if options.targets.len() > 1 {
                    e.message = format!("target {}: {}", spec.id, e.message);
                }
                return Err(e);
            }
        }
    }
    // a bundle that no GPU can run is nothing to ship
    if let Some(e) = left_out
        && !out.variants.iter().any(|v| v.spec.caps.api != Api::Reference)
    {
        return Err(e);
    }
    Ok(out)
}

/// Canonicalizes and fuses.
fn rewrite(out: &mut Compiled, options: &CompileOptions, progress: Progress<'_>) -> Result<()> {
    let fuse_options = FuseOptions {
        disabled: options.disabled.iter().cloned().collect(),
        bisect_limit: options.bisect_limit,
    };
    let failed = |e: drift_ops::fuse::FuseError| StageError::internal("fuse", e.to_string());
    progress(Stage::Canonicalize, "", 0.0);
    let start = Instant::now();
    for i in 0..out.entries.len() {
        let graph = std::mem::take(&mut out.entries[i].graph);
        let (graph, report) =
            drift_ops::fuse::canonicalize(graph, &fuse_options).map_err(failed)?;
        out.entries[i].graph = graph;
        out.add_rewrites(report);
    }
    out.stat(Stage::Canonicalize, "", start, out.node_count());
    if options.stop_after <= Stage::Canonicalize {
        return Ok(());
    }
    progress(Stage::Fuse, "", 0.0);
    let start = Instant::now();
    if let Some(scheme) = options.quantize {
        let graphs = out.entries.iter_mut().map(|e| &mut e.graph);
        let count: usize = graphs.map(|g| crate::quantize::quantize(g, scheme)).sum();
        out.notes.push(format!("{count} weight matrices in {scheme}"));
    } else {
        let stored = if options.precision == Precision::F32 { Scheme::F32 } else { Scheme::F16 };
        let limit = options.targets.iter().map(max_object_bytes).min().unwrap_or(u64::MAX);
        let transformers = !fuse_options.disabled.contains("transformer-products");
        for graph in out.entries.iter_mut().map(|e| &mut e.graph) {
            if transformers {
                crate::quantize::transformer_products(graph, stored);
            }
            crate::quantize::large_products(graph, stored, limit);
        }
    }
    for i in 0..out.entries.len() {
        if !fuse_options.disabled.contains("fuse") {
            let graph = std::mem::take(&mut out.entries[i].graph);
            let (graph, report) = drift_ops::fuse::fuse(graph, &fuse_options).map_err(failed)?;
            out.entries[i].graph = graph;
            out.add_rewrites(report);
        }
        import::materialize_outputs(&mut out.entries[i].graph);
        verify(Stage::Fuse, &out.entries[i].graph)?;
    }
    out.stat(Stage::Fuse, "", start, out.node_count());
    Ok(())
}

/// The most bytes that a binding spans, and a buffer of weights has.
fn max_object_bytes(spec: &TargetSpec) -> u64 {
    spec.caps.limits.storage_range_bytes.min(spec.caps.limits.buffer_bytes)
}

/// Matrix units take f16 operands, so most convolutions round what they read whatever its storage: all
/// but those that cannot (`layouts::logarithm_nodes`, values near the end of f16's range).
fn rounds_anyway(spec: &TargetSpec) -> bool {
    !spec.caps.matrix_shapes.is_empty()
}

/// Everything that depends on the target.
fn compile_variant(
    out: &mut Compiled,
    spec: &TargetSpec,
    options: &CompileOptions,
) -> Result<Variant> {
    let disabled = |name: &str| options.disabled.iter().any(|d| d == name);
    let start = Instant::now();
    let limits = &spec.caps.limits;
    let choice = LayoutChoice {
        float: float_elem(spec, options.precision),
        stores_f16: spec.stores_f16(),
        storage: spec.storage,
        slices: spec.slices,
        texture_2d: limits.texture_2d,
        texture_3d: limits.texture_3d,
        texture_layers: limits.texture_layers,
    };
    let mut chosen = Vec::new();
    for (number, entry) in out.entries.iter().enumerate() {
        let wide = match options.precision {
            Precision::F32 => BTreeSet::new(),
            _ if !entry.graph.states.is_empty() => {
                let mut wide = residual_nodes(&entry.graph);
                wide.extend(out.ranges.wide_nodes(&entry.graph));
                wide
            }
            Precision::Mixed if let Some(rounding) = out.rounding.get(number) => {
                rounding.nodes(rounds_anyway(spec))
            }
            Precision::Mixed if rounds_anyway(spec) => logarithm_nodes(&entry.graph),
            Precision::Mixed => wide_nodes(&entry.graph),
            Precision::F16 => BTreeSet::new(),
        };
        chosen.push((assign_layouts(&entry.graph, &choice, &wide)?, wide));
    }
    out.stat(Stage::AssignLayouts, &spec.id, start, out.node_count());
    let start = Instant::now();
    let max_object_bytes = max_object_bytes(spec);
    let target = Target {
        caps: spec.caps.clone(),
        max_object_bytes,
        weight_elem: choice.float,
        int8_activations: options.precision != Precision::F32 && spec.gains_by_int8(),
        full_invocations: spec.full_invocations,
        chains: spec.chains && !disabled("chain"),
    };
    let zero_copy = !disabled("zero-copy-concat") && spec.storage == Storage::Buffer;
    let entries = lower_entries(out, &chosen, &target, zero_copy)?;
    let count = entries.iter().map(|e| e.steps.steps.len()).sum();
    out.stat(Stage::Lower, &spec.id, start, count);
    let mut variant = Variant {
        spec: spec.clone(),
        entries,
        planned: None,
        requirements: None,
        shaders: ShaderSet::new(),
    };
    if options.stop_after <= Stage::Lower {
        return Ok(variant);
    }
    let start = Instant::now();
    let plan_options = PlanOptions {
        strategy: options.memory,
        in_place: !disabled("in-place"),
        exclusive_writes: spec.caps.api == Api::WebGpu,
        max_object_bytes,
    };
    let mut planned = plan_entries(out, &variant.entries, &plan_options);
    if planned.is_err() && plan_options.exclusive_writes && zero_copy {
        // a part that lies inside its concatenation shares a buffer with the other parts, which the
        // API may forbid to whoever reads the one and writes another
        variant.entries = lower_entries(out, &chosen, &target, false)?;
        planned = plan_entries(out, &variant.entries, &plan_options);
    }
    let mut planned = planned?;
    out.stat(Stage::PlanMemory, &spec.id, start, count);
    if options.stop_after > Stage::PlanMemory {
        let start = Instant::now();
        let (shaders, requirements) = shaders::emit(spec, &mut planned)?;
        (variant.shaders, variant.requirements) = (shaders, Some(requirements));
        out.stat(Stage::Emit, &spec.id, start, planned.plan.pipelines.len());
    }
    variant.planned = Some(planned);
    Ok(variant)
}

/// Graphs to steps, with the placements and the nodes in f32 that were chosen for each.
fn lower_entries(
    out: &Compiled,
    chosen: &[(Vec<Option<Placement>>, BTreeSet<NodeId>)],
    target: &Target,
    zero_copy: bool,
) -> Result<Vec<VariantEntry>> {
    let lower = |(entry, (chosen, wide)): (&Entry, &(Vec<_>, BTreeSet<_>))| {
        let options = LowerOptions { zero_copy, wide: wide.clone() };
        let mut placements = chosen.clone();
        let mut steps = lowering::lower_writable(&entry.graph, target, &mut placements, &options)?;
        let links = steps.steps.iter().any(|s| s.link != Link::No);
        // kernels that are written to be links are slower alone
        if links && !chain::join(&mut steps, &entry.graph, &target.caps.limits) {
            let target = Target { chains: false, ..target.clone() };
            placements = chosen.clone();
            steps = lowering::lower_writable(&entry.graph, &target, &mut placements, &options)?;
        }
        Ok(VariantEntry { placements, steps })
    };
    out.entries.iter().zip(chosen).map(lower).collect()
}

/// Memory, bindings and dispatch lists of all entry points.
fn plan_entries(
    out: &mut Compiled,
    entries: &[VariantEntry],
    options: &PlanOptions,
) -> Result<Planned> {
    let lowered: Vec<EntrySteps<'_>> = out
        .entries
        .iter()
        .zip(entries)
        .map(|(e, v)| EntrySteps {
            name: &e.name,
            graph: &e.graph,
            steps: &v.steps,
            placements: &v.placements,
        })
        .collect();
    plan::plan(&lowered, &mut out.weights, options)
}

impl Compiled {
    fn stat(&mut self, stage: Stage, target: &str, start: Instant, nodes: usize) {
        let time = start.elapsed();
        let target = target.to_owned();
        self.stats.push(StageStat { stage, target, time, nodes, note: String::new() });
    }

    /// The graph that reports are about: the first entry point's.
    pub fn graph(&self) -> &Graph {
        &self.entries[0].graph
    }

    /// Runs the shortest prefill on the calibration prompt.
    fn calibrate(&mut self, options: &CompileOptions, progress: Progress<'_>) -> Result<()> {
        let mut prefills =
            self.entries.iter().filter(|e| e.imported.outputs.iter().any(|o| o.0 == "hidden"));
        let Some(entry) = prefills.next_back() else { return Ok(()) };
        let ids = match &options.calibration {
            Calibration::Prompt(ids) if options.precision != Precision::F32 => ids,
            _ => return Ok(()),
        };
        if ids.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let mut told = |done: f32| progress(Stage::Import, "calibration", done);
        let ranges = calibrate::ranges(&entry.imported, ids, &mut told)?;
        let most = ranges.0.iter().max_by(|a, b| a.1.total_cmp(b.1));
        if let Some((name, most)) = most {
            let wide: Vec<String> =
                ranges.beyond_f16().map(|(name, v)| format!("{name} ({v:.3e})")).collect();
            let kept = match wide.len() {
                0 => "f16 holds all of them with headroom".to_owned(),
                n => format!("{n} of {} are stored in f32: {}", ranges.0.len(), short(&wide)),
            };
            let n = ids.len();
            self.notes.push(format!(
                "range check on {n} tokens: the largest value is {most:.3e} ({name}); {kept}"
            ));
        }
        self.ranges = ranges;
        self.stat(Stage::Import, "calibration", start, self.node_count());
        Ok(())
    }

    /// Measures what f16 costs on the inputs given, and chooses what stays in f32.
    fn measure_rounding(&mut self, options: &CompileOptions, progress: Progress<'_>) -> Result<()> {
        let Calibration::Inputs(inputs) = &options.calibration else { return Ok(()) };
        if options.precision != Precision::Mixed {
            return Ok(());
        }
        let start = Instant::now();
        for entry in &self.entries {
            let mut told = |done: f32| progress(Stage::AssignLayouts, "calibration", done);
            let rounding = rounding::measure(&entry.graph, inputs, &mut told)?;
            self.notes.push(rounding.summary(&entry.graph));
            self.rounding.push(rounding);
        }
        self.stat(Stage::AssignLayouts, "calibration", start, self.node_count());
        Ok(())
    }

    fn node_count(&self) -> usize {
        self.entries.iter().map(|e| e.graph.node_count()).sum()
    }

    fn add_rewrites(&mut self, report: FuseReport) {
        for (rule, n) in report.applied {
            *self.rewrites.applied.entry(rule).or_default() += n;
        }
        if self.rewrites.nodes_before == 0 {
            self.rewrites.nodes_before = report.nodes_before;
        }
        self.rewrites.nodes_after = report.nodes_after;
    }

    /// The first variant that runs on a GPU, else the first.
    pub fn main_variant(&self) -> Option<&Variant> {
        let gpu = self.variants.iter().find(|v| v.spec.id != "reference");
        gpu.or(self.variants.first())
    }
}

/// The first few of a list.
pub(crate) fn short(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = names.len().saturating_sub(SHOWN);
    let list = names[..names.len() - more].join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn verify(stage: Stage, graph: &Graph) -> Result<()> {
    drift_ops::fuse::verify_graph(graph)
        .map_err(|e| StageError::internal(stage.name(), format!("the graph is not valid: {e}")))
}

/// Names that `--disable` takes.
pub fn pass_names() -> Vec<(&'static str, &'static str)> {
    let rules = drift_ops::fuse::RULES.iter().map(|r| (r.name, r.description));
    let mut names: Vec<_> = Vec::new();
    for pass in rules.chain(PASSES) {
        // some rules run in two stages
        if !names.contains(&pass) {
            names.push(pass);
        }
    }
    names
}

fn check_disabled(disabled: &[String]) -> Result<()> {
    let names = pass_names();
    match disabled.iter().find(|d| !names.iter().any(|(n, _)| n == d)) {
        None => Ok(()),
        Some(d) => {
            let list: Vec<&str> = names.iter().map(|(n, _)| *n).collect();
            Err(StageError::new(
                "options",
                ErrorKind::Invalid,
                format!("--disable {d}: there is no pass of this name"),
            )
            .help(format!("passes: {}", list.join(", "))))
        }
    }
}
