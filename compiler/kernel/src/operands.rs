//! Operands of expressions and statements, to look at and to change.

use crate::ir::*;

impl Expr {
    /// Calls `f` on every operand.
    pub fn operands(&self, mut f: impl FnMut(ExprId)) {
        match self {
            Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_) | Expr::MatrixZero(_) => {}
            Expr::Unary(_, a)
            | Expr::Cast(_, a)
            | Expr::Bitcast(_, a)
            | Expr::Splat(_, a)
            | Expr::Extract(a, _)
            | Expr::Unpack(_, a)
            | Expr::Pack(_, a)
            | Expr::Subgroup(_, a) => f(*a),
            Expr::Binary(_, a, b)
            | Expr::ExtractDynamic(a, b)
            | Expr::Dot(a, b)
            | Expr::SubgroupShuffleXor(a, b)
            | Expr::SubgroupBroadcast(a, b) => {
                f(*a);
                f(*b);
            }
            Expr::Fma(a, b, c)
            | Expr::Select { cond: a, yes: b, no: c }
            | Expr::MatrixMulAdd { a, b, c }
            | Expr::MatrixScaleAdd { product: a, scale: b, sum: c }
            | Expr::Dot4 { a, b, acc: c, .. } => {
                f(*a);
                f(*b);
                f(*c);
            }
            Expr::Compose(v) | Expr::Image { coords: v, .. } | Expr::Tensor { coords: v, .. } => {
                v.iter().copied().for_each(f);
            }
            Expr::Var { index, .. } => {
                if let Some(i) = index {
                    f(*i);
                }
            }
            Expr::Shared { index, .. } | Expr::Buffer { index, .. } => f(*index),
            Expr::MatrixLoad { index, stride, .. } => {
                f(*index);
                f(*stride);
            }
        }
    }
}

impl Expr {
    /// The same expression on other operands.
    #[must_use]
    pub fn map_operands(mut self, mut f: impl FnMut(ExprId) -> ExprId) -> Expr {
        self.operands_mut(|o| *o = f(*o));
        self
    }

    fn operands_mut(&mut self, mut f: impl FnMut(&mut ExprId)) {
        match self {
            Expr::Lit(_) | Expr::Builtin(_) | Expr::LoopIndex(_) | Expr::MatrixZero(_) => {}
            Expr::Unary(_, a)
            | Expr::Cast(_, a)
            | Expr::Bitcast(_, a)
            | Expr::Splat(_, a)
            | Expr::Extract(a, _)
            | Expr::Unpack(_, a)
            | Expr::Pack(_, a)
            | Expr::Subgroup(_, a) => f(a),
            Expr::Binary(_, a, b)
            | Expr::ExtractDynamic(a, b)
            | Expr::Dot(a, b)
            | Expr::SubgroupShuffleXor(a, b)
            | Expr::SubgroupBroadcast(a, b) => {
                f(a);
                f(b);
            }
            Expr::Fma(a, b, c)
            | Expr::Select { cond: a, yes: b, no: c }
            | Expr::MatrixMulAdd { a, b, c }
            | Expr::MatrixScaleAdd { product: a, scale: b, sum: c }
            | Expr::Dot4 { a, b, acc: c, .. } => {
                f(a);
                f(b);
                f(c);
            }
            Expr::Compose(v) | Expr::Image { coords: v, .. } | Expr::Tensor { coords: v, .. } => {
                v.iter_mut().for_each(f);
            }
            Expr::Var { index, .. } => {
                if let Some(i) = index {
                    f(i);
                }
            }
            Expr::Shared { index, .. } | Expr::Buffer { index, .. } => f(index),
            Expr::MatrixLoad { index, stride, .. } => {
                f(index);
                f(stride);
            }
        }
    }
}

impl Stmt {
    /// Calls `f` on every operand, those of nested blocks not included.
    pub fn operands(&self, mut f: impl FnMut(ExprId)) {
        match self {
            Stmt::Let(e) => f(*e),
            Stmt::SetVar { index, value, .. } => {
                index.iter().for_each(|i| f(*i));
                f(*value);
            }
            Stmt::StoreShared { index, value, .. } | Stmt::StoreBuffer { index, value, .. } => {
                f(*index);
                f(*value);
            }
            Stmt::StoreImage { coords, value, .. } | Stmt::StoreTensor { coords, value, .. } => {
                coords.iter().for_each(|c| f(*c));
                f(*value);
            }
            Stmt::If { cond, .. } => f(*cond),
            Stmt::For { from, to, .. } => {
                f(*from);
                f(*to);
            }
            Stmt::StoreMatrix { value, index, stride, .. } => {
                f(*value);
                f(*index);
                f(*stride);
            }
            Stmt::Await(_) | Stmt::Break | Stmt::Return | Stmt::Barrier => {}
        }
    }

    /// Calls `f` on every operand to change it, those of nested blocks not included.
    pub fn operands_mut(&mut self, mut f: impl FnMut(&mut ExprId)) {
        match self {
            Stmt::Let(e) => f(e),
            Stmt::SetVar { index, value, .. } => {
                if let Some(i) = index {
                    f(i);
                }
                f(value);
            }
            Stmt::StoreShared { index, value, .. } | Stmt::StoreBuffer { index, value, .. } => {
                f(index);
                f(value);
            }
            Stmt::StoreImage { coords, value, .. } | Stmt::StoreTensor { coords, value, .. } => {
                coords.iter_mut().for_each(&mut f);
                f(value);
            }
            Stmt::If { cond, .. } => f(cond),
            Stmt::For { from, to, .. } => {
                f(from);
                f(to);
            }
            Stmt::StoreMatrix { value, index, stride, .. } => {
                f(value);
                f(index);
                f(stride);
            }
            Stmt::Await(_) | Stmt::Break | Stmt::Return | Stmt::Barrier => {}
        }
    }
}

/// Whether `f` holds for a statement of a block or of a block in it.
pub fn any_stmt(block: &[Stmt], f: impl Fn(&Stmt) -> bool + Copy) -> bool {
    block.iter().any(|s| {
        f(s) || match s {
            Stmt::If { yes, no, .. } => any_stmt(yes, f) || any_stmt(no, f),
            Stmt::For { body, .. } | Stmt::Await(body) => any_stmt(body, f),
            _ => false,
        }
    })
}
