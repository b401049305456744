//! Writing kernels: expressions with operators, statements as closures.
//!
//! ```
//! use drift_kernel::{Builder, F32};
//! # use drift_kernel::tensor::*; use drift_kernel::ir::*;
//! # let arg = |name: &str, access| TensorArg { name: name.into(), elem: Elem::F32,
//! #   stored: [64usize].into(), view: Default::default(), layout: Layout::RowMajor,
//! #   storage: Storage::Buffer, access, base_elems: 0, max_object_bytes: 1 << 27 };
//! let b = Builder::new("double", [64, 1, 1], [1, 1, 1]);
//! let x = b.tensor(arg("x", Access::Read));
//! let y = b.tensor(arg("y", Access::Write));
//! let i = b.global_id(0);
//! b.if_(i.lt(64u32), || b.store(y, &[i], b.load(x, &[i]) * 2.0));
//! let kernel = b.finish();
//! assert_eq!(kernel.tensors.len(), 2);
//! ```

mod storage;

pub use storage::{S, V};

use crate::ir::*;
use crate::simplify;
use crate::tensor::{Elem, TensorArg, TensorId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops;

/// Builds one kernel. All methods take `&self`: expressions borrow the builder.
#[derive(Debug)]
pub struct Builder {
    state: RefCell<State>,
}

/// The arena behind the builder; `simplify` works on it.
#[derive(Debug, Default)]
pub struct State {
    pub kernel: Kernel,
    /// Pure expressions seen before.
    known: HashMap<Expr, ExprId>,
    /// Inclusive upper bound of a u32 scalar, where one is known. Parallel to `kernel.exprs`.
    pub max: Vec<Option<u64>>,
    /// Open blocks, innermost last.
    blocks: Vec<Block>,
    loops: u32,
}

impl State {
    /// Adds an expression without simplifying; pure ones are shared.
    pub fn intern(&mut self, expr: Expr, ty: Type, max: Option<u64>) -> ExprId {
        let pure = !expr.is_ordered();
        if pure && let Some(&id) = self.known.get(&expr) {
            return id;
        }
        if pure {
            self.known.insert(expr.clone(), ExprId(self.kernel.exprs.len() as u32));
        }
        self.push(expr, ty, max)
    }

    pub fn lit_u32(&mut self, v: u32) -> ExprId {
        self.intern(Expr::Lit(Lit::U32(v)), U32, Some(u64::from(v)))
    }

    /// A copy of `e` under an id of its own, with a smaller known bound. Never found by `intern`.
    pub(crate) fn push_copy(&mut self, e: ExprId, max: u64) -> ExprId {
        let (expr, ty) = (self.kernel.expr(e).clone(), self.kernel.ty(e));
        let max = self.max[e.0 as usize].map_or(max, |m| m.min(max));
        self.push(expr, ty, Some(max))
    }

    /// An unknown u32 with a bound; a stand-in that must not outlive the pass that made it.
    pub(crate) fn push_opaque(&mut self, max: u64) -> ExprId {
        self.push(Expr::LoopIndex(LoopId(u32::MAX)), U32, Some(max))
    }

    fn push(&mut self, expr: Expr, ty: Type, max: Option<u64>) -> ExprId {
        self.kernel.exprs.push(expr);
        self.kernel.types.push(ty);
        self.max.push(max);
        ExprId(self.kernel.exprs.len() as u32 - 1)
    }

    /// Value of a u32 literal.
    pub fn as_u32(&self, id: ExprId) -> Option<u32> {
        match self.kernel.expr(id) {
            Expr::Lit(Lit::U32(v)) => Some(*v),
            _ => None,
        }
    }
}

/// An expression of a builder: a cheap handle with operators.
#[derive(Clone, Copy)]
pub struct E<'b> {
    pub id: ExprId,
    b: &'b Builder,
}

impl std::fmt::Debug for E<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "e{}", self.id.0)
    }
}

/// Things that become an expression; literals take the scalar type and width of their partner.
pub trait IntoExpr<'b> {
    fn into_expr(self, b: &'b Builder, like: Type) -> E<'b>;
}

impl<'b> IntoExpr<'b> for E<'b> {
    fn into_expr(self, _: &'b Builder, _: Type) -> E<'b> {
        self
    }
}

