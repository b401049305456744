//! One operator on the device: a graph of the operator between copies, through lowering, planning
//! and emission into a bundle, and its results against the operator's reference.
//!
//! Inputs and outputs of a graph are row-major f32 buffers, whatever the target wants. So that the
//! operator itself reads and writes the storage under test, a copy stands before each operand and
//! after each result:
//!
//! ```text
//! x0 (row-major f32) ─copy→ v0 (as the setup says) ─operator→ r0 (as the setup says) ─copy→ y0
//! ```

use crate::{Array, gpu, worst};
use drift_bundle::{BundleWriter, Contents, Meta, caps::Api};
use drift_driver::lowering::{self, LowerOptions};
use drift_driver::memory::Strategy;
use drift_driver::plan::{self, EntrySteps, PlanOptions};
use drift_driver::target::TargetSpec;
use drift_driver::weights::WeightPool;
use drift_driver::{ErrorKind, shaders};
use drift_ir::{
    Arg, Attrs, Body, DType, Def, Graph, NodeId, PointwiseOp, Shape, Step, Tensor, ValueId,
};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_ops::lower::{Placement, Target, elem_of};
use drift_ops::{Accuracy, Case, OpDef, eval_node, infer_node};
use drift_runtime::{Bundle, Device, DriverCache, Session, SessionOptions, TensorRef};

/// How the values around the operator are stored.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub spec: TargetSpec,
    /// Element type of floats.
    pub float: Elem,
    /// Values of rank 3 to 5 in slices of four channels.
    pub slices: bool,
    pub storage: Storage,
    /// Larger tensors are split over several bindings.
    pub max_object_bytes: u64,
    /// Operands but the first are constants, packed by the compiler.
    pub constants: bool,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Passed {
        /// Values moved to plain f32 buffers, because a kernel stores single elements there.
        moved: bool,
    },
    /// Drift says that it does not do this.
    Unsupported(String),
    Failed(String),
    /// The setup changes nothing about this case.
    Skipped,
}

struct Built {
    graph: Graph,
    node: NodeId,
    /// The operator's operands.
    operands: Vec<Option<Tensor>>,
    /// Values of the graph's inputs.
    inputs: Vec<Tensor>,
    /// Values between copies and operator.
    inner: Vec<ValueId>,
}

fn copy(g: &mut Graph, from: ValueId, name: String) -> ValueId {
    let (dtype, shape) = (g.value(from).dtype, g.value(from).shape.clone());
    let path = format!("copy to {name}");
    let results = vec![(name, dtype, shape)];
    let node = g.add_node("pointwise", Attrs::new(), vec![Some(from.into())], results, path);
    let n = g.node_mut(node);
    n.epilogue_operands = 0;
    let step = Step { op: PointwiseOp::Identity, args: vec![Arg::Operand(0)], dtype };
    n.epilogue = Body { steps: vec![step], results: vec![Arg::Step(0)] };
    g.node(node).results[0]
}

/// Values as storage of this element type rounds them.
fn rounded(t: &Tensor, float: Elem) -> Tensor {
    if float == Elem::F32 || !t.dtype.is_float() {
        return t.clone();
    }
    let half = Tensor::from_f64s(DType::F16, t.shape.clone(), &t.to_f64s());
    Tensor::from_f64s(t.dtype, t.shape.clone(), &half.to_f64s())
}

fn build(def: &OpDef, case: &Case, setup: &Setup) -> Result<Built, String> {
    let mut g = Graph::new("case");
    let (mut operands, mut values, mut inputs, mut inner) = (vec![], vec![], vec![], vec![]);
    for (i, t) in case.operands.iter().enumerate() {
        let Some(t) = t else {
            operands.push(None);
            values.push(None);
            continue;
        };
        let t = rounded(t, setup.float);
        let updated = drift_ops::updates(def.name).iter().any(|(o, _)| *o == i);
        let value = if i > 0 && setup.constants && !updated {
            g.add_const(format!("c{i}"), t.clone())
        } else {
            let x = g.add_input(format!("x{i}"), t.dtype, t.shape.clone());
            inputs.push(t.clone());
            inner.push(copy(&mut g, x, format!("v{i}")));
            inner[inner.len() - 1]
        };
        operands.push(Some(t));
        values.push(Some(value.into()));
    }
    let node = g.add_node(def.name, case.attrs.clone(), values, Vec::new(), "case");
    if def.name == "pointwise" {
        g.node_mut(node).epilogue_operands = 0;
        g.node_mut(node).epilogue = case.body.clone();
    }
    let types = infer_node(&g, g.node(node)).map_err(|e| format!("inference: {e}"))?;
    for (i, (dtype, shape)) in types.into_iter().enumerate() {
        let r = g.add_value(format!("r{i}"), dtype, shape, Def::Node(node, i));
        g.node_mut(node).results.push(r);
        inner.push(r);
        let y = copy(&mut g, r, format!("y{i}"));
        g.outputs.push((format!("y{i}"), y));
    }
    Ok(Built { graph: g, node, operands, inputs, inner })
}

