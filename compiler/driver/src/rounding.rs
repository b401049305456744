//! What storing values in f16 costs a network, measured on inputs of the user's.
//!
//! Every value that a fused network would keep in f16 is rounded in turn, in the reference
//! evaluator, and the change at the outputs is measured. Errors of roundings at different places
//! hardly know of each other, so their squares add up: values go to f32, those with the largest
//! share first, until the sum is below [`GOAL`], and an evaluation with that choice tells what it is
//! worth. Values near or beyond the end of f16 go to f32 whatever they cost: other inputs may
//! reach further.
//!
//! An error is the root mean square of an output's differences, as a share of its standard
//! deviation. Networks with more than [`GROUPS`] such values are measured in as many groups of
//! neighbours.

use crate::calibrate::HEADROOM;
use crate::error::{Result, StageError};
use crate::pipeline::short;
use drift_bundle::plan::ElemType;
use drift_ir::{DType, Def, Graph, NodeId, Tensor, ValueId};
use drift_ops::lower::{SMALL_ELEMS, small_constant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const STAGE: &str = "calibrate";

/// Largest error of an output that is not worth f32 values.
pub const GOAL: f64 = 1e-3;
/// Measurements of a network: values rounded one by one, or in so many groups.
pub const GROUPS: usize = 64;
/// Choices that are tried.
const ROUNDS: usize = 6;
/// Errors that no choice here avoids (of large weights) are not fought to their last bit.
const OVER_FLOOR: f64 = 1.1;

const F16_MAX: f32 = 65504.0;

/// Values of a network's inputs, by name.
pub type Inputs = BTreeMap<String, Tensor>;

/// An array of a file as a value; `None` when its bytes are not as many as its shape says.
pub fn value(elem: ElemType, shape: &[u64], bytes: Vec<u8>) -> Option<Tensor> {
    let dtype = match elem {
        ElemType::F32 => DType::F32,
        ElemType::F16 => DType::F16,
        ElemType::BF16 => DType::BF16,
        ElemType::F64 => DType::F64,
        ElemType::I8 => DType::I8,
        ElemType::U8 => DType::U8,
        ElemType::I16 => DType::I16,
        ElemType::U16 => DType::U16,
        ElemType::I32 => DType::I32,
        ElemType::U32 => DType::U32,
        ElemType::I64 => DType::I64,
        ElemType::U64 => DType::U64,
        ElemType::Bool => DType::Bool,
    };
    let shape: Vec<usize> = shape.iter().map(|d| *d as usize).collect();
    Tensor::from_bytes(dtype, shape, bytes.into())
}

/// Why a node's values stay in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// Its largest magnitude on the inputs.
    Range(f64),
    /// The share of the error of all roundings, as squares, that its own (or its group's) has.
    Share(f64),
}

/// What was measured, and chosen.
#[derive(Clone, Debug, Default)]
pub struct Rounding {
    /// Nodes whose results and small weights stay in f32.
    pub wide: BTreeMap<NodeId, Why>,
    /// Nodes among which there was a choice.
    pub candidates: usize,
    /// Error of the worst output with all of them in f16.
    pub all_f16: f64,
    /// The same as chosen.
    pub chosen: f64,
}

impl Rounding {
    /// Nodes that stay in f32. `range_only`: of a device that rounds what it computes with anyway.
    pub fn nodes(&self, range_only: bool) -> BTreeSet<NodeId> {
        let kept = |why: &Why| !range_only || matches!(why, Why::Range(_));
        self.wide.iter().filter(|(_, why)| kept(why)).map(|(id, _)| *id).collect()
    }

    /// One line for people.
    pub fn summary(&self, graph: &Graph) -> String {
        let mut list: Vec<_> = self.wide.iter().collect();
        // the reason that weighs most comes first
        let weight = |why: &Why| match why {
            Why::Range(most) => (1, *most),
            Why::Share(share) => (0, *share),
        };
        list.sort_by(|a, b| {
            let (a, b) = (weight(a.1), weight(b.1));
            b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
        });
        let names: Vec<String> =
            list.iter().map(|(id, why)| format!("{} ({why})", graph.node(**id).path)).collect();
        let error = format!(
            "calibration: f16 throughout changes outputs by {:.1e} of their spread",
            self.all_f16
        );
        match names.len() {
            0 => format!("{error}; nothing needs f32"),
            n => format!(
                "{error}, and {:.1e} with {n} of {} nodes in f32: {}",
                self.chosen,
                self.candidates,
                short(&names)
            ),
        }
    }
}

