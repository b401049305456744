//! What a kernel needs of a device, computed from its IR.

use crate::DialectOptions;
use drift_bundle::caps::{Dialect, Features, ImageKind, Limits, MatrixElem, MatrixShape};
use drift_kernel::{
    Access, BindingType, Block, Builtin, Component, Expr, ExprId, Kernel, Matrix, Packing, Scalar,
    Stmt, Type,
};

/// The requirements of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub features: Features,
    /// The most that is used. `buffer_bytes` stays 0: it is the plan's.
    pub limits: Limits,
    pub matrix_shapes: Vec<MatrixShape>,
    /// Subgroup size that the kernel is written for; 0 = any.
    pub subgroup_size: u32,
    /// Buffers and images together.
    pub bindings: u32,
}

impl Needs {
    /// Of a physical kernel in a dialect: the same kernel may need less in one than in another.
    pub fn of(kernel: &Kernel, dialect: Dialect, options: &DialectOptions) -> Needs {
        let kernel = &*crate::in_terms_of(kernel, dialect);
        let mut out = uses(kernel);
        let f16_stored = out.features.contains(Features::STORAGE_16BIT);
        // Vulkan asks for a size pipeline by pipeline; elsewhere a device has one size or another,
        // which `subgroup_size` alone says
        if out.subgroup_size != 0 && dialect == Dialect::SpirV {
            out.features = out.features.union(Features::SUBGROUP_SIZE_CONTROL);
        }
        match dialect {
            Dialect::SpirV => {
                if out.features.contains(Features::COOPERATIVE_MATRIX) {
                    out.features = out.features.union(Features::VULKAN_MEMORY_MODEL);
                }
                if out.matrix_shapes.iter().any(|s| s.ab == MatrixElem::S8) {
                    out.features = out.features.union(Features::INT8);
                }
                if !options.native_dot4 {
                    out.features = out.features.difference(Features::DOT4);
                }
            }
            // one extension gives WGSL the type, for storage and arithmetic alike
            Dialect::Wgsl if f16_stored => out.features = out.features.union(Features::F16),
            Dialect::Wgsl => {}
            // Metal has f16 everywhere, and its dot4 is arithmetic
            Dialect::Msl => out.features = out.features.difference(Features::DOT4),
            // arithmetic where there is no extension for it
            Dialect::OpenClC => {
                let halves = crate::opencl::Halves::of(kernel, options);
                if halves != crate::opencl::Halves::Type {
                    out.features = out.features.difference(Features::F16);
                }
                let by_ptx = Features(out.features.0 & Features::BY_PTX.0);
                if options.inline_ptx && (by_ptx != Features::default() || has_f16(kernel)) {
                    out.features = out.features.difference(by_ptx).union(Features::INLINE_PTX);
                }
                out.features = out.features.difference(Features::DOT4);
            }
            Dialect::KernelIr => {}
        }
        out
    }
}

