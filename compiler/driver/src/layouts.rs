//! Layout and storage of every intermediate value.
//!
//! Values that spatial operators make (convolutions, pools, resizes, ...) lie in slices of four
//! channels; everything else is row-major. Element-wise nodes follow what they read. No relayout
//! kernels are inserted: every kernel reads any layout through the coordinates of its consumer.

use crate::error::{Result, StageError};
use drift_bundle::caps::ImageKind;
use drift_ir::{DType, Graph, NodeId, Shape, ValueId};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_ops::lower::{Placement, SMALL_ELEMS};
use std::collections::BTreeSet;

/// What a target wants of intermediates.
#[derive(Clone, Debug)]
pub struct LayoutChoice {
    /// Element type of float intermediates.
    pub float: Elem,
    /// Buffers may hold single f16 elements.
    pub stores_f16: bool,
    pub storage: Storage,
    /// Axes of an NCHW value from slowest to fastest, channel standing for its slice:
    /// `[1, 2, 3, 0]` is DSHWBC4.
    pub slices: [u8; 4],
    /// Largest image extents (2D side, 3D side, layers); used when `storage` is an image.
    pub texture_2d: u64,
    pub texture_3d: u64,
    pub texture_layers: u64,
}

impl LayoutChoice {
    /// States keep the type that the model gives them, at every precision.
    fn state_float(&self, dtype: DType) -> Elem {
        match dtype {
            DType::F16 if self.stores_f16 => Elem::F16,
            DType::F16 => Elem::F16Packed,
            _ => Elem::F32,
        }
    }

    pub fn buffers(float: Elem) -> LayoutChoice {
        LayoutChoice {
            float,
            stores_f16: float == Elem::F16,
            storage: Storage::Buffer,
            slices: [1, 2, 3, 0],
            texture_2d: 0,
            texture_3d: 0,
            texture_layers: 0,
        }
    }
}

/// Operators whose results are pictures: read again by neighbourhoods, four channels at a time.
fn is_spatial(op: &str) -> bool {
    matches!(
        op,
        "conv"
            | "conv_transpose"
            | "pool"
            | "resize"
            | "batch_norm"
            | "instance_norm"
            | "group_norm"
            | "lrn"
            | "grid_sample"
    )
}

/// Fewer channels than this waste more than half of every slice.
const MIN_CHANNELS: usize = 3;

/// The slices-of-4 layout of a value of this shape, where that makes sense.
fn slices_of(shape: &Shape, choice: &LayoutChoice) -> Option<Layout> {
    let order: Vec<u8> = match shape.rank() {
        4 => choice.slices.to_vec(),
        // N C W, N C D H W: the same order with fewer or more spatial axes
        3 => choice.slices.iter().filter(|&&a| a != 3).copied().collect(),
        5 => choice
            .slices
            .iter()
            .flat_map(|&a| if a == 2 { vec![2, 3] } else { vec![a + u8::from(a == 3)] })
            .collect(),
        _ => return None,
    };
    (shape[1] >= MIN_CHANNELS && shape.elems() > 0).then_some(Layout::Slices4 { channel: 1, order })
}

/// Layout of the result of `node`, given those of earlier values.
fn layout_of(
    graph: &Graph,
    node: NodeId,
    result: usize,
    done: &[Option<Placement>],
    choice: &LayoutChoice,
) -> Layout {
    let n = graph.node(node);
    let shape = &graph.value(n.results[result]).shape;
    if !n.store_view.is_identity() {
        return Layout::RowMajor;
    }
    if is_spatial(n.op) {
        return slices_of(shape, choice).unwrap_or(Layout::RowMajor);
    }
    // element-wise nodes, concat, slices of channels: as what they read, where it has their rank
    if matches!(n.op, "pointwise" | "concat" | "pad") {
        let like = n.operands.iter().flatten().find_map(|o| {
            let p = done[o.value.0 as usize].as_ref()?;
            let same = o.view.is_identity() && graph.value(o.value).shape.rank() == shape.rank();
            (same && matches!(p.layout, Layout::Slices4 { .. })).then_some(())
        });
        if like.is_some() {
            return slices_of(shape, choice).unwrap_or(Layout::RowMajor);
        }
    }
    Layout::RowMajor
}

