//! Steps -> dispatches with bindings, and the barriers between them.

use super::constants::{PackedArgs, Section};
use super::exclusive::exclusive;
use super::{Apart, ArgInfo, DispatchInfo, Planner, STAGE, Spot, arg_bytes};
use crate::error::{Result, StageError};
use crate::lowering::{Bound, LogicalStep};
use drift_bundle::plan as p;
use drift_kernel::{Access, BindingType, Kernel, TensorArg};
use std::collections::{BTreeMap, HashMap};

/// Distinct physical kernels of all entry points.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    pub kernels: Vec<Kernel>,
    known: HashMap<String, u32>,
}

impl Planner<'_> {
    /// Dispatches and barriers; new kernels and pipelines go to `pipelines` and the plan. With
    /// `exclusive_writes`, steps whose bindings overlap otherwise than by being equal are added
    /// there; those that are there already are an error.
    pub(super) fn dispatches(
        &mut self,
        packed: &PackedArgs,
        weights: &BTreeMap<Section, Spot>,
        pipelines: &mut Pipelines,
        entry: usize,
        mut exclusive_writes: Option<&mut Apart>,
    ) -> Result<(Vec<DispatchInfo>, Vec<p::Step>)> {
        let mut infos = Vec::new();
        let mut out = Vec::new();
        let mut hazards = Hazards::default();
        for (at, step) in self.steps.steps.iter().enumerate() {
            let node = self.graph.node(step.node);
            let mut physical = drift_kernel::virtualize(step.kernel.clone()).map_err(|e| {
                StageError::internal("virtualize", format!("{} at {}: {e}", node.op, node.path))
            })?;
            let mut binds = self.binds((at, step), &physical, (packed, weights))?;
            if let Some(apart) = exclusive_writes.as_deref_mut()
                && let Err(overlap) = exclusive(&mut physical, &mut binds)
                && !apart.insert((entry, at))
            {
                let what = format!("{} at {}: {overlap}", node.op, node.path);
                return Err(StageError::internal(STAGE, what)
                    .help("compile with --disable in-place,zero-copy-concat"));
            }
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
            let pipeline = match pipelines.known.get(&key) {
                Some(&i) => i,
                None => {
                    let i = self.pipeline(&physical, pipelines.kernels.len() as u32);
                    pipelines.kernels.push(physical);
                    pipelines.known.insert(key, i);
                    i
                }
            };
            let label = format!("{} [{}]", node.path, info.kernel);
            infos.push(DispatchInfo { pipeline, ..info });
            self.plan.labels.push(label);
            let label = self.plan.labels.len() as u32 - 1;
            out.push(p::Step::Dispatch { pipeline, workgroups, binds, label });
        }
        Ok((infos, out))
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
        (at, step): (usize, &LogicalStep),
        kernel: &Kernel,
        (packed, weights): (&PackedArgs, &BTreeMap<Section, Spot>),
    ) -> Result<Vec<p::Bind>> {
        let mut binds = Vec::new();
        for binding in &kernel.bindings {
            let n = binding.tensor.0 as usize;
            // a part of a constant has a place of its own
            let spot = match packed.get(&(at, n)) {
                Some(section) => weights.get(section).copied(),
                None => self.spots.get(&step.args[n]).map(|spot| Spot {
                    object: spot.object,
                    offset: spot.offset + step.offsets[n],
                }),
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
            Bound::Value(v) => self.graph.is_const(*v),
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
