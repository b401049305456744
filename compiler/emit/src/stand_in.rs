//! Cooperative matrices that naga cannot say, and what stands for them in its module.
//!
//! naga has matrices of f16 and f32 with sides of 8 and 16, whose elements are those of the array
//! they lie in. The IR also has int8 operands with int32 sums, and matrices that lie packed in u32
//! words. Each of those is written as a type that naga accepts and that nothing else in the kernel
//! uses; `spirv` then puts the true type in its place. Only SPIR-V can say them.
//!
//! Where products in i32 are scaled and added to f32 sums ([`Expr::MatrixScaleAdd`], a subtraction
//! and an addition for naga), both have one type in naga's module, so that it takes the subtraction;
//! `spirv` follows the products of integers from their operands on.

use drift_kernel::{
    Block, Component, Expr, Kernel, Matrix, MatrixPlace, MatrixRole, Scalar, SharedId, Stmt, Type,
};

/// A matrix type of naga's module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    pub rows: u32,
    pub cols: u32,
    pub scalar: Scalar,
    pub role: MatrixRole,
}

/// `shown` in naga's module is `matrix` in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    pub shown: Shown,
    pub matrix: Matrix,
}

/// What `matrix` is in naga's module where it lies in an array that is of `scalar` there (`None`: it
/// was computed or comes from a variable). `scales`: the kernel scales products in i32.
pub fn shown(matrix: Matrix, scalar: Option<Scalar>, scales: bool) -> Shown {
    let Matrix { role, component, rows, cols } = matrix;
    match (component, scalar) {
        // loads take their scalar from the array; the sides tell the two components apart
        (Component::I8, scalar) => {
            Shown { rows: 8, cols: 8, scalar: scalar.unwrap_or(Scalar::U32), role }
        }
        (Component::F16, Some(scalar @ (Scalar::U32 | Scalar::F32))) => {
            Shown { rows: 16, cols: 8, scalar, role }
        }
        (Component::I32, _) if scales => Shown { rows, cols, scalar: Scalar::F32, role },
        (Component::I32, _) => Shown { rows: 16, cols: 8, scalar: Scalar::F32, role },
        (Component::F16, _) => Shown { rows, cols, scalar: Scalar::F16, role },
        (Component::F32, _) => Shown { rows, cols, scalar: Scalar::F32, role },
    }
}

/// The stand-ins of a kernel.
///
/// # Errors
/// Says which matrices cannot be told apart.
pub fn stand_ins(kernel: &Kernel) -> Result<Vec<StandIn>, String> {
    let scales = scales(kernel);
    let mut all: Vec<StandIn> = Vec::new();
    let float_arrays = float_arrays(kernel);
    let mut add = |matrix: Matrix, scalar: Option<Scalar>| {
        if scales && matrix.component == Component::I32 {
            return Ok(()); // followed from its operands
        }
        let this = StandIn { shown: shown(matrix, scalar, scales), matrix };
        // one type for each matrix and one matrix for each type
        let clash = |o: &&StandIn| (o.shown == this.shown) != (o.matrix == this.matrix);
        match all.iter().find(clash) {
            Some(other) => Err(format!("{:?} beside {matrix:?}", other.matrix)),
            None => {
                if !all.contains(&this) {
                    all.push(this);
                }
                Ok(())
            }
        }
    };
    for (expr, ty) in kernel.exprs.iter().zip(&kernel.types) {
        match (expr, ty) {
            (Expr::MatrixLoad { matrix, from, .. }, _) => {
                add(*matrix, scalar_of(kernel, &float_arrays, *from))?;
            }
            (Expr::MatrixZero(m), _) => add(*m, None)?,
            // of products and variables the origin is unknown here: they hold what was loaded
            (Expr::MatrixMulAdd { .. }, Type::Matrix(m)) => add(*m, None)?,
            _ => {}
        }
    }
    all.retain(|s| !is_native(s));
    Ok(all)
}

/// Whether the kernel scales products in i32.
pub fn scales(kernel: &Kernel) -> bool {
    kernel.exprs.iter().any(|e| matches!(e, Expr::MatrixScaleAdd { .. }))
}

fn is_native(s: &StandIn) -> bool {
    let Matrix { role, component, rows, cols } = s.matrix;
    let scalar = match component {
        Component::F16 => Scalar::F16,
        Component::F32 => Scalar::F32,
        Component::I8 | Component::I32 => return false,
    };
    s.shown == Shown { rows, cols, scalar, role }
}

/// Scalar, in naga's module, of the array that a matrix lies in.
pub fn scalar_of(kernel: &Kernel, float_arrays: &[SharedId], place: MatrixPlace) -> Option<Scalar> {
    match place {
        MatrixPlace::Shared(s) if float_arrays.contains(&s) => Some(Scalar::F32),
        MatrixPlace::Shared(s) => Some(kernel.shared.get(s.0 as usize)?.elem.scalar),
        MatrixPlace::Buffer(b) => match kernel.bindings.get(b.0 as usize)?.ty {
            drift_kernel::BindingType::Buffer { elem, .. } => Some(elem.scalar),
            drift_kernel::BindingType::Image { .. } => None,
        },
    }
}

/// Workgroup arrays of integers that matrices are stored to: naga takes such stores only from and
/// to floats, so these are declared as f32 and their bits are converted at each access.
pub fn float_arrays(kernel: &Kernel) -> Vec<SharedId> {
    fn walk(block: &Block, kernel: &Kernel, out: &mut Vec<SharedId>) {
        for stmt in block {
            match stmt {
                Stmt::StoreMatrix { to: MatrixPlace::Shared(s), .. }
                    if !out.contains(s)
                        && kernel.shared.get(s.0 as usize).is_some_and(|s| {
                            matches!(s.elem.scalar, Scalar::I32 | Scalar::U32)
                        }) =>
                {
                    out.push(*s);
                }
                Stmt::If { yes, no, .. } => {
                    walk(yes, kernel, out);
                    walk(no, kernel, out);
                }
                Stmt::For { body, .. } => walk(body, kernel, out),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(&kernel.body, kernel, &mut out);
    out
}
