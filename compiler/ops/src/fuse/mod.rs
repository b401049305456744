//! Rewriting of graphs: [`canonicalize`] cleans up and folds, [`fuse`] joins nodes into kernels.
//!
//! One rule is one file with one `RULE`, one fixture `tests/fuse/<rule>.txt` (graph in, graph out)
//! and one line in [`RULES`], whose order is the order of trial. A rule looks at one node and
//! returns a [`Patch`]; the pass applies it and counts it. Any rule can be disabled by name, and
//! [`FuseOptions::bisect_limit`] stops after so many applications, which finds a wrong one in
//! log2(n) runs.
//!
//! **Invariant:** after [`fuse`] no view node (`reshape`, `transpose`, `slice`, `expand`) is left:
//! views live in operands and stores.

mod bodies;
mod elements;
mod formulas;
mod rewrite;
pub mod view_algebra;
mod weights;

mod absorb_view;
mod attention;
mod attention_mask;
mod batch_norm_to_pointwise;
mod clip;
mod commute_resize;
mod copy_view;
mod cse;
mod dead_code;
mod duplicate_cheap;
mod epilogue;
mod fold_batch_norm;
mod fold_bias;
mod fold_constants;
mod fold_input_scale;
mod fold_pad;
mod fold_scale;
mod gelu;
mod gelu_tanh;
mod group_norm;
mod hard_sigmoid;
mod hard_swish;
mod layer_norm;
mod leaky_relu;
mod merge_concat;
mod merge_heads;
mod merge_pointwise;
mod merge_products;
mod mish;
mod nearest_resize;
mod norm_affine;
mod norm_into_linear;
mod post_norm_into_linear;
mod prelu;
mod quick_gelu;
mod remove_identity;
mod repeat_concat;
mod repeated_heads;
mod rms_norm;
mod rotary;
mod rsqrt;
mod sigmoid;
mod silu;
mod simplify_body;
mod slice_of_concat;
mod softmax;
mod softplus;
mod store_view;
mod transpose_of_concat;
mod whole_scatter;

pub use rewrite::{Ctx, Patch, Rewriter};

use drift_ir::{DType, Graph, Node, NodeId, Shape, ValueId, VerifyError, verify_with};
use std::collections::{BTreeMap, BTreeSet};

/// Passes, in the order they run. Each runs its rules until none applies any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Clean-up, folding into weights, norms from their decomposed forms.
    Canonicalize,
    /// Views into operands and stores, element-wise nodes into bodies, activations.
    Fuse,
    /// What fusion left over.
    Finish,
}

/// One rewrite rule.
#[derive(Clone, Copy)]
pub struct Rule {
    pub name: &'static str,
    pub description: &'static str,
    pub stage: Stage,
    /// What to change around a node, `None` when the rule does not apply there.
    pub apply: fn(&Ctx, NodeId) -> Option<Patch>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rule {}", self.name)
    }
}

/// All rules in the order of trial within their stage.
pub static RULES: &[Rule] = &[
    dead_code::RULE,
    remove_identity::RULE,
    fold_constants::RULE,
    cse::RULE,
    whole_scatter::RULE,
    repeat_concat::RULE,
    merge_concat::RULE,
    transpose_of_concat::RULE,
    layer_norm::RULE,
    rms_norm::RULE,
    softmax::RULE,
    group_norm::RULE,
    rotary::RULE,
    attention::RULE,
    merge_products::RULE,
    norm_affine::RULE,
    fold_batch_norm::RULE,
    fold_pad::RULE,
    fold_scale::RULE,
    fold_bias::RULE,
    fold_input_scale::RULE,
    batch_norm_to_pointwise::RULE,
    commute_resize::RULE,
    simplify_body::RULE,
    // fuse
    store_view::RULE,
    Rule { stage: Stage::Fuse, ..fold_pad::RULE },
    absorb_view::RULE,
    slice_of_concat::RULE,
    nearest_resize::RULE,
    merge_pointwise::RULE,
    Rule { stage: Stage::Fuse, ..simplify_body::RULE },
    softplus::RULE,
    sigmoid::RULE,
    silu::RULE,
    quick_gelu::RULE,
    gelu::RULE,
    gelu_tanh::RULE,
    mish::RULE,
    hard_swish::RULE,
    hard_sigmoid::RULE,
    prelu::RULE,
    leaky_relu::RULE,
    clip::RULE,
    rsqrt::RULE,
    epilogue::RULE,
    duplicate_cheap::RULE,
    norm_into_linear::RULE,
    post_norm_into_linear::RULE,
    // finish
    merge_heads::RULE,
    copy_view::RULE,
];

