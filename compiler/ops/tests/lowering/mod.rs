//! One node on the interpreter, compared with the reference.

pub mod parts;
pub mod shapes;

use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_emit::{Dialect, DialectOptions, EmitError};
use drift_ir::{Arg, Body, DType, Graph, NodeId, Operand, PointwiseOp, Shape, Step, Tensor};
use drift_kernel::BindingType;
use drift_kernel::interp::{self, Bind, Memory, ObjectId, Options};
use drift_kernel::tensor::{Elem, Layout, Storage, pack, unpack};
use drift_ops::lower::{ArgRef, Lowering, Placement, Target, elem_of, lower_node};
use drift_ops::{Case, OpDef, OpError, eval_node, infer_node};
use std::collections::BTreeMap;
use std::fmt;

/// How a case is placed and dressed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Row-major f32, few invocations wanted.
    Plain,
    /// Row-major f32 on a device that wants many invocations, with subgroups.
    Wide,
    /// All operands but the first are constants.
    Constants,
    /// Values of rank 3 to 5 lie in slices of four channels; operands but the first constant.
    Slices,
    /// Sliced operands, row-major results.
    SlicedIn,
    /// Row-major operands, sliced results.
    SlicedOut,
    /// Values stored in f16.
    Half,
    /// A residual addition and a ReLU after the operator.
    Epilogue,
    /// Both, in slices and f16.
    SlicedEpilogue,
    /// Result stored transposed, operands read through a transposed view.
    Views,
    /// Values of rank 3 to 5 in slices, of halves packed in words: only written by quads.
    Packed,
    /// Values stored in f16 on a device with cooperative matrices.
    Matrices,
    /// The same with transposed operands.
    MatricesViews,
    /// Weights are constants of more bytes than a binding spans.
    Parts,
    /// The same with an epilogue, whose operand no part can be bound to alone.
    PartsEpilogue,
}

impl Variant {
    pub fn all() -> [Variant; 13] {
        use Variant::*;
        [
            Plain,
            Wide,
            Constants,
            Slices,
            SlicedIn,
            SlicedOut,
            Half,
            Epilogue,
            SlicedEpilogue,
            Views,
            Packed,
            Matrices,
            MatricesViews,
        ]
    }

    fn constants(self) -> bool {
        use Variant::*;
        matches!(self, Constants | Slices | SlicedEpilogue | Half | Packed)
    }

    /// Whether kernels are also written in every dialect (it takes longer than running them).
    fn emits(self) -> bool {
        matches!(self, Variant::Plain | Variant::SlicedEpilogue | Variant::Matrices)
    }

    fn half(self) -> bool {
        use Variant::*;
        matches!(self, Half | SlicedEpilogue | Packed) || self.matrices()
    }

    fn matrices(self) -> bool {
        matches!(self, Variant::Matrices | Variant::MatricesViews)
    }

    fn views(self) -> bool {
        matches!(self, Variant::Views | Variant::MatricesViews)
    }

    fn epilogue(self) -> bool {
        matches!(self, Variant::Epilogue | Variant::SlicedEpilogue | Variant::PartsEpilogue)
    }

    fn parts(self) -> bool {
        matches!(self, Variant::Parts | Variant::PartsEpilogue)
    }

    fn slices(self, result: bool) -> bool {
        use Variant::*;
        match self {
            Slices | SlicedEpilogue | Packed => true,
            SlicedIn => !result,
            SlicedOut => result,
            _ => false,
        }
    }
}

/// Why a case failed.
#[derive(Debug)]
pub enum Failure {
    Reference(OpError),
    Lower(OpError),
    Virtualize(String),
    Emit(String),
    Interpret(String),
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Reference(e) => write!(f, "reference: {e}"),
            Failure::Lower(e) => write!(f, "lower: {e}"),
            Failure::Virtualize(e) => write!(f, "virtualize: {e}"),
            Failure::Emit(e) => write!(f, "emit: {e}"),
            Failure::Interpret(e) => write!(f, "interpret: {e}"),
            Failure::Wrong(e) => write!(f, "wrong result: {e}"),
        }
    }
}

const SUBGROUPS: Features =
    Features::SUBGROUP_BASIC.union(Features::SUBGROUP_ARITHMETIC).union(Features::SUBGROUP_SHUFFLE);

