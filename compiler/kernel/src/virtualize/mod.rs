//! `virtualize`: logical loads and stores become addresses into buffers and images.
//!
//! For each access, [`crate::tensor::address`] applies view, layout and storage to the coordinates
//! and tells whether four lanes are one vec4. The pass then chooses, per tensor:
//! * a buffer of vec4 when every access takes whole slots (or the tensor is only read: single
//!   lanes are then extracted), else a buffer of scalars;
//! * several buffers, when the tensor exceeds [`TensorArg::max_object_bytes`]: loads and stores
//!   become `if`s that choose among the parts;
//! * an image, of whose texels single lanes are extracted.
//!
//! **Padding** (lanes that fill up the last slice of a sliced layout): a whole-slot store writes
//! the kernel's lanes as they are; a store of single lanes that writes the last channel also
//! zeroes the padding behind it. So padding is always as finite as what kernels compute, and
//! kernels that sum over channels need only give it zero weights.

use crate::builder::State;
use crate::compact::compact;
use crate::ir::*;
use crate::simplify::{self, add, div_lit, rem_lit};
use crate::tensor::address::{Place, slotted};
use crate::tensor::{Elem, LayoutError, Storage, TensorArg, TensorId};
use drift_bundle::caps::ImageKind;
use std::fmt;
use std::ops::Range;

mod load;
mod store;

/// Why a kernel's logical accesses cannot become physical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualizeError {
    pub kernel: String,
    pub what: String,
}

impl fmt::Display for VirtualizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel `{}`: {}", self.kernel, self.what)
    }
}
impl std::error::Error for VirtualizeError {}

/// Replaces logical accesses; fills [`Kernel::bindings`]: one per tensor and part, in order.
pub fn virtualize(kernel: Kernel) -> Result<Kernel, VirtualizeError> {
    let fail = |what: String| VirtualizeError { kernel: kernel.name.clone(), what };
    for t in &kernel.tensors {
        if t.view.apply(&t.stored).is_none() {
            return Err(fail(format!(
                "view {} does not apply to `{}` {}",
                t.view, t.name, t.stored
            )));
        }
        t.layout.check(&t.stored).map_err(|e| fail(format!("tensor `{}`: {e}", t.name)))?;
    }
    // the first pass finds out how tensors are accessed, the second knows
    let mut forms: Vec<Form> = kernel.tensors.iter().map(Form::best).collect();
    let mut pass = Pass::new(&kernel, forms.clone()).map_err(|e| fail(e.0))?;
    let mut body = pass.block(&kernel.body).map_err(|e| fail(e.0))?;
    let mut again = false;
    for ((form, seen), arg) in forms.iter_mut().zip(&pass.seen).zip(&kernel.tensors) {
        let keep = seen.whole && (!seen.single || arg.access == Access::Read);
        if *form == Form::Quads && !keep {
            *form = Form::Scalars;
            again = true;
        }
    }
    if again {
        pass = Pass::new(&kernel, forms).map_err(|e| fail(e.0))?;
        body = pass.block(&kernel.body).map_err(|e| fail(e.0))?;
    }
    let mut out = pass.s.kernel;
    out.max = pass.s.max;
    out.body = body;
    Ok(compact(out))
}

/// What a tensor's bindings hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Scalars,
    Quads,
    Image(ImageKind),
}

