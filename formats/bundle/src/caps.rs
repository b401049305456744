//! The shared vocabulary of what a device has (`Capabilities`) and what a bundle needs
//! (`Requirements`). Requirements are computed from kernels, never declared by hand.

use alloc::{string::String, vec::Vec};

/// GPU API that replays a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Api {
    Vulkan = 0,
    Metal = 1,
    OpenCl = 2,
    WebGpu = 3,
    /// The CPU interpreter of kernel IR: the `reference` back end of the command line.
    Reference = 4,
}

/// Shader language of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Dialect {
    SpirV = 0,
    Msl = 1,
    OpenClC = 2,
    Wgsl = 3,
    /// Serialized kernel IR, for the interpreter.
    KernelIr = 4,
}

/// Dimensionality of an image object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ImageKind {
    /// 1D texel buffer (OpenCL image1d_buffer, Metal texture_buffer).
    TexelBuffer = 0,
    Texture2d = 1,
    Texture2dArray = 2,
    Texture3d = 3,
}

/// Element types a cooperative matrix may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MatrixElem {
    F16 = 0,
    F32 = 1,
    BF16 = 2,
    S8 = 3,
    U8 = 4,
    S32 = 5,
}

/// One supported cooperative-matrix multiply `C[m,n] += A[m,k] * B[k,n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatrixShape {
    pub m: u32,
    pub n: u32,
    pub k: u32,
    /// Element type of A and B.
    pub ab: MatrixElem,
    /// Element type of C and the accumulator.
    pub acc: MatrixElem,
}

/// Yes/no features, as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Features(pub u64);

impl Features {
    /// f16 arithmetic in shaders.
    pub const F16: Features = Features(1 << 0);
    /// 16-bit elements in storage buffers.
    pub const STORAGE_16BIT: Features = Features(1 << 1);
    /// 8-bit elements in storage buffers.
    pub const STORAGE_8BIT: Features = Features(1 << 2);
    /// 8-bit integer arithmetic.
    pub const INT8: Features = Features(1 << 3);
    pub const INT64: Features = Features(1 << 4);
    /// Subgroup basics, votes and elect.
    pub const SUBGROUP_BASIC: Features = Features(1 << 5);
    /// Subgroup sum / min / max reductions.
    pub const SUBGROUP_ARITHMETIC: Features = Features(1 << 6);
    pub const SUBGROUP_SHUFFLE: Features = Features(1 << 7);
    /// Packed 4x8-bit integer dot product.
    pub const DOT4: Features = Features(1 << 8);
    pub const COOPERATIVE_MATRIX: Features = Features(1 << 9);
    /// Time stamps around dispatches.
    pub const TIMESTAMPS: Features = Features(1 << 10);
    pub const TEXTURE_2D: Features = Features(1 << 11);
    pub const TEXTURE_2D_ARRAY: Features = Features(1 << 12);
    pub const TEXTURE_3D: Features = Features(1 << 13);
    pub const TEXEL_BUFFER: Features = Features(1 << 14);
    /// The shader may be pinned to one subgroup size.
    pub const SUBGROUP_SIZE_CONTROL: Features = Features(1 << 15);
    /// Vulkan memory model (needed by cooperative matrices).
    pub const VULKAN_MEMORY_MODEL: Features = Features(1 << 16);
    pub const BF16: Features = Features(1 << 17);
    /// OpenCL C takes PTX for compute capability 8.0 between its statements: subgroups, shuffles,
    /// packed dot products, f16 and matrices without extensions of the language
    /// ([`Features::BY_PTX`]).
    pub const INLINE_PTX: Features = Features(1 << 18);
    /// Workgroups start in the order of their numbers, and see soon what others that run with them
    /// store: they may wait for it. No API says so; it is reported for chips that were seen to.
    pub const ORDERED_WORKGROUPS: Features = Features(1 << 19);

