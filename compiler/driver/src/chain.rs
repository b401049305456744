//! Neighbouring products become one dispatch each run of them: see `drift_kernel::chain`.

use crate::lowering::{BIND_ALIGNMENT, Bound, Inside, LogicalStep, Steps};
use drift_bundle::caps::Limits;
use drift_ir::{Graph, NodeId};
use drift_kernel::chain::{self, MISSING};
use drift_kernel::{Access, Builder, Elem, Kernel, Layout, Storage, TensorArg, TensorId};
use drift_ops::lower::{Link, Temp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Workgroups of the kernel that empties memory, and its invocations.
const EMPTYING: u32 = 256;

/// Joins every run of steps that may be one; `false`: none, or none that gains by it. What they hand
/// each other lies in memory of its own, no two of them in the same place, which a step before all
/// others empties.
pub fn join(steps: &mut Steps, graph: &Graph, limits: &Limits) -> bool {
    if steps.steps.iter().any(|s| s.link == Link::Slow) {
        return false;
    }
    let mut runs = runs(&steps.steps, limits, &Values { graph, inside: &steps.inside });
    // what others write, too, may be there before it is handed over
    runs.retain(|run| {
        let handed = handed(&steps.steps[run.clone()]);
        let mut others = steps.steps[..run.start].iter().chain(&steps.steps[run.end..]);
        !others.any(|s| writes(s).any(|b| handed.contains(b)))
    });
    let mut places: BTreeMap<Bound, u64> = BTreeMap::new();
    let mut bytes = 0;
    for bound in runs.iter().flat_map(|run| handed(&steps.steps[run.clone()])) {
        places.insert(bound, bytes);
        bytes += bytes_of(&steps.steps, bound).next_multiple_of(BIND_ALIGNMENT);
    }
    let memory = Bound::Temp(steps.temps.len());
    let words = (bytes as usize / 4).next_multiple_of(EMPTYING as usize);
    if runs.is_empty() || words as u64 / u64::from(EMPTYING) > limits.dispatch_workgroups[0] {
        return false;
    }
    steps.temps.push(Temp { shape: [words].into(), elem: Elem::U32 });
    let mut old = std::mem::take(&mut steps.steps).into_iter().enumerate().peekable();
    steps.steps.extend(old.peek().map(|(_, s)| empty(s.node, memory, words)));
    let mut runs = runs.into_iter().peekable();
    let moved = |mut step: LogicalStep| {
        for (bound, offset) in step.args.iter_mut().zip(&mut step.offsets) {
            if let Some(at) = places.get(bound) {
                (*bound, *offset) = (memory, *offset + at);
            }
        }
        step
    };
    while let Some((at, step)) = old.next() {
        match runs.next_if(|r| r.start == at) {
            None => steps.steps.push(moved(step)),
            Some(run) => {
                let mut links = vec![step];
                links.extend((1..run.len()).filter_map(|_| old.next()).map(|(_, s)| s));
                mark(&mut links);
                steps.steps.push(moved(joined(links)));
            }
        }
    }
    true
}

/// Ranges of neighbouring steps, two at least, that fit one kernel.
fn runs(steps: &[LogicalStep], limits: &Limits, values: &Values<'_>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < steps.len() {
        let mut end = start;
        while end < steps.len() && fits(&steps[start..=end], limits, values) {
            end += 1;
        }
        if end - start >= 2 {
            out.push(start..end);
        }
        start = end.max(start + 1);
    }
    out
}

fn fits(steps: &[LogicalStep], limits: &Limits, values: &Values<'_>) -> bool {
    let links: Vec<&Kernel> = steps.iter().map(|s| &s.kernel).collect();
    let (first, last) = (links[0], links[links.len() - 1]);
    let tensors: usize = links.iter().map(|l| l.tensors.len()).sum();
    let workgroups: u64 = links.iter().map(|l| u64::from(l.workgroups[0])).sum();
    let handed = handed(steps);
    steps.iter().all(|s| s.link == Link::Yes)
        && chain::can_be_link(last)
        && chain::fit(first, last)
        && tensors <= limits.storage_buffers as usize
        && workgroups <= limits.dispatch_workgroups[0]
        && chain::shared_bytes(&links) <= limits.workgroup_memory_bytes
        && handed.iter().all(|b| values.can_move(*b))
        // whoever reads a value would not see that a part of it is written
        && steps[..steps.len() - 1].iter().all(|s| writes(s).all(|b| values.is_alone(*b)))
        && steps.iter().all(|s| {
            let args = s.args.iter().enumerate();
            args.filter(|(_, b)| handed.contains(b))
                .all(|(i, _)| chain::can_be_handed(&s.kernel, TensorId(i as u32)))
        })
}

