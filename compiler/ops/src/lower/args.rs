//! What a lowering sees of its node, and how kernels name their arguments.

use super::row_parts::Rows;
use super::stored::{F16_MAX, from_stored, saturated, to_stored, zero_padding};
use crate::{OpError, Result};
use drift_bundle::caps::{Api, Capabilities, Features, MatrixShape};
use drift_ir::{DType, Def, Graph, Node, NodeId, Shape, ValueId, View, ViewStep};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::{Access, Builder, E, Scalar, TensorArg, TensorId};
use std::cell::RefCell;

/// Where a value lies in GPU memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    pub elem: Elem,
    pub layout: Layout,
    pub storage: Storage,
    /// First element inside the object (see [`TensorArg::base_elems`]).
    pub base_elems: u64,
}

/// The device that kernels are written for.
#[derive(Clone, Debug)]
pub struct Target {
    pub caps: Capabilities,
    /// The most bytes one binding may span.
    pub max_object_bytes: u64,
    /// Element type of float constants (weights).
    pub weight_elem: Elem,
    /// The device gains by products of int8 with int8 (`dot4`): weights of eight and four bits are
    /// multiplied with activations rounded to int8. Never at f32 precision.
    pub int8_activations: bool,
    /// Invocations that keep the device busy: below it, kernels split their work further.
    pub full_invocations: u64,
    /// Products of one row are written as links of chains (`drift_kernel::chain`).
    pub chains: bool,
}

impl Target {
    /// Whether buffers may hold single f16 elements (else halves travel in pairs).
    pub fn stores_f16(&self) -> bool {
        let f = self.caps.features;
        f.contains(Features::STORAGE_16BIT)
            || (self.caps.api != Api::Vulkan && f.contains(Features::F16))
    }

    /// The cooperative-matrix shape with f16 operands and an f32 accumulator, if the device has
    /// one that every dialect can say (square): kernels are written for 16x16x16. Metal's is of half
    /// that size, and MSL makes the larger one of four.
    pub fn matrix_f16(&self) -> Option<MatrixShape> {
        use drift_bundle::caps::MatrixElem;
        let side = if self.caps.api == Api::Metal { 8 } else { 16 };
        self.caps.matrix_shapes.iter().copied().find(|s| {
            s.ab == MatrixElem::F16
                && s.acc == MatrixElem::F32
                && (s.m, s.n, s.k) == (side, side, side)
        })
    }
}

/// Values of at most this many elements are kept in f32 at every precision: they cost next to
/// nothing, and pooled means, gates and biases reach many others.
pub const SMALL_ELEMS: usize = 4096;

/// Weights of at most this many elements stay in f32 near the inputs (256 kB: pictures and sound
/// have few channels there).
const SMALL_WEIGHT_ELEMS: usize = 65_536;

/// Whether a float constant stays in f32 at every precision; `early` as in [`Lowering::early`].
pub fn small_constant(shape: &Shape, early: bool) -> bool {
    let vector = shape.iter().filter(|d| **d != 1).count() <= 1;
    let most = if early { SMALL_WEIGHT_ELEMS } else { SMALL_ELEMS };
    (vector || early) && shape.elems() <= most
}

/// What an argument of a lowered kernel is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgRef {
    Value(ValueId),
    /// Scratch between the kernels of one node: index into [`Lowering::temps`].
    Temp(usize),
}

/// Scratch between the kernels of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Temp {
    pub shape: Shape,
    pub elem: Elem,
}

/// Whether a kernel can be a link of a chain (`drift_kernel::chain`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    No,
    /// It can, but is slower in a chain, and so are those around it.
    Slow,
    Yes,
}

/// One logical kernel and what its tensor arguments are bound to (parallel to `kernel.tensors`).
#[derive(Clone, Debug)]
pub struct LoweredKernel {
    pub kernel: drift_kernel::Kernel,
    pub args: Vec<ArgRef>,
    /// Byte of what it is bound to at which each argument begins.
    pub offsets: Vec<u64>,
    /// Multiply-adds count as two; for the report.
    pub flops: u64,
    pub link: Link,
}

/// One node on its way to kernels.
pub struct Lowering<'a> {
    pub graph: &'a Graph,
    pub id: NodeId,
    pub node: &'a Node,
    pub target: &'a Target,
    /// Placement of every value that is not constant, by value id.
    pub placements: &'a [Option<Placement>],
    pub kernels: Vec<LoweredKernel>,
    pub temps: Vec<Temp>,
    /// The node is near the inputs: its weights stay in f32 while they are small, since what is
    /// rounded here passes through the whole network.
    pub early: bool,
    /// The rows of its weight matrix that the kernels being written read (all: `None`).
    pub rows: Option<Rows>,
}

