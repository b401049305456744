//! What a device must have to run a kernel: computed from the IR, never declared.

use crate::ir::*;
use drift_bundle::caps::{Features, ImageKind, Limits, MatrixElem, MatrixShape};

/// The needs of one physical kernel. API-neutral: a back end adds what its own rules ask for (the
/// Vulkan memory model with cooperative matrices, say).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelNeeds {
    pub features: Features,
    /// The most of each resource that the kernel uses.
    pub limits: Limits,
    /// Cooperative-matrix products, sorted, each once.
    pub matrix_shapes: Vec<MatrixShape>,
    /// Subgroup size the kernel is written for; 0 = any.
    pub subgroup_size: u32,
}

/// Computes the needs of a virtualized kernel.
pub fn requirements(kernel: &Kernel) -> KernelNeeds {
    let mut needs = KernelNeeds { subgroup_size: kernel.subgroup_size, ..KernelNeeds::default() };
    let features = &mut needs.features;
    let mut add = |f: Features| *features = features.union(f);

    for e in reached(kernel) {
        let half = matches!(kernel.ty(e), Type::Vector(Vector { scalar: Scalar::F16, .. }));
        match kernel.expr(e) {
            Expr::Subgroup(..) => {
                add(Features::SUBGROUP_BASIC);
                add(Features::SUBGROUP_ARITHMETIC);
            }
            Expr::SubgroupShuffleXor(..) | Expr::SubgroupBroadcast(..) => {
                add(Features::SUBGROUP_BASIC);
                add(Features::SUBGROUP_SHUFFLE);
            }
            Expr::Builtin(
                Builtin::SubgroupId | Builtin::SubgroupInvocation | Builtin::SubgroupSize,
            ) => add(Features::SUBGROUP_BASIC),
            Expr::Dot4 { .. } => add(Features::DOT4),
            Expr::MatrixZero(_) | Expr::MatrixLoad { .. } | Expr::MatrixScaleAdd { .. } => {
                add(Features::COOPERATIVE_MATRIX);
            }
            Expr::MatrixMulAdd { a, b, c } => {
                add(Features::COOPERATIVE_MATRIX);
                if let (Type::Matrix(a), Type::Matrix(b), Type::Matrix(c)) =
                    (kernel.ty(*a), kernel.ty(*b), kernel.ty(*c))
                {
                    let (ab, acc) = (a.component.matrix_elem(), c.component.matrix_elem());
                    let shape = MatrixShape { m: a.rows, n: b.cols, k: a.cols, ab, acc };
                    if !needs.matrix_shapes.contains(&shape) {
                        needs.matrix_shapes.push(shape);
                    }
                }
            }
            // moving halves between memory and f32 is storage, not arithmetic
            Expr::Buffer { .. } | Expr::Cast(Scalar::F16, _) => {}
            _ if half => add(Features::F16),
            _ => {}
        }
    }
    if kernel.vars.iter().any(|v| matches!(v.ty, Type::Vector(v) if v.scalar == Scalar::F16))
        || kernel.shared.iter().any(|s| s.elem.scalar == Scalar::F16)
    {
        add(Features::F16);
    }

    let limits = &mut needs.limits;
    for b in &kernel.bindings {
        match b.ty {
            BindingType::Buffer { elem, len } => {
                if elem.scalar == Scalar::F16 {
                    add(Features::STORAGE_16BIT);
                }
                let bytes = len.saturating_mul(vector_bytes(elem));
                limits.storage_range_bytes = limits.storage_range_bytes.max(bytes);
                limits.buffer_bytes = limits.buffer_bytes.max(bytes);
                limits.storage_buffers += 1;
            }
            BindingType::Image { kind, extent, .. } => {
                limits.images += 1;
                let [x, y, z] = extent.map(u64::from);
                match kind {
                    ImageKind::TexelBuffer => {
                        add(Features::TEXEL_BUFFER);
                        limits.texel_buffer = limits.texel_buffer.max(x);
                    }
                    ImageKind::Texture2d => {
                        add(Features::TEXTURE_2D);
                        limits.texture_2d = limits.texture_2d.max(x).max(y);
                    }
                    ImageKind::Texture2dArray => {
                        add(Features::TEXTURE_2D_ARRAY);
                        limits.texture_2d = limits.texture_2d.max(x).max(y);
                        limits.texture_layers = limits.texture_layers.max(z);
                    }
                    ImageKind::Texture3d => {
                        add(Features::TEXTURE_3D);
                        limits.texture_3d = limits.texture_3d.max(x).max(y).max(z);
                    }
                }
            }
        }
    }
    for s in &kernel.shared {
        let bytes = u64::from(s.len).saturating_mul(vector_bytes(s.elem));
        limits.workgroup_memory_bytes += bytes.next_multiple_of(16);
    }
    limits.workgroup_size = kernel.workgroup_size.map(u64::from);
    limits.workgroup_invocations = limits.workgroup_size.iter().product();
    limits.dispatch_workgroups = kernel.workgroups.map(u64::from);
    needs.matrix_shapes.sort_by_key(|s| (s.m, s.n, s.k, s.ab, s.acc));
    needs
}

/// Bytes in an array; vectors of three take the place of four.
fn vector_bytes(v: Vector) -> u64 {
    let width = if v.width == 3 { 4 } else { u64::from(v.width) };
    width * v.scalar.bytes()
}

impl Component {
    /// The element type in the vocabulary of devices.
    pub const fn matrix_elem(self) -> MatrixElem {
        match self {
            Component::F16 => MatrixElem::F16,
            Component::F32 => MatrixElem::F32,
            Component::I8 => MatrixElem::S8,
            Component::I32 => MatrixElem::S32,
        }
    }
}

/// Expressions that the body needs.
fn reached(k: &Kernel) -> Vec<ExprId> {
    let mut seen = vec![false; k.exprs.len()];
    let mut todo = Vec::new();
    let mut blocks = vec![&k.body];
    while let Some(b) = blocks.pop() {
        for s in b {
            s.operands(|e| todo.push(e));
            match s {
                Stmt::If { yes, no, .. } => blocks.extend([yes, no]),
                Stmt::For { body, .. } => blocks.push(body),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    while let Some(e) = todo.pop() {
        if !std::mem::replace(&mut seen[e.0 as usize], true) {
            out.push(e);
            k.expr(e).operands(|o| todo.push(o));
        }
    }
    out
}