pub fn target(variant: Variant) -> Target {
    let shape = MatrixShape { m: 16, n: 16, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 };
    let caps = Capabilities {
        api: Api::Reference,
        device_name: "test".into(),
        vendor_id: 0,
        device_id: 0,
        features: match variant {
            Variant::Wide | Variant::Matrices => SUBGROUPS,
            _ => Features::default(),
        },
        limits: Limits {
            workgroup_memory_bytes: if variant.matrices() { 48 << 10 } else { 32 << 10 },
            workgroup_invocations: 256,
            workgroup_size: [256; 3],
            dispatch_workgroups: [65_535; 3],
            storage_range_bytes: 1 << 30,
            buffer_bytes: 1 << 30,
            storage_buffers: if variant == Variant::Wide { 16 } else { 8 },
            images: 8,
            texture_2d: 8192,
            texture_3d: 2048,
            texture_layers: 2048,
            texel_buffer: 1 << 27,
        },
        storage_offset_alignment: 256,
        subgroup_size: 32,
        subgroup_size_min: 32,
        subgroup_size_max: 32,
        matrix_shapes: if variant.matrices() { vec![shape] } else { Vec::new() },
    };
    Target {
        caps,
        max_object_bytes: if variant.parts() { parts::LIMIT } else { 1 << 30 },
        weight_elem: match variant {
            Variant::Packed => Elem::F16Packed,
            _ if variant.half() => Elem::F16,
            _ => Elem::F32,
        },
        int8_activations: false,
        full_invocations: match variant {
            Variant::Wide => 1 << 20,
            // a few compute units
            Variant::Matrices => 4 << 10,
            _ => 64,
        },
        chains: false,
    }
}

fn layout(shape: &Shape, slices: bool) -> Layout {
    let order: &[u8] = match shape.rank() {
        3 => &[1, 2, 0],
        4 => &[1, 2, 3, 0],
        5 => &[1, 2, 3, 4, 0],
        _ => return Layout::RowMajor,
    };
    match slices {
        true => Layout::Slices4 { channel: 1, order: order.to_vec() },
        false => Layout::RowMajor,
    }
}

/// Values rounded as f16 storage rounds them.
fn rounded(t: &Tensor, half: bool) -> Tensor {
    if !half || !t.dtype.is_float() {
        return t.clone();
    }
    let h = Tensor::from_f64s(DType::F16, t.shape.clone(), &t.to_f64s());
    Tensor::from_f64s(t.dtype, t.shape.clone(), &h.to_f64s())
}

/// A graph of one node. `None` when the variant does not apply to the case.
fn graph_of(def: &OpDef, case: &Case, variant: Variant) -> Result<Option<Built>, OpError> {
    let mut g = Graph::new("case");
    let mut operands = Vec::new();
    let mut tensors = Vec::new();
    let pointwise = def.name == "pointwise";
    for (i, t) in case.operands.iter().enumerate() {
        let Some(t) = t else {
            operands.push(None);
            tensors.push(None);
            continue;
        };
        let mut t = rounded(t, variant.half());
        let mut view = drift_ir::View::identity();
        // states are written where they lie
        let state = drift_ops::state::updates(def.name).iter().any(|(o, _)| *o == i);
        if variant.views() && t.shape.rank() >= 2 && !state {
            // stored with its axes reversed
            let perm: Vec<usize> = (0..t.shape.rank()).rev().collect();
            view = view.then(drift_ir::ViewStep::Transpose { perm: perm.clone() });
            t = drift_ops::data::transposed(&t, &perm).expect("a permutation");
        }
        let constant = match variant.parts() {
            true => parts::weights(def.name).contains(&i),
            false => i > 0 && variant.constants() && !state,
        };
        let value = if constant {
            g.add_const(format!("c{i}"), t.clone())
        } else {
            g.add_input(format!("x{i}"), t.dtype, t.shape.clone())
        };
        operands.push(Some(Operand { value, view }));
        tensors.push(Some(t));
    }
    let node = g.add_node(def.name, case.attrs.clone(), operands, Vec::new(), "case");
    if pointwise {
        g.node_mut(node).epilogue_operands = 0;
        g.node_mut(node).epilogue = case.body.clone();
    }
    let types = infer_node(&g, g.node(node))?;
    let (dtype, shape) = types[0].clone();
    if variant.epilogue() {
        if pointwise || types.len() > 1 || !dtype.is_float() {
            return Ok(None);
        }
        let residual = rounded(&drift_ops::data::sample(99, dtype, shape.clone()), variant.half());
        let value = g.add_input("residual", dtype, shape.clone());
        tensors.push(Some(residual));
        let n = g.node_mut(node);
        let at = n.operands.len();
        n.operands.push(Some(value.into()));
        let step = |op, args| Step { op, args, dtype };
        n.epilogue = Body {
            steps: vec![
                step(PointwiseOp::Add, vec![Arg::Acc, Arg::Operand(at)]),
                step(PointwiseOp::Relu, vec![Arg::Step(0)]),
            ],
            results: vec![Arg::Step(1)],
        };
    }
    let mut store = drift_ir::View::identity();
    if variant.views() && types.len() == 1 && shape.rank() >= 2 {
        let perm = (0..shape.rank()).rev().collect();
        store = store.then(drift_ir::ViewStep::Transpose { perm });
    }
    for (i, (dtype, shape)) in types.iter().enumerate() {
        let shape = store.apply(shape).expect("a permutation");
        let v = g.add_value(format!("y{i}"), *dtype, shape, drift_ir::Def::Node(node, i));
        g.node_mut(node).results.push(v);
    }
    g.node_mut(node).store_view = store;
    Ok(Some(Built { graph: g, node, tensors }))
}

