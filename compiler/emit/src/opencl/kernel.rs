//! The kernel around its statements: arguments, memory, extensions.

use super::functions::Functions;
use super::names::Names;
use super::ptx::SUBGROUP;
use super::scope::Scopes;
use super::text::{Text, type_name};
use crate::needs::{rounds_f16, uses};
use crate::{DialectOptions, ENTRY_POINT, EmitError};
use drift_bundle::caps::{Dialect, Features, ImageKind};
use drift_kernel::{
    Access, Binding, BindingType, Block, Builtin, Expr, ExprId, Kernel, LoopId, MatrixPlace,
    Scalar, SharedId, Stmt, Vector, any_stmt,
};
use std::collections::HashMap;

/// One kernel on its way to text.
pub struct Writer<'k> {
    pub kernel: &'k Kernel,
    pub halves: Halves,
    /// What the language lacks is said in PTX.
    pub ptx: bool,
    pub names: Names,
    pub functions: Functions,
    pub scopes: Scopes,
    /// Parallel to the kernel's `bindings`, `shared` and `vars`.
    pub bindings: Vec<String>,
    pub shared: Vec<String>,
    pub vars: Vec<String>,
    pub builtins: HashMap<Builtin, String>,
    /// Counter of each open loop, and the depth of the scope it lives in.
    pub loops: HashMap<LoopId, (String, usize)>,
    /// How often an expression is used in what is written.
    pub uses: Vec<u32>,
    /// Depth of the deepest scope an expression depends on.
    pub natural: HashMap<ExprId, usize>,
}

/// What values of f16 are in the text (see the module's documentation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// `half`, for which the device needs an extension.
    Type,
    /// f32.
    Floats,
    /// Bits in integers, that PTX computes with.
    Bits,
}

impl Halves {
    pub fn of(kernel: &Kernel, options: &DialectOptions) -> Halves {
        match () {
            () if options.inline_ptx => Halves::Bits,
            () if options.native_half && rounds_f16(kernel) => Halves::Type,
            () => Halves::Floats,
        }
    }
}

/// A physical kernel as OpenCL C.
///
/// # Errors
/// As [`crate::emit`].
pub fn write(kernel: &Kernel, options: &DialectOptions) -> Result<String, EmitError> {
    let mut w = Writer {
        kernel,
        halves: Halves::of(kernel, options),
        ptx: options.inline_ptx,
        names: Names::default(),
        functions: Functions::default(),
        scopes: Scopes::new(),
        bindings: Vec::new(),
        shared: Vec::new(),
        vars: Vec::new(),
        builtins: HashMap::new(),
        loops: HashMap::new(),
        uses: count_uses(kernel),
        natural: HashMap::new(),
    };
    let arguments = w.declare_bindings()?;
    w.declare_memory()?;
    w.declare_builtins();
    w.block(&kernel.body)?;
    Ok(w.finish(&arguments))
}

