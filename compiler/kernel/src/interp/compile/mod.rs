//! Kernel IR -> interpreter code.
//!
//! Pure expressions are placed outside of every loop that they do not depend on, and computed once
//! per scope. Vectors become one register per component, so that composing and extracting cost
//! nothing.

mod expr;
mod lifetimes;

use super::code::*;
use super::registers;
use super::{InterpError, Options};
use crate::any_stmt;
use crate::ir::*;
use std::collections::HashMap;

/// A kernel ready to run.
#[derive(Debug)]
pub struct Program {
    pub(super) kernel: Kernel,
    pub(super) code: Vec<Op>,
    /// Blocks of the register file.
    pub(super) blocks: u32,
    /// Values that never change: (first block, uniform value).
    pub(super) constants: Vec<(Reg, u32)>,
    pub(super) builtins: Vec<(Reg, Builtin)>,
    /// Blocks [0, n) hold variables.
    pub(super) var_blocks: u32,
    pub(super) invocations: u32,
    pub(super) subgroup_size: u32,
    pub(super) shared_at: Vec<u32>,
    pub(super) shared_words: u32,
}

/// What an expression became.
#[derive(Clone, Copy, Debug)]
enum Value {
    Vector(Regs),
    Matrix(Mat),
}

struct Scope {
    id: u32,
    is_loop: bool,
    code: Vec<Op>,
}

struct Compiler<'k> {
    kernel: &'k Kernel,
    scopes: Vec<Scope>,
    next_scope: u32,
    memo: HashMap<ExprId, (u32, Value)>,
    constants: HashMap<u32, Reg>,
    builtins: HashMap<Builtin, Reg>,
    vars: Vec<Reg>,
    counters: HashMap<LoopId, (u32, Reg)>,
    next: u32,
    lane_blocks: u32,
    subgroups: u32,
    lifetimes: lifetimes::Lifetimes,
}

/// Compiles a physical kernel (no logical tensor accesses left).
pub fn compile(kernel: &Kernel, options: &Options) -> Result<Program, InterpError> {
    let fail = |what: &str| InterpError::new(kernel, what);
    let [x, y, z] = kernel.workgroup_size.map(u64::from);
    let invocations = x * y * z;
    if invocations == 0 || invocations > 4096 {
        return Err(fail("a workgroup has 1 to 4096 invocations"));
    }
    let subgroup_size = match kernel.subgroup_size {
        0 => options.subgroup_size.max(1),
        n => n,
    };
    let invocations = invocations as u32;
    let mut c = Compiler {
        kernel,
        scopes: vec![Scope { id: 0, is_loop: false, code: Vec::new() }],
        next_scope: 1,
        memo: HashMap::new(),
        constants: HashMap::new(),
        builtins: HashMap::new(),
        vars: Vec::new(),
        counters: HashMap::new(),
        next: 0,
        lane_blocks: invocations.div_ceil(W as u32),
        subgroups: invocations.div_ceil(subgroup_size),
        lifetimes: lifetimes::lifetimes(kernel),
    };
    for v in &kernel.vars {
        let at = c.next;
        let each = match v.ty {
            Type::Vector(v) => u32::from(v.width) * c.lane_blocks,
            Type::Matrix(m) => c.matrix_blocks(m.rows, m.cols),
        };
        c.next = at
            .checked_add(each.checked_mul(v.len.max(1)).ok_or_else(|| fail("huge variable"))?)
            .filter(|&n| n < 1 << 22)
            .ok_or_else(|| fail("private variables take more than 256 MiB"))?;
        c.vars.push(Reg { at, uniform: false });
    }
    let var_blocks = c.next;
    c.block(&kernel.body)?;
    let code = c.scopes.pop().map(|s| s.code).unwrap_or_default();
    let mut shared_at = Vec::new();
    let mut shared_words = 0u32;
    for s in &kernel.shared {
        shared_at.push(shared_words);
        shared_words = s
            .len
            .checked_mul(u32::from(s.elem.width))
            .and_then(|n| n.checked_add(shared_words))
            .filter(|&n| n < 1 << 26)
            .ok_or_else(|| fail("workgroup memory takes more than 256 MiB"))?;
    }
    let mut program = Program {
        kernel: kernel.clone(),
        code,
        blocks: c.next,
        constants: c.constants.iter().map(|(&v, &r)| (r, v)).collect(),
        builtins: c.builtins.iter().map(|(&b, &r)| (r, b)).collect(),
        var_blocks,
        invocations,
        subgroup_size,
        shared_at,
        shared_words,
    };
    registers::assign(&mut program, c.lane_blocks, c.subgroups);
    Ok(program)
}

