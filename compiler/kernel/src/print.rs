//! Kernels as text, for people (`--emit text`) and for goldens. Stable: the same kernel gives the
//! same text.
//!
//! Pure expressions are written where they are used; those used more than once get a name at
//! their first use in each scope.

use crate::ir::*;
use std::collections::HashMap;
use std::fmt::{self, Write};

/// The kernel as text.
pub fn print(kernel: &Kernel) -> String {
    let mut p = Printer {
        k: kernel,
        out: String::new(),
        uses: uses(kernel),
        named: HashMap::new(),
        scopes: vec![0],
        next: 1,
    };
    p.header();
    p.block(&kernel.body);
    p.out.push_str("}\n");
    p.out
}

/// How often each expression is named by statements and expressions that are reached.
fn uses(k: &Kernel) -> Vec<u32> {
    let mut uses = vec![0u32; k.exprs.len()];
    let mut todo = Vec::new();
    fn block(b: &Block, f: &mut impl FnMut(ExprId)) {
        for s in b {
            s.operands(&mut *f);
            match s {
                Stmt::If { yes, no, .. } => {
                    block(yes, f);
                    block(no, f);
                }
                Stmt::For { body, .. } | Stmt::Await(body) => block(body, f),
                _ => {}
            }
        }
    }
    block(&k.body, &mut |e| todo.push(e));
    while let Some(e) = todo.pop() {
        uses[e.0 as usize] += 1;
        if uses[e.0 as usize] == 1 {
            k.expr(e).operands(|o| todo.push(o));
        }
    }
    uses
}

struct Printer<'k> {
    k: &'k Kernel,
    out: String,
    uses: Vec<u32>,
    /// Scope in which an expression has been named.
    named: HashMap<ExprId, u32>,
    scopes: Vec<u32>,
    next: u32,
}

pub(crate) fn type_name(t: Type) -> String {
    match t {
        Type::Vector(v) => vector_name(v),
        Type::Matrix(m) => {
            format!("matrix{:?}<{}, {}x{}>", m.role, component_name(m.component), m.rows, m.cols)
        }
    }
}

fn scalar_name(s: Scalar) -> &'static str {
    match s {
        Scalar::F32 => "f32",
        Scalar::F16 => "f16",
        Scalar::I32 => "i32",
        Scalar::U32 => "u32",
        Scalar::Bool => "bool",
    }
}

fn component_name(c: Component) -> &'static str {
    match c {
        Component::F32 => "f32",
        Component::F16 => "f16",
        Component::I8 => "i8",
        Component::I32 => "i32",
    }
}

fn vector_name(v: Vector) -> String {
    match v.width {
        1 => scalar_name(v.scalar).to_owned(),
        n => format!("vec{n}<{}>", scalar_name(v.scalar)),
    }
}

struct Times([u32; 3]);
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.0[0], self.0[1], self.0[2])
    }
}

