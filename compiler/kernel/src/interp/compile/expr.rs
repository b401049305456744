//! Expressions: pure ones placed outside of loops, ordered ones where their `Let` is.

use super::super::InterpError;
use super::super::code::*;
use super::{Compiler, Value, kind, matrix_place};
use crate::ir::*;
use std::collections::HashMap;

impl Compiler<'_> {
    pub(super) fn scalar(&mut self, e: ExprId) -> Result<Reg, InterpError> {
        let v = self.vector(e)?;
        match v.n {
            1 => Ok(v.r[0]),
            n => self.error(format!("a vector of {n} where a scalar is needed")),
        }
    }

    pub(super) fn vector(&mut self, e: ExprId) -> Result<Regs, InterpError> {
        match self.value(e)? {
            Value::Vector(r) => Ok(r),
            Value::Matrix(_) => self.error("a matrix where a vector is needed"),
        }
    }

    pub(super) fn matrix(&mut self, e: ExprId) -> Result<Mat, InterpError> {
        match self.value(e)? {
            Value::Matrix(m) => Ok(m),
            Value::Vector(_) => self.error("a vector where a matrix is needed"),
        }
    }

    pub(super) fn coords(&mut self, coords: &[ExprId]) -> Result<Regs, InterpError> {
        let mut v = Vec::new();
        for &c in coords {
            v.push(self.scalar(c)?);
        }
        if v.is_empty() || v.len() > 3 {
            return self.error("an image has 1 to 3 coordinates");
        }
        Ok(Regs::new(&v))
    }

    fn known(&self, e: ExprId) -> Option<Value> {
        let &(scope, value) = self.memo.get(&e)?;
        self.depth_of(scope).map(|_| value)
    }

    /// Computes what `root` needs, operands first, without recursion.
    pub(super) fn value(&mut self, root: ExprId) -> Result<Value, InterpError> {
        let mut todo = vec![(root, false)];
        while let Some((e, ready)) = todo.pop() {
            if self.known(e).is_some() {
                continue;
            }
            let kernel = self.kernel;
            let expr = kernel.expr(e);
            if expr.is_ordered() {
                return self.error(format!("e{} is used before its `let`, or out of scope", e.0));
            }
            if !ready {
                todo.push((e, true));
                expr.operands(|o| todo.push((o, false)));
                continue;
            }
            let depth = self.home(e)?;
            let value = Value::Vector(self.pure(expr, kernel.ty(e), depth)?);
            let scope = self.scopes[depth].id;
            self.memo.insert(e, (scope, value));
        }
        match self.known(root) {
            Some(v) => Ok(v),
            None => self.error("expression without a value"),
        }
    }

    /// Scope to compute a pure expression in: outside of every loop that it does not depend on.
    fn home(&self, e: ExprId) -> Result<usize, InterpError> {
        let mut natural = 0;
        let mut missing = None;
        match self.kernel.expr(e) {
            Expr::LoopIndex(id) => match self.counters.get(id) {
                Some(&(scope, _)) => match self.depth_of(scope) {
                    Some(d) => natural = d,
                    None => missing = Some(*id),
                },
                None => missing = Some(*id),
            },
            other => other.operands(|o| {
                if let Some(d) = self.memo.get(&o).and_then(|&(s, _)| self.depth_of(s)) {
                    natural = natural.max(d);
                }
            }),
        }
        if let Some(id) = missing {
            return self.error(format!("counter of loop {} outside of it", id.0));
        }
        let here = self.here();
        let outer = (natural + 1..=here).find(|&d| self.scopes[d].is_loop);
        Ok(outer.map_or(here, |d| d - 1))
    }

    fn get(&self, e: ExprId) -> Result<Regs, InterpError> {
        match self.known(e) {
            Some(Value::Vector(r)) => Ok(r),
            _ => self.error("a matrix where a vector is needed"),
        }
    }

    fn pure(&mut self, expr: &Expr, ty: Type, depth: usize) -> Result<Regs, InterpError> {
        let Type::Vector(out) = ty else { return self.error("pure matrix expression") };
        let half = out.scalar == Scalar::F16;
        let width = usize::from(out.width);
        Ok(match expr {
            Expr::Lit(l) => {
                let bits = match *l {
                    Lit::F32(b) => b,
                    Lit::F16(b) => half::f16::from_bits(b).to_f32().to_bits(),
                    Lit::I32(v) => v as u32,
                    Lit::U32(v) => v,
                    Lit::Bool(v) => u32::from(v),
                };
                Regs::new(&[self.constant(bits)])
            }
            Expr::Builtin(b) => {
                let r = match self.builtins.get(b) {
                    Some(&r) => r,
                    None => {
                        let uniform = matches!(b, Builtin::WorkgroupId(_) | Builtin::SubgroupSize);
                        let r = self.reg(uniform);
                        self.builtins.insert(*b, r);
                        r
                    }
                };
                Regs::new(&[r])
            }
            Expr::LoopIndex(id) => Regs::new(&[self.counters[id].1]),
            Expr::Unary(op, a) => {
                let a_kind = kind(self.kernel.ty(*a).vector().scalar);
                self.map(&[*a], width, half, depth, |d, s| Op::Unary {
                    op: *op,
                    kind: a_kind,
                    d,
                    a: s[0],
                })?
            }
            Expr::Binary(op, a, b) => {
                let k = kind(self.kernel.ty(*a).vector().scalar);
                self.map(&[*a, *b], width, half, depth, |d, s| Op::Binary {
                    op: *op,
                    kind: k,
                    d,
                    a: s[0],
                    b: s[1],
                })?
            }
            Expr::Fma(a, b, c) if out.scalar.is_float() => {
                self.map(&[*a, *b, *c], width, half, depth, |d, s| Op::Fma {
                    d,
                    a: s[0],
                    b: s[1],
                    c: s[2],
                })?
            }
            Expr::Fma(a, b, c) => {
                let k = kind(out.scalar);
                let m = self.map(&[*a, *b], width, false, depth, |d, s| Op::Binary {
                    op: BinaryOp::Mul,
                    kind: k,
                    d,
                    a: s[0],
                    b: s[1],
                })?;
                let c = self.get(*c)?;
                self.lanes(
                    width,
                    false,
                    depth,
                    |i| vec![m.r[i], c.r[i]],
                    |d, s| Op::Binary { op: BinaryOp::Add, kind: k, d, a: s[0], b: s[1] },
                )
            }
            Expr::Select { cond, yes, no } => {
                self.map(&[*cond, *yes, *no], width, false, depth, |d, s| Op::Select {
                    d,
                    cond: s[0],
                    yes: s[1],
                    no: s[2],
                })?
            }
            Expr::Cast(to, a) => {
                let from = self.kernel.ty(*a).vector().scalar;
                if from == *to || (from, *to) == (Scalar::F16, Scalar::F32) {
                    self.get(*a)?
                } else {
                    let (from, to) = (kind(from), kind(*to));
                    let cast = |d, s: &[Reg]| match (from, to) {
                        (Kind::F, Kind::F) => Op::Round { d, a: s[0] },
                        _ => Op::Cast { from, to, d, a: s[0] },
                    };
                    let round = half && from != Kind::F;
                    self.map(&[*a], width, round, depth, cast)?
                }
            }
            Expr::Bitcast(_, a) => self.get(*a)?,
            Expr::Splat(n, a) => {
                let a = self.get(*a)?.r[0];
                Regs::new(&vec![a; usize::from(*n).min(4)])
            }
            Expr::Compose(parts) => {
                let mut v = Vec::new();
                for p in parts {
                    v.push(self.get(*p)?.r[0]);
                }
                if v.len() > 4 {
                    return self.error("a vector of more than four");
                }
                Regs::new(&v)
            }
            Expr::Extract(a, lane) => Regs::new(&[self.get(*a)?.r[usize::from(*lane).min(3)]]),
            Expr::ExtractDynamic(a, lane) => {
                let (parts, index) = (self.get(*a)?, self.get(*lane)?.r[0]);
                let uniform = index.uniform && parts.as_slice().iter().all(|r| r.uniform);
                let d = self.reg(uniform);
                self.emit(depth, Op::Pick { d, parts, index });
                Regs::new(&[d])
            }
            Expr::Dot(a, b) => {
                let (a, b) = (self.get(*a)?, self.get(*b)?);
                let mut acc = None;
                for i in 0..usize::from(a.n) {
                    let (x, y) = (a.r[i], b.r[i]);
                    let next = self.lanes(
                        1,
                        half,
                        depth,
                        |_| acc.map_or(vec![x, y], |c| vec![x, y, c]),
                        |d, s| match *s {
                            [a, b, c] => Op::Fma { d, a, b, c },
                            _ => {
                                let (op, kind) = (BinaryOp::Mul, Kind::F);
                                Op::Binary { op, kind, d, a: s[0], b: s[1] }
                            }
                        },
                    );
                    acc = Some(next.r[0]);
                }
                match acc {
                    Some(r) => Regs::new(&[r]),
                    None => return self.error("dot product of nothing"),
                }
            }
            Expr::Dot4 { signed, a, b, acc } => {
                self.map(&[*a, *b, *acc], 1, false, depth, |d, s| Op::Dot4 {
                    signed: *signed,
                    d,
                    a: s[0],
                    b: s[1],
                    acc: s[2],
                })?
            }
            Expr::Unpack(packing, a) => {
                let a = self.get(*a)?.r[0];
                let d: Vec<Reg> = (0..width).map(|_| self.reg(a.uniform)).collect();
                let d = Regs::new(&d);
                self.emit(depth, Op::Unpack { packing: *packing, d, a });
                d
            }
            Expr::Pack(packing, a) => {
                let a = self.get(*a)?;
                let d = self.reg(a.as_slice().iter().all(|r| r.uniform));
                self.emit(depth, Op::Pack { packing: *packing, d, a });
                Regs::new(&[d])
            }
            other => return self.error(format!("{other:?} is not pure")),
        })
    }

    /// One operation per component; scalar operands repeat.
    fn map(
        &mut self,
        operands: &[ExprId],
        width: usize,
        half: bool,
        depth: usize,
        op: impl Fn(Reg, &[Reg]) -> Op,
    ) -> Result<Regs, InterpError> {
        let mut regs = Vec::new();
        for &o in operands {
            regs.push(self.get(o)?);
        }
        let pick = |i: usize| regs.iter().map(|r| if r.n == 1 { r.r[0] } else { r.r[i] }).collect();
        Ok(self.lanes(width, half, depth, pick, op))
    }

    fn lanes(
        &mut self,
        width: usize,
        half: bool,
        depth: usize,
        sources: impl Fn(usize) -> Vec<Reg>,
        op: impl Fn(Reg, &[Reg]) -> Op,
    ) -> Regs {
        let mut out: Vec<Reg> = Vec::new();
        let mut done: HashMap<Vec<(u32, bool)>, Reg> = HashMap::new();
        for i in 0..width.min(4) {
            let s = sources(i);
            let key: Vec<_> = s.iter().map(|r| (r.at, r.uniform)).collect();
            // splat operands: the components are one value
            if let Some(&r) = done.get(&key) {
                out.push(r);
                continue;
            }
            let uniform = s.iter().all(|r| r.uniform);
            let mut d = self.reg(uniform);
            self.emit(depth, op(d, &s));
            if half {
                let a = d;
                d = self.reg(uniform);
                self.emit(depth, Op::Round { d, a });
            }
            done.insert(key, d);
            out.push(d);
        }
        Regs::new(&out)
    }

    fn new_regs(&mut self, width: u8, uniform: bool) -> Regs {
        let v: Vec<Reg> = (0..width.min(4)).map(|_| self.reg(uniform)).collect();
        Regs::new(&v)
    }

    /// The expression of a `Let`, evaluated here.
    pub(super) fn ordered(&mut self, e: ExprId) -> Result<Value, InterpError> {
        let kernel = self.kernel;
        let here = self.here();
        let ty = kernel.ty(e);
        let width = match ty {
            Type::Vector(v) => v.width,
            Type::Matrix(_) => 0,
        };
        Ok(match kernel.expr(e) {
            Expr::Var { var, index } => {
                let reg = self.vars[var.0 as usize];
                let decl = &kernel.vars[var.0 as usize];
                let at = match index {
                    Some(i) => Some((self.scalar(*i)?, *i)),
                    None => None,
                };
                match (self.element(reg, decl, at), decl.ty) {
                    (Some(at), ty) if self.lifetimes.shared.contains(&e) => match ty {
                        Type::Matrix(m) => {
                            let (rows, cols) = (m.rows, m.cols);
                            Value::Matrix(Mat { reg: at, rows, cols, component: m.component })
                        }
                        Type::Vector(v) => {
                            let own = |k| Reg { at: at.at + k * self.lane_blocks, uniform: false };
                            let regs: Vec<Reg> = (0..u32::from(v.width)).map(own).collect();
                            Value::Vector(Regs::new(&regs))
                        }
                    },
                    (Some(at), Type::Matrix(m)) => {
                        let d = self.mat(m);
                        self.emit(here, Op::MatrixCopy { d, a: Mat { reg: at, ..d } });
                        Value::Matrix(d)
                    }
                    (None, Type::Matrix(_)) => {
                        return self.error("matrix arrays take literal indices");
                    }
                    (Some(at), Type::Vector(v)) => {
                        let d = self.new_regs(v.width, false);
                        for (k, &d) in (0u32..).zip(d.as_slice()) {
                            let a = Reg { at: at.at + k * self.lane_blocks, uniform: false };
                            self.emit(here, Op::Copy { d, a });
                        }
                        Value::Vector(d)
                    }
                    (None, Type::Vector(v)) => {
                        let Some((index, _)) = at else {
                            return self.error("an array variable is read without an index");
                        };
                        let d = self.new_regs(v.width, false);
                        let (len, var) = (decl.len, var.0);
                        self.emit(here, Op::GetArray { array: reg, len, var, d, index });
                        Value::Vector(d)
                    }
                }
            }
            Expr::Shared { shared, index } => {
                let index = self.scalar(*index)?;
                let d = self.new_regs(width, index.uniform);
                self.emit(here, Op::LoadShared { shared: shared.0, d, index });
                Value::Vector(d)
            }
            Expr::Buffer { binding, index } => {
                let index = self.scalar(*index)?;
                let d = self.new_regs(width, index.uniform);
                self.emit(here, Op::LoadBuffer { binding: binding.0, d, index });
                Value::Vector(d)
            }
            Expr::Image { binding, coords } => {
                let coords = self.coords(coords)?;
                let d = self.new_regs(4, coords.as_slice().iter().all(|c| c.uniform));
                self.emit(here, Op::LoadImage { binding: binding.0, d, coords });
                Value::Vector(d)
            }
            Expr::Tensor { .. } => return self.error("logical load: run `virtualize` first"),
            Expr::Subgroup(op, a) => {
                let a = self.vector(*a)?;
                let kind = kind(ty.vector().scalar);
                let d = self.new_regs(width, false);
                for (&d, &a) in d.as_slice().iter().zip(a.as_slice()) {
                    self.emit(here, Op::Subgroup { op: *op, kind, d, a });
                }
                Value::Vector(d)
            }
            Expr::SubgroupShuffleXor(a, b) | Expr::SubgroupBroadcast(a, b) => {
                let (a, b) = (self.vector(*a)?, self.scalar(*b)?);
                let d = self.new_regs(width, false);
                for (&d, &a) in d.as_slice().iter().zip(a.as_slice()) {
                    let op = match kernel.expr(e) {
                        Expr::SubgroupShuffleXor(..) => Op::ShuffleXor { d, a, mask: b },
                        _ => Op::Broadcast { d, a, lane: b },
                    };
                    self.emit(here, op);
                }
                Value::Vector(d)
            }
            Expr::MatrixZero(m) => {
                let d = self.mat(*m);
                self.emit(here, Op::MatrixZero { d });
                Value::Matrix(d)
            }
            Expr::MatrixLoad { matrix, from, index, stride, row_major } => {
                let (index, stride) = (self.scalar(*index)?, self.scalar(*stride)?);
                let d = self.mat(*matrix);
                let (from, row_major) = (matrix_place(*from), *row_major);
                self.emit(here, Op::MatrixLoad { d, from, index, stride, row_major });
                Value::Matrix(d)
            }
            Expr::MatrixMulAdd { a, b, c } => {
                let (a, b, c) = (self.matrix(*a)?, self.matrix(*b)?, self.matrix(*c)?);
                let Type::Matrix(m) = ty else { return self.error("matrix product of a vector") };
                if a.cols != b.rows || (a.rows, b.cols) != (c.rows, c.cols) {
                    return self.error("matrices of shapes that do not multiply");
                }
                let d = self.mat(m);
                self.emit(here, Op::MatrixMulAdd { d, a, b, c });
                Value::Matrix(d)
            }
            Expr::MatrixScaleAdd { product, scale, sum } => {
                let (product, scale) = (self.matrix(*product)?, self.matrix(*scale)?);
                let sum = self.matrix(*sum)?;
                let Type::Matrix(m) = ty else { return self.error("matrix sum of a vector") };
                let d = self.mat(m);
                self.emit(here, Op::MatrixScaleAdd { d, product, scale, sum });
                Value::Matrix(d)
            }
            other => return self.error(format!("`let` of a pure expression {other:?}")),
        })
    }
}
