//! Intermediates: offsets in the arena, and images.

use super::arenas::Arenas;
use super::{Planner, Record, STAGE, Spot, arg_bytes};
use crate::error::{Result, StageError};
use crate::lowering::{BIND_ALIGNMENT, Bound, root_of};
use crate::memory::{self, AliasRecord, UsageRecord};
use crate::plan::PlanOptions;
use drift_bundle::caps::ImageKind;
use drift_bundle::plan as p;
use drift_ir::ValueId;
use drift_kernel::tensor::{Elem, Storage};
use std::collections::{BTreeMap, BTreeSet};

impl Planner<'_> {
    /// Plans the arena: everything between the boundary.
    pub(super) fn arena(
        &mut self,
        options: &PlanOptions,
        apart: &dyn Fn(usize) -> bool,
    ) -> Result<(Vec<Record>, memory::MemorySummary)> {
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
        self.updates(&index, &mut records)?;
        if options.in_place {
            self.in_place(&bounds, &index, &mut records, apart);
        }
        let in_outputs: Vec<usize> = sub_offsets.iter().map(|s| s.0).collect();
        for &(i, _) in &sub_offsets {
            records[i].record.bytes = 0;
        }
        let internal = |e: memory::MemoryError| StageError::internal(STAGE, e.to_string());
        let merged = memory::merge_aliases(&records).map_err(internal)?;
        let arenas = match options.exclusive_writes {
            true => {
                let conflicts = self.conflicts(&index, &merged);
                Arenas::several(options.strategy, &merged, &conflicts)
            }
            false => Arenas::one(options.strategy, &merged),
        };
        let arenas = arenas.map_err(internal)?;
        let planned = &arenas.plan;
        if let Some((a, b)) = planned.first_overlap(&merged.records) {
            return Err(StageError::internal(STAGE, format!("records {a} and {b} overlap")));
        }
        let offsets = merged.offsets(planned);
        let mut summary = memory::summarize(&merged.records, planned);
        // naive means: every tensor its own memory, nothing in place, nothing inside another
        let plain: Vec<UsageRecord> = records.iter().map(|r| r.record).collect();
        summary.naive_bytes = memory::naive_bytes(&plain);
        if planned.total_bytes > 0 {
            let objects: Vec<u32> = (arenas.bytes().enumerate())
                .map(|(number, bytes)| self.arena_object(number, bytes.next_multiple_of(256)))
                .collect();
            for (i, b) in bounds.iter().enumerate() {
                if !in_outputs.contains(&i) {
                    let (number, start) = arenas.of(merged.place[i].0);
                    let (object, offset) = (objects[number], offsets[i] - start);
                    self.spots.insert(*b, Spot { object, offset });
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

    /// Results that are updated operands take over the operand's memory, which nobody may read
    /// later.
    fn updates(&self, index: &BTreeMap<Bound, usize>, records: &mut [AliasRecord]) -> Result<()> {
        for (at, step) in self.steps.steps.iter().enumerate() {
            let node = self.graph.node(step.node);
            for &(operand, result) in drift_ops::updates(node.op) {
                let Some(Some(o)) = node.operands.get(operand) else { continue };
                let Some(r) = node.results.get(result) else { continue };
                let places = (index.get(&Bound::Value(o.value)), index.get(&Bound::Value(*r)));
                let (Some(&i), Some(&r)) = places else { continue };
                if records[i].record.last_step > at as u32 || self.is_parent(o.value) {
                    let m = format!("{} updates what others read later", node.path);
                    return Err(StageError::internal(STAGE, m));
                }
                records[r].alias_of = Some((i, 0));
            }
        }
        Ok(())
    }

    pub(super) fn name_of(&self, b: Bound) -> String {
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

    /// Records of which some dispatch reads one and writes the other.
    fn conflicts(
        &self,
        index: &BTreeMap<Bound, usize>,
        merged: &memory::MergedRecords,
    ) -> BTreeSet<(usize, usize)> {
        let mut out = BTreeSet::new();
        for step in &self.steps.steps {
            let of = |(bound, arg): (&Bound, &drift_kernel::TensorArg)| {
                let record = merged.place[*index.get(bound)?].0;
                Some((record, arg.access != drift_kernel::Access::Read))
            };
            let args: Vec<(usize, bool)> =
                step.args.iter().zip(&step.kernel.tensors).filter_map(of).collect();
            for (a, written) in &args {
                for (b, _) in args.iter().filter(|(b, other)| b != a && written != other) {
                    out.insert((*a.min(b), *a.max(b)));
                }
            }
        }
        out
    }

    /// Element-wise results that may take over the memory of an operand that dies with them.
    fn in_place(
        &self,
        bounds: &[Bound],
        index: &BTreeMap<Bound, usize>,
        records: &mut [AliasRecord],
        apart: &dyn Fn(usize) -> bool,
    ) {
        let mut taken = vec![false; bounds.len()];
        for (at, step) in self.steps.steps.iter().enumerate() {
            let node = self.graph.node(step.node);
            let [result] = node.results[..] else { continue };
            let Some(&r) = index.get(&Bound::Value(result)) else { continue };
            if records[r].alias_of.is_some()
                // a later link may still read the operand
                || step.links > 1
                || apart(at)
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
    pub(super) fn images(&mut self) -> Result<()> {
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
}
