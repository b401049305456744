//! Cooperative matrices of 16x16 as blocks of 8x8, for languages that have no others (MSL). Loads and
//! stores become one for each block; a product becomes, for each block of the result, a chain of
//! products along the inner side.

use crate::ir::*;
use std::collections::HashMap;

/// Rows and columns of a block.
const SIDE: u32 = 8;

/// The kernel with matrices of 8x8 only. One with products of integers, which have no such form, stays
/// as it is.
#[must_use]
pub fn split_matrices(kernel: Kernel) -> Kernel {
    let matrices = || {
        kernel.types.iter().filter_map(|ty| match ty {
            Type::Matrix(m) => Some(m),
            Type::Vector(_) => None,
        })
    };
    let integer = |m: &Matrix| matches!(m.component, Component::I8 | Component::I32);
    if matrices().any(integer) || !matrices().any(is_split) {
        return kernel;
    }
    let mut split = Split { kernel, blocks: HashMap::new(), vars: HashMap::new() };
    let body = std::mem::take(&mut split.kernel.body);
    split.kernel.body = split.block(body);
    crate::compact::compact(split.kernel)
}

fn is_split(m: &Matrix) -> bool {
    let sides = |n: u32| n.is_multiple_of(SIDE);
    let large = m.rows > SIDE || m.cols > SIDE;
    large
        && sides(m.rows)
        && sides(m.cols)
        && matches!(m.component, Component::F16 | Component::F32)
}

/// Rows and columns of blocks.
fn grid(m: &Matrix) -> (u32, u32) {
    (m.rows / SIDE, m.cols / SIDE)
}

struct Split {
    kernel: Kernel,
    /// The blocks of each matrix that was evaluated, row by row.
    blocks: HashMap<ExprId, Vec<ExprId>>,
    /// The variables of the blocks of a variable.
    vars: HashMap<VarId, Vec<VarId>>,
}

impl Split {
    fn matrix(&self, e: ExprId) -> Option<Matrix> {
        match self.kernel.ty(e) {
            Type::Matrix(m) if is_split(&m) => Some(m),
            _ => None,
        }
    }

    fn block(&mut self, block: Block) -> Block {
        let mut out = Vec::with_capacity(block.len());
        for stmt in block {
            self.stmt(stmt, &mut out);
        }
        out
    }

    fn stmt(&mut self, stmt: Stmt, out: &mut Block) {
        match stmt {
            Stmt::Let(e) if self.matrix(e).is_some() => self.evaluate(e, out),
            Stmt::SetVar { var, index, value } if self.matrix(value).is_some() => {
                let vars = self.variables(var);
                for (var, value) in vars.into_iter().zip(self.blocks[&value].clone()) {
                    out.push(Stmt::SetVar { var, index, value });
                }
            }
            Stmt::StoreMatrix { value, to, index, stride, row_major } => {
                let Some(m) = self.matrix(value) else {
                    return out.push(Stmt::StoreMatrix { value, to, index, stride, row_major });
                };
                let blocks = self.blocks[&value].clone();
                for (at, value) in blocks.into_iter().enumerate() {
                    let index = self.place(&m, at as u32, to, index, stride, row_major);
                    out.push(Stmt::StoreMatrix { value, to, index, stride, row_major });
                }
            }
            Stmt::If { cond, yes, no } => {
                let (yes, no) = (self.block(yes), self.block(no));
                out.push(Stmt::If { cond, yes, no });
            }
            Stmt::For { id, from, to, step, body, unroll } => {
                let body = self.block(body);
                out.push(Stmt::For { id, from, to, step, body, unroll });
            }
            other => out.push(other),
        }
    }

