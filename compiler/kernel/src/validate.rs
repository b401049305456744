//! Checks of a kernel: types of every expression and statement, order and scope of what reads
//! memory, loops and limits. Works on logical and on physical kernels; what it accepts, writers may
//! rely on.

use crate::ir::*;
use std::collections::HashMap;
use std::fmt;

/// What is wrong with a kernel, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidateError {
    pub kernel: String,
    /// The expression or statement.
    pub place: String,
    pub what: String,
}

impl fmt::Display for ValidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel `{}`, {}: {}", self.kernel, self.place, self.what)
    }
}
impl std::error::Error for ValidateError {}

/// The most invocations that a workgroup may have anywhere.
pub const MAX_INVOCATIONS: u64 = 1024;

type What = Result<(), String>;

/// Checks everything; the first mistake is returned.
pub fn validate(kernel: &Kernel) -> Result<(), ValidateError> {
    let at = |place: String| {
        move |what: String| ValidateError { kernel: kernel.name.clone(), place, what }
    };
    frame(kernel).map_err(at("declarations".into()))?;
    for i in 0..kernel.exprs.len() {
        let id = ExprId(i as u32);
        expr(kernel, id).map_err(|what| at(format!("e{i} ({:?})", kernel.expr(id)))(what))?;
    }
    let mut walk = Walk {
        k: kernel,
        scopes: vec![0],
        next: 1,
        lets: HashMap::new(),
        loops: HashMap::new(),
        checked: HashMap::new(),
        depth: 0,
    };
    walk.block(&kernel.body).map_err(|(place, what)| at(place)(what))
}

fn frame(k: &Kernel) -> What {
    if k.types.len() != k.exprs.len() || !(k.max.is_empty() || k.max.len() == k.exprs.len()) {
        return Err("types or bounds are not parallel to the expressions".into());
    }
    let invocations = k.workgroup_size.iter().map(|&n| u64::from(n)).product::<u64>();
    if invocations == 0 || invocations > MAX_INVOCATIONS {
        return Err(format!(
            "{invocations} invocations in a workgroup, 1 to {MAX_INVOCATIONS} fit"
        ));
    }
    if k.workgroups.contains(&0) {
        return Err(format!("an empty grid {:?}", k.workgroups));
    }
    if k.subgroup_size != 0 && !k.subgroup_size.is_power_of_two() {
        return Err(format!("subgroups of {}, not a power of two", k.subgroup_size));
    }
    for t in &k.tensors {
        if t.view.apply(&t.stored).is_none() {
            return Err(format!("view {} does not apply to `{}` {}", t.view, t.name, t.stored));
        }
        t.layout.check(&t.stored).map_err(|e| format!("tensor `{}`: {e}", t.name))?;
    }
    // a kernel that was serialized has lost its tensors, which physical kernels do without
    let anonymous = k.tensors.is_empty();
    for b in &k.bindings {
        if !anonymous && b.tensor.0 as usize >= k.tensors.len() {
            return Err(format!("binding `{}` of tensor {} that is not there", b.name, b.tensor.0));
        }
        if let BindingType::Buffer { elem, .. } = b.ty
            && (elem.scalar == Scalar::Bool || !(1..=4).contains(&elem.width))
        {
            return Err(format!("binding `{}` holds {elem:?}", b.name));
        }
    }
    for s in &k.shared {
        if s.len == 0 || s.elem.scalar == Scalar::Bool || !(1..=4).contains(&s.elem.width) {
            return Err(format!("workgroup array `{}` of {} {:?}", s.name, s.len, s.elem));
        }
    }
    Ok(())
}

fn ensure(ok: bool, what: impl FnOnce() -> String) -> What {
    if ok { Ok(()) } else { Err(what()) }
}

fn vector(t: Type) -> Result<Vector, String> {
    match t {
        Type::Vector(v) => Ok(v),
        Type::Matrix(_) => Err("a matrix where a vector is needed".into()),
    }
}

fn index(k: &Kernel, e: ExprId) -> What {
    ensure(matches!(k.ty(e), U32 | I32), || format!("index of type {:?}", k.ty(e)))
}