/// Places every value that is not constant.
///
/// Inputs and outputs of the graph are row-major in 32-bit elements, as the host hands them over.
pub fn assign_layouts(
    graph: &Graph,
    choice: &LayoutChoice,
    wide: &BTreeSet<NodeId>,
) -> Result<Vec<Option<Placement>>> {
    let mut places: Vec<Option<Placement>> = vec![None; graph.value_ids().count()];
    let place = |value: ValueId, float: Elem, layout: Layout, storage: Storage| {
        let dtype = graph.value(value).dtype;
        let elem = drift_ops::lower::elem_of(dtype, float);
        Some(Placement { elem, layout, storage, base_elems: 0 })
    };
    for &input in &graph.inputs {
        let value = graph.value(input);
        let float =
            if graph.is_state(&value.name) { choice.state_float(value.dtype) } else { Elem::F32 };
        places[input.0 as usize] = place(input, float, Layout::RowMajor, Storage::Buffer);
    }
    let order = graph
        .topo_order()
        .map_err(|_| StageError::internal("assign-layouts", "the graph has a cycle"))?;
    for node in order {
        for (i, &value) in graph.node(node).results.iter().enumerate() {
            if let Some(before) = updated_operand(graph, node, i) {
                places[value.0 as usize] = places[before.0 as usize].clone();
                continue;
            }
            if graph.is_output(value) {
                places[value.0 as usize] =
                    place(value, Elem::F32, Layout::RowMajor, Storage::Buffer);
                continue;
            }
            let layout = layout_of(graph, node, i, &places, choice);
            let shape = &graph.value(value).shape;
            let floats = graph.value(value).dtype.is_float();
            let storage = match choice.storage {
                Storage::Image(kind) if floats && image_fits(kind, shape, &layout, choice) => {
                    choice.storage
                }
                _ => Storage::Buffer,
            };
            let small = shape.elems() <= SMALL_ELEMS && storage == Storage::Buffer;
            let wide = small || (wide.contains(&node) && storage == Storage::Buffer);
            let float = if wide { Elem::F32 } else { choice.float };
            places[value.0 as usize] = place(value, float, layout, storage);
        }
    }
    Ok(places)
}

/// The state that result `i` of a node is the update of.
fn updated_operand(graph: &Graph, node: NodeId, i: usize) -> Option<ValueId> {
    let n = graph.node(node);
    let (operand, _) = drift_ops::updates(n.op).iter().find(|(_, r)| *r == i)?;
    Some(n.operands.get(*operand)?.as_ref()?.value)
}

/// Nodes on the residual stream of a language model: what additions reach from the embedding. It
/// collects every layer's contribution (Gemma's exceeds f16's range), so it stays in f32.
pub fn residual_nodes(graph: &Graph) -> BTreeSet<NodeId> {
    let mut wide = BTreeSet::new();
    for id in graph.topo_order().unwrap_or_default() {
        let node = graph.node(id);
        let adds = node.epilogue.steps.iter().any(|s| s.op == drift_ir::PointwiseOp::Add);
        let from = if node.op == "pointwise" { 0 } else { node.epilogue_operands };
        let stream =
            |o: &drift_ir::Operand| graph.producer(o.value).is_some_and(|p| wide.contains(&p));
        let on = match node.op {
            "embedding" => true,
            "last_row" => node.operands.iter().flatten().any(stream),
            // its second result is the stream after an addition
            "linear" if node.results.len() == 2 => true,
            _ => adds && node.operands[from..].iter().flatten().any(stream),
        };
        if on {
            wide.insert(id);
        }
    }
    wide
}

/// Share of a network, from the inputs on, that keeps f32 at mixed precision.
///
/// Rounding noise of an early layer passes through all later ones. Of 21 networks (docs/models.md), a
/// detector's largest error falls from 2.9e-2 of the output's scale to 1.1e-2, and those of four others
/// to between a fifth and two fifths. With inputs to measure on, [`crate::rounding`] knows better.
const EARLY: f64 = 0.2;
/// A logarithm beyond this share of the network is its head, not its signal processing.
const LOG_BEFORE: f64 = 0.75;

/// Nodes whose results (and small weights) stay in f32 at mixed precision: the first ones, and those in
/// front of a logarithm.
pub fn wide_nodes(graph: &Graph) -> BTreeSet<NodeId> {
    let mut wide = logarithm_nodes(graph);
    let order = graph.topo_order().unwrap_or_default();
    wide.extend(&order[..part(&order, EARLY)]);
    wide
}

fn part(order: &[NodeId], share: f64) -> usize {
    (order.len() as f64 * share) as usize
}

/// Nodes that a logarithm compresses, which turns relative errors of small numbers into absolute ones.
pub fn logarithm_nodes(graph: &Graph) -> BTreeSet<NodeId> {
    let order = graph.topo_order().unwrap_or_default();
    let logs = |id: &NodeId| {
        graph.node(*id).epilogue.steps.iter().any(|s| s.op == drift_ir::PointwiseOp::Log)
    };
    let before = &order[..part(&order, LOG_BEFORE)];
    let mut stack: Vec<NodeId> = before.iter().copied().filter(logs).collect();
    let mut wide = BTreeSet::new();
    while let Some(id) = stack.pop() {
        if wide.insert(id) {
            let operands = graph.node(id).operands.iter().flatten();
            stack.extend(operands.filter_map(|o| graph.producer(o.value)));
        }
    }
    wide
}

/// Whether a value may live in an image: in slices of four, floats, inside the device's extents.
fn image_fits(kind: ImageKind, shape: &Shape, layout: &Layout, choice: &LayoutChoice) -> bool {
    let Layout::Slices4 { .. } = layout else { return false };
    if shape.rank() != 4 {
        return false;
    }
    let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]].map(|d| d as u64);
    let s = c.div_ceil(4);
    match kind {
        ImageKind::Texture2d => w * n <= choice.texture_2d && h * s <= choice.texture_2d,
        ImageKind::Texture2dArray => {
            w * n <= choice.texture_2d && h <= choice.texture_2d && s <= choice.texture_layers
        }
        ImageKind::Texture3d => [w * n, h, s].iter().all(|&d| d <= choice.texture_3d),
        ImageKind::TexelBuffer => false,
    }
}
