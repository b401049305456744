//! Steps -> plan: memory, virtualization, hazards, bindings.

use crate::error::{Result, StageError};
use crate::lowering::{BIND_ALIGNMENT, Bound, Steps, root_of};
use crate::memory::{self, AliasRecord, Strategy, UsageRecord};
use crate::weights::{Packed, WeightPool};
use drift_bundle::caps::ImageKind;
use drift_bundle::plan as p;
use drift_ir::{DType, Graph, ValueId};
use drift_kernel::tensor::{Elem, Storage};
use drift_kernel::{Access, BindingType, Kernel, TensorArg};
use drift_ops::lower::Placement;
use std::collections::BTreeMap;

const STAGE: &str = "plan-memory";

/// A plan without shaders, and the physical kernels that pipelines refer to.
#[derive(Debug)]
pub struct Planned {
    pub plan: p::Plan,
    /// Physical kernels, one per distinct pipeline; `Pipeline::shader` is an index into it until
    /// shaders are emitted.
    pub kernels: Vec<Kernel>,
    /// For the report: what the planner saw.
    pub records: Vec<Record>,
    pub summary: memory::MemorySummary,
    /// Per dispatch: what the report says of it.
    pub dispatches: Vec<DispatchInfo>,
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

struct Planner<'a> {
    graph: &'a Graph,
    steps: &'a Steps,
    placements: &'a [Option<Placement>],
    plan: p::Plan,
    spots: BTreeMap<Bound, Spot>,
    weight_spots: BTreeMap<Packed, Spot>,
}

/// Plans memory and makes the dispatch list.
pub fn plan(
    graph: &Graph,
    steps: &Steps,
    placements: &[Option<Placement>],
    pool: &mut WeightPool,
    options: &PlanOptions,
) -> Result<Planned> {
    let mut planner = Planner {
        graph,
        steps,
        placements,
        plan: p::Plan::default(),
        spots: BTreeMap::new(),
        weight_spots: BTreeMap::new(),
    };
    let io = planner.boundary()?;
    let (records, summary) = planner.arena(options)?;
    planner.images()?;
    let packed = planner.pack_weights(pool, options)?;
    let (kernels, dispatches, steps) = planner.dispatches(&packed)?;
    let mut plan = planner.plan;
    plan.entry_points.push(p::EntryPoint {
        name: "main".into(),
        inputs: io.0,
        outputs: io.1,
        steps,
    });
    plan.memory = p::MemoryReport {
        strategy: options.strategy.to_string(),
        naive_bytes: summary.naive_bytes,
        planned_bytes: summary.planned_bytes,
        lower_bound_bytes: summary.lower_bound_bytes,
    };
    Ok(Planned { plan, kernels, records, summary, dispatches })
}

