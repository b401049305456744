//! Are the barriers of a plan where hazards are, and nowhere else?
//!
//! The reader does not ask: a missing barrier makes results wrong, not the replay unsafe. Compilers
//! and their tests do.

use crate::plan::{Bind, BindingKind, EntryPoint, Plan, Step};
use alloc::{format, string::String, vec::Vec};
use core::fmt;

/// A place where an entry point orders too little or too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hazard {
    /// `step` touches what `earlier` touched, one of them writes, and no barrier lies between.
    Missing { entry: usize, earlier: usize, step: usize, object: u32 },
    /// Nothing after this barrier depends on anything before it, so far as the next barrier.
    Needless { entry: usize, step: usize },
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hazard::Missing { entry, earlier, step, object } => write!(
                f,
                "plan.entry_points[{entry}]: no barrier between steps {earlier} and {step}, which share object {object}"
            ),
            Hazard::Needless { entry, step } => {
                write!(
                    f,
                    "plan.entry_points[{entry}]: the barrier at step {step} separates nothing"
                )
            }
        }
    }
}

/// One access of a step: a byte range of an object (all of an image).
#[derive(Clone, Copy)]
struct Access {
    step: usize,
    object: u32,
    start: u64,
    end: u64,
    writes: bool,
}

impl Access {
    fn conflicts(&self, other: &Access) -> bool {
        (self.writes || other.writes)
            && self.object == other.object
            && self.start < other.end
            && other.start < self.end
    }
}

/// Every missing and every needless barrier of a plan that [`crate::check_variant`] accepts.
/// Takes time proportional to the square of the dispatches between two barriers.
pub fn hazards(plan: &Plan) -> Vec<Hazard> {
    let mut found = Vec::new();
    for (entry, point) in plan.entry_points.iter().enumerate() {
        entry_hazards(plan, entry, point, &mut found);
    }
    found
}

fn entry_hazards(plan: &Plan, entry: usize, point: &EntryPoint, found: &mut Vec<Hazard>) {
    // Accesses before the last barrier (`old`) and after it (`new`).
    let (mut old, mut new): (Vec<Access>, Vec<Access>) = (Vec::new(), Vec::new());
    let mut barrier: Option<usize> = None;
    let mut needed = false;
    for (step, s) in point.steps.iter().enumerate() {
        if matches!(s, Step::Barrier) {
            match barrier {
                Some(b) if !needed => {
                    // That barrier separated nothing: both sides count as one.
                    found.push(Hazard::Needless { entry, step: b });
                    old.append(&mut new);
                }
                _ => old = core::mem::take(&mut new),
            }
            (barrier, needed) = (Some(step), false);
            continue;
        }
        let from = new.len();
        accesses(plan, step, s, &mut new);
        let (earlier, current) = new.split_at(from);
        for access in current {
            if let Some(other) = earlier.iter().find(|o| o.conflicts(access)) {
                let object = access.object;
                found.push(Hazard::Missing { entry, earlier: other.step, step, object });
            }
            needed |= old.iter().any(|o| o.conflicts(access));
        }
    }
    if let Some(step) = barrier.filter(|_| !needed) {
        found.push(Hazard::Needless { entry, step });
    }
}

fn accesses(plan: &Plan, step: usize, s: &Step, out: &mut Vec<Access>) {
    match s {
        Step::Dispatch { pipeline, binds, .. } => {
            let Some(signature) = plan.pipelines.get(*pipeline as usize) else { return };
            for (bind, kind) in binds.iter().zip(&signature.bindings) {
                let writes =
                    matches!(kind, BindingKind::StorageReadWrite | BindingKind::StorageImageWrite);
                let (object, start, end) = match *bind {
                    Bind::Buffer { object, offset, bytes } => {
                        (object, offset, offset.saturating_add(bytes))
                    }
                    Bind::Image { object } => (object, 0, u64::MAX),
                };
                out.push(Access { step, object, start, end, writes });
            }
        }
        Step::Barrier => {}
        Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
            for (object, start, writes) in [(*src, *src_offset, false), (*dst, *dst_offset, true)] {
                out.push(Access { step, object, start, end: start.saturating_add(*bytes), writes });
            }
        }
    }
}

/// All of [`hazards`] as one text, for assertions; `None` when there is nothing to say.
pub fn hazard_report(plan: &Plan) -> Option<String> {
    let found = hazards(plan);
    let mut report = String::new();
    for hazard in &found {
        report.push_str(&format!("{hazard}\n"));
    }
    (!found.is_empty()).then_some(report)
}