struct Built {
    graph: Graph,
    node: NodeId,
    /// Stored values of all operands.
    tensors: Vec<Option<Tensor>>,
}

/// Runs a case; `Ok(false)` when the variant does not apply.
pub fn check(def: &OpDef, case: &Case, variant: Variant) -> Result<bool, Failure> {
    let Some(built) = graph_of(def, case, variant).map_err(Failure::Reference)? else {
        return Ok(false);
    };
    let (g, node) = (&built.graph, built.graph.node(built.node));
    let want = eval_node(g, node, &built.tensors).map_err(Failure::Reference)?;

    let target = target(variant);
    let place = |v: drift_ir::ValueId, result: bool| {
        // halves packed in words only lie where the passes put slices
        let slices = variant.slices(result) && (variant != Variant::Packed || spatial(def.name));
        let layout = layout(&g.value(v).shape, slices);
        let float = match (variant, &layout) {
            (Variant::Packed, Layout::Slices4 { .. }) => Elem::F16Packed,
            (Variant::Packed, _) => Elem::F32,
            _ if variant.half() => Elem::F16,
            _ => Elem::F32,
        };
        let elem = elem_of(g.value(v).dtype, float);
        Placement { elem, layout, storage: Storage::Buffer, base_elems: 0 }
    };
    let mut placements: Vec<Option<Placement>> = vec![None; g.value_count()];
    for o in node.operands.iter().flatten() {
        if g.const_of(o.value).is_none() {
            placements[o.value.0 as usize] = Some(place(o.value, false));
        }
    }
    for &r in &node.results {
        placements[r.0 as usize] = Some(place(r, true));
    }
    // a state and its update are one object
    let mut updated = BTreeMap::new();
    for &(o, r) in drift_ops::state::updates(def.name) {
        let operand = node.operands.get(o).and_then(Option::as_ref);
        if let (Some(o), Some(&r)) = (operand, node.results.get(r)) {
            placements[r.0 as usize] = placements[o.value.0 as usize].clone();
            updated.insert(r, o.value);
        }
    }
    let mut lowering = Lowering::new(g, built.node, &target, &placements);
    lower_node(&mut lowering).map_err(Failure::Lower)?;

    let mut memory = Memory::new();
    let mut objects: Vec<Option<ObjectId>> = vec![None; g.value_count()];
    for (o, t) in node.operands.iter().zip(&built.tensors) {
        let (Some(o), Some(t)) = (o, t) else { continue };
        if let Some(p) = &placements[o.value.0 as usize] {
            let bytes = pack(&p.layout, p.elem, t).expect("layout fits");
            objects[o.value.0 as usize] = Some(memory.add_bytes(&bytes));
        }
    }
    for &r in &node.results {
        if let Some(state) = updated.get(&r) {
            objects[r.0 as usize] = objects[state.0 as usize];
            continue;
        }
        let p = placements[r.0 as usize].as_ref().expect("placed above");
        let n = p.elem.extent_bytes(p.layout.extent_elems(&g.value(r).shape)) as usize;
        // NaN wherever no kernel writes
        objects[r.0 as usize] = Some(memory.add_bytes(&vec![0xff; n]));
    }
    let temps: Vec<ObjectId> = lowering
        .temps
        .iter()
        .map(|t| {
            let n = t.elem.extent_bytes(Layout::RowMajor.extent_elems(&t.shape)) as usize;
            memory.add_bytes(&vec![0xff; n])
        })
        .collect();
    let cut = lowering.kernels.iter().flat_map(|k| &k.offsets).any(|offset| *offset > 0);
    if variant.parts() && !cut {
        return Err(Failure::Wrong("the weights are read at once".into()));
    }
    for k in lowering.kernels {
        if std::env::var_os("DRIFT_OP").is_some() {
            println!("{} {variant:?}: {}", case.name, k.kernel.name);
        }
        let physical = drift_kernel::virtualize(k.kernel.clone())
            .map_err(|e| Failure::Virtualize(e.to_string()))?;
        if variant.emits() {
            emits(&physical)?;
        }
        let mut binds = Vec::new();
        for binding in &physical.bindings {
            let arg = &k.kernel.tensors[binding.tensor.0 as usize];
            let object = match k.args[binding.tensor.0 as usize] {
                ArgRef::Temp(t) => temps[t],
                ArgRef::Value(v) => match (objects[v.0 as usize], g.const_of(v)) {
                    (Some(object), _) => object,
                    (None, Some(t)) => {
                        let bytes = pack(&arg.layout, arg.elem, t).expect("layout fits");
                        memory.add_bytes(&bytes)
                    }
                    (None, None) => return Err(Failure::Interpret("unbound value".into())),
                },
            };
            // bound to no more than it says: it must not reach into the next part
            let n = binding.tensor.0 as usize;
            let len_bytes = variant.parts().then(|| bound_bytes(binding));
            let before: u64 = physical
                .bindings
                .iter()
                .filter(|b| b.tensor == binding.tensor && b.part < binding.part)
                .map(bound_bytes)
                .sum();
            let offset_bytes = k.offsets[n] + before;
            binds.push(Bind { object, offset_bytes, len_bytes });
        }
        interp::run(&physical, &memory, &binds, &Options::strict())
            .map_err(|e| Failure::Interpret(e.to_string()))?;
    }
    for (i, (want, &r)) in want.iter().zip(&node.results).enumerate() {
        let p = placements[r.0 as usize].as_ref().expect("placed above");
        let object = objects[r.0 as usize].expect("bound above");
        let bytes = memory.read(object, 0, memory.len_bytes(object));
        let got = unpack(&p.layout, p.elem, &want.shape, &bytes).expect("layout fits");
        let stored = if variant.half() { DType::F16 } else { DType::F32 };
        let dtype = if want.dtype.is_float() { stored } else { want.dtype };
        compare(i, want, &got, def.accuracy.tolerance(dtype))?;
    }
    Ok(true)
}