impl Printer<'_> {
    fn line(&mut self, text: impl fmt::Display) {
        for _ in &self.scopes {
            self.out.push_str("  ");
        }
        // writing to a String cannot fail
        let _ = writeln!(self.out, "{text}");
    }

    fn header(&mut self) {
        let k = self.k;
        let _ = write!(
            self.out,
            "kernel {} workgroup {} grid {}",
            k.name,
            Times(k.workgroup_size),
            Times(k.workgroups)
        );
        if k.subgroup_size != 0 {
            let _ = write!(self.out, " subgroup {}", k.subgroup_size);
        }
        self.out.push_str(" {\n");
        for t in &k.tensors {
            let storage = match t.storage {
                crate::Storage::Buffer => "buffer".to_owned(),
                crate::Storage::Image(kind) => format!("{kind:?}"),
            };
            let mut text = format!(
                "tensor {}: {:?} {:?} {}{} {} {storage}",
                t.name, t.access, t.elem, t.stored, t.view, t.layout
            );
            if t.base_elems != 0 {
                let _ = write!(text, " at {}", t.base_elems);
            }
            self.line(text);
        }
        for (i, b) in k.bindings.iter().enumerate() {
            let ty = match &b.ty {
                BindingType::Buffer { elem, len } => format!("{}[{len}]", vector_name(*elem)),
                BindingType::Image { kind, texel, extent } => {
                    format!("{kind:?}<{}>[{}]", scalar_name(*texel), Times(*extent))
                }
            };
            self.line(format!("binding {i} {}: {:?} {ty}", b.name, b.access));
        }
        for (i, s) in k.shared.iter().enumerate() {
            self.line(format!("shared s{i} {}: {}[{}]", s.name, vector_name(s.elem), s.len));
        }
        for (i, v) in k.vars.iter().enumerate() {
            let len = if v.len > 0 { format!("[{}]", v.len) } else { String::new() };
            self.line(format!("var v{i} {}: {}{len}", v.name, type_name(v.ty)));
        }
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|s| self.stmt(s));
    }

    fn scoped(&mut self, block: &Block) {
        self.scopes.push(self.next);
        self.next += 1;
        self.block(block);
        self.scopes.pop();
    }

    fn is_named(&self, e: ExprId) -> bool {
        self.named.get(&e).is_some_and(|s| self.scopes.contains(s))
    }

    fn name(&mut self, e: ExprId) {
        let scope = self.scopes.last().copied().unwrap_or(0);
        self.named.insert(e, scope);
    }

    /// `e` as an operand; shared parts are named on lines of their own first.
    fn operand(&mut self, e: ExprId) -> String {
        let k = self.k;
        let expr = k.expr(e);
        if self.is_named(e) || expr.is_ordered() {
            return format!("e{}", e.0);
        }
        let leaf = matches!(expr, Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_));
        // long chains are cut by names too, so that lines stay readable and recursion shallow
        if !leaf && self.uses[e.0 as usize] > 1 {
            self.settle(e);
            return format!("e{}", e.0);
        }
        self.text(e)
    }

    /// Names `root` and, first, what it shares with others; without deep recursion.
    fn settle(&mut self, root: ExprId) {
        let mut todo = vec![(root, false)];
        while let Some((e, ready)) = todo.pop() {
            let k = self.k;
            if self.is_named(e) || k.expr(e).is_ordered() {
                continue;
            }
            if !ready {
                todo.push((e, true));
                let at = todo.len();
                k.expr(e).operands(|o| {
                    if self.uses[o.0 as usize] > 1 {
                        todo.push((o, false));
                    }
                });
                todo[at..].reverse();
                continue;
            }
            if matches!(k.expr(e), Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_)) {
                continue;
            }
            let text = self.text(e);
            self.line(format!("e{} = {text}", e.0));
            self.name(e);
        }
    }

    fn list(&mut self, v: &[ExprId]) -> String {
        let parts: Vec<String> = v.iter().map(|&e| self.operand(e)).collect();
        parts.join(", ")
    }

    fn text(&mut self, e: ExprId) -> String {
        let k = self.k;
        match k.expr(e) {
            Expr::Lit(l) => literal(*l),
            Expr::Builtin(b) => builtin(*b),
            Expr::LoopIndex(id) => format!("i{}", id.0),
            Expr::Unary(op, a) => {
                let a = self.operand(*a);
                match op {
                    UnaryOp::Neg => format!("-({a})"),
                    UnaryOp::Not => format!("!({a})"),
                    op => format!("{}({a})", lower(op)),
                }
            }
            Expr::Binary(op, a, b) => {
                let (x, y) = (self.inner(*a), self.inner(*b));
                match infix(*op) {
                    Some(sign) => format!("{x} {sign} {y}"),
                    None => format!("{}({x}, {y})", lower(op)),
                }
            }
            Expr::Fma(a, b, c) => format!("fma({})", self.list(&[*a, *b, *c])),
            Expr::Select { cond, yes, no } => format!("select({})", self.list(&[*cond, *yes, *no])),
            Expr::Cast(to, a) => {
                let width = k.ty(e).vector().width;
                let ty = vector_name(Vector { scalar: *to, width });
                format!("{ty}({})", self.operand(*a))
            }
            Expr::Bitcast(to, a) => format!("bits<{}>({})", scalar_name(*to), self.operand(*a)),
            Expr::Splat(n, a) => format!("splat{n}({})", self.operand(*a)),
            Expr::Compose(parts) => {
                let ty = type_name(k.ty(e));
                format!("{ty}({})", self.list(parts))
            }
            Expr::Extract(a, lane) => {
                let lane = ["x", "y", "z", "w"].get(usize::from(*lane)).unwrap_or(&"?");
                format!("{}.{lane}", self.inner(*a))
            }
            Expr::ExtractDynamic(a, lane) => {
                let a = self.inner(*a);
                format!("{a}[{}]", self.operand(*lane))
            }
            Expr::Dot(a, b) => format!("dot({})", self.list(&[*a, *b])),
            Expr::Dot4 { signed, a, b, acc } => {
                let name = if *signed { "dot4i" } else { "dot4u" };
                format!("{name}({})", self.list(&[*a, *b, *acc]))
            }
            Expr::Unpack(p, a) => format!("unpack{}({})", packing(*p), self.operand(*a)),
            Expr::Pack(p, a) => format!("pack{}({})", packing(*p), self.operand(*a)),
            Expr::Var { var, index } => {
                let index = index.map(|i| format!("[{}]", self.operand(i))).unwrap_or_default();
                format!("v{}{index}", var.0)
            }
            Expr::Shared { shared, index } => format!("s{}[{}]", shared.0, self.operand(*index)),
            Expr::Buffer { binding, index } => {
                let name = &k.bindings[binding.0 as usize].name;
                format!("{name}[{}]", self.operand(*index))
            }
            Expr::Image { binding, coords } => {
                let name = &k.bindings[binding.0 as usize].name;
                format!("{name}.texel({})", self.list(coords))
            }
            Expr::Tensor { tensor, coords, lanes, axis } => {
                let name = &k.tensors[tensor.0 as usize].name;
                let lanes = if *lanes == 4 { format!("4 along {axis} of ") } else { String::new() };
                format!("load {lanes}{name}({})", self.list(coords))
            }
            Expr::Subgroup(op, a) => format!("subgroup_{}({})", lower(op), self.operand(*a)),
            Expr::SubgroupShuffleXor(a, m) => {
                format!("subgroup_shuffle_xor({})", self.list(&[*a, *m]))
            }
            Expr::SubgroupBroadcast(a, l) => {
                format!("subgroup_broadcast({})", self.list(&[*a, *l]))
            }
            Expr::MatrixZero(m) => format!("{}(0)", type_name(Type::Matrix(*m))),
            Expr::MatrixLoad { matrix, from, index, stride, row_major } => {
                let from = self.place(*from);
                let rest = self.list(&[*index, *stride]);
                let ty = type_name(Type::Matrix(*matrix));
                format!("load {ty} {from}({rest}, {})", major(*row_major))
            }
            Expr::MatrixMulAdd { a, b, c } => format!("matrix_fma({})", self.list(&[*a, *b, *c])),
            Expr::MatrixScaleAdd { product, scale, sum } => {
                format!("matrix_scale_add({})", self.list(&[*product, *scale, *sum]))
            }
        }
    }

    /// As part of a larger expression: in parentheses where it needs them.
    fn inner(&mut self, e: ExprId) -> String {
        let text = self.operand(e);
        let infix = matches!(self.k.expr(e), Expr::Binary(op, ..) if infix(*op).is_some());
        if infix && text.contains(' ') { format!("({text})") } else { text }
    }

    fn place(&self, p: MatrixPlace) -> String {
        match p {
            MatrixPlace::Shared(s) => format!("s{}", s.0),
            MatrixPlace::Buffer(b) => self.k.bindings[b.0 as usize].name.clone(),
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        let k = self.k;
        match s {
            Stmt::Let(e) => {
                let text = self.text(*e);
                self.line(format!("let e{} = {text}", e.0));
            }
            Stmt::SetVar { var, index, value } => {
                let index = index.map(|i| format!("[{}]", self.operand(i))).unwrap_or_default();
                let value = self.operand(*value);
                self.line(format!("v{}{index} = {value}", var.0));
            }
            Stmt::StoreShared { shared, index, value } => {
                let (index, value) = (self.operand(*index), self.operand(*value));
                self.line(format!("s{}[{index}] = {value}", shared.0));
            }
            Stmt::StoreBuffer { binding, index, value } => {
                let (index, value) = (self.operand(*index), self.operand(*value));
                self.line(format!("{}[{index}] = {value}", k.bindings[binding.0 as usize].name));
            }
            Stmt::StoreImage { binding, coords, value } => {
                let (at, value) = (self.list(coords), self.operand(*value));
                let name = &k.bindings[binding.0 as usize].name;
                self.line(format!("{name}.texel({at}) = {value}"));
            }
            Stmt::StoreTensor { tensor, coords, lanes, axis, value } => {
                let (at, value) = (self.list(coords), self.operand(*value));
                let name = &k.tensors[tensor.0 as usize].name;
                let lanes = if *lanes == 4 { format!("4 along {axis} of ") } else { String::new() };
                self.line(format!("store {lanes}{name}({at}) = {value}"));
            }
            Stmt::If { cond, yes, no } => {
                let cond = self.operand(*cond);
                self.line(format!("if {cond} {{"));
                self.scoped(yes);
                if !no.is_empty() {
                    self.line("} else {");
                    self.scoped(no);
                }
                self.line("}");
            }
            Stmt::For { id, from, to, step, body, unroll } => {
                let (from, to) = (self.operand(*from), self.operand(*to));
                let step = if *step == 1 { String::new() } else { format!(" step {step}") };
                let unroll = match unroll {
                    Unroll::Default => "",
                    Unroll::Full => " unroll",
                    Unroll::Never => " rolled",
                };
                self.line(format!("for i{} in {from}..{to}{step}{unroll} {{", id.0));
                self.scoped(body);
                self.line("}");
            }
            Stmt::Await(body) => {
                self.line("await {");
                self.scoped(body);
                self.line("}");
            }
            Stmt::Break => self.line("break"),
            Stmt::Return => self.line("return"),
            Stmt::Barrier => self.line("barrier"),
            Stmt::StoreMatrix { value, to, index, stride, row_major } => {
                let to = self.place(*to);
                let rest = self.list(&[*index, *stride]);
                let value = self.operand(*value);
                self.line(format!("store {to}({rest}, {}) = {value}", major(*row_major)));
            }
        }
    }
}

