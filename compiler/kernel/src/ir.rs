//! Types of the kernel IR: closed enums, so that an exhaustive `match` tells a new writer what is
//! missing.
//!
//! Expressions live in one arena. *Pure* expressions have no position: a writer places them where
//! they are first needed (in the innermost scope that needs them). Expressions that read memory
//! ([`Expr::is_ordered`]) are evaluated exactly where a [`Stmt::Let`] names them.

use crate::tensor::{TensorArg, TensorId};
use drift_bundle::caps::ImageKind;

macro_rules! id {
    ($(#[$m:meta] $name:ident)*) => {$(
        #[$m]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub u32);
    )*};
}
id! {
    /// Index into [`Kernel::exprs`].
    ExprId
    /// Index into [`Kernel::vars`].
    VarId
    /// Index into [`Kernel::shared`].
    SharedId
    /// Index into [`Kernel::bindings`].
    BindingId
    /// A `For` loop; its counter is `Expr::LoopIndex`.
    LoopId
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Scalar {
    F32,
    F16,
    I32,
    U32,
    Bool,
}

impl Scalar {
    pub const fn is_float(self) -> bool {
        matches!(self, Scalar::F32 | Scalar::F16)
    }
    pub const fn bytes(self) -> u64 {
        match self {
            Scalar::F16 => 2,
            _ => 4,
        }
    }
}

/// A scalar (`width` 1) or a vector of 2, 3 or 4 components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vector {
    pub scalar: Scalar,
    pub width: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MatrixRole {
    /// m x k, left operand.
    A,
    /// k x n, right operand.
    B,
    /// m x n, accumulator.
    C,
}

/// What the elements of a cooperative matrix are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Component {
    F32,
    F16,
    /// Signed; lies in memory as four to a u32, the first in the low byte. Sums are [`Self::I32`].
    I8,
    I32,
}

impl Component {
    pub const fn bytes(self) -> u32 {
        match self {
            Component::F32 | Component::I32 => 4,
            Component::F16 => 2,
            Component::I8 => 1,
        }
    }
    /// Elements in one scalar of an array of `scalar`, in which a matrix of these may lie: u32
    /// words hold the bits of any, packed where they are smaller. `None`: not there.
    pub fn in_one(self, scalar: Scalar) -> Option<u32> {
        match (self, scalar) {
            (Component::F32, Scalar::F32)
            | (Component::F16, Scalar::F16)
            | (Component::I32, Scalar::I32) => Some(1),
            (_, Scalar::U32) => Some(4 / self.bytes()),
            _ => None,
        }
    }
}

/// A cooperative matrix spread over a subgroup; opaque, so its elements are only reachable through
/// workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Matrix {
    pub role: MatrixRole,
    pub component: Component,
    pub rows: u32,
    pub cols: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Type {
    Vector(Vector),
    Matrix(Matrix),
}

impl Type {
    pub const fn scalar(scalar: Scalar) -> Type {
        Type::Vector(Vector { scalar, width: 1 })
    }
    pub const fn vec(scalar: Scalar, width: u8) -> Type {
        Type::Vector(Vector { scalar, width })
    }
    /// The vector type; panics on a matrix (a bug in a kernel, caught by the validator's tests).
    pub fn vector(self) -> Vector {
        match self {
            Type::Vector(v) => v,
            Type::Matrix(m) => panic!("matrix {m:?} used as a vector"),
        }
    }
}

pub const F32: Type = Type::scalar(Scalar::F32);
pub const F16: Type = Type::scalar(Scalar::F16);
pub const I32: Type = Type::scalar(Scalar::I32);
pub const U32: Type = Type::scalar(Scalar::U32);
pub const BOOL: Type = Type::scalar(Scalar::Bool);
pub const F32X4: Type = Type::vec(Scalar::F32, 4);