    /// What a kernel does by means of [`Features::INLINE_PTX`] alone.
    pub const BY_PTX: Features = Features(
        Self::SUBGROUP_BASIC.0
            | Self::SUBGROUP_ARITHMETIC.0
            | Self::SUBGROUP_SHUFFLE.0
            | Self::DOT4.0
            | Self::COOPERATIVE_MATRIX.0,
    );

    /// All features with their stable names, in bit order.
    pub const NAMES: &'static [(Features, &'static str)] = &[
        (Self::F16, "f16"),
        (Self::STORAGE_16BIT, "storage-16bit"),
        (Self::STORAGE_8BIT, "storage-8bit"),
        (Self::INT8, "int8"),
        (Self::INT64, "int64"),
        (Self::SUBGROUP_BASIC, "subgroup-basic"),
        (Self::SUBGROUP_ARITHMETIC, "subgroup-arithmetic"),
        (Self::SUBGROUP_SHUFFLE, "subgroup-shuffle"),
        (Self::DOT4, "dot4"),
        (Self::COOPERATIVE_MATRIX, "cooperative-matrix"),
        (Self::TIMESTAMPS, "timestamps"),
        (Self::TEXTURE_2D, "texture-2d"),
        (Self::TEXTURE_2D_ARRAY, "texture-2d-array"),
        (Self::TEXTURE_3D, "texture-3d"),
        (Self::TEXEL_BUFFER, "texel-buffer"),
        (Self::SUBGROUP_SIZE_CONTROL, "subgroup-size-control"),
        (Self::VULKAN_MEMORY_MODEL, "vulkan-memory-model"),
        (Self::BF16, "bf16"),
        (Self::INLINE_PTX, "inline-ptx"),
        (Self::ORDERED_WORKGROUPS, "ordered-workgroups"),
    ];

    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }
    #[must_use]
    pub const fn union(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }
    #[must_use]
    pub const fn difference(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(f, _)| self.contains(*f)).map(|(_, n)| *n)
    }
    /// The feature with this name.
    pub fn from_name(name: &str) -> Option<Features> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }
}

/// Numeric limits. In `Capabilities`: the most the device allows. In `Requirements`: the most the
/// variant uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of workgroup memory of one pipeline.
    pub workgroup_memory_bytes: u64,
    /// Invocations in one workgroup.
    pub workgroup_invocations: u64,
    pub workgroup_size: [u64; 3],
    /// Workgroups in one dispatch, per axis.
    pub dispatch_workgroups: [u64; 3],
    /// Bytes of one storage-buffer binding.
    pub storage_range_bytes: u64,
    /// Bytes of one buffer object.
    pub buffer_bytes: u64,
    /// Storage buffers visible to one pipeline.
    pub storage_buffers: u64,
    /// Sampled plus storage images visible to one pipeline.
    pub images: u64,
    /// Texels per axis.
    pub texture_2d: u64,
    pub texture_3d: u64,
    pub texture_layers: u64,
    /// Texels of a texel buffer.
    pub texel_buffer: u64,
}

/// What a device offers through one API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub api: Api,
    pub device_name: String,
    pub vendor_id: u32,
    pub device_id: u32,
    pub features: Features,
    pub limits: Limits,
    /// Alignment in bytes of a storage-buffer binding's offset.
    pub storage_offset_alignment: u64,
    /// Default subgroup size; 0 = no subgroups.
    pub subgroup_size: u32,
    pub subgroup_size_min: u32,
    pub subgroup_size_max: u32,
    pub matrix_shapes: Vec<MatrixShape>,
}

/// What a variant needs. Computed from the kernels and the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements {
    pub api: Api,
    pub dialect: Dialect,
    /// Id of the target this variant was compiled for ("vulkan-generic", "nvidia-h200", ...).
    pub target: String,
    /// Higher is better when several variants fit.
    pub rank: u32,
    pub features: Features,
    pub limits: Limits,
    /// Plan offsets are multiples of this; the device's alignment must divide it.
    pub storage_offset_alignment: u64,
    /// Subgroup sizes some kernel is pinned to.
    pub subgroup_sizes: Vec<u32>,
    pub matrix_shapes: Vec<MatrixShape>,
}