/// What the IR itself says, for any dialect.
pub(crate) fn uses(kernel: &Kernel) -> Needs {
    let mut out = Needs { subgroup_size: kernel.subgroup_size, ..Needs::default() };
    let mut features = Features::default();
    if computes_f16(kernel) {
        features = features.union(Features::F16);
    }
    for (expr, _) in kernel.exprs.iter().zip(reached(kernel)).filter(|(_, used)| *used) {
        features = features.union(features_of(expr));
        if let Expr::MatrixMulAdd { a, b, c } = expr {
            let shape = shape(kernel, *a, *b, *c);
            if let Some(shape) = shape.filter(|s| !out.matrix_shapes.contains(s)) {
                out.matrix_shapes.push(shape);
            }
        }
    }
    out.matrix_shapes.sort();

    let limits = &mut out.limits;
    for shared in &kernel.shared {
        let width = if shared.elem.width == 3 { 4 } else { u64::from(shared.elem.width) };
        limits.workgroup_memory_bytes += shared.elem.scalar.bytes() * width * u64::from(shared.len);
    }
    limits.workgroup_size = kernel.workgroup_size.map(u64::from);
    limits.dispatch_workgroups = kernel.workgroups.map(u64::from);
    limits.workgroup_invocations =
        limits.workgroup_size.iter().fold(1, |n, &size| n.saturating_mul(size));
    out.bindings = kernel.bindings.len() as u32;
    for binding in &kernel.bindings {
        if binding.access == Access::Handed {
            features = features.union(Features::ORDERED_WORKGROUPS);
        }
        match binding.ty {
            BindingType::Buffer { elem, len } => {
                if elem.scalar == Scalar::F16 {
                    features = features.union(Features::STORAGE_16BIT);
                }
                let bytes = elem.scalar.bytes() * u64::from(elem.width);
                let range = len.saturating_mul(bytes);
                limits.storage_range_bytes = limits.storage_range_bytes.max(range);
                limits.storage_buffers += 1;
            }
            BindingType::Image { kind, extent, .. } => {
                limits.images += 1;
                let [x, y, z] = extent.map(u64::from);
                features = features.union(match kind {
                    ImageKind::TexelBuffer => {
                        limits.texel_buffer = limits.texel_buffer.max(x);
                        Features::TEXEL_BUFFER
                    }
                    ImageKind::Texture2d => {
                        limits.texture_2d = limits.texture_2d.max(x).max(y);
                        Features::TEXTURE_2D
                    }
                    ImageKind::Texture2dArray => {
                        limits.texture_2d = limits.texture_2d.max(x).max(y);
                        limits.texture_layers = limits.texture_layers.max(z);
                        Features::TEXTURE_2D_ARRAY
                    }
                    ImageKind::Texture3d => {
                        limits.texture_3d = limits.texture_3d.max(x).max(y).max(z);
                        Features::TEXTURE_3D
                    }
                });
            }
        }
    }
    out.features = features;
    out
}

fn features_of(expr: &Expr) -> Features {
    match expr {
        Expr::Builtin(
            Builtin::SubgroupId | Builtin::SubgroupInvocation | Builtin::SubgroupSize,
        ) => Features::SUBGROUP_BASIC,
        Expr::Subgroup(..) => Features::SUBGROUP_BASIC.union(Features::SUBGROUP_ARITHMETIC),
        Expr::SubgroupShuffleXor(..) | Expr::SubgroupBroadcast(..) => {
            Features::SUBGROUP_BASIC.union(Features::SUBGROUP_SHUFFLE)
        }
        Expr::Dot4 { .. } => Features::DOT4,
        Expr::MatrixZero(_)
        | Expr::MatrixLoad { .. }
        | Expr::MatrixMulAdd { .. }
        | Expr::MatrixScaleAdd { .. } => Features::COOPERATIVE_MATRIX,
        _ => Features::default(),
    }
}

fn shape(kernel: &Kernel, a: ExprId, b: ExprId, c: ExprId) -> Option<MatrixShape> {
    let matrix = |id| match kernel.ty(id) {
        Type::Matrix(m) => Some(m),
        Type::Vector(_) => None,
    };
    let (a, b, c): (Matrix, Matrix, Matrix) = (matrix(a)?, matrix(b)?, matrix(c)?);
    Some(MatrixShape {
        m: a.rows,
        n: b.cols,
        k: a.cols,
        ab: a.component.matrix_elem(),
        acc: c.component.matrix_elem(),
    })
}

fn is_f16(ty: Type) -> bool {
    match ty {
        Type::Vector(v) => v.scalar == Scalar::F16,
        Type::Matrix(m) => m.component == Component::F16,
    }
}

/// Whether a kernel meets halves at all.
fn has_f16(kernel: &Kernel) -> bool {
    let halves =
        |e: &Expr| matches!(e, Expr::Pack(Packing::Half2, _) | Expr::Unpack(Packing::Half2, _));
    kernel.types.iter().any(|t| is_f16(*t)) || kernel.exprs.iter().any(halves)
}