/// Literals keep bits, so that expressions can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Lit {
    /// f32 bits.
    F32(u32),
    /// f16 bits.
    F16(u16),
    I32(i32),
    U32(u32),
    Bool(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Builtin {
    /// Invocation in the grid, per axis 0..3; u32.
    GlobalId(u8),
    WorkgroupId(u8),
    LocalId(u8),
    /// Row-major index of the invocation in its workgroup.
    LocalIndex,
    /// Index of the subgroup in its workgroup.
    SubgroupId,
    /// Index of the invocation in its subgroup.
    SubgroupInvocation,
    SubgroupSize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum UnaryOp {
    Neg,
    /// Logical on bool, bitwise on integers.
    Not,
    Abs,
    Sign,
    Floor,
    Ceil,
    /// To nearest, ties to even.
    Round,
    Trunc,
    Sqrt,
    Rsqrt,
    Exp,
    Exp2,
    Log,
    Log2,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    /// Float classification; true for NaN / infinities. Bool result.
    IsNan,
    IsInf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Float division; integer division truncates; the divisor is never 0 in a valid kernel.
    Div,
    /// Remainder with the sign of the dividend.
    Rem,
    Min,
    Max,
    Pow,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl BinaryOp {
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SubgroupOp {
    Add,
    Min,
    Max,
}

/// How packed bits are read or written by [`Expr::Unpack`] and [`Expr::Pack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Packing {
    /// u32 <-> two f16 as vec2<f32>.
    Half2,
    /// u32 <-> four signed / unsigned bytes as vec4<i32> / vec4<u32>.
    I8x4,
    U8x4,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Expr {
    Lit(Lit),
    Builtin(Builtin),
    /// u32 counter of an enclosing `For`.
    LoopIndex(LoopId),
    Unary(UnaryOp, ExprId),
    /// Operands have equal types; comparisons give bool of the same width.
    Binary(BinaryOp, ExprId, ExprId),
    /// `a * b + c`, possibly fused.
    Fma(ExprId, ExprId, ExprId),
    /// `cond` is a scalar bool, or a bool vector as wide as the others.
    Select {
        cond: ExprId,
        yes: ExprId,
        no: ExprId,
    },
    /// Numeric conversion, component-wise. Float to integer truncates; out of range is unspecified.
    Cast(Scalar, ExprId),
    /// Same bits; 32-bit scalars only.
    Bitcast(Scalar, ExprId),
    Splat(u8, ExprId),
    Compose(Vec<ExprId>),
    /// One component, known at compile time.
    Extract(ExprId, u8),
    /// One component, chosen at run time.
    ExtractDynamic(ExprId, ExprId),
    /// Dot product of two float vectors.
    Dot(ExprId, ExprId),
    /// `acc + dot(a, b)` of four packed 8-bit integers in u32s; i32 (signed) or u32 result.
    Dot4 {
        signed: bool,
        a: ExprId,
        b: ExprId,
        acc: ExprId,
    },
    Unpack(Packing, ExprId),
    Pack(Packing, ExprId),

    // Ordered: evaluated where a Let names them.
    /// Reads a variable (element `index` of an array variable).
    Var {
        var: VarId,
        index: Option<ExprId>,
    },
    /// Element of workgroup memory, in units of its element type.
    Shared {
        shared: SharedId,
        index: ExprId,
    },
    /// Element of a buffer binding, in units of the binding's declared element type.
    Buffer {
        binding: BindingId,
        index: ExprId,
    },
    /// One texel (vec4 of f32) of an image binding; the third coordinate is the layer or depth,
    /// present only for arrays and 3D (`coords` has 1, 2 or 3 entries; i32 or u32).
    Image {
        binding: BindingId,
        coords: Vec<ExprId>,
    },
    /// Logical read of 1 or 4 elements (see `Builder::load`); gone after `virtualize`.
    /// With 4 lanes, `coords` is the first element and `axis` the dimension the lanes run along.
    Tensor {
        tensor: TensorId,
        coords: Vec<ExprId>,
        lanes: u8,
        axis: u8,
    },
    Subgroup(SubgroupOp, ExprId),
    SubgroupShuffleXor(ExprId, ExprId),
    SubgroupBroadcast(ExprId, ExprId),
    /// Zero-filled matrix.
    MatrixZero(Matrix),
    /// Loads a matrix from memory; `index` is the first element, `stride` the elements between
    /// rows (row-major) or columns (column-major). Both count scalars of the array, which hold
    /// several elements of the matrix where they are words (see [`Component::in_one`]).
    MatrixLoad {
        matrix: Matrix,
        from: MatrixPlace,
        index: ExprId,
        stride: ExprId,
        row_major: bool,
    },
    /// `a * b + c`.
    MatrixMulAdd {
        a: ExprId,
        b: ExprId,
        c: ExprId,
    },
    /// `f32(product) * scale + sum`, element by element: `product` of i32, the others of f32, all of
    /// role C. In a kernel with these, matrices of i32 live in no variable.
    MatrixScaleAdd {
        product: ExprId,
        scale: ExprId,
        sum: ExprId,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MatrixPlace {
    Shared(SharedId),
    Buffer(BindingId),
}

impl Expr {
    /// Evaluated at a `Let`, exactly once per execution of it.
    pub const fn is_ordered(&self) -> bool {
        matches!(
            self,
            Expr::Var { .. }
                | Expr::Shared { .. }
                | Expr::Buffer { .. }
                | Expr::Image { .. }
                | Expr::Tensor { .. }
                | Expr::Subgroup(..)
                | Expr::SubgroupShuffleXor(..)
                | Expr::SubgroupBroadcast(..)
                | Expr::MatrixZero(..)
                | Expr::MatrixLoad { .. }
                | Expr::MatrixMulAdd { .. }
                | Expr::MatrixScaleAdd { .. }
        )
    }
}

pub type Block = Vec<Stmt>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Unroll {
    Default,
    Full,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Stmt {
    /// Evaluates an ordered expression here.
    Let(ExprId),
    SetVar {
        var: VarId,
        index: Option<ExprId>,
        value: ExprId,
    },
    StoreShared {
        shared: SharedId,
        index: ExprId,
        value: ExprId,
    },
    StoreBuffer {
        binding: BindingId,
        index: ExprId,
        value: ExprId,
    },
    StoreImage {
        binding: BindingId,
        coords: Vec<ExprId>,
        value: ExprId,
    },
    /// Logical write; gone after `virtualize`. 4 lanes: lanes past the tensor's extent along
    /// `axis` are dropped (or land in padding).
    StoreTensor {
        tensor: TensorId,
        coords: Vec<ExprId>,
        lanes: u8,
        axis: u8,
        value: ExprId,
    },
    If {
        cond: ExprId,
        yes: Block,
        no: Block,
    },
    /// `for i in (from..to).step_by(step)`; u32. `from` and `to` are evaluated once, before.
    For {
        id: LoopId,
        from: ExprId,
        to: ExprId,
        step: u32,
        body: Block,
        unroll: Unroll,
    },
    /// Loads, and an `If` with nothing but a `Break` as the last statement, repeated until it breaks:
    /// a workgroup waits for what others of its dispatch hand over ([`Access::Handed`]). `chain` makes
    /// loops of those that have something to wait for; the others run once, without their last
    /// statement (gone after `virtualize`).
    Await(Block),
    /// Leaves the innermost `For` or `Await`.
    Break,
    /// Ends the invocation; never before a barrier that others still reach.
    Return,
    /// Execution barrier of the workgroup and visibility of workgroup memory.
    Barrier,
    /// Stores a matrix (role C) to memory.
    StoreMatrix {
        value: ExprId,
        to: MatrixPlace,
        index: ExprId,
        stride: ExprId,
        row_major: bool,
    },
}

/// A private variable of an invocation. `len` 0 = a plain value, else an array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Var {
    pub name: String,
    pub ty: Type,
    pub len: u32,
}

/// A workgroup-memory array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Shared {
    pub name: String,
    pub elem: Vector,
    pub len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Access {
    Read,
    Write,
    ReadWrite,
    /// Written by workgroups while others of the same dispatch read: every access goes to memory
    /// that all of them see, as often as the kernel says (SPIR-V: coherent and volatile), and no
    /// access orders any other. See `chain`.
    Handed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BindingType {
    /// `array<elem>`; `len` elements.
    Buffer { elem: Vector, len: u64 },
    /// Texel format: f16 or f32 quads.
    Image {
        #[cfg_attr(feature = "serde", serde(with = "image_kind"))]
        kind: ImageKind,
        texel: Scalar,
        extent: [u32; 3],
    },
}

/// One physical binding of a kernel; its slot is its index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Binding {
    pub name: String,
    /// The tensor it holds (a part of).
    pub tensor: TensorId,
    /// Which of the objects of a tensor that is split over several.
    pub part: u32,
    pub access: Access,
    pub ty: BindingType,
}

/// One kernel with its dispatch. `exprs[i]` has type `types[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Kernel {
    pub name: String,
    /// Not serialized: a physical kernel does without.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub tensors: Vec<TensorArg>,
    /// Empty before `virtualize`.
    pub bindings: Vec<Binding>,
    pub vars: Vec<Var>,
    pub shared: Vec<Shared>,
    pub exprs: Vec<Expr>,
    pub types: Vec<Type>,
    /// Inclusive upper bounds of u32 scalars where known; parallel to `exprs`, or empty. Facts for
    /// the simplifier: writers may ignore them.
    pub max: Vec<Option<u64>>,
    pub body: Block,
    pub workgroup_size: [u32; 3],
    /// Workgroups per axis. Every kernel guards against invocations outside its work, or its
    /// sizes divide exactly.
    pub workgroups: [u32; 3],
    /// Subgroup size the kernel was written for; 0 = any.
    pub subgroup_size: u32,
}

impl Kernel {
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }
    pub fn ty(&self, id: ExprId) -> Type {
        self.types[id.0 as usize]
    }
}

/// `ImageKind` lives in the format crate, which knows no serde: it travels as its number.
#[cfg(feature = "serde")]
mod image_kind {
    use drift_bundle::caps::ImageKind;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub fn serialize<S: Serializer>(kind: &ImageKind, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(*kind as u8)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<ImageKind, D::Error> {
        use ImageKind as K;
        let number = u8::deserialize(d)?;
        [K::TexelBuffer, K::Texture2d, K::Texture2dArray, K::Texture3d]
            .into_iter()
            .find(|k| *k as u8 == number)
            .ok_or_else(|| D::Error::custom(format!("{number} is no image kind")))
    }
}