fn major(row: bool) -> &'static str {
    if row { "rows" } else { "columns" }
}

fn literal(l: Lit) -> String {
    match l {
        Lit::F32(b) => format!("{:?}", f32::from_bits(b)),
        Lit::F16(b) => format!("{:?}h", half::f16::from_bits(b).to_f32()),
        Lit::I32(v) => format!("{v}i"),
        Lit::U32(v) => v.to_string(),
        Lit::Bool(v) => v.to_string(),
    }
}

fn builtin(b: Builtin) -> String {
    let axis = |a: u8| ["x", "y", "z"].get(usize::from(a)).copied().unwrap_or("?");
    match b {
        Builtin::GlobalId(a) => format!("global.{}", axis(a)),
        Builtin::WorkgroupId(a) => format!("group.{}", axis(a)),
        Builtin::LocalId(a) => format!("local.{}", axis(a)),
        Builtin::LocalIndex => "local_index".into(),
        Builtin::SubgroupId => "subgroup".into(),
        Builtin::SubgroupInvocation => "subgroup_lane".into(),
        Builtin::SubgroupSize => "subgroup_size".into(),
    }
}

fn lower(op: &impl fmt::Debug) -> String {
    format!("{op:?}").to_lowercase()
}

fn packing(p: Packing) -> &'static str {
    match p {
        Packing::Half2 => "_half2",
        Packing::I8x4 => "_i8x4",
        Packing::U8x4 => "_u8x4",
    }
}

fn infix(op: BinaryOp) -> Option<&'static str> {
    Some(match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::Rem => "%",
        BinaryOp::And => "&",
        BinaryOp::Or => "|",
        BinaryOp::Xor => "^",
        BinaryOp::Shl => "<<",
        BinaryOp::Shr => ">>",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::Min | BinaryOp::Max | BinaryOp::Pow => return None,
    })
}