/// Errors of a network's outputs on `inputs` with these nodes in f32 and the rest in f16.
pub fn errors(graph: &Graph, inputs: &Inputs, wide: &BTreeSet<NodeId>) -> Result<Vec<f64>> {
    check(graph, inputs)?;
    let net = Net::evaluated(graph, inputs)?;
    net.errors(&|id| if wide.contains(&id) { Mode::Wide } else { Mode::Narrow })
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Range(most) => write!(f, "reaches {most:.3e}"),
            Why::Share(share) => write!(f, "{:.1} % of the error", 100.0 * share),
        }
    }
}

/// What is rounded at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Exact,
    /// What would stay exact if the node were wide.
    Own,
    /// What is f16 although the node is wide: large weights.
    Wide,
    Narrow,
}

/// Checks that there is a value of the right type and shape for every input.
pub fn check(graph: &Graph, inputs: &Inputs) -> Result<()> {
    let invalid = |m: String, help: String| Err(StageError::invalid(STAGE, m).help(help));
    let names: Vec<&str> = graph.inputs.iter().map(|v| graph.value(*v).name.as_str()).collect();
    let help = format!("give every input its values; inputs: {}", names.join(", "));
    if let Some(name) = inputs.keys().find(|n| !names.contains(&n.as_str())) {
        return invalid(format!("the model has no input `{name}`"), help);
    }
    for &id in &graph.inputs {
        let v = graph.value(id);
        let Some(t) = inputs.get(&v.name) else {
            return invalid(format!("no calibration values for the input `{}`", v.name), help);
        };
        if (t.dtype, &t.shape) != (v.dtype, &v.shape) {
            let m = format!(
                "calibration values of `{}` are {}{}, the model takes {}{}",
                v.name, t.dtype, t.shape, v.dtype, v.shape
            );
            return invalid(m, help);
        }
    }
    Ok(())
}

/// Measures a fused network on `inputs` and chooses the nodes whose values stay in f32.
pub fn measure(graph: &Graph, inputs: &Inputs, progress: &mut dyn FnMut(f32)) -> Result<Rounding> {
    check(graph, inputs)?;
    let net = Net::evaluated(graph, inputs)?;
    progress(0.1);
    let mut out = Rounding::default();
    let candidates: Vec<NodeId> = net.order.iter().copied().filter(|n| net.has_own(*n)).collect();
    out.candidates = candidates.len();
    for &id in &net.order {
        let most = net.largest(id);
        if most * HEADROOM > f64::from(F16_MAX) && net.stored_f16(id) {
            out.wide.insert(id, Why::Range(most));
        }
    }
    let ranged: BTreeSet<NodeId> = out.wide.keys().copied().collect();
    let narrow = |wide: &BTreeSet<NodeId>, id: NodeId| match wide.contains(&id) {
        true => Mode::Wide,
        false => Mode::Narrow,
    };
    let errors = net.errors(&|id| narrow(&ranged, id))?;
    out.all_f16 = worst(&errors);
    out.chosen = out.all_f16;
    if errors.iter().all(|e| *e <= GOAL) {
        return Ok(out);
    }
    let floor = net.errors(&|_| Mode::Wide)?;
    let free: Vec<NodeId> = candidates.into_iter().filter(|n| !ranged.contains(n)).collect();
    let count = free.len().min(GROUPS);
    let start = |group: usize| group * free.len() / count;
    let groups: Vec<&[NodeId]> = (0..count).map(|g| &free[start(g)..start(g + 1)]).collect();
    let shares = net.shares(&groups, progress)?;
    // where errors amplify each other their sum falls short of the whole: then more is asked for
    let wanted = GOAL.max(OVER_FLOOR * worst(&floor));
    let mut goal = GOAL;
    for _ in 0..ROUNDS {
        for (group, share) in chosen(&floor, &shares, goal) {
            out.wide.extend(groups[group].iter().map(|id| (*id, Why::Share(share))));
        }
        let wide: BTreeSet<NodeId> = out.wide.keys().copied().collect();
        out.chosen = worst(&net.errors(&|id| narrow(&wide, id))?);
        if out.chosen <= wanted {
            break;
        }
        goal *= (wanted / out.chosen).clamp(0.1, 0.7);
    }
    Ok(out)
}