macro_rules! literals {
    ($($t:ty)*) => {$(
        impl<'b> IntoExpr<'b> for $t {
            fn into_expr(self, b: &'b Builder, like: Type) -> E<'b> {
                b.lit_like(self as f64, like)
            }
        }
    )*};
}
literals! { f32 f64 u32 i32 }

impl Builder {
    pub fn new(name: impl Into<String>, workgroup_size: [u32; 3], workgroups: [u32; 3]) -> Builder {
        let state = State {
            kernel: Kernel { name: name.into(), workgroup_size, workgroups, ..Kernel::default() },
            blocks: vec![Block::new()],
            ..State::default()
        };
        Builder { state: RefCell::new(state) }
    }

    /// Takes the finished kernel out.
    pub fn finish(self) -> Kernel {
        let mut state = self.state.into_inner();
        assert_eq!(state.blocks.len(), 1, "a block was left open");
        state.kernel.body = state.blocks.pop().unwrap_or_default();
        state.kernel.max = state.max;
        state.kernel
    }

    /// Pins the subgroup size (cooperative matrices, subgroup reductions with a known width).
    pub fn set_subgroup_size(&self, size: u32) {
        self.state.borrow_mut().kernel.subgroup_size = size;
    }

    // ---- arguments and storage ----

    pub fn tensor(&self, arg: TensorArg) -> TensorId {
        let mut s = self.state.borrow_mut();
        s.kernel.tensors.push(arg);
        TensorId(s.kernel.tensors.len() as u32 - 1)
    }

    /// Shape of a tensor as the kernel indexes it.
    pub fn shape(&self, t: TensorId) -> drift_ir::Shape {
        self.state.borrow().kernel.tensors[t.0 as usize].shape()
    }

    pub fn elem(&self, t: TensorId) -> Elem {
        self.state.borrow().kernel.tensors[t.0 as usize].elem
    }

    /// A plain variable, set to `init`.
    pub fn var<'b>(&'b self, name: &str, init: E<'b>) -> V<'b> {
        let v = self.var_uninit(name, init.ty());
        v.set(init);
        v
    }

    /// A plain variable without a value: set it before reading it.
    pub fn var_uninit(&self, name: &str, ty: Type) -> V<'_> {
        let mut s = self.state.borrow_mut();
        s.kernel.vars.push(Var { name: name.to_owned(), ty, len: 0 });
        V { id: VarId(s.kernel.vars.len() as u32 - 1), ty, b: self }
    }

    /// An array variable of `len` elements, uninitialized.
    pub fn array(&self, name: &str, ty: Type, len: u32) -> V<'_> {
        let mut s = self.state.borrow_mut();
        s.kernel.vars.push(Var { name: name.to_owned(), ty, len });
        V { id: VarId(s.kernel.vars.len() as u32 - 1), ty, b: self }
    }

    /// Workgroup memory: `len` elements of `elem`.
    pub fn shared(&self, name: &str, scalar: Scalar, width: u8, len: u32) -> S<'_> {
        let mut s = self.state.borrow_mut();
        let elem = Vector { scalar, width };
        s.kernel.shared.push(Shared { name: name.to_owned(), elem, len });
        S { id: SharedId(s.kernel.shared.len() as u32 - 1), elem, b: self }
    }

    // ---- expressions ----

    fn pure(&self, expr: Expr, ty: Type) -> E<'_> {
        let id = simplify::pure(&mut self.state.borrow_mut(), expr, ty);
        E { id, b: self }
    }

    /// Adds an ordered expression and evaluates it here.
    pub fn ordered(&self, expr: Expr, ty: Type) -> E<'_> {
        let mut s = self.state.borrow_mut();
        let id = s.intern(expr, ty, None);
        s.blocks.last_mut().expect("open block").push(Stmt::Let(id));
        drop(s);
        E { id, b: self }
    }

    pub fn stmt(&self, stmt: Stmt) {
        self.state.borrow_mut().blocks.last_mut().expect("open block").push(stmt);
    }

    /// A literal of the scalar type of `like`, repeated to its width.
    pub fn lit_like(&self, v: f64, like: Type) -> E<'_> {
        let Vector { scalar, width } = like.vector();
        let lit = match scalar {
            Scalar::F32 => Lit::F32((v as f32).to_bits()),
            Scalar::F16 => Lit::F16(crate::f16_bits(v as f32)),
            Scalar::I32 => Lit::I32(v as i32),
            Scalar::U32 => Lit::U32(v as u32),
            Scalar::Bool => Lit::Bool(v != 0.0),
        };
        let e = self.pure(Expr::Lit(lit), Type::scalar(scalar));
        if width == 1 { e } else { e.splat(width) }
    }

    pub fn f32(&self, v: f32) -> E<'_> {
        self.lit_like(f64::from(v), F32)
    }
    pub fn u32(&self, v: u32) -> E<'_> {
        self.lit_like(f64::from(v), U32)
    }
    pub fn i32(&self, v: i32) -> E<'_> {
        self.lit_like(f64::from(v), I32)
    }
    pub fn bool(&self, v: bool) -> E<'_> {
        self.lit_like(f64::from(u8::from(v)), BOOL)
    }
    pub fn zero4(&self) -> E<'_> {
        self.lit_like(0.0, F32X4)
    }

    fn builtin(&self, builtin: Builtin) -> E<'_> {
        let mut s = self.state.borrow_mut();
        let k = &s.kernel;
        let size = |a: u8| u64::from(k.workgroup_size[a as usize]);
        let groups = |a: u8| u64::from(k.workgroups[a as usize]);
        let invocations = size(0) * size(1) * size(2);
        let count = match builtin {
            Builtin::GlobalId(a) => size(a) * groups(a),
            Builtin::WorkgroupId(a) => groups(a),
            Builtin::LocalId(a) => size(a),
            Builtin::LocalIndex | Builtin::SubgroupId => invocations,
            Builtin::SubgroupInvocation => 128,
            Builtin::SubgroupSize => 129,
        };
        if count == 1 {
            let id = s.lit_u32(0);
            return E { id, b: self };
        }
        let id = s.intern(Expr::Builtin(builtin), U32, Some(count.saturating_sub(1)));
        E { id, b: self }
    }

    pub fn global_id(&self, axis: u8) -> E<'_> {
        self.builtin(Builtin::GlobalId(axis))
    }
    pub fn workgroup_id(&self, axis: u8) -> E<'_> {
        self.builtin(Builtin::WorkgroupId(axis))
    }
    pub fn local_id(&self, axis: u8) -> E<'_> {
        self.builtin(Builtin::LocalId(axis))
    }
    pub fn local_index(&self) -> E<'_> {
        self.builtin(Builtin::LocalIndex)
    }
    pub fn subgroup_id(&self) -> E<'_> {
        self.builtin(Builtin::SubgroupId)
    }
    pub fn subgroup_invocation(&self) -> E<'_> {
        self.builtin(Builtin::SubgroupInvocation)
    }
    pub fn subgroup_size(&self) -> E<'_> {
        self.builtin(Builtin::SubgroupSize)
    }

    pub fn compose<'b>(&'b self, parts: &[E<'b>]) -> E<'b> {
        let v = parts[0].ty().vector();
        assert!((2..=4).contains(&parts.len()), "2 to 4 components");
        let ty = Type::vec(v.scalar, parts.len() as u8);
        self.pure(Expr::Compose(parts.iter().map(|e| e.id).collect()), ty)
    }

    pub fn select<'b>(&'b self, cond: E<'b>, yes: impl IntoExpr<'b>, no: E<'b>) -> E<'b> {
        let yes = yes.into_expr(self, no.ty());
        self.pure(Expr::Select { cond: cond.id, yes: yes.id, no: no.id }, no.ty())
    }

    pub fn matrix_zero(&self, matrix: Matrix) -> E<'_> {
        self.ordered(Expr::MatrixZero(matrix), Type::Matrix(matrix))
    }

    pub fn matrix_mul_add<'b>(&'b self, a: E<'b>, m: E<'b>, c: E<'b>) -> E<'b> {
        self.ordered(Expr::MatrixMulAdd { a: a.id, b: m.id, c: c.id }, c.ty())
    }

    /// `f32(product) * scale + sum`, element by element.
    pub fn matrix_scale_add<'b>(&'b self, product: E<'b>, scale: E<'b>, sum: E<'b>) -> E<'b> {
        let e = Expr::MatrixScaleAdd { product: product.id, scale: scale.id, sum: sum.id };
        self.ordered(e, sum.ty())
    }

    // ---- logical tensors ----

    fn loaded(&self, t: TensorId, width: u8) -> Type {
        let scalar = match self.elem(t) {
            Elem::F32 | Elem::F16 | Elem::F16Packed => Scalar::F32,
            Elem::I32 => Scalar::I32,
            Elem::U32 => Scalar::U32,
        };
        Type::vec(scalar, width)
    }

    fn coords<'b>(&'b self, t: TensorId, coords: &[E<'b>]) -> Vec<ExprId> {
        let rank = self.shape(t).rank();
        assert_eq!(coords.len(), rank, "tensor of rank {rank} read with {} coords", coords.len());
        coords.iter().map(|c| c.id).collect()
    }

    /// One element, f32 (or i32 / u32). Coordinates are u32 and inside the shape.
    pub fn load<'b>(&'b self, t: TensorId, coords: &[E<'b>]) -> E<'b> {
        let coords = self.coords(t, coords);
        self.ordered(Expr::Tensor { tensor: t, coords, lanes: 1, axis: 0 }, self.loaded(t, 1))
    }

    /// Elements `coords`, `coords + 1`, `+ 2`, `+ 3` along `axis`; lanes past the extent are 0.
    /// One vector load where view and layout make the four adjacent, else up to four loads.
    /// A vector load of a sliced layout takes its padding along instead of zeros: finite values,
    /// so a sum over channels multiplies them by zero weights.
    pub fn load4<'b>(&'b self, t: TensorId, coords: &[E<'b>], axis: usize) -> E<'b> {
        let coords = self.coords(t, coords);
        let e = Expr::Tensor { tensor: t, coords, lanes: 4, axis: axis as u8 };
        self.ordered(e, self.loaded(t, 4))
    }

    pub fn store<'b>(&'b self, t: TensorId, coords: &[E<'b>], value: E<'b>) {
        let coords = self.coords(t, coords);
        self.stmt(Stmt::StoreTensor { tensor: t, coords, lanes: 1, axis: 0, value: value.id });
    }

    /// Four elements along `axis`; lanes past the extent are dropped.
    pub fn store4<'b>(&'b self, t: TensorId, coords: &[E<'b>], axis: usize, value: E<'b>) {
        let coords = self.coords(t, coords);
        let axis = axis as u8;
        self.stmt(Stmt::StoreTensor { tensor: t, coords, lanes: 4, axis, value: value.id });
    }

    // ---- control flow ----

    fn block(&self, f: impl FnOnce()) -> Block {
        self.state.borrow_mut().blocks.push(Block::new());
        f();
        self.state.borrow_mut().blocks.pop().expect("block of this closure")
    }

    pub fn if_<'b>(&'b self, cond: E<'b>, yes: impl FnOnce()) {
        let known = match *self.state.borrow().kernel.expr(cond.id) {
            Expr::Lit(Lit::Bool(v)) => Some(v),
            _ => None,
        };
        match known {
            Some(true) => yes(),
            Some(false) => {}
            None => {
                let yes = self.block(yes);
                self.stmt(Stmt::If { cond: cond.id, yes, no: Block::new() });
            }
        }
    }

    pub fn if_else<'b>(&'b self, cond: E<'b>, yes: impl FnOnce(), no: impl FnOnce()) {
        let yes = self.block(yes);
        let no = self.block(no);
        self.stmt(Stmt::If { cond: cond.id, yes, no });
    }

    /// `for i in (from..to).step_by(step)`. One iteration known at compile time becomes straight
    /// code.
    pub fn for_<'b>(
        &'b self,
        from: impl IntoExpr<'b>,
        to: impl IntoExpr<'b>,
        step: u32,
        body: impl FnOnce(E<'b>),
    ) {
        self.for_unroll(from, to, step, Unroll::Default, body);
    }

    pub fn for_unroll<'b>(
        &'b self,
        from: impl IntoExpr<'b>,
        to: impl IntoExpr<'b>,
        step: u32,
        unroll: Unroll,
        body: impl FnOnce(E<'b>),
    ) {
        let (from, to) = (from.into_expr(self, U32), to.into_expr(self, U32));
        let (lo, hi) = {
            let s = self.state.borrow();
            (s.as_u32(from.id), s.as_u32(to.id))
        };
        if let (Some(lo), Some(hi)) = (lo, hi) {
            if hi <= lo {
                return;
            }
            if hi - lo <= step {
                return body(from);
            }
        }
        let (id, counter) = {
            let mut s = self.state.borrow_mut();
            let id = LoopId(s.loops);
            s.loops += 1;
            // the last counter value is lo + k*step < hi
            let max = match (lo, hi, s.max[to.id.0 as usize]) {
                (Some(lo), Some(hi), _) => Some(u64::from(lo + (hi - 1 - lo) / step * step)),
                (_, _, Some(m)) => Some(m.saturating_sub(1)),
                _ => None,
            };
            (id, s.intern(Expr::LoopIndex(id), U32, max))
        };
        let body = self.block(|| body(E { id: counter, b: self }));
        self.stmt(Stmt::For { id, from: from.id, to: to.id, step, body, unroll });
    }

    /// Repeats `load` in a chain until all floats that it gives, loads of what may be handed over, are
    /// numbers ([`Stmt::Await`]); elsewhere it runs once.
    pub fn await_<'b>(&'b self, load: impl FnOnce() -> Vec<E<'b>>) {
        let body = self.block(|| {
            let mut most: Option<E<'b>> = None;
            for v in load() {
                let width = v.ty().vector().width;
                let bits = v.bitcast(Scalar::U32).and(self.u32(i32::MAX as u32).splat(width));
                for i in 0..width {
                    let lane = if width == 1 { bits } else { bits.lane(i) };
                    most = Some(most.map_or(lane, |m| m.max(lane)));
                }
            }
            // above infinity are the NaNs
            let there = most.map_or(self.bool(true), |m| m.le(0x7f80_0000u32));
            let yes = vec![Stmt::Break];
            self.stmt(Stmt::If { cond: there.id, yes, no: Block::new() });
        });
        self.stmt(Stmt::Await(body));
    }

    pub fn barrier(&self) {
        self.stmt(Stmt::Barrier);
    }
    pub fn return_(&self) {
        self.stmt(Stmt::Return);
    }
    pub fn break_(&self) {
        self.stmt(Stmt::Break);
    }

    /// Upper bound (inclusive) that is known of a u32 scalar.
    pub fn max_of(&self, e: E<'_>) -> Option<u64> {
        self.state.borrow().max[e.id.0 as usize]
    }

    /// States that `e <= max`: for facts a kernel knows and the simplifier cannot see.
    pub fn assume_max<'b>(&'b self, e: E<'b>, max: u64) -> E<'b> {
        let mut s = self.state.borrow_mut();
        let slot = &mut s.max[e.id.0 as usize];
        *slot = Some(slot.map_or(max, |m| m.min(max)));
        e
    }
}