impl std::fmt::Debug for Lowering<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lowering of {}", self.node.path)
    }
}

/// Scalar type that kernels compute a dtype in.
pub fn scalar_of(dtype: DType) -> Scalar {
    match dtype {
        d if d.is_float() => Scalar::F32,
        DType::Bool => Scalar::Bool,
        DType::U32 | DType::U64 => Scalar::U32,
        _ => Scalar::I32,
    }
}

/// Element type of a dtype in memory when floats are stored as `float`.
pub fn elem_of(dtype: DType, float: Elem) -> Elem {
    match dtype {
        d if d.is_float() => float,
        DType::Bool | DType::U32 | DType::U64 => Elem::U32,
        _ => Elem::I32,
    }
}

/// The view from a stored value back to the coordinates a node stores in: the inverse of
/// `store_view`, which has Reshape and Transpose steps only.
fn inverse(store_view: &View, own: &Shape) -> Option<View> {
    let shapes = store_view.shapes(own)?;
    let mut steps = Vec::new();
    for (k, step) in store_view.steps.iter().enumerate().rev() {
        steps.push(match step {
            ViewStep::Reshape { .. } => ViewStep::Reshape { shape: shapes[k].clone() },
            ViewStep::Transpose { perm } => {
                let mut inv = vec![0; perm.len()];
                perm.iter().enumerate().for_each(|(i, &p)| inv[p] = i);
                ViewStep::Transpose { perm: inv }
            }
            _ => return None,
        });
    }
    Some(View { steps })
}

