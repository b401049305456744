//! Neighbouring products become one dispatch each run of them: see `drift_kernel::chain`.

use crate::lowering::{BIND_ALIGNMENT, Bound, LogicalStep, Steps};
use drift_bundle::caps::Limits;
use drift_kernel::chain::{self, Link};
use drift_kernel::{Access, Builder, Elem, Layout, Storage, TensorArg};
use drift_ops::lower::Temp;
use std::collections::BTreeSet;
use std::ops::Range;

/// Workgroups of the kernel that zeroes counters, and its invocations.
const ZEROING: u32 = 256;

/// Joins every run of steps that may be one. Their counters are zeroed by a step before all others.
pub fn join(steps: &mut Steps, limits: &Limits) {
    let runs = runs(&steps.steps, limits);
    if runs.is_empty() {
        return;
    }
    let longest = runs.iter().map(|r| chain::counters(r.len())).max().unwrap_or(0) as u64;
    // a chain's counters begin where a binding may
    let words = (longest * 4).next_multiple_of(BIND_ALIGNMENT) / 4;
    let all = (words as usize * runs.len()).next_multiple_of(ZEROING as usize);
    let counters = Bound::Temp(steps.temps.len());
    steps.temps.push(Temp { shape: [all].into(), elem: Elem::U32 });
    let mut old = std::mem::take(&mut steps.steps).into_iter().enumerate().peekable();
    let first = old.peek().map(|(_, s)| s.node);
    steps.steps.extend(first.map(|node| zero(node, counters, all)));
    let mut runs = runs.into_iter().enumerate().peekable();
    while let Some((at, step)) = old.next() {
        match runs.next_if(|(_, r)| r.start == at) {
            None => steps.steps.push(step),
            Some((number, run)) => {
                let mut links = vec![step];
                links.extend((1..run.len()).filter_map(|_| old.next()).map(|(_, s)| s));
                let offset = number as u64 * words * 4;
                steps.steps.push(joined(links, counters, offset));
            }
        }
    }
}

/// Ranges of neighbouring steps, two at least, that fit one kernel.
fn runs(steps: &[LogicalStep], limits: &Limits) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < steps.len() {
        let mut end = start;
        while end < steps.len() && fits(&steps[start..=end], limits) {
            end += 1;
        }
        if end - start >= 2 {
            out.push(start..end);
        }
        start = end.max(start + 1);
    }
    out
}

fn links(steps: &[LogicalStep]) -> Option<Vec<Link<'_>>> {
    steps.iter().map(|s| Some(Link { kernel: &s.kernel, ahead: s.ahead? })).collect()
}

fn fits(steps: &[LogicalStep], limits: &Limits) -> bool {
    let Some(links) = links(steps) else { return false };
    let (first, last) = (links[0].kernel, links[links.len() - 1].kernel);
    let tensors: usize = links.iter().map(|l| l.kernel.tensors.len()).sum();
    let workgroups: u64 = links.iter().map(|l| u64::from(l.kernel.workgroups[0])).sum();
    chain::can_be_link(last)
        && chain::fit(first, last)
        && tensors < limits.storage_buffers as usize
        && workgroups <= limits.dispatch_workgroups[0]
        && chain::shared_bytes(&links) <= limits.workgroup_memory_bytes
}

fn joined(mut steps: Vec<LogicalStep>, counters: Bound, offset: u64) -> LogicalStep {
    // what one link writes and another reads must not be taken for constant memory
    let written: BTreeSet<Bound> = steps
        .iter()
        .flat_map(|s| s.args.iter().zip(&s.kernel.tensors))
        .filter(|(_, t)| t.access != Access::Read)
        .map(|(b, _)| *b)
        .collect();
    for step in &mut steps {
        for (bound, tensor) in step.args.iter().zip(&mut step.kernel.tensors) {
            if written.contains(bound) {
                tensor.access = Access::ReadWrite;
            }
        }
    }
    let kernel = match links(&steps) {
        Some(links) => chain::chain("linear_chain", &links),
        None => steps[0].kernel.clone(),
    };
    let node = steps[0].node;
    let (links, flops) = (steps.len(), steps.iter().map(|s| s.flops).sum());
    let (mut args, mut offsets) = (Vec::new(), Vec::new());
    for step in steps {
        args.extend(step.args);
        offsets.extend(step.offsets);
    }
    args.push(counters);
    offsets.push(offset);
    LogicalStep { node, kernel, args, offsets, flops, ahead: None, links }
}

/// The step that sets all counters to 0.
fn zero(node: drift_ir::NodeId, counters: Bound, count: usize) -> LogicalStep {
    let b = Builder::new("zero_counters", [ZEROING, 1, 1], [count as u32 / ZEROING, 1, 1]);
    let to = b.tensor(TensorArg {
        name: "counters".into(),
        elem: Elem::U32,
        stored: [count].into(),
        view: drift_ir::View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access: Access::Write,
        base_elems: 0,
        max_object_bytes: u64::MAX,
    });
    b.store(to, &[b.global_id(0)], b.u32(0));
    let (args, offsets) = (vec![counters], vec![0]);
    LogicalStep { node, kernel: b.finish(), args, offsets, flops: 0, ahead: None, links: 1 }
}
