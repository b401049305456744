//! Constants: packed, and placed in weight objects.

use super::{Planner, Spot, arg_bytes};
use crate::error::Result;
use crate::lowering::{BIND_ALIGNMENT, Bound};
use crate::plan::PlanOptions;
use crate::weights::WeightPool;
use drift_bundle::plan as p;
use drift_ir::{Def, Shape};
use drift_kernel::TensorArg;
use std::collections::BTreeMap;

/// A packed constant, or the part of one that a kernel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Section {
    /// Where it lies in the WEIGHTS section.
    start: u64,
    bytes: u64,
}

/// The constant that argument `.1` of step `.0` is bound to.
pub(super) type PackedArgs = BTreeMap<(usize, usize), Section>;

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
                let rows = part_of(arg, &value.shape);
                let whole = match rows {
                    true => &TensorArg { stored: value.shape.clone(), ..arg.clone() },
                    false => arg,
                };
                let blob = match &value.def {
                    Def::Const(tensor) => pool.pack(tensor, whole, &what)?,
                    Def::Lazy(lazy) => pool.defer(lazy, value.dtype, &value.shape, whole, &what)?,
                    _ => continue,
                };
                let (start, bytes) = pool.range(blob);
                let section = match rows {
                    true => Section { start: start + step.offsets[n], bytes: arg_bytes(arg) },
                    false => Section { start, bytes },
                };
                packed.insert((at, n), section);
            }
        }
        Ok(packed)
    }
}

/// Whether an argument is some rows of a constant of shape `whole`.
fn part_of(arg: &TensorArg, whole: &Shape) -> bool {
    let part = &arg.stored;
    part.rank() > 0 && part.rank() == whole.rank() && part[1..] == whole[1..] && part[0] < whole[0]
}

/// Puts packed constants into objects of at most `options.max_object_bytes`, in the order of the
/// WEIGHTS section.
pub(super) fn place_weights(
    plan: &mut p::Plan,
    packed: &[PackedArgs],
    options: &PlanOptions,
) -> BTreeMap<Section, Spot> {
    let mut order: Vec<Section> = packed.iter().flat_map(|p| p.values().copied()).collect();
    order.sort_unstable();
    order.dedup();
    let mut spots = BTreeMap::new();
    let limit = options.max_object_bytes;
    let mut open: Option<(u32, u64)> = None;
    for section in order {
        let Section { start: weights_offset, bytes } = section;
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
        spots.insert(section, Spot { object, offset: start });
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