/// Bytes of a buffer binding, rounded to words.
fn bound_bytes(binding: &drift_kernel::Binding) -> u64 {
    match &binding.ty {
        BindingType::Buffer { elem, len } => {
            (len * u64::from(elem.width) * elem.scalar.bytes()).next_multiple_of(4)
        }
        BindingType::Image { .. } => 0,
    }
}

/// Operators whose results the compiler puts in slices.
fn spatial(op: &str) -> bool {
    let pictures = ["conv", "conv_transpose", "pool", "resize", "batch_norm", "instance_norm"];
    let others = ["group_norm", "lrn", "grid_sample", "pointwise", "concat", "pad"];
    pictures.contains(&op) || others.contains(&op)
}

fn emits(kernel: &drift_kernel::Kernel) -> Result<(), Failure> {
    for dialect in [Dialect::SpirV, Dialect::Msl, Dialect::Wgsl] {
        match drift_emit::emit(kernel, dialect, &DialectOptions::default()) {
            // what a dialect cannot say is another matter
            Ok(_) | Err(EmitError::Unsupported { .. }) => {}
            Err(e) => return Err(Failure::Emit(format!("{dialect:?}: {e}"))),
        }
    }
    Ok(())
}

fn compare(result: usize, want: &Tensor, got: &Tensor, tolerance: f64) -> Result<(), Failure> {
    let (w, g) = (want.to_f64s(), got.to_f64s());
    let scale = w.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    // results of exactly 0 everywhere are judged absolutely
    let limit = tolerance * if scale == 0.0 { 1.0 } else { scale };
    for (i, (w, g)) in w.iter().zip(&g).enumerate() {
        // values that no f32 holds (huge integers, infinities) must agree as f32
        let same = w == g || *w as f32 == *g as f32 || (w.is_nan() && g.is_nan());
        let close = (w - g).abs() <= limit;
        if !same && !close {
            return Err(Failure::Wrong(format!(
                "result {result} {}{}, element {i}: {g} instead of {w} (allowed {limit:e})",
                want.dtype, want.shape
            )));
        }
    }
    Ok(())
}