    /// Evaluates the blocks of a matrix instead of it.
    fn evaluate(&mut self, e: ExprId, out: &mut Block) {
        let Some(m) = self.matrix(e) else { return };
        let (rows, cols) = grid(&m);
        let part = Matrix { rows: SIDE, cols: SIDE, ..m };
        let mut blocks = Vec::with_capacity((rows * cols) as usize);
        for at in 0..rows * cols {
            let expr = match self.kernel.expr(e).clone() {
                Expr::MatrixLoad { from, index, stride, row_major, .. } => {
                    let index = self.place(&m, at, from, index, stride, row_major);
                    Expr::MatrixLoad { matrix: part, from, index, stride, row_major }
                }
                Expr::Var { var, index } => {
                    Expr::Var { var: self.variables(var)[at as usize], index }
                }
                Expr::MatrixMulAdd { a, b, c } => {
                    let (row, col) = (at / cols, at % cols);
                    let inner = self.matrix(a).map_or(1, |a| grid(&a).1);
                    let mut sum = self.blocks[&c][at as usize];
                    for k in 0..inner {
                        let a = self.blocks[&a][(row * inner + k) as usize];
                        let b = self.blocks[&b][(k * cols + col) as usize];
                        let next = Expr::MatrixMulAdd { a, b, c: sum };
                        sum = self.add(next, Type::Matrix(part));
                        out.push(Stmt::Let(sum));
                    }
                    blocks.push(sum);
                    continue;
                }
                // zeros, the only other matrices of floats
                _ => Expr::MatrixZero(part),
            };
            let block = self.add(expr, Type::Matrix(part));
            out.push(Stmt::Let(block));
            blocks.push(block);
        }
        self.blocks.insert(e, blocks);
    }

    /// Where block `at` of a matrix that lies at `index` starts.
    fn place(
        &mut self,
        m: &Matrix,
        at: u32,
        array: MatrixPlace,
        index: ExprId,
        stride: ExprId,
        row_major: bool,
    ) -> ExprId {
        let cols = grid(m).1;
        let (row, col) = (at / cols * SIDE, at % cols * SIDE);
        let (lines, along) = if row_major { (row, col) } else { (col, row) };
        let scalar = match array {
            MatrixPlace::Shared(s) => self.kernel.shared[s.0 as usize].elem.scalar,
            MatrixPlace::Buffer(b) => match self.kernel.bindings[b.0 as usize].ty {
                BindingType::Buffer { elem, .. } => elem.scalar,
                BindingType::Image { .. } => Scalar::F32, // matrices lie in arrays only
            },
        };
        let along = along / m.component.in_one(scalar).unwrap_or(1);
        let skipped = match *self.kernel.expr(stride) {
            Expr::Lit(Lit::U32(stride)) => self.number(lines * stride + along),
            _ => {
                let lines = self.number(lines);
                let lines = self.sum(BinaryOp::Mul, stride, lines);
                let along = self.number(along);
                self.sum(BinaryOp::Add, lines, along)
            }
        };
        match (self.kernel.expr(index), self.kernel.expr(skipped)) {
            (_, Expr::Lit(Lit::U32(0))) => index,
            (Expr::Lit(Lit::U32(a)), Expr::Lit(Lit::U32(b))) => self.number(a + b),
            _ => self.sum(BinaryOp::Add, index, skipped),
        }
    }

    fn number(&mut self, n: u32) -> ExprId {
        self.add(Expr::Lit(Lit::U32(n)), Type::scalar(Scalar::U32))
    }

    fn sum(&mut self, op: BinaryOp, a: ExprId, b: ExprId) -> ExprId {
        self.add(Expr::Binary(op, a, b), Type::scalar(Scalar::U32))
    }

    fn add(&mut self, expr: Expr, ty: Type) -> ExprId {
        let k = &mut self.kernel;
        if k.max.len() == k.exprs.len() {
            k.max.push(None);
        }
        k.exprs.push(expr);
        k.types.push(ty);
        ExprId(k.exprs.len() as u32 - 1)
    }

    /// The variables that stand for one of matrices; the first of them takes its place.
    fn variables(&mut self, var: VarId) -> Vec<VarId> {
        if let Some(vars) = self.vars.get(&var) {
            return vars.clone();
        }
        let declared = self.kernel.vars[var.0 as usize].clone();
        let Type::Matrix(m) = declared.ty else { return vec![var] };
        let (rows, cols) = grid(&m);
        let ty = Type::Matrix(Matrix { rows: SIDE, cols: SIDE, ..m });
        self.kernel.vars[var.0 as usize].ty = ty;
        let mut vars = vec![var];
        for _ in 1..rows * cols {
            vars.push(VarId(self.kernel.vars.len() as u32));
            self.kernel.vars.push(Var { ty, ..declared.clone() });
        }
        self.vars.insert(var, vars.clone());
        vars
    }
}