/// Literal indices are checked here; the interpreter checks the others.
fn literal_below(k: &Kernel, e: ExprId, len: u64, of: &str) -> What {
    match *k.expr(e) {
        Expr::Lit(Lit::U32(i)) => {
            ensure(u64::from(i) < len, || format!("index {i} of {of}, which has {len} elements"))
        }
        _ => Ok(()),
    }
}

fn texel_coords(kind: drift_bundle::caps::ImageKind) -> usize {
    use drift_bundle::caps::ImageKind as K;
    match kind {
        K::TexelBuffer => 1,
        K::Texture2d => 2,
        K::Texture2dArray | K::Texture3d => 3,
    }
}

fn expr(k: &Kernel, id: ExprId) -> What {
    let mut early = Ok(());
    k.expr(id).operands(|o| {
        if o >= id {
            early = Err(format!("uses e{}, which does not come before it", o.0));
        }
    });
    early?;
    let found = k.ty(id);
    let want = type_of(k, id)?;
    ensure(found == want, || format!("is declared {found:?}, its operands make it {want:?}"))
}

/// The type that the operands give an expression.
fn type_of(k: &Kernel, id: ExprId) -> Result<Type, String> {
    let v = |e: ExprId| vector(k.ty(e));
    let float = |e: ExprId| -> Result<Vector, String> {
        let t = v(e)?;
        ensure(t.scalar.is_float(), || format!("{t:?} is not a float"))?;
        Ok(t)
    };
    let same = |a: ExprId, b: ExprId| {
        ensure(k.ty(a) == k.ty(b), || format!("operands {:?} and {:?}", k.ty(a), k.ty(b)))
    };
    Ok(match k.expr(id) {
        Expr::Lit(l) => Type::scalar(match l {
            Lit::F32(_) => Scalar::F32,
            Lit::F16(_) => Scalar::F16,
            Lit::I32(_) => Scalar::I32,
            Lit::U32(_) => Scalar::U32,
            Lit::Bool(_) => Scalar::Bool,
        }),
        Expr::Builtin(Builtin::GlobalId(a) | Builtin::WorkgroupId(a) | Builtin::LocalId(a)) => {
            ensure(*a < 3, || format!("grid axis {a}"))?;
            U32
        }
        Expr::Builtin(_) | Expr::LoopIndex(_) => U32,
        Expr::Unary(op, a) => {
            let t = v(*a)?;
            let number = t.scalar != Scalar::Bool;
            let ok = match op {
                UnaryOp::Neg => number && t.scalar != Scalar::U32,
                UnaryOp::Not => !t.scalar.is_float(),
                UnaryOp::Abs | UnaryOp::Sign => number,
                _ => t.scalar.is_float(),
            };
            ensure(ok, || format!("{op:?} of {t:?}"))?;
            match op {
                UnaryOp::IsNan | UnaryOp::IsInf => Type::vec(Scalar::Bool, t.width),
                _ => Type::Vector(t),
            }
        }
        Expr::Binary(op, a, b) => {
            same(*a, *b)?;
            let t = v(*a)?;
            let ok = match op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => !t.scalar.is_float(),
                BinaryOp::Shl | BinaryOp::Shr => matches!(t.scalar, Scalar::I32 | Scalar::U32),
                BinaryOp::Pow => t.scalar.is_float(),
                BinaryOp::Eq | BinaryOp::Ne => true,
                _ => t.scalar != Scalar::Bool,
            };
            ensure(ok, || format!("{op:?} of {t:?}"))?;
            match op.is_comparison() {
                true => Type::vec(Scalar::Bool, t.width),
                false => Type::Vector(t),
            }
        }
        Expr::Fma(a, b, c) => {
            same(*a, *b)?;
            same(*a, *c)?;
            let t = v(*a)?;
            ensure(t.scalar != Scalar::Bool, || "Fma of bools".into())?;
            Type::Vector(t)
        }
        Expr::Select { cond, yes, no } => {
            same(*yes, *no)?;
            let (c, t) = (v(*cond)?, v(*yes)?);
            let ok = c.scalar == Scalar::Bool && (c.width == 1 || c.width == t.width);
            ensure(ok, || format!("condition {c:?} between {t:?}"))?;
            Type::Vector(t)
        }
        Expr::Cast(to, a) => Type::vec(*to, v(*a)?.width),
        Expr::Bitcast(to, a) => {
            let t = v(*a)?;
            let word = |s| matches!(s, Scalar::F32 | Scalar::I32 | Scalar::U32);
            ensure(word(t.scalar) && word(*to), || format!("bits of {t:?} as {to:?}"))?;
            Type::vec(*to, t.width)
        }
        Expr::Splat(n, a) => {
            let t = v(*a)?;
            ensure(t.width == 1 && (2..=4).contains(n), || format!("splat of {t:?} to {n}"))?;
            Type::vec(t.scalar, *n)
        }
        Expr::Compose(parts) => {
            ensure((2..=4).contains(&parts.len()), || format!("{} components", parts.len()))?;
            for &p in parts {
                same(parts[0], p)?;
            }
            let t = v(parts[0])?;
            ensure(t.width == 1, || "components are scalars".into())?;
            Type::vec(t.scalar, parts.len() as u8)
        }
        Expr::Extract(a, lane) => {
            let t = v(*a)?;
            ensure(t.width > 1 && *lane < t.width, || format!("lane {lane} of {t:?}"))?;
            Type::scalar(t.scalar)
        }
        Expr::ExtractDynamic(a, lane) => {
            let t = v(*a)?;
            ensure(t.width > 1, || format!("lane of {t:?}"))?;
            index(k, *lane)?;
            Type::scalar(t.scalar)
        }
        Expr::Dot(a, b) => {
            same(*a, *b)?;
            let t = float(*a)?;
            ensure(t.width > 1, || "dot product of scalars".into())?;
            Type::scalar(t.scalar)
        }
        Expr::Dot4 { signed, a, b, acc } => {
            let want = if *signed { I32 } else { U32 };
            let ok = (k.ty(*a), k.ty(*b), k.ty(*acc)) == (U32, U32, want);
            ensure(ok, || format!("dot4 takes u32, u32 and {want:?}"))?;
            want
        }
        Expr::Unpack(p, a) => {
            ensure(k.ty(*a) == U32, || "unpacks a u32".into())?;
            unpacked(*p)
        }
        Expr::Pack(p, a) => {
            ensure(k.ty(*a) == unpacked(*p), || format!("packs {:?}", unpacked(*p)))?;
            U32
        }
        Expr::Var { var, index: i } => {
            let d = k.vars.get(var.0 as usize).ok_or("no such variable")?;
            ensure(i.is_some() == (d.len > 0), || format!("`{}` and its index", d.name))?;
            if let Some(i) = i {
                index(k, *i)?;
                literal_below(k, *i, u64::from(d.len), &d.name)?;
            }
            d.ty
        }
        Expr::Shared { shared, index: i } => {
            let d = k.shared.get(shared.0 as usize).ok_or("no such workgroup array")?;
            index(k, *i)?;
            literal_below(k, *i, u64::from(d.len), &d.name)?;
            Type::Vector(d.elem)
        }
        Expr::Buffer { binding, index: i } => {
            index(k, *i)?;
            let b = k.bindings.get(binding.0 as usize).ok_or("no such binding")?;
            ensure(b.access != Access::Write, || format!("`{}` is only written", b.name))?;
            match b.ty {
                BindingType::Buffer { elem, len } => {
                    literal_below(k, *i, len, &b.name)?;
                    Type::Vector(elem)
                }
                BindingType::Image { .. } => return Err(format!("`{}` is an image", b.name)),
            }
        }
        Expr::Image { binding, coords } => {
            let b = k.bindings.get(binding.0 as usize).ok_or("no such binding")?;
            ensure(b.access != Access::Write, || format!("`{}` is only written", b.name))?;
            image(k, b, coords)?;
            F32X4
        }
        Expr::Tensor { tensor, coords, lanes, axis } => {
            tensor_access(k, *tensor, coords, *lanes, *axis)?;
            let t = &k.tensors[tensor.0 as usize];
            ensure(t.access != Access::Write, || format!("`{}` is only written", t.name))?;
            Type::vec(t.elem.scalar(), *lanes)
        }
        Expr::Subgroup(_, a) => {
            let t = v(*a)?;
            ensure(t.scalar != Scalar::Bool, || "subgroup arithmetic on bools".into())?;
            Type::Vector(t)
        }
        Expr::SubgroupShuffleXor(a, m) | Expr::SubgroupBroadcast(a, m) => {
            ensure(k.ty(*m) == U32, || "the lane or mask is a u32".into())?;
            Type::Vector(v(*a)?)
        }
        Expr::MatrixZero(m) => Type::Matrix(*m),
        Expr::MatrixLoad { matrix, from, index: i, stride, .. } => {
            index(k, *i)?;
            index(k, *stride)?;
            let elem = place(k, *from)?;
            let fits = matrix.component.in_one(elem.scalar).is_some();
            ensure(fits, || format!("matrix of {:?} from {elem:?}", matrix.component))?;
            Type::Matrix(*matrix)
        }
        Expr::MatrixMulAdd { a, b, c } => {
            let (Type::Matrix(x), Type::Matrix(y), Type::Matrix(z)) =
                (k.ty(*a), k.ty(*b), k.ty(*c))
            else {
                return Err("operands are matrices".into());
            };
            let ok = (x.role, y.role, z.role) == (MatrixRole::A, MatrixRole::B, MatrixRole::C)
                && (x.cols, x.rows, y.cols) == (y.rows, z.rows, z.cols)
                && x.component == y.component
                && (x.component == Component::I8) == (z.component == Component::I32)
                && x.component != Component::I32
                && z.component != Component::I8;
            ensure(ok, || format!("{x:?} times {y:?} plus {z:?}"))?;
            Type::Matrix(z)
        }
        Expr::MatrixScaleAdd { product, scale, sum } => {
            let (Type::Matrix(p), Type::Matrix(s), Type::Matrix(z)) =
                (k.ty(*product), k.ty(*scale), k.ty(*sum))
            else {
                return Err("operands are matrices".into());
            };
            let ok = p == Matrix { component: Component::I32, ..z }
                && s == z
                && (z.role, z.component) == (MatrixRole::C, Component::F32);
            ensure(ok, || format!("{p:?} scaled by {s:?} plus {z:?}"))?;
            let kept = |t: Type| matches!(t, Type::Matrix(m) if m.component == Component::I32);
            ensure(!k.vars.iter().any(|v| kept(v.ty)), || "i32 matrices in variables".into())?;
            Type::Matrix(z)
        }
    })
}