fn kind(s: Scalar) -> Kind {
    match s {
        Scalar::F32 | Scalar::F16 => Kind::F,
        Scalar::I32 => Kind::I,
        Scalar::U32 => Kind::U,
        Scalar::Bool => Kind::B,
    }
}

impl Compiler<'_> {
    fn error<T>(&self, what: impl std::fmt::Display) -> Result<T, InterpError> {
        Err(InterpError::new(self.kernel, what))
    }

    fn matrix_blocks(&self, rows: u32, cols: u32) -> u32 {
        registers::matrix_blocks(rows, cols, self.subgroups)
    }

    fn reg(&mut self, uniform: bool) -> Reg {
        let at = self.next;
        self.next += if uniform { 1 } else { self.lane_blocks };
        Reg { at, uniform }
    }

    fn mat(&mut self, m: Matrix) -> Mat {
        let at = self.next;
        self.next += self.matrix_blocks(m.rows, m.cols);
        let reg = Reg { at, uniform: false };
        Mat { reg, rows: m.rows, cols: m.cols, component: m.component }
    }

    fn constant(&mut self, v: u32) -> Reg {
        if let Some(&r) = self.constants.get(&v) {
            return r;
        }
        let r = self.reg(true);
        self.constants.insert(v, r);
        r
    }

    fn emit(&mut self, depth: usize, op: Op) {
        self.scopes[depth].code.push(op);
    }

    fn here(&self) -> usize {
        self.scopes.len() - 1
    }

    fn depth_of(&self, scope: u32) -> Option<usize> {
        self.scopes.iter().position(|s| s.id == scope)
    }

    fn scoped(&mut self, is_loop: bool, block: &Block) -> Result<Vec<Op>, InterpError> {
        let id = self.next_scope;
        self.next_scope += 1;
        self.scopes.push(Scope { id, is_loop, code: Vec::new() });
        self.block(block)?;
        Ok(self.scopes.pop().map(|s| s.code).unwrap_or_default())
    }

    fn block(&mut self, block: &Block) -> Result<(), InterpError> {
        block.iter().try_for_each(|s| self.stmt(s))
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), InterpError> {
        let here = self.here();
        match stmt {
            Stmt::Let(e) => {
                let value = self.ordered(*e)?;
                let scope = self.scopes[here].id;
                self.memo.insert(*e, (scope, value));
            }
            Stmt::SetVar { var, index, value } => {
                let v = self.value(*value)?;
                let reg = self.vars[var.0 as usize];
                let decl = &self.kernel.vars[var.0 as usize];
                let index = match index {
                    Some(i) => Some(self.scalar(*i)?),
                    None => None,
                };
                match v {
                    Value::Matrix(a) => {
                        let Some(at) = self.element(reg, decl, index.zip(stmt_index(stmt))) else {
                            return self.error("matrix arrays take literal indices");
                        };
                        let d = Mat { reg: at, ..a };
                        self.emit(here, Op::MatrixCopy { d, a });
                    }
                    Value::Vector(a) => {
                        match self.element(reg, decl, index.zip(stmt_index(stmt))) {
                            Some(at) => self.set_element(at, a, *value),
                            None => {
                                let (len, var) = (decl.len, var.0);
                                let Some(index) = index else {
                                    return self.error("an array variable is set without an index");
                                };
                                self.emit(here, Op::SetArray { array: reg, len, var, a, index });
                            }
                        }
                    }
                }
            }
            Stmt::StoreShared { shared, index, value } => {
                let (index, a) = (self.scalar(*index)?, self.vector(*value)?);
                self.emit(here, Op::StoreShared { shared: shared.0, a, index });
            }
            Stmt::StoreBuffer { binding, index, value } => {
                let (index, a) = (self.scalar(*index)?, self.vector(*value)?);
                self.emit(here, Op::StoreBuffer { binding: binding.0, a, index });
            }
            Stmt::StoreImage { binding, coords, value } => {
                let coords = self.coords(coords)?;
                let a = self.vector(*value)?;
                self.emit(here, Op::StoreImage { binding: binding.0, a, coords });
            }
            Stmt::StoreTensor { .. } | Stmt::Await(_) => {
                return self.error("logical statement: run `virtualize` first");
            }
            Stmt::If { cond, yes, no } => {
                let cond = self.scalar(*cond)?;
                let yes = self.scoped(false, yes)?;
                let no = self.scoped(false, no)?;
                self.emit(here, Op::If { cond, yes, no });
            }
            Stmt::For { id, from, to, step, body, .. } => {
                let (from, to) = (self.scalar(*from)?, self.scalar(*to)?);
                let counter = self.reg(from.uniform);
                let scope = self.next_scope;
                self.counters.insert(*id, (scope, counter));
                let leaves = any_stmt(body, |s| matches!(s, Stmt::Break | Stmt::Return));
                let body = self.scoped(true, body)?;
                let step = (*step).max(1);
                self.emit(here, Op::For { counter, from, to, step, body, leaves });
            }
            Stmt::Break => self.emit(here, Op::Break),
            Stmt::Return => self.emit(here, Op::Return),
            Stmt::Barrier => self.emit(here, Op::Barrier),
            Stmt::StoreMatrix { value, to, index, stride, row_major } => {
                let Value::Matrix(a) = self.value(*value)? else {
                    return self.error("a vector is stored as a matrix");
                };
                let (index, stride) = (self.scalar(*index)?, self.scalar(*stride)?);
                let to = matrix_place(*to);
                let row_major = *row_major;
                self.emit(here, Op::MatrixStore { a, to, index, stride, row_major });
            }
        }
        Ok(())
    }

    /// Writes a vector to the registers of a variable, `at` the first.
    fn set_element(&mut self, at: Reg, mut a: Regs, value: ExprId) {
        let here = self.here();
        let n = usize::from(a.n);
        let lane_blocks = self.lane_blocks;
        let target = |k: usize| Reg { at: at.at + k as u32 * lane_blocks, uniform: false };
        // components of the variable itself in another order must not be overwritten on the way
        for k in 0..n {
            let r = a.r[k];
            if r != target(k) && (0..n).any(|j| r == target(j)) {
                let d = self.reg(false);
                self.emit(here, Op::Copy { d, a: r });
                a.r[k] = d;
            }
        }
        // the operations that made the value write it into the variable, if nobody else wants it
        if self.lifetimes.uses[value.0 as usize] == 1 {
            let code = &mut self.scopes[here].code;
            let from = code.len().saturating_sub(n);
            let apart = code[from..].iter_mut().enumerate().all(|(k, op)| {
                let made = match *op {
                    Op::Unary { d, .. }
                    | Op::Binary { d, .. }
                    | Op::Fma { d, .. }
                    | Op::Select { d, .. }
                    | Op::Round { d, .. }
                    | Op::Cast { d, .. } => d == a.r[k],
                    _ => false,
                };
                // a component may not read what an earlier one has just written
                let mut fresh = true;
                op.regs(|r, written| fresh &= written || (0..k).all(|j| *r != target(j)));
                made && fresh
            });
            if apart && code.len() - from == n {
                for (k, via) in code.split_off(from).into_iter().enumerate() {
                    let d = target(k);
                    let mut direct = via.clone();
                    direct.regs(|r, written| {
                        if written {
                            *r = d;
                        }
                    });
                    code.push(Op::Into { ops: Box::new([direct, via]), d, temp: a.r[k] });
                }
                return;
            }
        }
        for (k, &a) in a.as_slice().iter().enumerate() {
            let d = target(k);
            if d != a {
                self.emit(here, Op::Set { d, a });
            }
        }
    }

    /// First register of a variable, or of an array's element whose index is a literal.
    fn element(&self, reg: Reg, decl: &Var, index: Option<(Reg, ExprId)>) -> Option<Reg> {
        let Some((_, index)) = index else {
            return (decl.len == 0).then_some(reg);
        };
        let Expr::Lit(Lit::U32(i)) = *self.kernel.expr(index) else { return None };
        if i >= decl.len.max(1) {
            return None; // reported when it runs
        }
        let each = match decl.ty {
            Type::Vector(v) => u32::from(v.width) * self.lane_blocks,
            Type::Matrix(m) => self.matrix_blocks(m.rows, m.cols),
        };
        Some(Reg { at: reg.at + i * each, uniform: false })
    }
}

fn stmt_index(stmt: &Stmt) -> Option<ExprId> {
    match stmt {
        Stmt::SetVar { index, .. } => *index,
        _ => None,
    }
}

fn matrix_place(p: MatrixPlace) -> Place {
    match p {
        MatrixPlace::Shared(s) => Place::Shared(s.0),
        MatrixPlace::Buffer(b) => Place::Buffer(b.0),
    }
}