impl Planner<'_> {
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

    /// Inputs and outputs: an object each.
    fn boundary(&mut self) -> Result<(Vec<p::Io>, Vec<p::Io>)> {
        let mut inputs = Vec::new();
        for &v in &self.graph.inputs.clone() {
            inputs.push(self.io(self.graph.value(v).name.clone(), v, p::ObjectRole::Input)?);
        }
        let mut outputs = Vec::new();
        for (name, v) in self.graph.outputs.clone() {
            outputs.push(self.io(name, v, p::ObjectRole::Output)?);
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

    /// Plans the arena: everything between the boundary.
    fn arena(&mut self, options: &PlanOptions) -> Result<(Vec<Record>, memory::MemorySummary)> {
        // lifetimes over steps
        let mut live: BTreeMap<Bound, (u32, u32)> = BTreeMap::new();
        for (at, step) in self.steps.steps.iter().enumerate() {
            for &bound in &step.args {
                if self.needs_arena(bound) {
                    let entry = live.entry(bound).or_insert((at as u32, at as u32));
                    entry.1 = at as u32;
                }
            }
        }
        // a concat that costs nothing lives from its first part to its last reader
        for (v, inside) in self.steps.inside.iter().enumerate() {
            if let Some(i) = inside
                && let Some(&span) = live.get(&Bound::Value(ValueId(v as u32)))
                && self.needs_arena(Bound::Value(i.parent))
            {
                let entry = live.entry(Bound::Value(i.parent)).or_insert(span);
                *entry = (entry.0.min(span.0), entry.1.max(span.1));
            }
        }
        let bounds: Vec<Bound> = live.keys().copied().collect();
        let index: BTreeMap<Bound, usize> =
            bounds.iter().enumerate().map(|(i, b)| (*b, i)).collect();
        let mut records: Vec<AliasRecord> = Vec::new();
        for (i, b) in bounds.iter().enumerate() {
            let (first_step, last_step) = live[b];
            let record = UsageRecord {
                id: i,
                bytes: self.bytes_of(*b),
                first_step,
                last_step,
                alignment: BIND_ALIGNMENT,
            };
            records.push(AliasRecord { record, alias_of: None });
        }
        let mut sub_offsets: Vec<(usize, u64)> = Vec::new();
        for (i, b) in bounds.iter().enumerate() {
            if let Bound::Value(v) = b
                && self.steps.inside[v.0 as usize].is_some()
            {
                let (root, bytes) = root_of(*v, self.placements, &self.steps.inside);
                match index.get(&Bound::Value(root)) {
                    Some(&parent) => {
                        let aligned = bytes - bytes % BIND_ALIGNMENT;
                        records[i].record.bytes = records[i]
                            .record
                            .bytes
                            .saturating_add(bytes - aligned)
                            .min(records[parent].record.bytes - aligned);
                        records[i].alias_of = Some((parent, aligned));
                    }
                    // inside an output: no arena bytes at all
                    None => sub_offsets.push((i, bytes - bytes % BIND_ALIGNMENT)),
                }
            }
        }
        if options.in_place {
            self.in_place(&bounds, &index, &mut records);
        }
        let in_outputs: Vec<usize> = sub_offsets.iter().map(|s| s.0).collect();
        for &(i, _) in &sub_offsets {
            records[i].record.bytes = 0;
        }
        let internal = |e: memory::MemoryError| StageError::internal(STAGE, e.to_string());
        let merged = memory::merge_aliases(&records).map_err(internal)?;
        let planned = memory::plan_offsets(options.strategy, &merged.records).map_err(internal)?;
        if let Some((a, b)) = planned.first_overlap(&merged.records) {
            return Err(StageError::internal(STAGE, format!("records {a} and {b} overlap")));
        }
        let offsets = merged.offsets(&planned);
        let mut summary = memory::summarize(&merged.records, &planned);
        // naive means: every tensor its own memory, nothing in place, nothing inside another
        let plain: Vec<UsageRecord> = records.iter().map(|r| r.record).collect();
        summary.naive_bytes = memory::naive_bytes(&plain);
        if planned.total_bytes > 0 {
            let kind = p::ObjectKind::Buffer { bytes: planned.total_bytes.next_multiple_of(256) };
            let arena = self.object(p::ObjectRole::Arena, kind);
            for (i, b) in bounds.iter().enumerate() {
                if !in_outputs.contains(&i) {
                    self.spots.insert(*b, Spot { object: arena, offset: offsets[i] });
                }
            }
        }
        for (i, offset) in sub_offsets {
            if let Bound::Value(v) = bounds[i] {
                let (root, _) = root_of(v, self.placements, &self.steps.inside);
                let spot = self.spots[&Bound::Value(root)];
                self.spots.insert(bounds[i], Spot { object: spot.object, offset });
            }
        }
        let out = bounds
            .iter()
            .enumerate()
            .map(|(i, b)| Record {
                name: self.name_of(*b),
                usage: records[i].record,
                offset: offsets[i],
                aliased: records[i].alias_of.is_some(),
            })
            .collect();
        Ok((out, summary))
    }

    fn name_of(&self, b: Bound) -> String {
        match b {
            Bound::Value(v) => self.graph.value(v).name.clone(),
            Bound::Temp(t) => format!("scratch {t}"),
        }
    }

    /// Whether something lies in the arena: no constant, no boundary object, no image.
    fn needs_arena(&self, b: Bound) -> bool {
        match b {
            Bound::Temp(_) => true,
            Bound::Value(v) => {
                !self.spots.contains_key(&b)
                    && self.placements[v.0 as usize]
                        .as_ref()
                        .is_some_and(|p| p.storage == Storage::Buffer)
            }
        }
    }

    fn bytes_of(&self, b: Bound) -> u64 {
        match b {
            Bound::Temp(t) => {
                let t = &self.steps.temps[t];
                (t.shape.elems() as u64 * t.elem.bytes()).next_multiple_of(16).max(16)
            }
            Bound::Value(v) => self.value_arg(v).map_or(0, |a| arg_bytes(&a)),
        }
    }

    /// Element-wise results that may take over the memory of an operand that dies with them.
    fn in_place(
        &self,
        bounds: &[Bound],
        index: &BTreeMap<Bound, usize>,
        records: &mut [AliasRecord],
    ) {
        let mut taken = vec![false; bounds.len()];
        for (at, step) in self.steps.steps.iter().enumerate() {
            let node = self.graph.node(step.node);
            let [result] = node.results[..] else { continue };
            let Some(&r) = index.get(&Bound::Value(result)) else { continue };
            if records[r].alias_of.is_some()
                || self.steps.inside.iter().flatten().any(|i| i.parent == result)
                || !node.store_view.is_identity()
                // a node of several kernels may read the operand after it wrote the result
                || self.steps.steps.iter().filter(|s| s.node == step.node).count() != 1
            {
                continue;
            }
            for (n, operand) in node.operands.iter().enumerate() {
                // only operands read at exactly the coordinates that are stored
                let Some(o) = operand else { continue };
                let once =
                    node.operands.iter().flatten().filter(|x| x.value == o.value).count() == 1;
                let same = self.placements[o.value.0 as usize]
                    == self.placements[result.0 as usize]
                    && self.graph.value(o.value).shape == self.graph.value(result).shape;
                let Some(&i) = index.get(&Bound::Value(o.value)) else { continue };
                let dies = records[i].record.last_step == at as u32;
                if n >= node.epilogue_operands
                    && o.view.is_identity()
                    && once
                    && same
                    && dies
                    && !taken[i]
                    && records[i].alias_of.is_none()
                    && !self.is_parent(o.value)
                    && records[i].record.bytes == records[r].record.bytes
                {
                    records[r].alias_of = Some((i, 0));
                    taken[i] = true;
                    break;
                }
            }
        }
        // alias chains a <- b <- c are fine: lifetimes are united by the planner
    }

    fn is_parent(&self, v: ValueId) -> bool {
        self.steps.inside.iter().flatten().any(|i| i.parent == v)
    }

    /// Values in images: an object each, shared between values of one shape with disjoint
    /// lifetimes (Equality strategy of the paper's planner).
    fn images(&mut self) -> Result<()> {
        let mut live: BTreeMap<ValueId, (u32, u32)> = BTreeMap::new();
        for (at, step) in self.steps.steps.iter().enumerate() {
            for bound in &step.args {
                if let Bound::Value(v) = bound
                    && !self.spots.contains_key(bound)
                    && self.placements[v.0 as usize]
                        .as_ref()
                        .is_some_and(|p| matches!(p.storage, Storage::Image(_)))
                {
                    let e = live.entry(*v).or_insert((at as u32, at as u32));
                    e.1 = at as u32;
                }
            }
        }
        let values: Vec<ValueId> = live.keys().copied().collect();
        let mut records = Vec::new();
        let mut keys: Vec<(ImageKind, [u32; 3], Elem)> = Vec::new();
        for (i, v) in values.iter().enumerate() {
            let Some(arg) = self.value_arg(*v) else { continue };
            let Storage::Image(kind) = arg.storage else { continue };
            let extent = arg
                .image_extent()
                .map_err(|e| StageError::internal(STAGE, format!("image of {v}: {e}")))?;
            keys.push((kind, extent, arg.elem));
            let (first_step, last_step) = live[v];
            records.push(UsageRecord {
                id: i,
                bytes: arg_bytes(&arg),
                first_step,
                last_step,
                alignment: 1,
            });
        }
        let plan = memory::plan_equal(&records, &keys);
        let mut objects: BTreeMap<usize, u32> = BTreeMap::new();
        for (i, v) in values.iter().enumerate() {
            let (kind, extent, elem) = keys[i];
            let number = plan.object_of[i];
            let object = match objects.get(&number) {
                Some(&o) => o,
                None => {
                    let format = match elem {
                        Elem::F16 => p::TexelFormat::Rgba16Float,
                        _ => p::TexelFormat::Rgba32Float,
                    };
                    let kind = p::ObjectKind::Image { kind, format, extent };
                    let o = self.object(p::ObjectRole::Arena, kind);
                    objects.insert(number, o);
                    o
                }
            };
            self.spots.insert(Bound::Value(*v), Spot { object, offset: 0 });
        }
        Ok(())
    }

    /// Packs every constant that a kernel reads and puts it into weight objects.
    fn pack_weights(
        &mut self,
        pool: &mut WeightPool,
        options: &PlanOptions,
    ) -> Result<BTreeMap<(usize, usize), Packed>> {
        let mut packed = BTreeMap::new();
        let mut order: Vec<Packed> = Vec::new();
        for (at, step) in self.steps.steps.iter().enumerate() {
            for (n, bound) in step.args.iter().enumerate() {
                let Bound::Value(v) = bound else { continue };
                let Some(tensor) = self.graph.const_of(*v) else { continue };
                let arg = &step.kernel.tensors[n];
                let what = format!("`{}`", self.graph.value(*v).name);
                let blob = pool.pack(tensor, arg, &what)?;
                if !order.contains(&blob) {
                    order.push(blob);
                }
                packed.insert((at, n), blob);
            }
        }
        order.sort_by_key(|b| pool.range(*b).0);
        let limit = options.max_object_bytes;
        let mut open: Option<(u32, u64)> = None;
        for blob in order {
            let (weights_offset, bytes) = pool.range(blob);
            let (object, start) = match open {
                Some((o, end)) if end + bytes <= limit => (o, end),
                _ => (self.object(p::ObjectRole::Weights, p::ObjectKind::Buffer { bytes: 0 }), 0),
            };
            let end = start + bytes;
            self.plan.objects[object as usize].kind = p::ObjectKind::Buffer { bytes: end };
            self.upload(object, start, weights_offset, bytes);
            self.weight_spots.insert(blob, Spot { object, offset: start });
            open = Some((object, end.next_multiple_of(BIND_ALIGNMENT)));
        }
        Ok(packed)
    }

    /// Adds an upload, joined with the one before where both sides continue it.
    fn upload(&mut self, object: u32, object_offset: u64, weights_offset: u64, bytes: u64) {
        if let Some(last) = self.plan.uploads.last_mut()
            && last.object == object
        {
            let gap = object_offset - (last.object_offset + last.bytes);
            if weights_offset == last.weights_offset + last.bytes + gap && gap < BIND_ALIGNMENT {
                last.bytes += gap + bytes;
                return;
            }
        }
        self.plan.uploads.push(p::Upload { object, object_offset, weights_offset, bytes });
    }

    fn dispatches(
        &mut self,
        packed: &BTreeMap<(usize, usize), Packed>,
    ) -> Result<(Vec<Kernel>, Vec<DispatchInfo>, Vec<p::Step>)> {
        let mut kernels: Vec<Kernel> = Vec::new();
        let mut known: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let mut infos = Vec::new();
        let mut out = Vec::new();
        let mut hazards = Hazards::default();
        for (at, step) in self.steps.steps.iter().enumerate() {
            let node = self.graph.node(step.node);
            let physical = drift_kernel::virtualize(step.kernel.clone()).map_err(|e| {
                StageError::internal("virtualize", format!("{} at {}: {e}", node.op, node.path))
            })?;
            let binds = self.binds(at, &physical, &step.args, packed)?;
            if hazards.needs_barrier(&binds, &physical) {
                out.push(p::Step::Barrier);
                hazards = Hazards::default();
            }
            hazards.record(&binds, &physical);
            let info = DispatchInfo {
                node: node.path.clone(),
                kernel: physical.name.clone(),
                pipeline: 0,
                flops: step.flops,
                workgroups: physical.workgroups,
                workgroup_size: physical.workgroup_size,
                args: self.describe(&physical, &step.args),
            };
            let workgroups = physical.workgroups;
            let key = fingerprint(&physical);
            let pipeline = match known.get(&key) {
                Some(&i) => i,
                None => {
                    let i = self.pipeline(&physical, kernels.len() as u32);
                    kernels.push(physical);
                    known.insert(key, i);
                    i
                }
            };
            let label = format!("{} [{}]", node.path, info.kernel);
            infos.push(DispatchInfo { pipeline, ..info });
            self.plan.labels.push(label);
            let label = self.plan.labels.len() as u32 - 1;
            out.push(p::Step::Dispatch { pipeline, workgroups, binds, label });
        }
        Ok((kernels, infos, out))
    }

    fn pipeline(&mut self, kernel: &Kernel, shader: u32) -> u32 {
        let bindings = kernel
            .bindings
            .iter()
            .map(|b| match (&b.ty, b.access) {
                (BindingType::Buffer { .. }, Access::Read) => p::BindingKind::StorageRead,
                (BindingType::Buffer { .. }, _) => p::BindingKind::StorageReadWrite,
                (BindingType::Image { .. }, Access::Read) => p::BindingKind::SampledImage,
                (BindingType::Image { .. }, _) => p::BindingKind::StorageImageWrite,
            })
            .collect();
        self.plan.pipelines.push(p::Pipeline {
            shader,
            shader_entry: drift_emit::ENTRY_POINT.to_owned(),
            workgroup_size: kernel.workgroup_size,
            bindings,
            subgroup_size: kernel.subgroup_size,
        });
        self.plan.pipelines.len() as u32 - 1
    }

    fn binds(
        &self,
        at: usize,
        kernel: &Kernel,
        args: &[Bound],
        packed: &BTreeMap<(usize, usize), Packed>,
    ) -> Result<Vec<p::Bind>> {
        let mut binds = Vec::new();
        for binding in &kernel.bindings {
            let n = binding.tensor.0 as usize;
            let spot = match packed.get(&(at, n)) {
                Some(blob) => self.weight_spots.get(blob),
                None => self.spots.get(&args[n]),
            };
            let Some(spot) = spot else {
                return Err(StageError::internal(
                    STAGE,
                    format!("{} of `{}` has no place", binding.name, kernel.name),
                ));
            };
            binds.push(match &binding.ty {
                BindingType::Image { .. } => p::Bind::Image { object: spot.object },
                BindingType::Buffer { elem, len } => {
                    let bytes = len * u64::from(elem.width) * elem.scalar.bytes();
                    // parts of a split tensor follow each other
                    let before: u64 = kernel
                        .bindings
                        .iter()
                        .filter(|b| b.tensor == binding.tensor && b.part < binding.part)
                        .map(|b| match &b.ty {
                            BindingType::Buffer { elem, len } => {
                                len * u64::from(elem.width) * elem.scalar.bytes()
                            }
                            BindingType::Image { .. } => 0,
                        })
                        .sum();
                    let bytes = bytes.next_multiple_of(4);
                    p::Bind::Buffer { object: spot.object, offset: spot.offset + before, bytes }
                }
            });
        }
        Ok(binds)
    }

    fn describe(&self, kernel: &Kernel, args: &[Bound]) -> Vec<ArgInfo> {
        let weight = |b: &Bound| match b {
            Bound::Value(v) => self.graph.const_of(*v).is_some(),
            Bound::Temp(_) => false,
        };
        let info = |(t, b): (&TensorArg, &Bound)| ArgInfo {
            name: self.name_of(*b),
            arg: t.clone(),
            bytes: arg_bytes(t),
            weight: weight(b),
        };
        kernel.tensors.iter().zip(args).map(info).collect()
    }
}

/// Identity of a physical kernel: everything but the names of its tensors.
fn fingerprint(k: &Kernel) -> String {
    let bindings: Vec<_> = k.bindings.iter().map(|b| (b.access, &b.ty)).collect();
    format!(
        "{:?}{:?}{:?}{:?}{:?}{:?}{}",
        k.exprs, k.body, bindings, k.vars, k.shared, k.workgroup_size, k.subgroup_size
    )
}

/// Memory touched since the last barrier.
#[derive(Default)]
struct Hazards {
    read: Vec<(u32, u64, u64)>,
    written: Vec<(u32, u64, u64)>,
}

fn range(bind: &p::Bind) -> (u32, u64, u64) {
    match bind {
        p::Bind::Buffer { object, offset, bytes } => (*object, *offset, offset + bytes),
        p::Bind::Image { object } => (*object, 0, u64::MAX),
    }
}

fn overlaps(list: &[(u32, u64, u64)], r: (u32, u64, u64)) -> bool {
    list.iter().any(|o| o.0 == r.0 && o.1 < r.2 && r.1 < o.2)
}

impl Hazards {
    fn needs_barrier(&self, binds: &[p::Bind], kernel: &Kernel) -> bool {
        binds.iter().zip(&kernel.bindings).any(|(bind, b)| {
            let r = range(bind);
            overlaps(&self.written, r) || (b.access != Access::Read && overlaps(&self.read, r))
        })
    }

    fn record(&mut self, binds: &[p::Bind], kernel: &Kernel) {
        for (bind, b) in binds.iter().zip(&kernel.bindings) {
            match b.access {
                Access::Read => self.read.push(range(bind)),
                _ => self.written.push(range(bind)),
            }
        }
    }
}
