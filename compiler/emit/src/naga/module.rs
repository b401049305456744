//! Kernel to naga module: types, bindings, workgroup memory and the entry point.

use super::scope::Scopes;
use crate::stand_in::{float_arrays, scales, shown};
use crate::{ENTRY_POINT, EmitError};
use drift_bundle::caps::{Dialect, ImageKind};
use drift_kernel::{
    Access, Binding, BindingType, Builtin, Expr, ExprId, Kernel, LoopId, Matrix, MatrixRole,
    Scalar, SharedId, Type, Vector,
};
use naga::{
    AddressSpace, ArraySize, CooperativeRole, CooperativeSize, Expression, FunctionArgument,
    GlobalVariable, Handle, ImageClass, ImageDimension, LocalVariable, MemoryDecorations, Module,
    ResourceBinding, ScalarKind, Span, StorageAccess, StorageFormat, TypeInner, VectorSize,
};
use std::collections::HashMap;
use std::num::NonZeroU32;

/// Largest type naga takes, in bytes. Larger buffers are run-time sized arrays, but for MSL.
const MAX_TYPE_BYTES: u64 = naga::valid::MAX_TYPE_SIZE as u64;

/// One kernel on its way into a module.
pub struct Emitter<'k> {
    pub kernel: &'k Kernel,
    pub dialect: Dialect,
    pub module: Module,
    pub scopes: Scopes,
    /// Parallel to `kernel.bindings`, `shared` and `vars`: the naga expressions that name them.
    pub bindings: Vec<Handle<Expression>>,
    pub shared: Vec<Handle<Expression>>,
    pub vars: Vec<Handle<Expression>>,
    pub builtins: HashMap<naga::BuiltIn, Handle<Expression>>,
    /// Counter of each open loop: its value, and the depth of the scope it lives in.
    pub loops: HashMap<LoopId, (Handle<Expression>, usize)>,
    /// Arrays of integers that are f32 in naga's module; see `stand_in`.
    pub float_arrays: Vec<SharedId>,
    /// Products in i32 are scaled; see `stand_in`.
    pub scales: bool,
    /// Depth of the deepest scope an expression depends on; see `scope`.
    pub natural: HashMap<ExprId, usize>,
}

pub fn build(kernel: &Kernel, dialect: Dialect) -> Result<Module, EmitError> {
    let mut emitter = Emitter {
        kernel,
        dialect,
        module: Module::default(),
        scopes: Scopes::new(dialect),
        bindings: Vec::new(),
        shared: Vec::new(),
        vars: Vec::new(),
        builtins: HashMap::new(),
        loops: HashMap::new(),
        float_arrays: float_arrays(kernel),
        scales: scales(kernel),
        natural: HashMap::new(),
    };
    emitter.declare_bindings()?;
    emitter.declare_memory()?;
    emitter.declare_builtins();
    emitter.block(&kernel.body)?;
    let function = std::mem::take(&mut emitter.scopes).finish(ENTRY_POINT);
    emitter.module.entry_points.push(naga::EntryPoint {
        name: ENTRY_POINT.to_owned(),
        stage: naga::ShaderStage::Compute,
        early_depth_test: None,
        workgroup_size: kernel.workgroup_size,
        workgroup_size_overrides: None,
        function,
        mesh_info: None,
        task_payload: None,
        incoming_ray_payload: None,
    });
    Ok(emitter.module)
}

pub fn scalar(s: Scalar) -> naga::Scalar {
    match s {
        Scalar::F32 => naga::Scalar::F32,
        Scalar::F16 => naga::Scalar::F16,
        Scalar::I32 => naga::Scalar::I32,
        Scalar::U32 => naga::Scalar::U32,
        Scalar::Bool => naga::Scalar { kind: ScalarKind::Bool, width: 1 },
    }
}

pub fn vector_size(width: u8) -> Option<VectorSize> {
    match width {
        2 => Some(VectorSize::Bi),
        3 => Some(VectorSize::Tri),
        4 => Some(VectorSize::Quad),
        _ => None,
    }
}