fn slices_of(shape: &Shape) -> Option<Layout> {
    let order: &[u8] = match shape.rank() {
        3 => &[1, 2, 0],
        4 => &[1, 2, 3, 0],
        5 => &[1, 2, 3, 4, 0],
        _ => return None,
    };
    (shape.elems() > 0).then(|| Layout::Slices4 { channel: 1, order: order.to_vec() })
}

/// Places all values; false when nothing would differ from plain buffers though the setup asks.
fn place(b: &Built, setup: &Setup) -> (Vec<Option<Placement>>, bool) {
    let g = &b.graph;
    let mut placements = vec![None; g.value_count()];
    let mut differs = !setup.slices && setup.storage == Storage::Buffer;
    for v in g.value_ids().filter(|v| g.const_of(*v).is_none()) {
        let value = g.value(v);
        let mut p = Placement {
            elem: elem_of(value.dtype, Elem::F32),
            layout: Layout::RowMajor,
            storage: Storage::Buffer,
            base_elems: 0,
        };
        if b.inner.contains(&v) {
            p.elem = elem_of(value.dtype, setup.float);
            if setup.slices
                && let Some(layout) = slices_of(&value.shape)
            {
                p.layout = layout;
                let image = value.shape.rank() == 4 && value.dtype.is_float();
                if setup.storage == Storage::Buffer {
                    differs = true;
                } else if image {
                    (p.storage, differs) = (setup.storage, true);
                }
            }
        }
        placements[v.0 as usize] = Some(p);
    }
    (placements, differs)
}

/// What came of compiling a case.
enum Compilation {
    /// The bundle, and whether results were moved elsewhere than the setup wants them.
    Bundle(Vec<u8>, bool),
    /// The setup changes nothing about this case.
    Same,
    /// Drift says that it does not do this, and why.
    Unsupported(String),
}

/// Compiles a case into a bundle.
fn compile(b: &Built, setup: &Setup) -> Result<Compilation, String> {
    let (mut placements, differs) = place(b, setup);
    if !differs {
        return Ok(Compilation::Same);
    }
    let stage = |e: drift_driver::StageError| match e.kind {
        ErrorKind::Unsupported => Ok(Compilation::Unsupported(e.message)),
        _ => Err(e.to_string()),
    };
    let target = Target {
        caps: setup.spec.caps.clone(),
        max_object_bytes: setup.max_object_bytes,
        weight_elem: setup.float,
        int8_activations: false,
        full_invocations: setup.spec.full_invocations,
        chains: setup.spec.chains,
    };
    let options = LowerOptions {
        zero_copy: setup.storage == Storage::Buffer,
        wide: std::collections::BTreeSet::new(),
    };
    let wanted = placements.clone();
    let steps = match lowering::lower_writable(&b.graph, &target, &mut placements, &options) {
        Ok(steps) => steps,
        Err(e) => return stage(e),
    };
    let kept = |(a, b): (&Option<Placement>, &Option<Placement>)| match (a, b) {
        (Some(a), Some(b)) => a.elem == b.elem && a.storage == b.storage,
        _ => true,
    };
    let moved = !wanted.iter().zip(&placements).all(kept);
    let mut pool = WeightPool::default();
    let options = PlanOptions {
        strategy: Strategy::default(),
        in_place: true,
        exclusive_writes: setup.spec.caps.api == Api::WebGpu,
        max_object_bytes: setup.max_object_bytes,
    };
    let (name, graph) = ("main", &b.graph);
    let entry = EntrySteps { name, graph, steps: &steps, placements: &placements };
    let mut planned = match plan::plan(&[entry], &mut pool, &options) {
        Ok(planned) => planned,
        Err(e) => return stage(e),
    };
    let (set, requirements) = match shaders::emit(&setup.spec, &mut planned) {
        Ok(emitted) => emitted,
        Err(e) => return stage(e),
    };
    let mut weights = Vec::new();
    pool.write(&mut weights, &mut |_| ()).map_err(|e| e.to_string())?;
    let mut writer = BundleWriter::new(Meta::new("case", "conformance", "0"));
    writer.add_variant(requirements, planned.plan, set);
    let bytes = writer.to_vec(&weights).map_err(|e| e.to_string())?;
    Ok(Compilation::Bundle(bytes, moved))
}