/// Groups that go to f32, with their shares of the error; `shares[group][output]` are errors.
fn chosen(floor: &[f64], shares: &[Vec<f64>], goal: f64) -> Vec<(usize, f64)> {
    let square = |e: f64| e * e;
    let total = |o: usize| square(floor[o]) + shares.iter().map(|s| square(s[o])).sum::<f64>();
    let totals: Vec<f64> = (0..floor.len()).map(total).collect();
    let mut rest = totals.clone();
    let mut out: Vec<(usize, f64)> = Vec::new();
    loop {
        let limit = |o: usize| square(goal) + square(floor[o]);
        let over = (0..floor.len()).filter(|&o| rest[o] > limit(o));
        let Some(o) = over.max_by(|a, b| rest[*a].total_cmp(&rest[*b])) else { break };
        let left = (0..shares.len()).filter(|g| out.iter().all(|(taken, _)| taken != g));
        let Some(g) = left.max_by(|a, b| shares[*a][o].total_cmp(&shares[*b][o])) else { break };
        let gain = square(shares[g][o]);
        if gain == 0.0 {
            rest[o] = 0.0;
            continue;
        }
        // of infinite errors, every part is worth it
        out.push((g, if totals[o].is_finite() { gain / totals[o] } else { 1.0 }));
        for (o, rest) in rest.iter_mut().enumerate() {
            let others = (0..shares.len()).filter(|g| out.iter().all(|(taken, _)| taken != g));
            *rest = square(floor[o]) + others.map(|g| square(shares[g][o])).sum::<f64>();
        }
    }
    out
}

fn worst(errors: &[f64]) -> f64 {
    errors.iter().copied().fold(0.0, f64::max)
}

/// A network with the exact values of all its nodes.
struct Net<'a> {
    graph: &'a Graph,
    order: Vec<NodeId>,
    exact: Vec<Option<Tensor>>,
    /// Constants rounded to f16, as they were asked for.
    rounded: Mutex<BTreeMap<ValueId, Tensor>>,
}

impl<'a> Net<'a> {
    fn evaluated(graph: &'a Graph, inputs: &Inputs) -> Result<Net<'a>> {
        let order =
            graph.topo_order().map_err(|_| StageError::internal(STAGE, "cycle in the graph"))?;
        let mut exact = vec![None; graph.value_count()];
        for &id in &graph.inputs {
            exact[id.0 as usize] = inputs.get(&graph.value(id).name).cloned();
        }
        let mut net = Net { graph, order, exact, rounded: Mutex::default() };
        for id in net.order.clone() {
            let results = net.eval(id, Mode::Exact, &BTreeMap::new())?;
            for (r, t) in graph.node(id).results.iter().zip(results) {
                net.exact[r.0 as usize] = Some(t);
            }
        }
        Ok(net)
    }

    /// Whether a result of a node is large enough, and inside, so that it would be kept in f16.
    fn stored_f16(&self, id: NodeId) -> bool {
        self.graph.node(id).results.iter().any(|r| self.rounds(*r))
    }

    fn rounds(&self, value: ValueId) -> bool {
        let v = self.graph.value(value);
        v.dtype.is_float() && v.shape.elems() > SMALL_ELEMS && !self.graph.is_output(value)
    }

    /// Whether it makes a difference for a node to be wide.
    fn has_own(&self, id: NodeId) -> bool {
        let own = |v: ValueId| self.rounds_constant(v, false) && !self.rounds_constant(v, true);
        let operands = self.graph.node(id).operands.iter().flatten();
        self.stored_f16(id) || operands.into_iter().any(|o| own(o.value))
    }

    /// Whether a node that is wide, or not, reads this constant in f16.
    fn rounds_constant(&self, value: ValueId, wide: bool) -> bool {
        let v = self.graph.value(value);
        matches!(v.def, Def::Const(_)) && v.dtype.is_float() && !small_constant(&v.shape, wide)
    }

    /// The largest finite magnitude among a node's results.
    fn largest(&self, id: NodeId) -> f64 {
        let results = self.graph.node(id).results.iter();
        let values = results.filter_map(|r| self.exact[r.0 as usize].as_ref());
        let floats = values.filter(|t| t.dtype.is_float()).flat_map(Tensor::to_f32s);
        f64::from(floats.filter(|v| v.is_finite()).fold(0.0f32, |m, v| m.max(v.abs())))
    }

    /// Results of a node, whose operands are those of `changed`, or the exact ones.
    fn eval(
        &self,
        id: NodeId,
        mode: Mode,
        changed: &BTreeMap<ValueId, Tensor>,
    ) -> Result<Vec<Tensor>> {
        let (graph, node) = (self.graph, self.graph.node(id));
        let operand = |v: ValueId| -> Option<Tensor> {
            if let Some(t) = changed.get(&v) {
                return Some(t.clone());
            }
            let value = graph.value(v);
            let exact = match &value.def {
                Def::Const(t) => t.clone(),
                Def::Lazy(lazy) => lazy.tensor(value.dtype, &value.shape).ok()?,
                _ => return self.exact[v.0 as usize].clone(),
            };
            let narrow = self.rounds_constant(v, false);
            let wide = self.rounds_constant(v, true);
            let rounds = match mode {
                Mode::Exact => false,
                Mode::Own => narrow && !wide,
                Mode::Wide => wide,
                Mode::Narrow => narrow,
            };
            if !rounds {
                return Some(exact);
            }
            let mut known = self.rounded.lock().unwrap_or_else(|e| e.into_inner());
            Some(known.entry(v).or_insert_with(|| rounded(&exact)).clone())
        };
        let operands: Vec<Option<Tensor>> =
            node.operands.iter().map(|o| operand(o.as_ref()?.value)).collect();
        let mut results = drift_ops::eval_node(graph, node, &operands).map_err(|e| {
            StageError::internal(STAGE, format!("{} at {}: {e}", node.op, node.path))
        })?;
        if matches!(mode, Mode::Own | Mode::Narrow) {
            for (t, r) in results.iter_mut().zip(&node.results) {
                if self.rounds(*r) {
                    *t = rounded(t);
                }
            }
        }
        Ok(results)
    }

    /// Errors of all outputs with each node rounded as `mode` says.
    fn errors(&self, mode: &dyn Fn(NodeId) -> Mode) -> Result<Vec<f64>> {
        let mut changed: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        let mut reads = vec![0usize; self.graph.value_count()];
        let operands = |id: NodeId| self.graph.node(id).operands.iter().flatten();
        for o in self.order.iter().flat_map(|id| operands(*id)) {
            reads[o.value.0 as usize] += 1;
        }
        for &id in &self.order {
            let mode = mode(id);
            let dirty = operands(id).any(|o| changed.contains_key(&o.value));
            if dirty || self.rounds_anything(id, mode) {
                let results = self.eval(id, mode, &changed)?;
                changed.extend(self.graph.node(id).results.iter().copied().zip(results));
            }
            for o in operands(id) {
                let left = &mut reads[o.value.0 as usize];
                *left -= 1;
                if *left == 0 && !self.graph.is_output(o.value) {
                    changed.remove(&o.value);
                }
            }
        }
        let error = |(_, v): &(String, ValueId)| match (changed.get(v), &self.exact[v.0 as usize]) {
            (Some(got), Some(want)) => error(got, want),
            _ => 0.0,
        };
        Ok(self.graph.outputs.iter().map(error).collect())
    }

    fn rounds_anything(&self, id: NodeId, mode: Mode) -> bool {
        match mode {
            Mode::Exact => false,
            Mode::Own => self.has_own(id),
            Mode::Wide | Mode::Narrow => true,
        }
    }

    /// Errors of all outputs with each group rounded by itself, on all of the host's processors.
    fn shares(&self, groups: &[&[NodeId]], progress: &mut dyn FnMut(f32)) -> Result<Vec<Vec<f64>>> {
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, Result<Vec<f64>>>> = Mutex::default();
        let work = |told: &mut dyn FnMut(f32)| {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(at) else { return };
                told(0.2 + 0.8 * at as f32 / groups.len() as f32);
                let mode = |id| if group.contains(&id) { Mode::Own } else { Mode::Exact };
                let errors = self.errors(&mode);
                done.lock().unwrap_or_else(|e| e.into_inner()).insert(at, errors);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| work(&mut |_| ()));
            }
            work(progress);
        });
        done.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect()
    }
}