impl Writer<'_> {
    pub fn malformed(&self, reason: impl Into<String>) -> EmitError {
        EmitError::Malformed { kernel: self.kernel.name.clone(), reason: reason.into() }
    }

    pub fn unsupported(&self, what: impl Into<String>, help: &str) -> EmitError {
        EmitError::Unsupported {
            kernel: self.kernel.name.clone(),
            dialect: Dialect::OpenClC,
            what: what.into(),
            help: help.to_owned(),
        }
    }

    /// Name of the type of values.
    pub fn type_name(&self, v: Vector) -> String {
        match (self.halves, v.scalar) {
            (Halves::Bits, Scalar::F16) => bits_name(v.width).to_owned(),
            (Halves::Type, _) => type_name(v, "half"),
            _ => type_name(v, "float"),
        }
    }

    fn declare_bindings(&mut self) -> Result<Vec<String>, EmitError> {
        let mut arguments = Vec::new();
        for binding in &self.kernel.bindings {
            let name = self.names.unique(&binding.name);
            match binding.ty {
                BindingType::Buffer { elem, .. } => {
                    let constant = if binding.access == Access::Read { "const " } else { "" };
                    let bytes = self.names.unique(&format!("{name}_bytes"));
                    let offset = self.names.unique(&format!("{name}_offset"));
                    arguments.push(format!("__global {constant}uchar *{bytes}"));
                    arguments.push(format!("const ulong {offset}"));
                    let pointer =
                        format!("__global {constant}{} *", self.element_name(binding, elem)?);
                    self.scopes.line(format!("{pointer}{name} = ({pointer})({bytes} + {offset});"));
                }
                BindingType::Image { kind, .. } => {
                    let access = match binding.access {
                        Access::Read => "__read_only",
                        Access::Write => "__write_only",
                        Access::ReadWrite | Access::Handed => {
                            return Err(self.unsupported(
                                format!(
                                    "image that one kernel both reads and writes (`{}`)",
                                    binding.name
                                ),
                                "read from one image and write to another, or use a buffer",
                            ));
                        }
                    };
                    arguments.push(format!("{access} {} {name}", image_type(kind)));
                }
            }
            self.bindings.push(name);
        }
        Ok(arguments)
    }

    /// Type of the elements of a buffer. f16 that is no type of values is loaded and stored through
    /// pointers to single halves.
    fn element_name(&self, binding: &Binding, elem: Vector) -> Result<String, EmitError> {
        if elem.width == 3 || elem.scalar == Scalar::Bool {
            return Err(self.malformed(format!(
                "buffer `{}` has elements of {elem:?}; buffers hold 1, 2 or 4 numbers per element",
                binding.name
            )));
        }
        Ok(match elem.scalar {
            Scalar::F16 if self.halves == Halves::Floats => "half".to_owned(),
            _ => self.type_name(elem),
        })
    }

    fn declare_memory(&mut self) -> Result<(), EmitError> {
        for (index, shared) in self.kernel.shared.iter().enumerate() {
            if shared.len == 0 {
                return Err(self.malformed(format!("array `{}` has no elements", shared.name)));
            }
            let name = self.names.unique(&shared.name);
            let ty = match shared.elem.scalar {
                // halves are no type of variables: their bits, for `vload_half` and its like
                Scalar::F16 if self.halves == Halves::Floats => match shared.elem.width {
                    1 => "ushort".to_owned(),
                    width => format!("ushort{width}"),
                },
                _ => self.type_name(shared.elem),
            };
            // lines of matrices are loaded 16 bytes at a time, and sums in pairs
            let aligned = match holds_matrices(self.kernel, SharedId(index as u32)) {
                true => " __attribute__((aligned(16)))",
                false => "",
            };
            self.scopes.line(format!("__local {ty} {name}[{}]{aligned};", shared.len));
            self.shared.push(name);
        }
        for var in &self.kernel.vars {
            let ty = self.type_of(var.ty)?;
            let name = self.names.unique(&var.name);
            let array = if var.len == 0 { String::new() } else { format!("[{}]", var.len) };
            self.scopes.line(format!("{ty} {name}{array};"));
            self.vars.push(name);
        }
        Ok(())
    }

    /// Constants for those built-ins that the kernel uses, in a fixed order.
    fn declare_builtins(&mut self) {
        use Builtin as B;
        let mut wanted = Vec::new();
        for (index, expr) in self.kernel.exprs.iter().enumerate() {
            if let Expr::Builtin(b) = expr
                && self.uses[index] > 0
                && !wanted.contains(b)
            {
                wanted.push(*b);
            }
        }
        let order = |b: &B| match b {
            B::GlobalId(axis) => u32::from(*axis),
            B::WorkgroupId(axis) => 3 + u32::from(*axis),
            B::LocalId(axis) => 6 + u32::from(*axis),
            B::LocalIndex => 9,
            B::SubgroupId => 10,
            B::SubgroupInvocation => 11,
            B::SubgroupSize => 12,
        };
        if self.ptx && uses(self.kernel).features.contains(Features::COOPERATIVE_MATRIX) {
            // which part of a matrix an invocation loads and stores
            let lane = B::SubgroupInvocation;
            if !wanted.contains(&lane) {
                wanted.push(lane);
            }
        }
        wanted.sort_by_key(order);
        for builtin in wanted {
            let axis_name = |axis: u8| ['x', 'y', 'z'][usize::from(axis.min(2))];
            let (name, value) = match builtin {
                B::GlobalId(a) => {
                    (format!("global_{}", axis_name(a)), format!("get_global_id({a})"))
                }
                B::WorkgroupId(a) => {
                    (format!("group_{}", axis_name(a)), format!("get_group_id({a})"))
                }
                B::LocalId(a) => (format!("local_{}", axis_name(a)), format!("get_local_id({a})")),
                B::LocalIndex => ("local_index".to_owned(), self.local_index()),
                B::SubgroupId if self.ptx => {
                    let index = self.local_index();
                    ("subgroup".to_owned(), format!("(uint)({index}) / {SUBGROUP}u"))
                }
                B::SubgroupInvocation if self.ptx => {
                    let index = self.local_index();
                    ("subgroup_lane".to_owned(), format!("(uint)({index}) % {SUBGROUP}u"))
                }
                B::SubgroupSize if self.ptx => ("subgroup_size".to_owned(), format!("{SUBGROUP}u")),
                B::SubgroupId => ("subgroup".to_owned(), "get_sub_group_id()".to_owned()),
                B::SubgroupInvocation => {
                    ("subgroup_lane".to_owned(), "get_sub_group_local_id()".to_owned())
                }
                B::SubgroupSize => ("subgroup_size".to_owned(), "get_sub_group_size()".to_owned()),
            };
            let name = self.names.unique(&name);
            self.scopes.line(format!("const uint {name} = {value};"));
            self.builtins.insert(builtin, name);
        }
    }

    /// Number of the invocation in its workgroup.
    fn local_index(&self) -> String {
        match self.kernel.workgroup_size {
            [_, 1, 1] => "get_local_id(0)".to_owned(),
            [x, _, 1] => format!("get_local_id(1) * {x} + get_local_id(0)"),
            [x, y, _] => {
                format!("(get_local_id(2) * {y} + get_local_id(1)) * {x} + get_local_id(0)")
            }
        }
    }

    fn finish(mut self, arguments: &[String]) -> String {
        let mut out = String::new();
        let features = uses(self.kernel).features;
        let mut enable = |extension: &str| {
            out.push_str(&format!("#pragma OPENCL EXTENSION {extension} : enable\n"));
        };
        if self.halves == Halves::Type {
            enable("cl_khr_fp16");
        }
        if writes_3d(self.kernel) {
            enable("cl_khr_3d_image_writes");
        }
        if features.contains(Features::SUBGROUP_BASIC) && !self.ptx {
            enable("cl_khr_subgroups");
        }
        if features.contains(Features::SUBGROUP_SHUFFLE) && !self.ptx {
            enable("cl_khr_subgroup_shuffle");
        }
        if !out.is_empty() {
            out.push('\n');
        }
        for function in self.functions.texts() {
            out.push_str(function);
            out.push('\n');
        }
        let [x, y, z] = self.kernel.workgroup_size;
        out.push_str(&format!("__kernel __attribute__((reqd_work_group_size({x}, {y}, {z})))\n"));
        if self.kernel.subgroup_size != 0
            && features.contains(Features::SUBGROUP_BASIC)
            && !self.ptx
        {
            let size = self.kernel.subgroup_size;
            out.push_str(&format!(
                "#ifdef cl_intel_required_subgroup_size\n\
                 __attribute__((intel_reqd_sub_group_size({size})))\n\
                 #endif\n"
            ));
        }
        out.push_str(&format!("void {ENTRY_POINT}(\n    {})\n{{\n", arguments.join(",\n    ")));
        for line in self.scopes.close() {
            out.push_str(&format!("    {line}\n"));
        }
        out.push_str("}\n");
        out
    }

    /// A name for a value in scope `at`.
    pub fn name_value(&mut self, id: ExprId, value: &Text, at: usize) -> Result<Text, EmitError> {
        let ty = self.type_of(self.kernel.ty(id))?;
        let name = self.names.temporary();
        self.scopes.line_at(format!("const {ty} {name} = {};", value.text), at);
        let name = Text::primary(name);
        self.scopes.remember(id, name.clone(), at);
        Ok(name)
    }
}