macro_rules! binary_methods {
    ($($name:ident $op:ident)*) => {$(
        // `shl` and `shr` are methods like the others: Rust's operators take no literal shift here
        #[allow(clippy::should_implement_trait)]
        pub fn $name(self, other: impl IntoExpr<'b>) -> E<'b> {
            self.binary(BinaryOp::$op, other)
        }
    )*};
}
macro_rules! unary_methods {
    ($($name:ident $op:ident)*) => {$(
        pub fn $name(self) -> E<'b> {
            self.unary(UnaryOp::$op)
        }
    )*};
}

impl<'b> E<'b> {
    pub fn builder(self) -> &'b Builder {
        self.b
    }

    pub fn ty(self) -> Type {
        self.b.state.borrow().kernel.ty(self.id)
    }

    /// Value of an f32 literal (or of the one literal that all lanes repeat).
    pub fn as_f32(self) -> Option<f32> {
        let s = self.b.state.borrow();
        let id = match s.kernel.expr(self.id) {
            Expr::Splat(_, x) => *x,
            _ => self.id,
        };
        match s.kernel.expr(id) {
            Expr::Lit(Lit::F32(bits)) => Some(f32::from_bits(*bits)),
            _ => None,
        }
    }

    pub fn binary(self, op: BinaryOp, other: impl IntoExpr<'b>) -> E<'b> {
        let ty = self.ty();
        let other = other.into_expr(self.b, ty);
        assert_eq!(other.ty(), ty, "{op:?} of unequal types");
        let out = match ty {
            Type::Vector(v) if op.is_comparison() => Type::vec(Scalar::Bool, v.width),
            t => t,
        };
        self.b.pure(Expr::Binary(op, self.id, other.id), out)
    }

    binary_methods! {
        min Min max Max pow Pow and And or Or xor Xor shl Shl shr Shr
        eq Eq ne Ne lt Lt le Le gt Gt ge Ge
    }

    pub fn unary(self, op: UnaryOp) -> E<'b> {
        let ty = match (op, self.ty()) {
            (UnaryOp::IsNan | UnaryOp::IsInf, Type::Vector(v)) => Type::vec(Scalar::Bool, v.width),
            (_, t) => t,
        };
        self.b.pure(Expr::Unary(op, self.id), ty)
    }

    unary_methods! {
        abs Abs sign Sign floor Floor ceil Ceil round Round trunc Trunc sqrt Sqrt rsqrt Rsqrt
        exp Exp exp2 Exp2 log Log log2 Log2 sin Sin cos Cos tan Tan asin Asin acos Acos atan Atan
        sinh Sinh cosh Cosh tanh Tanh asinh Asinh acosh Acosh atanh Atanh is_nan IsNan is_inf IsInf
    }

    /// `self * m + c`.
    pub fn fma(self, m: impl IntoExpr<'b>, c: impl IntoExpr<'b>) -> E<'b> {
        let ty = self.ty();
        let (m, c) = (m.into_expr(self.b, ty), c.into_expr(self.b, ty));
        self.b.pure(Expr::Fma(self.id, m.id, c.id), ty)
    }

    pub fn clamp(self, lo: impl IntoExpr<'b>, hi: impl IntoExpr<'b>) -> E<'b> {
        self.max(lo).min(hi)
    }

    pub fn cast(self, to: Scalar) -> E<'b> {
        let v = self.ty().vector();
        if v.scalar == to {
            return self;
        }
        self.b.pure(Expr::Cast(to, self.id), Type::vec(to, v.width))
    }

    pub fn bitcast(self, to: Scalar) -> E<'b> {
        let v = self.ty().vector();
        if v.scalar == to {
            return self;
        }
        self.b.pure(Expr::Bitcast(to, self.id), Type::vec(to, v.width))
    }

    pub fn splat(self, width: u8) -> E<'b> {
        let v = self.ty().vector();
        assert_eq!(v.width, 1, "splat of a vector");
        if width == 1 {
            return self;
        }
        self.b.pure(Expr::Splat(width, self.id), Type::vec(v.scalar, width))
    }

    /// Component `lane` (0 = x).
    pub fn lane(self, lane: u8) -> E<'b> {
        let v = self.ty().vector();
        if v.width == 1 {
            return self;
        }
        assert!(lane < v.width, "lane {lane} of {v:?}");
        self.b.pure(Expr::Extract(self.id, lane), Type::scalar(v.scalar))
    }

    pub fn lane_dyn(self, lane: E<'b>) -> E<'b> {
        let v = self.ty().vector();
        self.b.pure(Expr::ExtractDynamic(self.id, lane.id), Type::scalar(v.scalar))
    }

    /// Dot product of two float vectors.
    pub fn dot(self, other: E<'b>) -> E<'b> {
        let v = self.ty().vector();
        self.b.pure(Expr::Dot(self.id, other.id), Type::scalar(v.scalar))
    }

    /// Sum of the components.
    pub fn hsum(self) -> E<'b> {
        let width = self.ty().vector().width;
        (1..width).fold(self.lane(0), |s, i| s + self.lane(i))
    }

    pub fn subgroup(self, op: SubgroupOp) -> E<'b> {
        self.b.ordered(Expr::Subgroup(op, self.id), self.ty())
    }

    pub fn subgroup_shuffle_xor(self, mask: E<'b>) -> E<'b> {
        self.b.ordered(Expr::SubgroupShuffleXor(self.id, mask.id), self.ty())
    }

    pub fn unpack(self, packing: Packing) -> E<'b> {
        let ty = match packing {
            Packing::Half2 => Type::vec(Scalar::F32, 2),
            Packing::I8x4 => Type::vec(Scalar::I32, 4),
            Packing::U8x4 => Type::vec(Scalar::U32, 4),
        };
        self.b.pure(Expr::Unpack(packing, self.id), ty)
    }

    pub fn pack(self, packing: Packing) -> E<'b> {
        self.b.pure(Expr::Pack(packing, self.id), U32)
    }

    pub fn dot4(self, other: E<'b>, acc: E<'b>, signed: bool) -> E<'b> {
        let e = Expr::Dot4 { signed, a: self.id, b: other.id, acc: acc.id };
        self.b.pure(e, acc.ty())
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident)*) => {$(
        impl<'b, R: IntoExpr<'b>> ops::$trait<R> for E<'b> {
            type Output = E<'b>;
            fn $method(self, other: R) -> E<'b> {
                self.binary(BinaryOp::$op, other)
            }
        }
    )*};
}
operators! { Add add Add Sub sub Sub Mul mul Mul Div div Div Rem rem Rem }

impl<'b> ops::Neg for E<'b> {
    type Output = E<'b>;
    fn neg(self) -> E<'b> {
        self.unary(UnaryOp::Neg)
    }
}

impl<'b> ops::Not for E<'b> {
    type Output = E<'b>;
    fn not(self) -> E<'b> {
        self.unary(UnaryOp::Not)
    }
}