/// A tensor as f16 memory keeps it: finite values beyond the end become the last one.
fn rounded(t: &Tensor) -> Tensor {
    let clamped = |v: f32| if v.is_finite() { v.clamp(-F16_MAX, F16_MAX) } else { v };
    let values: Vec<f64> = t.to_f32s().into_iter().map(|v| f64::from(clamped(v))).collect();
    let half = Tensor::from_f64s(DType::F16, t.shape.clone(), &values);
    Tensor::from_f64s(t.dtype, t.shape.clone(), &half.to_f64s())
}

/// The root mean square of the differences as a share of the standard deviation (of the largest
/// magnitude where all elements are alike); of integers, the share of elements that differ.
fn error(got: &Tensor, want: &Tensor) -> f64 {
    let (got, exact) = (got.to_f64s(), want.to_f64s());
    let n = exact.len().max(1) as f64;
    if !want.dtype.is_float() {
        return got.iter().zip(&exact).filter(|(g, w)| g != w).count() as f64 / n;
    }
    let finite: Vec<f64> = exact.iter().copied().filter(|v| v.is_finite()).collect();
    let mean = finite.iter().sum::<f64>() / n;
    let spread = (finite.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let most = finite.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let unit = if spread > 1e-6 * most { spread } else { most };
    let squares: f64 = got
        .iter()
        .zip(&exact)
        .map(|(g, w)| match g == w || (g.is_nan() && w.is_nan()) {
            true => 0.0,
            false => (g - w).powi(2),
        })
        .sum();
    let rms = (squares / n).sqrt();
    let error = if unit > 0.0 { rms / unit } else { rms };
    if error.is_nan() { f64::INFINITY } else { error }
}