fn inner(v: Vector) -> TypeInner {
    let scalar = scalar(v.scalar);
    match vector_size(v.width) {
        Some(size) => TypeInner::Vector { size, scalar },
        None => TypeInner::Scalar(scalar),
    }
}

pub fn role(role: MatrixRole) -> CooperativeRole {
    match role {
        MatrixRole::A => CooperativeRole::A,
        MatrixRole::B => CooperativeRole::B,
        MatrixRole::C => CooperativeRole::C,
    }
}

fn padded_bytes(v: Vector) -> u32 {
    let width = if v.width == 3 { 4 } else { u32::from(v.width) };
    v.scalar.bytes() as u32 * width
}

impl Emitter<'_> {
    pub fn malformed(&self, reason: impl Into<String>) -> EmitError {
        EmitError::Malformed { kernel: self.kernel.name.clone(), reason: reason.into() }
    }

    pub fn unsupported(&self, what: impl Into<String>, help: &str) -> EmitError {
        EmitError::Unsupported {
            kernel: self.kernel.name.clone(),
            dialect: self.dialect,
            what: what.into(),
            help: help.to_owned(),
        }
    }

    fn intern(&mut self, name: Option<&str>, inner: TypeInner) -> Handle<naga::Type> {
        let ty = naga::Type { name: name.map(str::to_owned), inner };
        self.module.types.insert(ty, Span::UNDEFINED)
    }

    pub fn vector_type(&mut self, v: Vector) -> Handle<naga::Type> {
        self.intern(None, inner(v))
    }

    fn matrix_size(&self, n: u32) -> Result<CooperativeSize, EmitError> {
        match n {
            8 => Ok(CooperativeSize::Eight),
            16 => Ok(CooperativeSize::Sixteen),
            _ => Err(self.unsupported(
                format!("cooperative matrix with a side of {n}"),
                "sides of 8 and 16 can be written",
            )),
        }
    }

    /// (columns, rows) in naga's terms of a matrix that lies in an array of `from`.
    pub fn matrix_sides(
        &self,
        m: Matrix,
        from: Option<Scalar>,
    ) -> Result<(CooperativeSize, CooperativeSize), EmitError> {
        let shown = shown(m, from, self.scales);
        Ok((self.matrix_size(shown.cols)?, self.matrix_size(shown.rows)?))
    }

    pub fn matrix_type(&mut self, m: Matrix) -> Result<Handle<naga::Type>, EmitError> {
        let (columns, rows) = self.matrix_sides(m, None)?;
        let inner = TypeInner::CooperativeMatrix {
            columns,
            rows,
            scalar: scalar(shown(m, None, self.scales).scalar),
            role: role(m.role),
        };
        Ok(self.intern(None, inner))
    }

    pub fn value_type(&mut self, ty: Type) -> Result<Handle<naga::Type>, EmitError> {
        match ty {
            Type::Vector(v) => Ok(self.vector_type(v)),
            Type::Matrix(m) => self.matrix_type(m),
        }
    }

    /// An array outside of buffers. Its type is another than that of a buffer with the same
    /// elements: only buffers have an explicit layout in SPIR-V, and the decoration sits on the type.
    fn local_array(
        &mut self,
        base: Handle<naga::Type>,
        stride: u32,
        len: u32,
        of: &str,
    ) -> Result<Handle<naga::Type>, EmitError> {
        let Some(len) = NonZeroU32::new(len) else {
            return Err(self.malformed(format!("array `{of}` has no elements")));
        };
        let name = Some("private_array");
        Ok(self.intern(name, TypeInner::Array { base, size: ArraySize::Constant(len), stride }))
    }

    fn declare_bindings(&mut self) -> Result<(), EmitError> {
        for (index, binding) in self.kernel.bindings.iter().enumerate() {
            // `spirv` makes volatile what naga can only call coherent
            let memory_decorations = match binding.access {
                Access::Handed => MemoryDecorations::COHERENT,
                _ => MemoryDecorations::empty(),
            };
            let (ty, space) = match binding.ty {
                BindingType::Buffer { elem, len } => {
                    let access = match binding.access {
                        Access::Read => StorageAccess::LOAD,
                        // WGSL has no write-only storage buffers
                        Access::Write | Access::ReadWrite | Access::Handed => {
                            StorageAccess::LOAD | StorageAccess::STORE
                        }
                    };
                    (self.buffer_type(binding, elem, len)?, AddressSpace::Storage { access })
                }
                BindingType::Image { kind, texel, .. } => {
                    (self.image_type(binding, kind, texel)?, AddressSpace::Handle)
                }
            };
            let global = GlobalVariable {
                name: Some(binding.name.clone()),
                space,
                binding: Some(ResourceBinding { group: 0, binding: index as u32 }),
                ty,
                init: None,
                memory_decorations,
            };
            let global = self.module.global_variables.append(global, Span::UNDEFINED);
            let name = self.scopes.name(Expression::GlobalVariable(global));
            self.bindings.push(name);
        }
        Ok(())
    }

    fn buffer_type(
        &mut self,
        binding: &Binding,
        elem: Vector,
        len: u64,
    ) -> Result<Handle<naga::Type>, EmitError> {
        if elem.width == 3 || elem.scalar == Scalar::Bool {
            return Err(self.malformed(format!(
                "buffer `{}` has elements of {elem:?}; buffers hold 1, 2 or 4 numbers per element",
                binding.name
            )));
        }
        let stride = padded_bytes(elem);
        let most = MAX_TYPE_BYTES / u64::from(stride);
        let declared = match self.dialect {
            // For a run-time sized array naga asks for a buffer with sizes. The length in the type
            // is a formality there: nothing is checked, and the argument is a pointer.
            Dialect::Msl => Some(len.min(most)),
            _ => Some(len).filter(|len| *len <= most),
        };
        let size = declared
            .and_then(|len| NonZeroU32::new(u32::try_from(len).ok()?))
            .map_or(ArraySize::Dynamic, ArraySize::Constant);
        let base = self.vector_type(elem);
        Ok(self.intern(None, TypeInner::Array { base, size, stride }))
    }

    fn image_type(
        &mut self,
        binding: &Binding,
        kind: ImageKind,
        texel: Scalar,
    ) -> Result<Handle<naga::Type>, EmitError> {
        let (dim, arrayed) = match kind {
            ImageKind::Texture2d => (ImageDimension::D2, false),
            ImageKind::Texture2dArray => (ImageDimension::D2, true),
            ImageKind::Texture3d => (ImageDimension::D3, false),
            ImageKind::TexelBuffer => {
                return Err(self.unsupported(
                    format!("texel buffer (binding `{}`)", binding.name),
                    "use a buffer or a texture",
                ));
            }
        };
        let class = match (binding.access, texel) {
            (Access::Read, _) => ImageClass::Sampled { kind: ScalarKind::Float, multi: false },
            (Access::Write, Scalar::F16) => ImageClass::Storage {
                format: StorageFormat::Rgba16Float,
                access: StorageAccess::STORE,
            },
            (Access::Write, Scalar::F32) => ImageClass::Storage {
                format: StorageFormat::Rgba32Float,
                access: StorageAccess::STORE,
            },
            (Access::Write, other) => {
                return Err(self.malformed(format!(
                    "image `{}` has texels of {other:?}; f16 and f32 are possible",
                    binding.name
                )));
            }
            (Access::ReadWrite | Access::Handed, _) => {
                return Err(self.unsupported(
                    format!("image that one kernel both reads and writes (`{}`)", binding.name),
                    "read from one image and write to another, or use a buffer",
                ));
            }
        };
        Ok(self.intern(None, TypeInner::Image { dim, arrayed, class }))
    }

    fn declare_memory(&mut self) -> Result<(), EmitError> {
        for (i, shared) in (0u32..).zip(&self.kernel.shared) {
            let mut elem = shared.elem;
            if self.float_arrays.contains(&SharedId(i)) {
                elem.scalar = Scalar::F32;
            }
            let base = self.vector_type(elem);
            let ty = self.local_array(base, padded_bytes(elem), shared.len, &shared.name)?;
            let global = GlobalVariable {
                name: Some(shared.name.clone()),
                space: AddressSpace::WorkGroup,
                binding: None,
                ty,
                init: None,
                memory_decorations: MemoryDecorations::empty(),
            };
            let global = self.module.global_variables.append(global, Span::UNDEFINED);
            let name = self.scopes.name(Expression::GlobalVariable(global));
            self.shared.push(name);
        }
        for var in &self.kernel.vars {
            let base = self.value_type(var.ty)?;
            let ty = if var.len == 0 {
                base
            } else {
                let stride = match var.ty {
                    Type::Vector(v) => padded_bytes(v),
                    Type::Matrix(m) => m.rows * m.cols * m.component.bytes(),
                };
                self.local_array(base, stride, var.len, &var.name)?
            };
            let name = self.local(&var.name, ty);
            self.vars.push(name);
        }
        Ok(())
    }

    /// A variable of the function.
    pub fn local(&mut self, name: &str, ty: Handle<naga::Type>) -> Handle<Expression> {
        self.declare_local(name, ty, None)
    }

    /// A variable of the function with a constant first value.
    pub fn local_with(
        &mut self,
        name: &str,
        ty: Handle<naga::Type>,
        init: Handle<Expression>,
    ) -> Handle<Expression> {
        self.declare_local(name, ty, Some(init))
    }

    fn declare_local(
        &mut self,
        name: &str,
        ty: Handle<naga::Type>,
        init: Option<Handle<Expression>>,
    ) -> Handle<Expression> {
        let local = LocalVariable { name: Some(name.to_owned()), ty, init };
        let local = self.scopes.function.local_variables.append(local, Span::UNDEFINED);
        self.scopes.name(Expression::LocalVariable(local))
    }

    /// Entry-point arguments, for those built-ins that the kernel uses, in a fixed order.
    fn declare_builtins(&mut self) {
        use naga::BuiltIn as B;
        const ORDER: [B; 7] = [
            B::GlobalInvocationId,
            B::WorkGroupId,
            B::LocalInvocationId,
            B::LocalInvocationIndex,
            B::SubgroupId,
            B::SubgroupInvocationId,
            B::SubgroupSize,
        ];
        for wanted in ORDER {
            let used = self
                .kernel
                .exprs
                .iter()
                .any(|e| matches!(e, Expr::Builtin(b) if builtin(*b).0 == wanted));
            if !used {
                continue;
            }
            let (name, width) = match wanted {
                B::GlobalInvocationId => ("global_id", 3),
                B::WorkGroupId => ("workgroup_id", 3),
                B::LocalInvocationId => ("local_id", 3),
                B::LocalInvocationIndex => ("local_index", 1),
                B::SubgroupId => ("subgroup_id", 1),
                B::SubgroupInvocationId => ("subgroup_invocation", 1),
                _ => ("subgroup_size", 1),
            };
            let ty = self.vector_type(Vector { scalar: Scalar::U32, width });
            let arguments = &mut self.scopes.function.arguments;
            arguments.push(FunctionArgument {
                name: Some(name.to_owned()),
                ty,
                binding: Some(naga::Binding::BuiltIn(wanted)),
            });
            let index = arguments.len() as u32 - 1;
            let name = self.scopes.name(Expression::FunctionArgument(index));
            self.builtins.insert(wanted, name);
        }
    }
}

/// naga's built-in and the component of it.
pub fn builtin(b: Builtin) -> (naga::BuiltIn, Option<u8>) {
    match b {
        Builtin::GlobalId(axis) => (naga::BuiltIn::GlobalInvocationId, Some(axis)),
        Builtin::WorkgroupId(axis) => (naga::BuiltIn::WorkGroupId, Some(axis)),
        Builtin::LocalId(axis) => (naga::BuiltIn::LocalInvocationId, Some(axis)),
        Builtin::LocalIndex => (naga::BuiltIn::LocalInvocationIndex, None),
        Builtin::SubgroupId => (naga::BuiltIn::SubgroupId, None),
        Builtin::SubgroupInvocation => (naga::BuiltIn::SubgroupInvocationId, None),
        Builtin::SubgroupSize => (naga::BuiltIn::SubgroupSize, None),
    }
}