fn unpacked(p: Packing) -> Type {
    match p {
        Packing::Half2 => Type::vec(Scalar::F32, 2),
        Packing::I8x4 => Type::vec(Scalar::I32, 4),
        Packing::U8x4 => Type::vec(Scalar::U32, 4),
    }
}

fn place(k: &Kernel, p: MatrixPlace) -> Result<Vector, String> {
    match p {
        MatrixPlace::Shared(s) => {
            Ok(k.shared.get(s.0 as usize).ok_or("no such workgroup array")?.elem)
        }
        MatrixPlace::Buffer(b) => match k.bindings.get(b.0 as usize).map(|b| &b.ty) {
            Some(BindingType::Buffer { elem, .. }) => Ok(*elem),
            _ => Err("matrices live in buffers or workgroup memory".into()),
        },
    }
}

fn image(k: &Kernel, b: &Binding, coords: &[ExprId]) -> What {
    let BindingType::Image { kind, .. } = b.ty else {
        return Err(format!("`{}` is a buffer", b.name));
    };
    ensure(coords.len() == texel_coords(kind), || format!("{} coordinates", coords.len()))?;
    coords.iter().try_for_each(|&c| index(k, c))
}

fn tensor_access(k: &Kernel, t: crate::TensorId, coords: &[ExprId], lanes: u8, axis: u8) -> What {
    let arg = k.tensors.get(t.0 as usize).ok_or("no such tensor")?;
    let rank = arg.shape().rank();
    ensure(coords.len() == rank, || {
        format!("`{}` of rank {rank} with {} coordinates", arg.name, coords.len())
    })?;
    ensure(lanes == 1 || lanes == 4 && usize::from(axis) < rank, || {
        format!("{lanes} lanes along axis {axis} of `{}` {}", arg.name, arg.shape())
    })?;
    coords
        .iter()
        .try_for_each(|&c| ensure(k.ty(c) == U32, || format!("coordinate of type {:?}", k.ty(c))))
}

