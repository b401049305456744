//! Float identities that prologues and epilogues leave behind: a scale of 1, a bias of 0, constants
//! among themselves. Results differ from the plain computation in the sign of zeros at most.

use crate::builder::State;
use crate::ir::*;

/// Value of an f32 literal, or of a vector of one.
fn literal(s: &State, e: ExprId) -> Option<f32> {
    match *s.kernel.expr(e) {
        Expr::Lit(Lit::F32(bits)) => Some(f32::from_bits(bits)),
        Expr::Splat(_, x) => literal(s, x),
        _ => None,
    }
}

fn lit(s: &mut State, v: f32, ty: Type) -> ExprId {
    let x = s.intern(Expr::Lit(Lit::F32(v.to_bits())), F32, None);
    match ty.vector().width {
        1 => x,
        n => s.intern(Expr::Splat(n, x), ty, None),
    }
}

fn is_f32(ty: Type) -> bool {
    matches!(ty, Type::Vector(Vector { scalar: Scalar::F32, .. }))
}

pub(super) fn binary(s: &mut State, op: BinaryOp, a: ExprId, b: ExprId, ty: Type) -> ExprId {
    let plain = Expr::Binary(op, a, b);
    if !is_f32(ty) || !is_f32(s.kernel.ty(a)) {
        return s.intern(plain, ty, None);
    }
    let (x, y) = (literal(s, a), literal(s, b));
    if let (Some(x), Some(y)) = (x, y) {
        let v = match op {
            BinaryOp::Add => Some(x + y),
            BinaryOp::Sub => Some(x - y),
            BinaryOp::Mul => Some(x * y),
            BinaryOp::Div if y != 0.0 => Some(x / y),
            BinaryOp::Min => Some(x.min(y)),
            BinaryOp::Max => Some(x.max(y)),
            _ => None,
        };
        // NaN and infinity are left to the device: not all writers can spell them
        if let Some(v) = v.filter(|v| v.is_finite()) {
            return lit(s, v, ty);
        }
    }
    match op {
        BinaryOp::Add if y == Some(0.0) => a,
        BinaryOp::Add if x == Some(0.0) => b,
        BinaryOp::Sub if y == Some(0.0) => a,
        BinaryOp::Mul | BinaryOp::Div if y == Some(1.0) => a,
        BinaryOp::Mul if x == Some(1.0) => b,
        BinaryOp::Mul if y == Some(-1.0) => unary(s, UnaryOp::Neg, a, ty),
        BinaryOp::Mul if x == Some(-1.0) => unary(s, UnaryOp::Neg, b, ty),
        BinaryOp::Pow if y == Some(1.0) => a,
        BinaryOp::Pow if y == Some(2.0) => s.intern(Expr::Binary(BinaryOp::Mul, a, a), ty, None),
        BinaryOp::Pow if y == Some(0.5) => s.intern(Expr::Unary(UnaryOp::Sqrt, a), ty, None),
        BinaryOp::Min | BinaryOp::Max if a == b => a,
        _ => s.intern(plain, ty, None),
    }
}

pub(super) fn fma(s: &mut State, a: ExprId, b: ExprId, c: ExprId, ty: Type) -> ExprId {
    if is_f32(ty) {
        let (x, y, z) = (literal(s, a), literal(s, b), literal(s, c));
        if z == Some(0.0) {
            return binary(s, BinaryOp::Mul, a, b, ty);
        }
        if y == Some(1.0) {
            return binary(s, BinaryOp::Add, a, c, ty);
        }
        if x == Some(1.0) {
            return binary(s, BinaryOp::Add, b, c, ty);
        }
    }
    s.intern(Expr::Fma(a, b, c), ty, None)
}

pub(super) fn unary(s: &mut State, op: UnaryOp, a: ExprId, ty: Type) -> ExprId {
    if is_f32(ty) && op == UnaryOp::Neg {
        if let Some(v) = literal(s, a) {
            return lit(s, -v, ty);
        }
        if let Expr::Unary(UnaryOp::Neg, x) = *s.kernel.expr(a) {
            return x;
        }
    }
    s.intern(Expr::Unary(op, a), ty, None)
}
