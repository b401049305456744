//! Constants: packed, and placed in weight objects.

use super::{Planner, Spot};
use crate::error::Result;
use crate::lowering::{BIND_ALIGNMENT, Bound};
use crate::plan::PlanOptions;
use crate::weights::{Packed, WeightPool};
use drift_bundle::plan as p;
use drift_ir::Def;
use std::collections::BTreeMap;

/// The constant that argument `.1` of step `.0` is bound to.
pub(super) type PackedArgs = BTreeMap<(usize, usize), Packed>;

impl Planner<'_> {
    /// Packs every constant that a kernel of this entry point reads.
    pub(super) fn pack_weights(&self, pool: &mut WeightPool) -> Result<PackedArgs> {
        let mut packed = BTreeMap::new();
        for (at, step) in self.steps.steps.iter().enumerate() {
            for (n, bound) in step.args.iter().enumerate() {
                let Bound::Value(v) = bound else { continue };
                let value = self.graph.value(*v);
                let arg = &step.kernel.tensors[n];
                let what = format!("`{}`", value.name);
                let blob = match &value.def {
                    Def::Const(tensor) => pool.pack(tensor, arg, &what)?,
                    Def::Lazy(lazy) => pool.defer(lazy, value.dtype, &value.shape, arg, &what)?,
                    _ => continue,
                };
                packed.insert((at, n), blob);
            }
        }
        Ok(packed)
    }
}

/// Puts packed constants into objects of at most `options.max_object_bytes`, in the order of the
/// WEIGHTS section.
pub(super) fn place_weights(
    plan: &mut p::Plan,
    packed: &[PackedArgs],
    pool: &WeightPool,
    options: &PlanOptions,
) -> BTreeMap<Packed, Spot> {
    let mut order: Vec<Packed> = packed.iter().flat_map(|p| p.values().copied()).collect();
    order.sort_by_key(|b| pool.range(*b).0);
    order.dedup();
    let mut spots = BTreeMap::new();
    let limit = options.max_object_bytes;
    let mut open: Option<(u32, u64)> = None;
    for blob in order {
        let (weights_offset, bytes) = pool.range(blob);
        let (object, start) = match open {
            Some((o, end)) if end + bytes <= limit => (o, end),
            _ => {
                let kind = p::ObjectKind::Buffer { bytes: 0 };
                plan.objects.push(p::Object { role: p::ObjectRole::Weights, kind });
                (plan.objects.len() as u32 - 1, 0)
            }
        };
        let end = start + bytes;
        plan.objects[object as usize].kind = p::ObjectKind::Buffer { bytes: end };
        upload(plan, object, start, weights_offset, bytes);
        spots.insert(blob, Spot { object, offset: start });
        open = Some((object, end.next_multiple_of(BIND_ALIGNMENT)));
    }
    spots
}

/// Adds an upload, joined with the one before where both sides continue it.
fn upload(plan: &mut p::Plan, object: u32, object_offset: u64, weights_offset: u64, bytes: u64) {
    if let Some(last) = plan.uploads.last_mut()
        && last.object == object
    {
        let gap = object_offset - (last.object_offset + last.bytes);
        if weights_offset == last.weights_offset + last.bytes + gap && gap < BIND_ALIGNMENT {
            last.bytes += gap + bytes;
            return;
        }
    }
    plan.uploads.push(p::Upload { object, object_offset, weights_offset, bytes });
}
