//! What a report shows, as plain data.

use crate::memory::{OffsetPlan, Strategy, UsageRecord, live_curve, summarize};

/// One compilation, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Program and version: `driftc 0.1.0`.
    pub generator: String,
    pub model: ModelView,
    pub stages: Vec<StageStat>,
    /// After import, before any rewrite.
    pub graph_before: GraphView,
    /// What is lowered: one node per dispatch or view.
    pub graph_after: GraphView,
    /// One per target.
    pub variants: Vec<VariantView>,
    pub weights: Vec<WeightView>,
    /// Size of the written file; 0 if none was written.
    pub bundle_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelView {
    /// `mobilenet_v2`
    pub name: String,
    /// `mobilenet_v2.onnx`
    pub source: String,
    pub inputs: Vec<PortView>,
    pub outputs: Vec<PortView>,
    /// Number of weight elements.
    pub parameters: u64,
    /// Anything else worth a line: producer, opset, precision.
    pub notes: Vec<(String, String)>,
}

/// An input or output of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PortView {
    pub name: String,
    pub dtype: String,
    /// `1x3x224x224`
    pub shape: String,
}

/// One stage of the pipeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageStat {
    pub name: String,
    pub description: String,
    /// Wall-clock time in milliseconds.
    pub millis: f64,
    /// Nodes (or dispatches) after the stage.
    pub nodes: usize,
    /// `12 batch norms folded`; may be empty.
    pub note: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphView {
    /// In any order; operands that are not in the list are left out of the drawing.
    pub nodes: Vec<NodeView>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Unique in its graph.
    pub id: u64,
    pub label: String,
    /// Operator: `conv`, `add`. Its kind gives the node its color.
    pub op: String,
    /// Ids of the nodes whose results this one reads.
    pub inputs: Vec<u64>,
    /// Of the first result: `1x64x112x112 f16`.
    pub shape: String,
    /// Bytes of all results.
    pub bytes: u64,
    /// More lines for the details pane: attributes, fused operators, layout.
    pub detail: Vec<(String, String)>,
}

/// What one target gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantView {
    /// Target id: `lavapipe`.
    pub target: String,
    /// `Vulkan, SPIR-V`
    pub api: String,
    pub precision: String,
    pub memory: MemoryView,
    pub dispatches: Vec<DispatchView>,
    pub shaders: Vec<ShaderView>,
}

/// The memory plan. All sizes in bytes, with the planner's rounding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryView {
    pub strategy: String,
    pub records: Vec<RecordView>,
    /// Number of steps; steps go from 0.
    pub steps: u32,
    pub planned_bytes: u64,
    pub naive_bytes: u64,
    pub lower_bound_bytes: u64,
    /// Live bytes from this step on: (step, bytes), in step order.
    pub live: Vec<(u32, u64)>,
}

impl MemoryView {
    /// The view of a plan. `name_and_op` gives a record's name and operator by its `id`.
    pub fn new(
        strategy: Strategy,
        steps: u32,
        records: &[UsageRecord],
        plan: &OffsetPlan,
        mut name_and_op: impl FnMut(usize) -> (String, String),
    ) -> Self {
        let summary = summarize(records, plan);
        MemoryView {
            strategy: strategy.to_string(),
            records: records
                .iter()
                .zip(&plan.offsets)
                .map(|(r, &offset)| {
                    let (name, op) = name_and_op(r.id);
                    RecordView {
                        name,
                        op,
                        bytes: r.rounded_bytes(),
                        first_step: r.first_step,
                        last_step: r.last_step,
                        offset,
                    }
                })
                .collect(),
            steps,
            planned_bytes: summary.planned_bytes,
            naive_bytes: summary.naive_bytes,
            lower_bound_bytes: summary.lower_bound_bytes,
            live: live_curve(records).into_iter().map(|p| (p.step, p.bytes)).collect(),
        }
    }
}

/// A tensor in the arena.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordView {
    pub name: String,
    /// Operator that writes it, for its color.
    pub op: String,
    pub bytes: u64,
    /// Inclusive.
    pub first_step: u32,
    pub last_step: u32,
    pub offset: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DispatchView {
    pub index: u32,
    /// The node it computes, fused ones included: `conv1 + relu`.
    pub label: String,
    /// Operator, for the color.
    pub op: String,
    /// Name of the kernel.
    pub kernel: String,
    pub workgroups: [u32; 3],
    pub workgroup_size: [u32; 3],
    /// Without weights.
    pub inputs: Vec<TensorView>,
    pub outputs: Vec<TensorView>,
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// Bytes of weights it reads.
    pub weight_bytes: u64,
    /// Index into [`VariantView::shaders`].
    pub shader: Option<usize>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorView {
    pub name: String,
    pub shape: String,
    pub dtype: String,
    /// `slices-of-4`
    pub layout: String,
    /// `buffer`, `texture-2d`
    pub storage: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightView {
    pub name: String,
    pub shape: String,
    /// In the model.
    pub dtype: String,
    /// In the bundle: `f16, G=4 O4HWI4`.
    pub stored_as: String,
    /// In the bundle.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShaderView {
    pub name: String,
    /// `SPIR-V`
    pub dialect: String,
    /// Content hash, in hex.
    pub hash: String,
    pub bytes: u64,
    /// Source or disassembly; may be empty.
    pub text: String,
}