impl<'a> Lowering<'a> {
    pub fn new(
        graph: &'a Graph,
        id: NodeId,
        target: &'a Target,
        placements: &'a [Option<Placement>],
    ) -> Lowering<'a> {
        let node = graph.node(id);
        Lowering {
            graph,
            id,
            node,
            target,
            placements,
            kernels: Vec::new(),
            temps: Vec::new(),
            early: false,
            rows: None,
        }
    }

    pub fn unsupported(&self, why: impl Into<String>) -> OpError {
        OpError::unsupported(self.node.op, &self.node.path, why)
    }

    /// Whether optional operand `i` is given.
    pub fn has(&self, i: usize) -> bool {
        i < self.node.epilogue_operands && matches!(self.node.operands.get(i), Some(Some(_)))
    }

    /// Shape of operand `i` as the node sees it.
    pub fn shape(&self, i: usize) -> Result<Shape> {
        let operand = self.node.operands.get(i).and_then(Option::as_ref);
        operand
            .and_then(|o| o.view.apply(&self.graph.value(o.value).shape))
            .ok_or_else(|| self.unsupported(format!("operand {i} is missing")))
    }

    pub fn dtype(&self, i: usize) -> Option<DType> {
        let operand = self.node.operands.get(i)?.as_ref()?;
        Some(self.graph.value(operand.value).dtype)
    }

    /// Operand `i` as a host constant, its view applied by the caller where it has one.
    pub fn constant(&self, i: usize) -> Option<&'a drift_ir::Tensor> {
        let operand = self.node.operands.get(i)?.as_ref()?;
        self.graph.const_of(operand.value)
    }

    pub fn is_const(&self, i: usize) -> bool {
        self.constant(i).is_some()
    }

    /// Whether products that round operand `i` to f16 would lose what f32 was chosen for: the operand is
    /// stored in f32, and not only because the network's inputs and outputs and small values are.
    pub fn needs_f32(&self, i: usize) -> bool {
        let Some(value) = self.node.operands[i].as_ref().map(|o| o.value) else { return false };
        let inner = self.graph.producer(value).is_some() && !self.graph.is_output(value);
        let large = self.graph.value(value).shape.elems() > SMALL_ELEMS;
        let f32 = self.placement(value).is_some_and(|p| p.elem == Elem::F32);
        f32 && (self.early || (inner && large))
    }

    /// Shape of result `i` in the node's own coordinates (before `store_view`).
    pub fn own_shape(&self, i: usize) -> Shape {
        let stored = &self.graph.value(self.node.results[i]).shape;
        if self.node.store_view.is_identity() {
            return stored.clone();
        }
        let infer = || crate::infer_node(self.graph, self.node).ok().map(|r| r[i].1.clone());
        infer().unwrap_or_else(|| stored.clone())
    }

    pub fn placement(&self, value: ValueId) -> Option<&'a Placement> {
        self.placements.get(value.0 as usize)?.as_ref()
    }

    pub fn result_placement(&self, i: usize) -> Placement {
        self.placement(self.node.results[i]).cloned().unwrap_or(Placement {
            elem: Elem::F32,
            layout: Layout::RowMajor,
            storage: Storage::Buffer,
            base_elems: 0,
        })
    }

    /// Scratch for the kernels of this node, row-major in a buffer.
    pub fn temp(&mut self, shape: impl Into<Shape>, elem: Elem) -> usize {
        self.temps.push(Temp { shape: shape.into(), elem });
        self.temps.len() - 1
    }

    pub fn kernel(&self, name: &str, workgroup: [u32; 3], workgroups: [u32; 3]) -> KernelArgs {
        KernelArgs { b: Builder::new(name, workgroup, workgroups), args: RefCell::default() }
    }

    /// Operand `i` as an argument, in the layout it lies in; constants are packed row-major.
    pub fn operand(&self, k: &KernelArgs, i: usize) -> Result<TensorId> {
        self.operand_viewed(k, i, View::identity(), None)
    }

    /// Operand `i` seen through a further view; a constant is packed in `layout`.
    pub fn operand_viewed(
        &self,
        k: &KernelArgs,
        i: usize,
        view: View,
        layout: Option<Layout>,
    ) -> Result<TensorId> {
        let Some(Some(operand)) = self.node.operands.get(i) else {
            return Err(self.unsupported(format!("operand {i} is missing")));
        };
        let value = self.graph.value(operand.value);
        let placement = match &value.def {
            Def::Lazy(_) => self.lazy_placement(value.dtype),
            Def::Const(_) => Placement {
                elem: elem_of(value.dtype, self.const_elem(operand.value)),
                layout: layout.unwrap_or(Layout::RowMajor),
                storage: Storage::Buffer,
                base_elems: 0,
            },
            _ => self
                .placement(operand.value)
                .cloned()
                .ok_or_else(|| self.unsupported(format!("operand {i} has no place in memory")))?,
        };
        self.operand_placed(k, i, view, placement)
    }

    /// Operand `i` whose constant stays in f32: tables that every later value depends on.
    pub fn operand_f32(&self, k: &KernelArgs, i: usize) -> Result<TensorId> {
        if !self.is_const(i) {
            return self.operand(k, i);
        }
        let (layout, storage) = (Layout::RowMajor, Storage::Buffer);
        let placement = Placement { elem: Elem::F32, layout, storage, base_elems: 0 };
        self.operand_placed(k, i, View::identity(), placement)
    }

    fn operand_placed(
        &self,
        k: &KernelArgs,
        i: usize,
        view: View,
        placement: Placement,
    ) -> Result<TensorId> {
        let Some(Some(operand)) = self.node.operands.get(i) else {
            return Err(self.unsupported(format!("operand {i} is missing")));
        };
        let value = self.graph.value(operand.value);
        let full = view.after(&operand.view);
        if full.apply(&value.shape).is_none() {
            return Err(self.unsupported(format!("operand {i}: view {full} does not apply")));
        }
        let arg = TensorArg {
            name: format!("x{i}"),
            elem: placement.elem,
            stored: value.shape.clone(),
            view: full,
            layout: placement.layout,
            storage: placement.storage,
            access: Access::Read,
            base_elems: placement.base_elems,
            max_object_bytes: self.target.max_object_bytes,
        };
        Ok(k.push(arg, ArgRef::Value(operand.value)))
    }

    /// A lazy constant lies as its bytes come: row-major, in its own type.
    pub(super) fn lazy_placement(&self, dtype: DType) -> Placement {
        let elem = match dtype {
            DType::F16 if self.target.stores_f16() => Elem::F16,
            DType::F16 => Elem::F16Packed,
            d => elem_of(d, Elem::F32),
        };
        Placement { elem, layout: Layout::RowMajor, storage: Storage::Buffer, base_elems: 0 }
    }

    /// Operand `i` of f16 as rows of u32 words, two elements each, for 16-byte loads of eight: only
    /// where it lies in memory as the node sees it, in rows of whole quads of words.
    pub fn operand_words(&self, k: &KernelArgs, i: usize) -> Option<TensorId> {
        let operand = self.node.operands.get(i)?.as_ref()?;
        let stored = &self.graph.value(operand.value).shape;
        let placement = self.placement(operand.value)?;
        let last = *stored.last()?;
        let fits = placement.elem == Elem::F16
            && placement.layout == Layout::RowMajor
            && placement.storage == Storage::Buffer
            && placement.base_elems.is_multiple_of(8)
            && operand.view.is_identity()
            && last.is_multiple_of(8);
        let rows: usize = stored[..stored.rank() - 1].iter().product();
        fits.then(|| {
            let arg = TensorArg {
                name: format!("x{i}"),
                elem: Elem::U32,
                stored: [rows, last / 2].into(),
                view: View::identity(),
                layout: Layout::RowMajor,
                storage: Storage::Buffer,
                access: Access::Read,
                base_elems: placement.base_elems / 2,
                max_object_bytes: self.target.max_object_bytes,
            };
            k.push(arg, ArgRef::Value(operand.value))
        })
    }

    /// Element type of a float constant. Biases, scales and small tables stay in f32, since they
    /// cost no bandwidth and their rounding would reach every element they touch; so do constants
    /// that f16 cannot hold (masks of -3.4e38).
    pub(super) fn const_elem(&self, value: ValueId) -> Elem {
        let small = small_constant(&self.graph.value(value).shape, self.early);
        if small || self.exceeds_f16(value) { Elem::F32 } else { self.target.weight_elem }
    }

    /// Whether a float constant has finite elements beyond f16's range.
    fn exceeds_f16(&self, value: ValueId) -> bool {
        let wide = |t: &drift_ir::Tensor| {
            t.dtype.is_float()
                && self.target.weight_elem != Elem::F32
                && t.to_f32s().iter().any(|v| v.is_finite() && v.abs() > F16_MAX)
        };
        self.graph.const_of(value).is_some_and(wide)
    }

    /// A temp as an argument.
    pub fn temp_arg(&self, k: &KernelArgs, temp: usize, access: Access) -> TensorId {
        let t = &self.temps[temp];
        let arg = TensorArg {
            name: format!("t{temp}"),
            elem: t.elem,
            stored: t.shape.clone(),
            view: View::identity(),
            layout: Layout::RowMajor,
            storage: Storage::Buffer,
            access,
            base_elems: 0,
            max_object_bytes: self.target.max_object_bytes,
        };
        k.push(arg, ArgRef::Temp(temp))
    }

    /// Result `i` as an argument, without the epilogue: for kernels that update it in place, or
    /// read what an earlier kernel of the node wrote.
    pub fn result_arg(&self, k: &KernelArgs, i: usize, access: Access, view: View) -> TensorId {
        let value = self.node.results[i];
        let placement = self.result_placement(i);
        let arg = TensorArg {
            name: format!("y{i}"),
            elem: placement.elem,
            stored: self.graph.value(value).shape.clone(),
            view,
            layout: placement.layout,
            storage: placement.storage,
            access,
            base_elems: placement.base_elems,
            max_object_bytes: self.target.max_object_bytes,
        };
        k.push(arg, ArgRef::Value(value))
    }

    /// The node's store: epilogue operands and results, in the node's own coordinates seen through
    /// `view` (Reshape and Transpose steps; the kernel may index 5-D what the node calls 3-D).
    pub fn out(&self, k: &KernelArgs, view: &View) -> Result<Out<'a>> {
        self.out_of(k, view, self.node.results.len())
    }

    /// The store of the first `count` results.
    pub fn out_of(&self, k: &KernelArgs, view: &View, count: usize) -> Result<Out<'a>> {
        let node = self.node;
        let mut epilogue = Vec::new();
        for i in 0..node.operands.len() {
            let splat = self.splat(i);
            let used =
                node.epilogue.steps.iter().flat_map(|s| &s.args).chain(&node.epilogue.results);
            let used = used.into_iter().any(|a| *a == drift_ir::Arg::Operand(i));
            epilogue.push(match (&node.operands[i], splat) {
                _ if !used => EpilogueArg::Unused,
                (_, Some(v)) => EpilogueArg::Splat(v, self.dtype(i).unwrap_or(DType::F32)),
                (None, _) => EpilogueArg::Unused,
                (Some(o), None) => {
                    let dtype = self.graph.value(o.value).dtype;
                    let t = self.operand_viewed(k, i, view.clone(), None)?;
                    EpilogueArg::Tensor { t, dtype, fixed: self.fixed_axes(i, view) }
                }
            });
        }
        let mut results = Vec::new();
        for (i, &value) in node.results.iter().enumerate().take(count) {
            let own = self.own_shape(i);
            let back = inverse(&node.store_view, &own)
                .ok_or_else(|| self.unsupported("its store view has a step without an inverse"))?;
            let placement = self.result_placement(i);
            let v = self.graph.value(value);
            let arg = TensorArg {
                name: format!("y{i}"),
                elem: placement.elem,
                stored: v.shape.clone(),
                view: view.after(&back),
                layout: placement.layout,
                storage: placement.storage,
                access: Access::Write,
                base_elems: placement.base_elems,
                max_object_bytes: self.target.max_object_bytes,
            };
            if arg.view.apply(&arg.stored).is_none() {
                return Err(self.unsupported(format!("result {i}: view {} fails", arg.view)));
            }
            results.push((k.push(arg, ArgRef::Value(value)), v.dtype));
        }
        Ok(Out { node, epilogue, results })
    }

    /// The one value that all elements of constant operand `i` have.
    pub fn splat(&self, i: usize) -> Option<f64> {
        self.constant(i)?.splat_f64()
    }

    /// Axes (as the kernel indexes them) along which operand `i` does not vary.
    fn fixed_axes(&self, i: usize, view: &View) -> Vec<bool> {
        let Some(Some(operand)) = self.node.operands.get(i) else { return Vec::new() };
        let full = view.after(&operand.view);
        let source = &self.graph.value(operand.value).shape;
        let Some(shapes) = full.shapes(source) else { return Vec::new() };
        let mut fixed = vec![false; source.rank()];
        for (k, step) in full.steps.iter().enumerate() {
            let (from, to) = (&shapes[k], &shapes[k + 1]);
            fixed = match step {
                ViewStep::Broadcast { .. } => {
                    let pad = to.rank() - from.rank();
                    (0..to.rank())
                        .map(|i| i < pad || fixed[i - pad] || (from[i - pad] == 1 && to[i] > 1))
                        .collect()
                }
                ViewStep::Transpose { perm } => perm.iter().map(|&p| fixed[p]).collect(),
                ViewStep::Slice { .. } => fixed,
                // only the trivial reshape, adding or dropping dims of 1, keeps track of axes
                ViewStep::Reshape { .. } => reshape_fixed(from, to, &fixed),
            };
        }
        fixed
    }
}

