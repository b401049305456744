//! Handles of private variables and workgroup arrays.

use super::{Builder, E, IntoExpr};
use crate::ir::*;

/// A variable. `get` reads it here and now.
#[derive(Clone, Copy, Debug)]
pub struct V<'b> {
    pub id: VarId,
    pub(super) ty: Type,
    pub(super) b: &'b Builder,
}

impl<'b> V<'b> {
    pub fn get(self) -> E<'b> {
        self.b.ordered(Expr::Var { var: self.id, index: None }, self.ty)
    }
    pub fn set(self, value: impl IntoExpr<'b>) {
        let value = value.into_expr(self.b, self.ty);
        assert_eq!(value.ty(), self.ty, "variable set to another type");
        self.b.stmt(Stmt::SetVar { var: self.id, index: None, value: value.id });
    }
    /// Element of an array variable.
    pub fn at(self, index: impl IntoExpr<'b>) -> E<'b> {
        let index = Some(index.into_expr(self.b, U32).id);
        self.b.ordered(Expr::Var { var: self.id, index }, self.ty)
    }
    pub fn set_at(self, index: impl IntoExpr<'b>, value: E<'b>) {
        let index = Some(index.into_expr(self.b, U32).id);
        self.b.stmt(Stmt::SetVar { var: self.id, index, value: value.id });
    }
}

/// A workgroup-memory array.
#[derive(Clone, Copy, Debug)]
pub struct S<'b> {
    pub id: SharedId,
    pub(super) elem: Vector,
    pub(super) b: &'b Builder,
}

impl<'b> S<'b> {
    pub fn load(self, index: impl IntoExpr<'b>) -> E<'b> {
        let index = index.into_expr(self.b, U32).id;
        self.b.ordered(Expr::Shared { shared: self.id, index }, Type::Vector(self.elem))
    }
    pub fn store(self, index: impl IntoExpr<'b>, value: E<'b>) {
        assert_eq!(value.ty(), Type::Vector(self.elem), "workgroup memory holds another type");
        let index = index.into_expr(self.b, U32).id;
        self.b.stmt(Stmt::StoreShared { shared: self.id, index, value: value.id });
    }
    /// Loads a cooperative matrix whose first element is `index`.
    pub fn load_matrix(
        self,
        matrix: Matrix,
        index: impl IntoExpr<'b>,
        stride: impl IntoExpr<'b>,
        row_major: bool,
    ) -> E<'b> {
        let index = index.into_expr(self.b, U32).id;
        let stride = stride.into_expr(self.b, U32).id;
        let from = MatrixPlace::Shared(self.id);
        self.b.ordered(
            Expr::MatrixLoad { matrix, from, index, stride, row_major },
            Type::Matrix(matrix),
        )
    }
    pub fn store_matrix(
        self,
        value: E<'b>,
        index: impl IntoExpr<'b>,
        stride: impl IntoExpr<'b>,
        row_major: bool,
    ) {
        let index = index.into_expr(self.b, U32).id;
        let stride = stride.into_expr(self.b, U32).id;
        let to = MatrixPlace::Shared(self.id);
        self.b.stmt(Stmt::StoreMatrix { value: value.id, to, index, stride, row_major });
    }
}