impl Form {
    fn best(arg: &TensorArg) -> Form {
        match arg.storage {
            Storage::Image(kind) => Form::Image(kind),
            Storage::Buffer if slotted(arg) => Form::Quads,
            Storage::Buffer => Form::Scalars,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    whole: bool,
    single: bool,
}

struct Pass<'k> {
    old: &'k Kernel,
    s: State,
    map: Vec<Option<ExprId>>,
    forms: Vec<Form>,
    /// First binding of each tensor, and elements per part when there are several.
    first: Vec<(BindingId, Option<u64>)>,
    seen: Vec<Seen>,
    blocks: Vec<Block>,
}

type Result2<T> = Result<T, LayoutError>;

impl<'k> Pass<'k> {
    fn new(old: &'k Kernel, forms: Vec<Form>) -> Result2<Pass<'k>> {
        let mut s = State::default();
        s.kernel = Kernel {
            name: old.name.clone(),
            tensors: old.tensors.clone(),
            vars: old.vars.clone(),
            shared: old.shared.clone(),
            workgroup_size: old.workgroup_size,
            workgroups: old.workgroups,
            subgroup_size: old.subgroup_size,
            ..Kernel::default()
        };
        let mut first = Vec::new();
        for (t, (arg, &form)) in old.tensors.iter().zip(&forms).enumerate() {
            let id = BindingId(s.kernel.bindings.len() as u32);
            let tensor = TensorId(t as u32);
            let (name, access) = (arg.name.clone(), arg.access);
            if let Form::Image(kind) = form {
                let texel = match arg.elem {
                    Elem::F32 => Scalar::F32,
                    _ => Scalar::F16,
                };
                let ty = BindingType::Image { kind, texel, extent: arg.image_extent()? };
                s.kernel.bindings.push(Binding { name, tensor, part: 0, access, ty });
                first.push((id, None));
                continue;
            }
            let lanes = if form == Form::Quads { 4 } else { 1 };
            let elem = arg.elem.stored(lanes);
            // elements per unit of the binding
            let unit = match arg.elem {
                Elem::F16Packed => 2 * u64::from(elem.width),
                _ => u64::from(elem.width),
            };
            let parts = arg.object_elems();
            for (k, &elems) in parts.iter().enumerate() {
                let ty = BindingType::Buffer { elem, len: elems.div_ceil(unit) };
                let name = if parts.len() == 1 { name.clone() } else { format!("{name}_part{k}") };
                s.kernel.bindings.push(Binding { name, tensor, part: k as u32, access, ty });
            }
            first.push((id, (parts.len() > 1).then(|| parts[0])));
        }
        let map = vec![None; old.exprs.len()];
        let seen = vec![Seen::default(); forms.len()];
        Ok(Pass { old, s, map, forms, first, seen, blocks: Vec::new() })
    }

    // ---- the old kernel's code on new ids ----

    fn block(&mut self, block: &Block) -> Result2<Block> {
        self.blocks.push(Block::new());
        for stmt in block {
            self.stmt(stmt)?;
        }
        Ok(self.blocks.pop().unwrap_or_default())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result2<()> {
        match stmt {
            Stmt::Let(e) => {
                let new = match self.old.expr(*e).clone() {
                    Expr::Tensor { tensor, coords, lanes, axis } => {
                        let coords: Vec<ExprId> = coords.iter().map(|&c| self.expr(c)).collect();
                        self.load(tensor, &coords, lanes, usize::from(axis))?
                    }
                    expr => {
                        let expr = expr.map_operands(|o| self.expr(o));
                        let max = self.old.max.get(e.0 as usize).copied().flatten();
                        self.let_(expr, self.old.ty(*e), max)
                    }
                };
                self.map[e.0 as usize] = Some(new);
            }
            Stmt::StoreTensor { tensor, coords, lanes, axis, value } => {
                let coords: Vec<ExprId> = coords.iter().map(|&c| self.expr(c)).collect();
                let value = self.expr(*value);
                self.store(*tensor, &coords, *lanes, usize::from(*axis), value)?;
            }
            Stmt::If { cond, yes, no } => {
                let cond = self.expr(*cond);
                match *self.s.kernel.expr(cond) {
                    Expr::Lit(Lit::Bool(known)) => {
                        for stmt in if known { yes } else { no } {
                            self.stmt(stmt)?;
                        }
                    }
                    _ => {
                        let yes = self.block(yes)?;
                        let no = self.block(no)?;
                        self.push(Stmt::If { cond, yes, no });
                    }
                }
            }
            Stmt::For { id, from, to, step, body, unroll } => {
                let (from, to) = (self.expr(*from), self.expr(*to));
                let body = self.block(body)?;
                self.push(Stmt::For { id: *id, from, to, step: *step, body, unroll: *unroll });
            }
            // nothing to wait for
            Stmt::Await(body) => {
                for stmt in &body[..body.len().saturating_sub(1)] {
                    self.stmt(stmt)?;
                }
            }
            other => {
                let mut other = other.clone();
                other.operands_mut(|o| *o = self.expr(*o));
                self.push(other);
            }
        }
        Ok(())
    }

    /// The new id of an old pure expression, or of an ordered one whose `Let` has been passed.
    fn expr(&mut self, root: ExprId) -> ExprId {
        let mut todo = vec![(root, false)];
        while let Some((e, ready)) = todo.pop() {
            if self.map[e.0 as usize].is_some() {
                continue;
            }
            let old = self.old;
            if !ready {
                todo.push((e, true));
                old.expr(e).operands(|o| todo.push((o, false)));
                continue;
            }
            let expr = old.expr(e).clone().map_operands(|o| self.map[o.0 as usize].unwrap_or(o));
            let ty = old.ty(e);
            let max = old.max.get(e.0 as usize).copied().flatten();
            let new = match expr {
                Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_) => {
                    self.s.intern(expr, ty, max)
                }
                _ => simplify::pure(&mut self.s, expr, ty),
            };
            if let Some(m) = max {
                let slot = &mut self.s.max[new.0 as usize];
                *slot = Some(slot.map_or(m, |old| old.min(m)));
            }
            self.map[e.0 as usize] = Some(new);
        }
        self.map[root.0 as usize].unwrap_or(root)
    }

    // ---- small emitters ----

    fn push(&mut self, stmt: Stmt) {
        if let Some(b) = self.blocks.last_mut() {
            b.push(stmt);
        }
    }

    fn let_(&mut self, expr: Expr, ty: Type, max: Option<u64>) -> ExprId {
        let id = self.s.intern(expr, ty, max);
        self.push(Stmt::Let(id));
        id
    }

    fn pure(&mut self, expr: Expr, ty: Type) -> ExprId {
        simplify::pure(&mut self.s, expr, ty)
    }

    fn compare(&mut self, op: BinaryOp, a: ExprId, b: u32) -> ExprId {
        let b = self.s.lit_u32(b);
        self.pure(Expr::Binary(op, a, b), BOOL)
    }

    fn cast(&mut self, to: Scalar, e: ExprId) -> ExprId {
        let v = self.s.kernel.ty(e).vector();
        if v.scalar == to { e } else { self.pure(Expr::Cast(to, e), Type::vec(to, v.width)) }
    }

    fn lane(&mut self, e: ExprId, lane: ExprId) -> ExprId {
        let ty = Type::scalar(self.s.kernel.ty(e).vector().scalar);
        match self.s.as_u32(lane) {
            Some(k) => self.pure(Expr::Extract(e, k as u8), ty),
            None => self.pure(Expr::ExtractDynamic(e, lane), ty),
        }
    }

    fn zero(&mut self, scalar: Scalar) -> ExprId {
        let lit = match scalar {
            Scalar::F32 => Lit::F32(0),
            Scalar::F16 => Lit::F16(0),
            Scalar::I32 => Lit::I32(0),
            Scalar::U32 => Lit::U32(0),
            Scalar::Bool => Lit::Bool(false),
        };
        self.pure(Expr::Lit(lit), Type::scalar(scalar))
    }

    fn known(&self, cond: ExprId) -> Option<bool> {
        match *self.s.kernel.expr(cond) {
            Expr::Lit(Lit::Bool(v)) => Some(v),
            _ => None,
        }
    }

    // ---- raw access to the parts of a buffer ----

    /// Unit `index` of the tensor's buffer, whichever part holds it. `unit`: elements per index.
    fn buffer(&mut self, t: TensorId, index: ExprId, unit: u64) -> ExprId {
        let (first, each) = self.first[t.0 as usize];
        let BindingType::Buffer { elem, .. } = self.s.kernel.bindings[first.0 as usize].ty else {
            return index; // forms and bindings are made together
        };
        let ty = Type::Vector(elem);
        let Some(each) = each else {
            return self.let_(Expr::Buffer { binding: first, index }, ty, None);
        };
        let (part, rest, parts) = self.part(t, index, each / unit);
        if let Some(k) = self.s.as_u32(part) {
            let binding = BindingId(first.0 + k);
            return self.let_(Expr::Buffer { binding, index: rest }, ty, None);
        }
        let var = VarId(self.s.kernel.vars.len() as u32);
        let name = format!("{}_value", self.old.tensors[t.0 as usize].name);
        self.s.kernel.vars.push(Var { name, ty, len: 0 });
        self.choose(part, 0..parts, &mut |pass, k| {
            let binding = BindingId(first.0 + k);
            let value = pass.let_(Expr::Buffer { binding, index: rest }, ty, None);
            pass.push(Stmt::SetVar { var, index: None, value });
        });
        self.let_(Expr::Var { var, index: None }, ty, None)
    }

    fn set_buffer(&mut self, t: TensorId, index: ExprId, unit: u64, value: ExprId) {
        let (first, each) = self.first[t.0 as usize];
        let Some(each) = each else {
            return self.push(Stmt::StoreBuffer { binding: first, index, value });
        };
        let (part, rest, parts) = self.part(t, index, each / unit);
        let mut store = |pass: &mut Self, k| {
            let binding = BindingId(first.0 + k);
            pass.push(Stmt::StoreBuffer { binding, index: rest, value });
        };
        match self.s.as_u32(part) {
            Some(k) => store(self, k),
            None => self.choose(part, 0..parts, &mut store),
        }
    }

    fn part(&mut self, t: TensorId, index: ExprId, each: u64) -> (ExprId, ExprId, u32) {
        let parts = self.s.kernel.bindings.iter().filter(|b| b.tensor == t).count() as u32;
        let part = div_lit(&mut self.s, index, each as u32);
        let rest = rem_lit(&mut self.s, index, each as u32);
        (part, rest, parts)
    }

    /// `f(part)` for a part among `parts`, by halves: of a thousand, ten comparisons find it, and the
    /// dialects' compilers, which have limits for blocks in blocks (256 in clang), see ten.
    fn choose(&mut self, part: ExprId, parts: Range<u32>, f: &mut impl FnMut(&mut Self, u32)) {
        if parts.len() <= 1 {
            return f(self, parts.start);
        }
        let middle = parts.start + parts.len() as u32 / 2;
        let cond = self.compare(BinaryOp::Lt, part, middle);
        let mut branch = |parts| {
            self.blocks.push(Block::new());
            self.choose(part, parts, f);
            self.blocks.pop().unwrap_or_default()
        };
        let yes = branch(parts.start..middle);
        let no = branch(middle..parts.end);
        self.push(Stmt::If { cond, yes, no });
    }

    fn note(&mut self, t: TensorId, place: &Place) {
        let seen = &mut self.seen[t.0 as usize];
        seen.whole |= place.whole;
        seen.single |= !place.whole;
    }

    fn inside(&mut self, c: ExprId, k: u32, dim: u32) -> ExprId {
        let k = self.s.lit_u32(k);
        let c = add(&mut self.s, c, k);
        self.compare(BinaryOp::Lt, c, dim)
    }
}