struct Walk<'k> {
    k: &'k Kernel,
    /// Open scopes, innermost last.
    scopes: Vec<u32>,
    next: u32,
    /// Scope of each `Let` so far.
    lets: HashMap<ExprId, u32>,
    loops: HashMap<LoopId, u32>,
    /// Scope in which an expression was found usable.
    checked: HashMap<ExprId, u32>,
    depth: u32,
}

type Placed = Result<(), (String, String)>;

impl Walk<'_> {
    fn block(&mut self, block: &Block) -> Placed {
        for s in block {
            let mut used = Ok(());
            let is_let = matches!(s, Stmt::Let(_));
            s.operands(|e| {
                if used.is_ok() && !is_let {
                    used = self.usable(e);
                }
            });
            let name = || describe(s);
            used.map_err(|what| (name(), what))?;
            self.stmt(s).map_err(|what| (name(), what))?;
            match s {
                Stmt::If { yes, no, .. } => {
                    self.scoped(yes, None)?;
                    self.scoped(no, None)?;
                }
                Stmt::For { id, body, .. } => {
                    self.depth += 1;
                    self.scoped(body, Some(*id))?;
                    self.depth -= 1;
                }
                Stmt::Await(body) => {
                    self.depth += 1;
                    self.scoped(body, None)?;
                    self.depth -= 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn scoped(&mut self, block: &Block, counter: Option<LoopId>) -> Placed {
        let scope = self.next;
        self.next += 1;
        self.scopes.push(scope);
        if let Some(id) = counter {
            self.loops.insert(id, scope);
        }
        self.block(block)?;
        self.scopes.pop();
        Ok(())
    }

    fn open(&self, scope: Option<&u32>) -> bool {
        scope.is_some_and(|s| self.scopes.contains(s))
    }

    /// Everything that `root` reads has been evaluated in an open scope.
    fn usable(&mut self, root: ExprId) -> What {
        let mut todo = vec![root];
        let scope = self.scopes.last().copied().unwrap_or(0);
        while let Some(e) = todo.pop() {
            if e.0 as usize >= self.k.exprs.len() {
                return Err(format!("e{} does not exist", e.0));
            }
            if self.open(self.checked.get(&e)) {
                continue;
            }
            match self.k.expr(e) {
                Expr::LoopIndex(id) => {
                    ensure(self.open(self.loops.get(id)), || {
                        format!("counter of loop {} outside of it", id.0)
                    })?;
                }
                x if x.is_ordered() => {
                    ensure(self.open(self.lets.get(&e)), || {
                        format!("e{} is used before its let, or out of its scope", e.0)
                    })?;
                    continue;
                }
                x => x.operands(|o| todo.push(o)),
            }
            self.checked.insert(e, scope);
        }
        Ok(())
    }

    fn stmt(&mut self, s: &Stmt) -> What {
        let k = self.k;
        match s {
            Stmt::Let(e) => {
                let x = k.exprs.get(e.0 as usize).ok_or("let of nothing")?;
                ensure(x.is_ordered(), || "let of a pure expression".into())?;
                let mut used = Ok(());
                x.operands(|o| {
                    if used.is_ok() {
                        used = self.usable(o);
                    }
                });
                used?;
                let scope = self.scopes.last().copied().unwrap_or(0);
                let twice = self.lets.insert(*e, scope).is_some();
                ensure(!twice, || "the second let of it".into())
            }
            Stmt::SetVar { var, index: i, value } => {
                let d = k.vars.get(var.0 as usize).ok_or("no such variable")?;
                ensure(i.is_some() == (d.len > 0), || format!("`{}` and its index", d.name))?;
                if let Some(i) = i {
                    index(k, *i)?;
                    literal_below(k, *i, u64::from(d.len), &d.name)?;
                }
                self.holds(&d.name, d.ty, *value)
            }
            Stmt::StoreShared { shared, index: i, value } => {
                let d = k.shared.get(shared.0 as usize).ok_or("no such workgroup array")?;
                index(k, *i)?;
                literal_below(k, *i, u64::from(d.len), &d.name)?;
                self.holds(&d.name, Type::Vector(d.elem), *value)
            }
            Stmt::StoreBuffer { binding, index: i, value } => {
                let b = k.bindings.get(binding.0 as usize).ok_or("no such binding")?;
                index(k, *i)?;
                ensure(b.access != Access::Read, || format!("`{}` is only read", b.name))?;
                match b.ty {
                    BindingType::Buffer { elem, len } => {
                        literal_below(k, *i, len, &b.name)?;
                        self.holds(&b.name, Type::Vector(elem), *value)
                    }
                    BindingType::Image { .. } => Err(format!("`{}` is an image", b.name)),
                }
            }
            Stmt::StoreImage { binding, coords, value } => {
                let b = k.bindings.get(binding.0 as usize).ok_or("no such binding")?;
                ensure(b.access != Access::Read, || format!("`{}` is only read", b.name))?;
                image(k, b, coords)?;
                self.holds(&b.name, F32X4, *value)
            }
            Stmt::StoreTensor { tensor, coords, lanes, axis, value } => {
                tensor_access(k, *tensor, coords, *lanes, *axis)?;
                let t = &k.tensors[tensor.0 as usize];
                ensure(t.access != Access::Read, || format!("`{}` is only read", t.name))?;
                self.holds(&t.name, Type::vec(t.elem.scalar(), *lanes), *value)
            }
            Stmt::If { cond, .. } => {
                ensure(k.ty(*cond) == BOOL, || format!("condition of type {:?}", k.ty(*cond)))
            }
            Stmt::For { from, to, step, .. } => {
                let ok = k.ty(*from) == U32 && k.ty(*to) == U32 && *step > 0;
                ensure(ok, || "loops count u32 upwards".into())
            }
            Stmt::Await(body) => {
                let breaks = |b: &Block| matches!(b[..], [Stmt::Break]);
                let ok = matches!(body.last(), Some(Stmt::If { yes, no, .. }) if breaks(yes) && no.is_empty());
                ensure(ok, || "an await that does not end".into())?;
                let loads = |s: &Stmt| matches!(s, Stmt::Let(_) | Stmt::SetVar { .. });
                let ok = body[..body.len() - 1].iter().all(loads);
                ensure(ok, || "an await that does more than to load".into())
            }
            Stmt::Break => ensure(self.depth > 0, || "break outside of a loop".into()),
            Stmt::Return | Stmt::Barrier => Ok(()),
            Stmt::StoreMatrix { value, to, index: i, stride, .. } => {
                index(k, *i)?;
                index(k, *stride)?;
                let elem = place(k, *to)?;
                match k.ty(*value) {
                    Type::Matrix(m) => ensure(
                        m.role == MatrixRole::C && m.component.in_one(elem.scalar) == Some(1),
                        || format!("{m:?} into {elem:?}"),
                    ),
                    Type::Vector(v) => Err(format!("{v:?} is no matrix")),
                }
            }
        }
    }

    fn holds(&self, name: &str, ty: Type, value: ExprId) -> What {
        let found = self.k.ty(value);
        ensure(found == ty, || format!("`{name}` holds {ty:?}, the value is {found:?}"))
    }
}

fn describe(s: &Stmt) -> String {
    match s {
        Stmt::If { cond, .. } => format!("if e{}", cond.0),
        Stmt::For { id, .. } => format!("loop {}", id.0),
        Stmt::Await(_) => "await".to_owned(),
        other => format!("{other:?}"),
    }
}
