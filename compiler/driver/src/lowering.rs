//! Graph -> steps: kernels in execution order, with what their arguments are bound to.

use crate::error::{ErrorKind, Result, StageError};
use drift_ir::{Graph, NodeId, Operand, ValueId};
use drift_kernel::tensor::Elem;
use drift_kernel::{Layout, Storage};
use drift_ops::lower::{ArgRef, Lowering, Placement, Target};
use std::collections::BTreeSet;

const STAGE: &str = "lower";

/// What an argument of a step is bound to, over the whole graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    Value(ValueId),
    /// Index into [`Steps::temps`].
    Temp(usize),
}

/// One dispatch before virtualization.
#[derive(Clone, Debug)]
pub struct LogicalStep {
    pub node: NodeId,
    pub kernel: drift_kernel::Kernel,
    pub args: Vec<Bound>,
    /// Byte of what it is bound to at which each argument begins.
    pub offsets: Vec<u64>,
    pub flops: u64,
    /// See [`drift_ops::lower::LoweredKernel::link`].
    pub link: drift_ops::lower::Link,
    /// Kernels that were joined in this one.
    pub links: usize,
}

/// A value that lies inside another one (a part of a concat): no copy is ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    pub parent: ValueId,
    /// Offset in elements of the parent's layout.
    pub offset_elems: u64,
}

/// The lowered graph.
#[derive(Debug, Default)]
pub struct Steps {
    pub steps: Vec<LogicalStep>,
    pub temps: Vec<drift_ops::lower::Temp>,
    /// By value id.
    pub inside: Vec<Option<Inside>>,
}

/// Choices of the whole graph.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// Parts of a concat are written in place.
    pub zero_copy: bool,
    /// Nodes that keep small weights in f32.
    pub wide: BTreeSet<NodeId>,
}

/// Lowers the graph with placements that every kernel can write.
///
/// Packed halves and images take whole groups of four only. A kernel that stores single elements
/// cannot write them, so its results move to f32 or to a buffer: found by trial, since only the
/// kernel knows how it stores.
pub fn lower_writable(
    graph: &Graph,
    target: &Target,
    placements: &mut [Option<Placement>],
    options: &LowerOptions,
) -> Result<Steps> {
    loop {
        // `lower` shifts bases for concats; a second trial starts from the same placements
        let mut trial = placements.to_vec();
        let steps = lower(graph, target, &mut trial, options)?;
        let demoted =
            demote_unwritable(graph, &steps, target.caps.limits.storage_buffers, placements);
        if demoted == 0 {
            placements.clone_from_slice(&trial);
            return Ok(steps);
        }
    }
}

/// Whether a value of this placement can only be written four elements at a time.
fn whole_groups_only(p: &Placement) -> bool {
    p.elem == Elem::F16Packed || p.storage != Storage::Buffer
}

/// Moves the results of kernels that fail to another placement; gives how many moved.
fn demote_unwritable(
    graph: &Graph,
    steps: &Steps,
    storage_buffers: u64,
    placements: &mut [Option<Placement>],
) -> usize {
    let mut moved = 0;
    for step in &steps.steps {
        let written: Vec<usize> = step
            .args
            .iter()
            .zip(&step.kernel.tensors)
            .filter(|(_, t)| t.access != drift_kernel::Access::Read)
            .filter_map(|(b, _)| if let Bound::Value(v) = b { Some(v.0 as usize) } else { None })
            .filter(|&v| placements[v].as_ref().is_some_and(whole_groups_only))
            .collect();
        // a kernel that joins many parts in one dispatch may need more bindings than there are
        let possible = || {
            drift_kernel::virtualize(step.kernel.clone())
                .is_ok_and(|k| k.bindings.len() as u64 <= storage_buffers)
        };
        if written.is_empty() || possible() {
            continue;
        }
        for v in written {
            if let Some(p) = &mut placements[v] {
                if p.elem == Elem::F16Packed {
                    p.elem = Elem::F32;
                }
                p.storage = Storage::Buffer;
                moved += 1;
            }
        }
        moved += follow_updates(graph, step.node, placements);
    }
    moved
}

/// What a node updates moves along with the update: both are one memory. Gives how many moved.
fn follow_updates(graph: &Graph, node: NodeId, placements: &mut [Option<Placement>]) -> usize {
    let node = graph.node(node);
    let mut moved = 0;
    for &(operand, result) in drift_ops::updates(node.op) {
        let Some(Some(o)) = node.operands.get(operand) else { continue };
        let Some(r) = node.results.get(result) else { continue };
        if placements[o.value.0 as usize] != placements[r.0 as usize] {
            placements[o.value.0 as usize] = placements[r.0 as usize].clone();
            moved += 1;
        }
    }
    moved
}

