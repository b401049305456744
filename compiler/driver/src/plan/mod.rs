//! Steps -> plan: memory, virtualization, hazards, bindings.
//!
//! Entry points share weights, states and arenas; each has its own steps.

mod arena;
mod arenas;
mod constants;
mod dispatches;
mod exclusive;

use crate::error::{Result, StageError};
use crate::lowering::{Bound, Steps};
use crate::memory::{self, Strategy, UsageRecord};
use crate::weights::WeightPool;
use constants::place_weights;
use dispatches::Pipelines;
use drift_bundle::plan as p;
use drift_ir::{DType, Graph, ValueId};
use drift_kernel::tensor::Elem;
use drift_kernel::{Access, Kernel, TensorArg};
use drift_ops::lower::Placement;
use std::collections::{BTreeMap, BTreeSet};

const STAGE: &str = "plan-memory";

/// A plan without shaders, and the physical kernels that pipelines refer to.
#[derive(Debug)]
pub struct Planned {
    pub plan: p::Plan,
    /// Physical kernels, one per distinct pipeline; `Pipeline::shader` is an index into it until
    /// shaders are emitted.
    pub kernels: Vec<Kernel>,
    /// Parallel to the plan's entry points.
    pub entries: Vec<PlannedEntry>,
}

/// One entry point, for the report.
#[derive(Debug)]
pub struct PlannedEntry {
    /// What the planner saw.
    pub records: Vec<Record>,
    pub summary: memory::MemorySummary,
    /// Per dispatch: what the report says of it.
    pub dispatches: Vec<DispatchInfo>,
}

impl Planned {
    /// The entry point that reports are about: the first.
    pub fn main(&self) -> &PlannedEntry {
        &self.entries[0]
    }
}

/// A lowered graph that becomes an entry point.
#[derive(Clone, Copy, Debug)]
pub struct EntrySteps<'a> {
    pub name: &'a str,
    pub graph: &'a Graph,
    pub steps: &'a Steps,
    pub placements: &'a [Option<Placement>],
}

/// One arena tensor, for the report.
#[derive(Clone, Debug)]
pub struct Record {
    pub name: String,
    pub usage: UsageRecord,
    pub offset: u64,
    /// Lies inside another record.
    pub aliased: bool,
}

/// One dispatch, for the report.
#[derive(Clone, Debug)]
pub struct DispatchInfo {
    pub node: String,
    pub kernel: String,
    pub pipeline: u32,
    pub flops: u64,
    pub workgroups: [u32; 3],
    pub workgroup_size: [u32; 3],
    pub args: Vec<ArgInfo>,
}

/// One argument of a dispatch, for the report.
#[derive(Clone, Debug)]
pub struct ArgInfo {
    pub name: String,
    pub arg: TensorArg,
    pub bytes: u64,
    /// A packed constant.
    pub weight: bool,
}

/// How memory is planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    pub strategy: Strategy,
    pub in_place: bool,
    /// A dispatch that writes to a buffer binds it in no other way (WebGPU).
    pub exclusive_writes: bool,
    pub max_object_bytes: u64,
}

/// Element type at the boundary.
pub fn elem_of(dtype: DType) -> p::ElemType {
    match dtype {
        DType::F32 => p::ElemType::F32,
        DType::F16 => p::ElemType::F16,
        DType::BF16 => p::ElemType::BF16,
        DType::F64 => p::ElemType::F64,
        DType::I8 => p::ElemType::I8,
        DType::U8 => p::ElemType::U8,
        DType::I16 => p::ElemType::I16,
        DType::U16 => p::ElemType::U16,
        DType::I32 => p::ElemType::I32,
        DType::U32 => p::ElemType::U32,
        DType::I64 => p::ElemType::I64,
        DType::U64 => p::ElemType::U64,
        DType::Bool => p::ElemType::Bool,
    }
}

fn device_elem(elem: Elem) -> p::ElemType {
    match elem {
        Elem::F32 => p::ElemType::F32,
        Elem::F16 | Elem::F16Packed => p::ElemType::F16,
        Elem::I32 => p::ElemType::I32,
        Elem::U32 => p::ElemType::U32,
    }
}

/// Where a value or temp lies once everything is placed.
#[derive(Clone, Copy, Debug)]
struct Spot {
    object: u32,
    offset: u64,
}

/// Extent of a tensor argument in bytes, rounded to whole words and vectors.
fn arg_bytes(arg: &TensorArg) -> u64 {
    (arg.layout.extent_elems(&arg.stored) * arg.elem.bytes()).next_multiple_of(16).max(16)
}

/// One entry point in the making.
struct Planner<'a> {
    graph: &'a Graph,
    steps: &'a Steps,
    placements: &'a [Option<Placement>],
    plan: &'a mut p::Plan,
    spots: BTreeMap<Bound, Spot>,
}

/// Steps (entry point, position) whose result must not take the place of an operand.
type Apart = BTreeSet<(usize, usize)>;