/// The most values one node may read and write, so that its kernel fits the storage-buffer
/// bindings that every device has (WebGPU's default limit is 8 per stage).
pub const MAX_BOUND_VALUES: usize = 8;

/// Longest body that merging makes.
pub const MAX_BODY_STEPS: usize = 96;

/// What to leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FuseOptions {
    /// Names of rules that do not run.
    pub disabled: BTreeSet<String>,
    /// Stop after this many applications, over all rules of the pass.
    pub bisect_limit: Option<usize>,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FuseReport {
    /// Applications per rule name, rules that never applied left out.
    pub applied: BTreeMap<&'static str, usize>,
    pub nodes_before: usize,
    pub nodes_after: usize,
}

impl FuseReport {
    pub fn total(&self) -> usize {
        self.applied.values().sum()
    }
}

/// A rule left a graph that the verifier refuses: a mistake in Drift, not in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuseError {
    pub rule: String,
    /// Which application of the pass it was (see [`FuseOptions::bisect_limit`]).
    pub application: usize,
    pub error: VerifyError,
}

impl std::fmt::Display for FuseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rule {} (application {}) left an invalid graph: {}; run without it and report this",
            self.rule, self.application, self.error
        )
    }
}

impl std::error::Error for FuseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Clean-up and folding: [`Stage::Canonicalize`].
pub fn canonicalize(graph: Graph, options: &FuseOptions) -> Result<(Graph, FuseReport), FuseError> {
    run(graph, options, &[Stage::Canonicalize])
}

/// Structural fusion: [`Stage::Fuse`] and [`Stage::Finish`].
pub fn fuse(graph: Graph, options: &FuseOptions) -> Result<(Graph, FuseReport), FuseError> {
    // a copy that is left over may still join its element-wise neighbours
    run(graph, options, &[Stage::Fuse, Stage::Finish, Stage::Fuse])
}

fn run(
    graph: Graph,
    options: &FuseOptions,
    stages: &[Stage],
) -> Result<(Graph, FuseReport), FuseError> {
    let mut pass = Pass {
        report: FuseReport { nodes_before: graph.node_count(), ..FuseReport::default() },
        rewriter: Rewriter::new(graph),
        left: options.bisect_limit.unwrap_or(usize::MAX),
    };
    for stage in stages {
        let rules: Vec<&Rule> = RULES
            .iter()
            .filter(|r| r.stage == *stage && !options.disabled.contains(r.name))
            .collect();
        pass.fixpoint(&rules)?;
    }
    let graph = pass.rewriter.into_graph();
    pass.report.nodes_after = graph.node_count();
    Ok((graph, pass.report))
}

/// Runs some rules until none applies. For tests of single rules.
pub fn run_rules(graph: Graph, rules: &[&Rule]) -> Result<(Graph, FuseReport), FuseError> {
    let mut pass = Pass {
        report: FuseReport { nodes_before: graph.node_count(), ..FuseReport::default() },
        rewriter: Rewriter::new(graph),
        left: usize::MAX,
    };
    pass.fixpoint(rules)?;
    let graph = pass.rewriter.into_graph();
    pass.report.nodes_after = graph.node_count();
    Ok((graph, pass.report))
}

/// Rounds over the rule list, and applications of one rule to one node in a row. Rules shrink the
/// graph or move it towards a normal form, so these are never met; they bound a mistake.
const MAX_ROUNDS: usize = 50;
const MAX_REPEATS: usize = 100;