/// Lowers every node; concats whose operands can be written in place are dropped.
pub fn lower(
    graph: &Graph,
    target: &Target,
    placements: &mut [Option<Placement>],
    options: &LowerOptions,
) -> Result<Steps> {
    let order =
        graph.topo_order().map_err(|_| StageError::internal(STAGE, "cycle in the graph"))?;
    let mut out = Steps { inside: vec![None; placements.len()], ..Steps::default() };
    if options.zero_copy {
        for &id in &order {
            place_concat(graph, id, placements, &mut out.inside);
        }
        shift_bases(placements, &out.inside);
    }
    let mut missing: Vec<String> = Vec::new();
    for &id in &order {
        let node = graph.node(id);
        if node.op == "concat" && concat_is_free(graph, id, &out.inside) {
            continue;
        }
        let mut lowering = Lowering::new(graph, id, target, placements);
        lowering.early = options.wide.contains(&id);
        match drift_ops::lower::lower_node(&mut lowering) {
            Ok(()) => {}
            Err(e) if e.kind == drift_ops::error::ErrorKind::Unsupported => {
                missing.push(format!("{} at {}: {}", e.op, e.path, e.message));
                continue;
            }
            Err(e) => return Err(StageError::op(STAGE, e)),
        }
        let base = out.temps.len();
        let (kernels, temps) = (lowering.kernels, lowering.temps);
        out.temps.extend(temps);
        for k in kernels {
            let args = k
                .args
                .iter()
                .map(|a| match a {
                    ArgRef::Value(v) => Bound::Value(*v),
                    ArgRef::Temp(t) => Bound::Temp(base + t),
                })
                .collect();
            let (kernel, offsets, flops, link) = (k.kernel, k.offsets, k.flops, k.link);
            out.steps.push(LogicalStep { node: id, kernel, args, offsets, flops, link, links: 1 });
        }
    }
    if missing.is_empty() {
        return Ok(out);
    }
    let count = missing.len();
    missing.truncate(8);
    let more = if count > 8 { format!("\n  and {} more", count - 8) } else { String::new() };
    Err(StageError::new(
        STAGE,
        ErrorKind::Unsupported,
        format!("{count} nodes cannot run on a GPU here:\n  {}{more}", missing.join("\n  ")),
    )
    .help("nothing falls back to the CPU; cut the model before these nodes, or replace them"))
}

/// Offsets in elements of the operands of a concat inside its result, when each part is contiguous
/// there: the axis is the slowest one that is not 1.
fn part_offsets(graph: &Graph, id: NodeId, layout: &Layout) -> Option<Vec<u64>> {
    let node = graph.node(id);
    let result = graph.value(node.results[0]);
    let axis = result.shape.axis(node.attrs.int("axis", 0))?;
    let order: Vec<usize> = match layout {
        Layout::RowMajor => (0..result.shape.rank()).collect(),
        Layout::Slices4 { order, .. } => order.iter().map(|&a| a as usize).collect(),
        Layout::Weights { .. } => return None,
    };
    let at = order.iter().position(|&a| a == axis)?;
    if order[..at].iter().any(|&a| result.shape[a] != 1) {
        return None;
    }
    let channel = matches!(layout, Layout::Slices4 { channel, .. } if *channel as usize == axis);
    let mut offsets = Vec::new();
    let mut start = 0;
    for operand in node.operands.iter().flatten() {
        let shape = operand.view.apply(&graph.value(operand.value).shape)?;
        // the part before this one must fill whole slices
        if channel && start % 4 != 0 {
            return None;
        }
        // an empty tensor still has an extent of one element
        let mut head = result.shape.clone();
        head[axis] = start;
        offsets.push(if start == 0 { 0 } else { layout.extent_elems(&head) });
        start += shape[axis];
    }
    Some(offsets)
}

/// Puts operands of a concat inside its result where their producers can write there directly.
fn place_concat(
    graph: &Graph,
    id: NodeId,
    placements: &[Option<Placement>],
    inside: &mut [Option<Inside>],
) {
    let node = graph.node(id);
    if node.op != "concat" || !node.epilogue.is_empty() || !node.store_view.is_identity() {
        return;
    }
    let parent = node.results[0];
    let Some(place) = &placements[parent.0 as usize] else { return };
    let Some(offsets) = part_offsets(graph, id, &place.layout) else { return };
    let parts: Vec<&Operand> = node.operands.iter().flatten().collect();
    let fits = |o: &Operand| {
        let v = o.value.0 as usize;
        let same = placements[v].as_ref().is_some_and(|p| p == place);
        let once = parts.iter().filter(|p| p.value == o.value).count() == 1;
        o.view.is_identity()
            && same
            && once
            && inside[v].is_none()
            && graph.producer(o.value).is_some()
            && !graph.is_output(o.value)
    };
    // all or nothing: a partly written concat would still need its dispatch
    if parts.iter().all(|o| fits(o)) && offsets.iter().all(|o| o.is_multiple_of(4)) {
        for (o, offset_elems) in parts.iter().zip(offsets) {
            inside[o.value.0 as usize] = Some(Inside { parent, offset_elems });
        }
    }
}

/// Bindings start at multiples of this many bytes on every device.
pub const BIND_ALIGNMENT: u64 = 256;

/// Byte offset of a value from the start of the value it lies in, all the way up; and that value.
pub fn root_of(
    value: ValueId,
    placements: &[Option<Placement>],
    inside: &[Option<Inside>],
) -> (ValueId, u64) {
    let (mut at, mut bytes) = (value, 0);
    while let Some(i) = inside[at.0 as usize] {
        let elem = placements[at.0 as usize].as_ref().map_or(4, |p| p.elem.bytes());
        bytes += i.offset_elems * elem;
        at = i.parent;
    }
    (at, bytes)
}

/// What a binding's alignment cannot express goes into the kernel as a base.
fn shift_bases(placements: &mut [Option<Placement>], inside: &[Option<Inside>]) {
    for v in 0..inside.len() {
        if inside[v].is_none() {
            continue;
        }
        let (_, bytes) = root_of(ValueId(v as u32), placements, inside);
        if let Some(p) = &mut placements[v] {
            p.base_elems = bytes % BIND_ALIGNMENT / p.elem.bytes();
        }
    }
}

fn concat_is_free(graph: &Graph, id: NodeId, inside: &[Option<Inside>]) -> bool {
    let node = graph.node(id);
    let parent = node.results[0];
    node.operands
        .iter()
        .flatten()
        .all(|o| inside[o.value.0 as usize].is_some_and(|i| i.parent == parent))
}