/// The shaders of a case, compiled as [`run`] would; none where the setup changes nothing about the
/// case, or Drift says that it does not do this.
///
/// # Errors
/// Says what of the case does not compile.
pub fn shaders(def: &OpDef, case: &Case, setup: &Setup) -> Result<Vec<Vec<u8>>, String> {
    let Compilation::Bundle(bytes, _) = compile(&build(def, case, setup)?, setup)? else {
        return Ok(Vec::new());
    };
    let contents = Contents::parse(&bytes).map_err(|e| e.to_string())?;
    let ranges = contents.variants.into_iter().flat_map(|v| v.shaders);
    Ok(ranges.map(|range| bytes[range].to_vec()).collect())
}

/// Runs one case in one setup.
pub fn run(device: &Device, def: &OpDef, case: &Case, setup: &Setup) -> Outcome {
    let built = match build(def, case, setup) {
        Ok(built) => built,
        Err(e) => return Outcome::Failed(e),
    };
    let want = match eval_node(&built.graph, built.graph.node(built.node), &built.operands) {
        Ok(want) => want,
        Err(e) => return Outcome::Failed(format!("reference: {e}")),
    };
    let (bytes, moved) = match compile(&built, setup) {
        Ok(Compilation::Bundle(bytes, moved)) => (bytes, moved),
        Ok(Compilation::Same) => return Outcome::Skipped,
        Ok(Compilation::Unsupported(why)) => return Outcome::Unsupported(why),
        Err(e) => return Outcome::Failed(e),
    };
    let check = || -> Result<(), String> {
        let bundle = Bundle::from_vec(bytes).map_err(|e| e.to_string())?;
        let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
        let mut session =
            Session::with_options(device, &bundle, &options).map_err(|e| e.to_string())?;
        let arrays: Vec<Array> = built.inputs.iter().map(array_of).collect();
        let names: Vec<String> = session.inputs().iter().map(|io| io.name.clone()).collect();
        let given: Vec<(&str, TensorRef<'_>)> =
            names.iter().map(String::as_str).zip(arrays.iter().map(Array::tensor)).collect();
        let outputs = session.run(&given).map_err(|e| e.to_string())?;
        for (i, want) in want.iter().enumerate() {
            let got = outputs.get(&format!("y{i}")).ok_or("an output is missing")?;
            let got = Array { elem: got.elem, shape: got.shape.clone(), bytes: got.bytes.clone() };
            compare(def.accuracy, i, want, &got, setup.float)?;
        }
        gpu::check_validation(device)
    };
    match check() {
        Ok(()) => Outcome::Passed { moved },
        Err(e) => Outcome::Failed(e),
    }
}

fn array_of(t: &Tensor) -> Array {
    Array {
        elem: plan::elem_of(t.dtype),
        shape: t.shape.iter().map(|&d| d as u64).collect(),
        bytes: t.bytes().to_vec(),
    }
}

fn compare(
    accuracy: Accuracy,
    i: usize,
    want: &Tensor,
    got: &Array,
    float: Elem,
) -> Result<(), String> {
    let shape: Vec<u64> = want.shape.iter().map(|&d| d as u64).collect();
    if got.shape != shape || got.elem != plan::elem_of(want.dtype) {
        return Err(format!("result {i} is {:?} {:?}, not {}", got.elem, got.shape, want.shape));
    }
    let dtype = match (want.dtype, float) {
        (d, _) if !d.is_float() => d,
        (DType::BF16, _) => DType::BF16,
        (_, Elem::F32) if want.dtype != DType::F16 => DType::F32,
        _ => DType::F16,
    };
    // Values that no f32 holds must agree as f32: kernels have no other floats.
    let narrow = |v: Vec<f64>| -> Vec<f64> {
        if dtype.is_float() { v.into_iter().map(|x| f64::from(x as f32)).collect() } else { v }
    };
    let w = worst(&narrow(got.to_f64()), &narrow(want.to_f64s()));
    // results of exactly 0 everywhere are judged absolutely
    let limit = accuracy.tolerance(dtype) * if w.scale == 0.0 { 1.0 } else { w.scale };
    if w.error <= limit {
        return Ok(());
    }
    Err(format!(
        "result {i} {}{}, element {}: {} instead of {} (allowed {limit:e})",
        want.dtype, want.shape, w.index, w.got, w.want
    ))
}