/// Follows fixed axes through a reshape that only adds or drops dims of 1.
fn reshape_fixed(from: &Shape, to: &Shape, fixed: &[bool]) -> Vec<bool> {
    let kept = |s: &Shape| (0..s.rank()).filter(|&i| s[i] != 1).collect::<Vec<_>>();
    let (a, b) = (kept(from), kept(to));
    let mut out = vec![false; to.rank()];
    if a.len() == b.len() && a.iter().zip(&b).all(|(&i, &j)| from[i] == to[j]) {
        a.iter().zip(&b).for_each(|(&i, &j)| out[j] = fixed[i]);
    } else if a.iter().all(|&i| fixed[i]) {
        out = vec![true; to.rank()];
    }
    out
}

/// A kernel being written, with what its arguments are bound to.
#[derive(Debug)]
pub struct KernelArgs {
    pub b: Builder,
    /// What the arguments are bound to, and the byte of it at which they begin.
    args: RefCell<Vec<(ArgRef, u64)>>,
}

impl KernelArgs {
    fn push(&self, arg: TensorArg, to: ArgRef) -> TensorId {
        self.push_at(arg, to, 0)
    }

    pub(super) fn push_at(&self, mut arg: TensorArg, to: ArgRef, offset: u64) -> TensorId {
        self.args.borrow_mut().push((to, offset));
        // a broadcast to its own shape says that coordinates of dims of 1 are 0: reshapes then
        // leave the other axes alone, and four channels stay one quad
        let shape = arg.shape();
        if arg.view.steps.iter().any(|s| matches!(s, ViewStep::Reshape { .. }))
            && shape.contains(&1)
        {
            arg.view = arg.view.then(ViewStep::Broadcast { shape });
        }
        self.b.tensor(arg)
    }