struct Pass {
    rewriter: Rewriter,
    report: FuseReport,
    left: usize,
}

impl Pass {
    fn fixpoint(&mut self, rules: &[&Rule]) -> Result<(), FuseError> {
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for rule in rules {
                changed |= self.sweep(rule)?;
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    /// One rule over all nodes in execution order. True when it applied somewhere.
    fn sweep(&mut self, rule: &Rule) -> Result<bool, FuseError> {
        let order = self
            .rewriter
            .graph()
            .topo_order()
            .unwrap_or_else(|_| self.rewriter.graph().node_ids().collect());
        let mut applied = 0;
        for id in order {
            for _ in 0..MAX_REPEATS {
                if self.left == 0 || self.rewriter.graph().get_node(id).is_none() {
                    break;
                }
                let Some(patch) = (rule.apply)(&self.rewriter.ctx(), id) else { break };
                self.rewriter.apply(patch);
                self.left -= 1;
                applied += 1;
                // on a large graph once per sweep is enough
                if cfg!(debug_assertions) && self.rewriter.graph().node_count() <= 64 {
                    self.verify(rule, applied)?;
                }
            }
        }
        if applied > 0 {
            *self.report.applied.entry(rule.name).or_default() += applied;
            if cfg!(debug_assertions) {
                self.verify(rule, 0)?;
            }
        }
        Ok(applied > 0)
    }

    fn verify(&self, rule: &Rule, pending: usize) -> Result<(), FuseError> {
        verify_graph(self.rewriter.graph()).map_err(|error| FuseError {
            rule: rule.name.to_owned(),
            application: self.report.total() + pending,
            error,
        })
    }
}

/// The IR verifier with the operator table's result types.
pub fn verify_graph(graph: &Graph) -> Result<(), VerifyError> {
    let types = |g: &Graph, id: NodeId| -> Result<Vec<(DType, Shape)>, String> {
        crate::infer_node(g, g.node(id)).map_err(|e| e.to_string())
    };
    verify_with(graph, &types)
}

/// Shape of the node's first result before its store view.
pub(crate) fn own_shape(graph: &Graph, node: &Node) -> Option<Shape> {
    if node.store_view.is_identity() {
        return Some(graph.value(*node.results.first()?).shape.clone());
    }
    Some(crate::infer_node(graph, node).ok()?.into_iter().next()?.1)
}

/// Distinct values that a node binds: what it reads and what it writes.
pub(crate) fn bound_values(node: &Node) -> usize {
    let read: BTreeSet<ValueId> = node.operands.iter().flatten().map(|o| o.value).collect();
    read.len() + node.results.len()
}

/// Operators whose kernels compute each element of one result once, so that element-wise steps can
/// run before the store. (`concat` and `split` are left out: they cost nothing when the memory
/// plan places their parts side by side.)
pub(crate) fn takes_epilogue(node: &Node) -> bool {
    matches!(
        node.op,
        "conv"
            | "conv_transpose"
            | "matmul"
            | "matmul_nbits"
            | "pool"
            | "reduce"
            | "softmax"
            | "log_softmax"
            | "layer_norm"
            | "rms_norm"
            | "instance_norm"
            | "group_norm"
            | "lrn"
            | "lp_norm"
            | "resize"
            | "grid_sample"
            | "gather"
            | "pad"
            | "depth_to_space"
            | "attention"
            | "linear"
            | "embedding"
    )
}

/// Operators that can store their one result through a reshape or transpose.
pub(crate) fn takes_store_view(node: &Node) -> bool {
    takes_epilogue(node) || node.op == "pointwise"
}

/// Whether the kernel of `op` reads each element of operand `i` many times, by its neighbours'
/// coordinates.
pub(crate) fn rereads(op: &str, i: usize) -> bool {
    i == 0 && matches!(op, "conv" | "conv_transpose" | "pool" | "resize" | "grid_sample")
}