/// Plans memory and makes the dispatch lists.
pub fn plan(
    entries: &[EntrySteps<'_>],
    pool: &mut WeightPool,
    options: &PlanOptions,
) -> Result<Planned> {
    let mut apart = Apart::new();
    loop {
        let known = apart.len();
        let planned = plan_with(entries, pool, options, &mut apart)?;
        if apart.len() == known {
            return Ok(planned);
        }
    }
}

/// Plans once; adds to `apart` the steps whose bindings the API would not take.
fn plan_with(
    entries: &[EntrySteps<'_>],
    pool: &mut WeightPool,
    options: &PlanOptions,
    apart: &mut Apart,
) -> Result<Planned> {
    let mut plan = p::Plan::default();
    let mut places = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let mut planner = Planner::new(entry, &mut plan, BTreeMap::new());
        let apart = |step| apart.contains(&(number, step));
        let (inputs, outputs) = planner.boundary()?;
        planner.update_states()?;
        let (records, summary) = planner.arena(options, &apart)?;
        planner.images()?;
        let packed = planner.pack_weights(pool)?;
        places.push((planner.spots, (inputs, outputs), (records, summary), packed));
    }
    let packed: Vec<_> = places.iter_mut().map(|p| std::mem::take(&mut p.3)).collect();
    let weights = place_weights(&mut plan, &packed, options);
    let mut out = Vec::new();
    let mut pipelines = Pipelines::default();
    let places = entries.iter().zip(places).zip(&packed);
    for (number, ((entry, (spots, io, seen, _)), packed)) in places.enumerate() {
        let mut planner = Planner::new(entry, &mut plan, spots);
        let exclusive = options.exclusive_writes.then_some(&mut *apart);
        let (dispatches, steps) =
            planner.dispatches(packed, &weights, &mut pipelines, number, exclusive)?;
        let (inputs, outputs) = io;
        let name = entry.name.to_owned();
        plan.entry_points.push(p::EntryPoint { name, inputs, outputs, steps });
        out.push(PlannedEntry { records: seen.0, summary: seen.1, dispatches });
    }
    // the arena is as large as the largest entry point needs it
    let most = out.iter().map(|e| &e.summary).max_by_key(|s| s.planned_bytes);
    plan.memory = p::MemoryReport {
        strategy: options.strategy.to_string(),
        naive_bytes: most.map_or(0, |s| s.naive_bytes),
        planned_bytes: most.map_or(0, |s| s.planned_bytes),
        lower_bound_bytes: most.map_or(0, |s| s.lower_bound_bytes),
    };
    Ok(Planned { plan, kernels: pipelines.kernels, entries: out })
}

impl<'a> Planner<'a> {
    fn new(
        entry: &EntrySteps<'a>,
        plan: &'a mut p::Plan,
        spots: BTreeMap<Bound, Spot>,
    ) -> Planner<'a> {
        let EntrySteps { graph, steps, placements, .. } = *entry;
        Planner { graph, steps, placements, plan, spots }
    }
    fn object(&mut self, role: p::ObjectRole, kind: p::ObjectKind) -> u32 {
        self.plan.objects.push(p::Object { role, kind });
        self.plan.objects.len() as u32 - 1
    }

    fn value_arg(&self, value: ValueId) -> Option<TensorArg> {
        let place = self.placements[value.0 as usize].as_ref()?;
        Some(TensorArg {
            name: String::new(),
            elem: place.elem,
            stored: self.graph.value(value).shape.clone(),
            view: drift_ir::View::identity(),
            layout: place.layout.clone(),
            storage: place.storage,
            access: Access::Read,
            base_elems: 0,
            max_object_bytes: u64::MAX,
        })
    }

    /// An arena buffer by its number, shared by all entry points.
    fn arena_object(&mut self, number: usize, bytes: u64) -> u32 {
        let arena = |o: &p::Object| {
            o.role == p::ObjectRole::Arena && matches!(o.kind, p::ObjectKind::Buffer { .. })
        };
        let arenas = self.plan.objects.iter().enumerate().filter(|(_, o)| arena(o));
        match arenas.map(|(at, _)| at).nth(number) {
            Some(at) => {
                if let p::ObjectKind::Buffer { bytes: have } = &mut self.plan.objects[at].kind {
                    *have = bytes.max(*have);
                }
                at as u32
            }
            None => self.object(p::ObjectRole::Arena, p::ObjectKind::Buffer { bytes }),
        }
    }

    /// Inputs and outputs: an object each; states: an object each for all entry points.
    fn boundary(&mut self) -> Result<(Vec<p::Io>, Vec<p::Io>)> {
        let mut inputs = Vec::new();
        for &v in &self.graph.inputs {
            let name = self.graph.value(v).name.clone();
            if self.graph.is_state(&name) {
                self.state(name, v)?;
            } else {
                inputs.push(self.io(name, v, p::ObjectRole::Input)?);
            }
        }
        let mut outputs = Vec::new();
        for (name, v) in self.graph.outputs.clone() {
            if self.graph.is_state(&name) {
                self.state(name, v)?;
            } else {
                outputs.push(self.io(name, v, p::ObjectRole::Output)?);
            }
        }
        Ok((inputs, outputs))
    }

    fn io(&mut self, name: String, v: ValueId, role: p::ObjectRole) -> Result<p::Io> {
        let value = self.graph.value(v);
        let arg = self.value_arg(v).ok_or_else(|| {
            StageError::internal(STAGE, format!("`{name}` at the boundary has no place"))
        })?;
        let elem = device_elem(arg.elem);
        let (dtype, shape) = (value.dtype, value.shape.iter().map(|&d| d as u64).collect());
        let object = self.object(role, p::ObjectKind::Buffer { bytes: arg_bytes(&arg) });
        self.spots.insert(Bound::Value(v), Spot { object, offset: 0 });
        Ok(p::Io { name, elem: elem_of(dtype), device_elem: elem, shape, object, offset: 0 })
    }

    /// A state before or after the run: the same memory in every entry point. An entry point may
    /// see fewer of its rows (leading dim): the first ones.
    fn state(&mut self, name: String, v: ValueId) -> Result<()> {
        let value = self.graph.value(v);
        let wrong =
            |what: String| Err(StageError::internal(STAGE, format!("state `{name}` {what}")));
        let Some(arg) = self.value_arg(v) else {
            return wrong("is a constant".into());
        };
        let shape: Vec<u64> = value.shape.iter().map(|&d| d as u64).collect();
        let elems = (elem_of(value.dtype), device_elem(arg.elem));
        let known = self.plan.states.iter_mut().find(|s| s.name == name);
        let object = match known {
            Some(s)
                if (s.elem, s.device_elem) == elems
                    && s.shape.len() == shape.len()
                    && s.shape.iter().skip(1).eq(shape.iter().skip(1)) =>
            {
                if s.shape < shape {
                    s.shape = shape;
                    self.plan.objects[s.object as usize].kind =
                        p::ObjectKind::Buffer { bytes: arg_bytes(&arg) };
                }
                s.object
            }
            Some(s) => {
                return wrong(format!(
                    "is {:?}{:?} in one entry point and {:?}{:?} in another",
                    s.device_elem, s.shape, elems.1, shape
                ));
            }
            None => {
                let kind = p::ObjectKind::Buffer { bytes: arg_bytes(&arg) };
                let object = self.object(p::ObjectRole::State, kind);
                let (elem, device_elem) = elems;
                let name = name.clone();
                self.plan.states.push(p::Io { name, elem, device_elem, shape, object, offset: 0 });
                object
            }
        };
        match self.spots.insert(Bound::Value(v), Spot { object, offset: 0 }) {
            Some(other) if other.object != object => wrong("is also something else".into()),
            _ => Ok(()),
        }
    }

    /// Results that are updated operands lie where the operand lies; what a state was must not be
    /// read once it changes.
    fn update_states(&mut self) -> Result<()> {
        let order = self
            .graph
            .topo_order()
            .map_err(|_| StageError::internal(STAGE, "cycle in the graph"))?;
        for id in order {
            let node = self.graph.node(id);
            for &(operand, result) in drift_ops::updates(node.op) {
                let Some(Some(o)) = node.operands.get(operand) else { continue };
                let Some(&r) = node.results.get(result) else { continue };
                let spot = self.spots.get(&Bound::Value(o.value)).copied();
                let state =
                    |s: &Spot| self.plan.objects[s.object as usize].role == p::ObjectRole::State;
                match spot.filter(state) {
                    Some(spot) if o.view.is_identity() => {
                        self.spots.insert(Bound::Value(r), spot);
                    }
                    // between nodes of one run: `arena` puts them together
                    None if spot.is_none()
                        && o.view.is_identity()
                        && !self.graph.is_const(o.value)
                        && !self.spots.contains_key(&Bound::Value(r)) => {}
                    _ => {
                        let m = format!("{} at {} updates what is no state", node.op, node.path);
                        return Err(StageError::internal(STAGE, m));
                    }
                }
            }
        }
        for name in &self.graph.states {
            let before = self.graph.inputs.iter().find(|v| self.graph.value(**v).name == *name);
            let Some(&before) = before else { continue };
            let spot = self.spots[&Bound::Value(before)].object;
            let mut written = false;
            for step in &self.steps.steps {
                let args = || step.args.iter().zip(&step.kernel.tensors);
                written |= args().any(|(b, t)| {
                    t.access != Access::Read && self.spots.get(b).is_some_and(|s| s.object == spot)
                });
                if written && args().any(|(b, _)| *b == Bound::Value(before)) {
                    let node = self.graph.node(step.node);
                    let m = format!("{} reads the old state `{name}` after its update", node.path);
                    return Err(StageError::internal(STAGE, m));
                }
            }
        }
        Ok(())
    }
}