    pub fn finish(self, flops: u64) -> LoweredKernel {
        let (args, offsets) = self.args.into_inner().into_iter().unzip();
        LoweredKernel { kernel: self.b.finish(), args, offsets, flops, link: Link::No }
    }
}

enum EpilogueArg {
    Unused,
    Splat(f64, DType),
    Tensor { t: TensorId, dtype: DType, fixed: Vec<bool> },
}

/// The store of a node: runs the epilogue on an accumulator and writes the results.
pub struct Out<'a> {
    node: &'a Node,
    epilogue: Vec<EpilogueArg>,
    results: Vec<(TensorId, DType)>,
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Out of {}", self.node.path)
    }
}

impl<'a> Out<'a> {
    /// The store of a node without an epilogue, whose only result is `t`.
    pub(super) fn plain(node: &'a Node, t: TensorId, dtype: DType) -> Out<'a> {
        Out { node, epilogue: Vec::new(), results: vec![(t, dtype)] }
    }

    /// The tensor of result `i`, for kernels that store without an epilogue.
    pub fn result(&self, i: usize) -> TensorId {
        self.results[i].0
    }

    /// Stores one element (of every result).
    pub fn store<'b>(&self, b: &'b Builder, coords: &[E<'b>], acc: Option<E<'b>>) {
        self.store_lanes(b, coords, None, acc, &[]);
    }

    /// Reads the epilogue's operands at `coords` for a later [`Out::store_read`], so that the store
    /// waits for no loads.
    pub fn read<'b>(&self, b: &'b Builder, coords: &[E<'b>]) -> Vec<Option<E<'b>>> {
        self.readers(b, coords).iter().map(|read| read.as_ref().map(|read| read())).collect()
    }

    /// What reads each of the operands that [`Out::read`] gives.
    pub fn readers<'b, 'c>(
        &'c self,
        b: &'b Builder,
        coords: &'c [E<'b>],
    ) -> Vec<Option<impl Fn() -> E<'b> + 'c>>
    where
        'b: 'c,
    {
        let reader = |arg: &EpilogueArg| match arg {
            EpilogueArg::Tensor { t, dtype, .. } => {
                let (t, dtype) = (*t, *dtype);
                Some(move || from_stored(b, b.load(t, coords), dtype))
            }
            _ => None,
        };
        self.epilogue.iter().map(reader).collect()
    }

    /// Stores one element, with the epilogue's operands that [`Out::read`] gave.
    pub fn store_read<'b>(
        &self,
        b: &'b Builder,
        coords: &[E<'b>],
        acc: E<'b>,
        read: &[Option<E<'b>>],
    ) {
        self.store_lanes(b, coords, None, Some(acc), read);
    }

    /// Stores four elements along `axis`.
    pub fn store4<'b>(&self, b: &'b Builder, coords: &[E<'b>], axis: usize, acc: Option<E<'b>>) {
        self.store_lanes(b, coords, Some(axis), acc, &[]);
    }

    fn store_lanes<'b>(
        &self,
        b: &'b Builder,
        coords: &[E<'b>],
        axis: Option<usize>,
        acc: Option<E<'b>>,
        read: &[Option<E<'b>>],
    ) {
        let width = if axis.is_some() { 4 } else { 1 };
        let load = |i: usize| -> E<'b> {
            if let Some(Some(value)) = read.get(i) {
                return *value;
            }
            match &self.epilogue[i] {
                EpilogueArg::Unused => unreachable!("operand {i} is used by the body"),
                EpilogueArg::Splat(v, dtype) => {
                    let ty = drift_kernel::Type::vec(scalar_of(*dtype), width);
                    b.lit_like(*v, ty)
                }
                EpilogueArg::Tensor { t, dtype, fixed } => {
                    let raw = match axis {
                        None => b.load(*t, coords),
                        Some(a) if fixed.get(a) == Some(&true) => b.load(*t, coords).splat(width),
                        Some(a) => b.load4(*t, coords, a),
                    };
                    from_stored(b, raw, *dtype)
                }
            }
        };
        let values = super::steps::run(b, &self.node.epilogue, width, acc, &load);
        for (&(t, dtype), value) in self.results.iter().zip(values) {
            let mut value = to_stored(b, value, dtype);
            if matches!(b.elem(t), Elem::F16 | Elem::F16Packed) {
                value = saturated(b, value);
            }
            match axis {
                None => b.store(t, coords, value),
                Some(a) => b.store4(t, coords, a, zero_padding(b, t, coords, a, value)),
            }
        }
    }
}