/// What one step of a run writes and a later one uses.
fn handed(steps: &[LogicalStep]) -> BTreeSet<Bound> {
    let mut out = BTreeSet::new();
    let mut written: BTreeSet<Bound> = BTreeSet::new();
    for step in steps {
        out.extend(step.args.iter().filter(|b| written.contains(b)));
        written.extend(writes(step));
    }
    out
}

/// What a step writes.
fn writes(step: &LogicalStep) -> impl Iterator<Item = &Bound> {
    let args = step.args.iter().zip(&step.kernel.tensors);
    args.filter(|(_, t)| t.access != Access::Read).map(|(b, _)| b)
}

/// Bytes that any step takes something for.
fn bytes_of(steps: &[LogicalStep], bound: Bound) -> u64 {
    let uses = steps.iter().flat_map(|s| s.args.iter().zip(&s.offsets).zip(&s.kernel.tensors));
    let ends = uses
        .filter(|((b, _), _)| **b == bound)
        .map(|((_, offset), t)| offset + (t.base_elems + t.extent_elems()) * t.elem.bytes());
    ends.max().unwrap_or(0)
}

/// What is known of the values of the graph.
struct Values<'a> {
    graph: &'a Graph,
    inside: &'a [Option<Inside>],
}

impl Values<'_> {
    /// Whether nothing else lies in the same memory.
    fn is_alone(&self, b: Bound) -> bool {
        let Bound::Value(v) = b else { return true };
        let shares = |(i, part): (usize, &Option<Inside>)| {
            part.is_some_and(|p| i == v.0 as usize || p.parent == v)
        };
        !self.inside.iter().enumerate().any(shares)
    }

    /// Whether only steps look for it, wherever it lies.
    fn can_move(&self, b: Bound) -> bool {
        let kept =
            |v| self.graph.inputs.contains(&v) || self.graph.is_output(v) || self.graph.is_const(v);
        self.is_alone(b) && !matches!(b, Bound::Value(v) if kept(v))
    }
}

/// Marks the tensors that are handed over.
fn mark(steps: &mut [LogicalStep]) {
    let handed = handed(steps);
    for step in steps {
        for (bound, tensor) in step.args.iter().zip(&mut step.kernel.tensors) {
            if handed.contains(bound) {
                tensor.access = Access::Handed;
            }
        }
    }
}

fn joined(steps: Vec<LogicalStep>) -> LogicalStep {
    let links: Vec<&Kernel> = steps.iter().map(|s| &s.kernel).collect();
    let kernel = chain::chain("linear_chain", &links);
    let node = steps[0].node;
    let (links, flops) = (steps.len(), steps.iter().map(|s| s.flops).sum());
    let (mut args, mut offsets) = (Vec::new(), Vec::new());
    for step in steps {
        args.extend(step.args);
        offsets.extend(step.offsets);
    }
    LogicalStep { node, kernel, args, offsets, flops, link: Link::No, links }
}

/// The step after which nothing has been handed over.
fn empty(node: NodeId, memory: Bound, words: usize) -> LogicalStep {
    let b = Builder::new("nothing_handed", [EMPTYING, 1, 1], [words as u32 / EMPTYING, 1, 1]);
    let to = b.tensor(TensorArg {
        name: "handed".into(),
        elem: Elem::U32,
        stored: [words].into(),
        view: drift_ir::View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access: Access::Write,
        base_elems: 0,
        max_object_bytes: u64::MAX,
    });
    b.store(to, &[b.global_id(0)], b.u32(MISSING));
    let (args, offsets) = (vec![memory], vec![0]);
    LogicalStep { node, kernel: b.finish(), args, offsets, flops: 0, link: Link::No, links: 1 }
}