/// Whether f16 values are more than loaded from buffers, converted from and to f32, and stored to
/// buffers. Only then does SPIR-V want `Float16`, which is another device feature than 16-bit
/// storage.
pub(crate) fn computes_f16(kernel: &Kernel) -> bool {
    let used = reached(kernel);
    let is_f32 = |t: Type| matches!(t, Type::Vector(v) if v.scalar == Scalar::F32);
    let arithmetic = |(i, expr): (usize, &Expr)| {
        let mut takes_f16 = false;
        expr.operands(|o| takes_f16 |= is_f16(kernel.ty(o)));
        used[i]
            && match expr {
                Expr::Buffer { .. } => false,
                Expr::Cast(Scalar::F16, a) => !is_f32(kernel.ty(*a)),
                Expr::Cast(to, _) => takes_f16 && *to != Scalar::F32,
                _ => takes_f16 || is_f16(kernel.types[i]),
            }
    };
    kernel.vars.iter().any(|v| is_f16(v.ty))
        || kernel.shared.iter().any(|s| s.elem.scalar == Scalar::F16)
        || kernel.exprs.iter().enumerate().any(arithmetic)
}

/// Whether results in f16 are rounded that f32 would hold more exactly: arithmetic and conversions
/// from integers, other than moving halves and comparing them.
pub(crate) fn rounds_f16(kernel: &Kernel) -> bool {
    let rounds =
        |(i, used): (usize, bool)| used && is_f16(kernel.types[i]) && rounding(&kernel.exprs[i]);
    reached(kernel).into_iter().enumerate().any(rounds)
}

/// Whether an expression of f16 gives other values when it is computed in f32.
pub(crate) fn rounding(expr: &Expr) -> bool {
    use drift_kernel::{BinaryOp as B, UnaryOp as U};
    match expr {
        Expr::Unary(op, _) => {
            !matches!(op, U::Neg | U::Abs | U::Sign | U::Floor | U::Ceil | U::Round | U::Trunc)
        }
        Expr::Binary(op, ..) => !matches!(op, B::Min | B::Max | B::Rem),
        Expr::Fma(..) | Expr::Dot(..) | Expr::Subgroup(drift_kernel::SubgroupOp::Add, _) => true,
        _ => false,
    }
}

/// The expressions that statements reach: passes leave unused ones behind.
fn reached(kernel: &Kernel) -> Vec<bool> {
    let mut used = vec![false; kernel.exprs.len()];
    mark_used(kernel, &kernel.body, &mut used);
    used
}

fn mark_used(kernel: &Kernel, block: &Block, used: &mut [bool]) {
    let mut stack = Vec::new();
    for stmt in block {
        match stmt {
            Stmt::Let(e) => stack.push(*e),
            Stmt::SetVar { index, value, .. } => {
                stack.push(*value);
                stack.extend(*index);
            }
            Stmt::StoreShared { index, value, .. } | Stmt::StoreBuffer { index, value, .. } => {
                stack.extend([*index, *value]);
            }
            Stmt::StoreImage { coords, value, .. } | Stmt::StoreTensor { coords, value, .. } => {
                stack.extend(coords);
                stack.push(*value);
            }
            Stmt::If { cond, yes, no } => {
                stack.push(*cond);
                mark_used(kernel, yes, used);
                mark_used(kernel, no, used);
            }
            Stmt::For { from, to, body, .. } => {
                stack.extend([*from, *to]);
                mark_used(kernel, body, used);
            }
            Stmt::Await(body) => mark_used(kernel, body, used),
            Stmt::Break | Stmt::Return | Stmt::Barrier => {}
            Stmt::StoreMatrix { value, index, stride, .. } => {
                stack.extend([*value, *index, *stride]);
            }
        }
    }
    while let Some(e) = stack.pop() {
        if let Some(slot @ false) = used.get_mut(e.0 as usize) {
            *slot = true;
            kernel.expr(e).operands(|o| stack.push(o));
        }
    }
}