/// Halves as bits: one, two, and three or four.
fn bits_name(width: u8) -> &'static str {
    match width {
        1 => "ushort",
        2 => "uint",
        _ => "uint2",
    }
}

/// Whether matrices are loaded from an array or stored to it.
fn holds_matrices(kernel: &Kernel, shared: SharedId) -> bool {
    let place = MatrixPlace::Shared(shared);
    let loads = |e: &Expr| matches!(e, Expr::MatrixLoad { from, .. } if *from == place);
    kernel.exprs.iter().any(loads)
        || any_stmt(&kernel.body, |s| matches!(s, Stmt::StoreMatrix { to, .. } if *to == place))
}

fn image_type(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::TexelBuffer => "image1d_buffer_t",
        ImageKind::Texture2d => "image2d_t",
        ImageKind::Texture2dArray => "image2d_array_t",
        ImageKind::Texture3d => "image3d_t",
    }
}

fn writes_3d(kernel: &Kernel) -> bool {
    kernel.bindings.iter().any(|b| {
        let volume = matches!(b.ty, BindingType::Image { kind: ImageKind::Texture3d, .. });
        volume && b.access != Access::Read
    })
}

/// Uses by statements and by the expressions that statements reach.
fn count_uses(kernel: &Kernel) -> Vec<u32> {
    fn statements(block: &Block, uses: &mut Vec<u32>, reached: &mut Vec<ExprId>) {
        for stmt in block {
            // a `Let` is no use, but what it evaluates has operands
            if let Stmt::Let(id) = stmt {
                reached.push(*id);
            } else {
                stmt.operands(|id| {
                    uses[id.0 as usize] += 1;
                    reached.push(id);
                });
            }
            match stmt {
                Stmt::If { yes, no, .. } => {
                    statements(yes, uses, reached);
                    statements(no, uses, reached);
                }
                Stmt::For { body, .. } => statements(body, uses, reached),
                _ => {}
            }
        }
    }
    let mut uses = vec![0; kernel.exprs.len()];
    let mut todo = Vec::new();
    statements(&kernel.body, &mut uses, &mut todo);
    let mut seen = vec![false; kernel.exprs.len()];
    while let Some(id) = todo.pop() {
        if !std::mem::replace(&mut seen[id.0 as usize], true) {
            kernel.expr(id).operands(|operand| {
                uses[operand.0 as usize] += 1;
                todo.push(operand);
            });
        }
    }
    uses
}
