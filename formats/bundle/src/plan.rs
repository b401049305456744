//! The execution plan: flat lists that the runtime replays.
//!
//! A plan names *objects* (GPU buffers and images), *uploads* (byte ranges of the WEIGHTS section
//! that fill objects once), *pipelines* and *entry points*. An entry point is a list of steps that
//! the runtime records once and submits many times. Nothing here needs interpretation: no shapes
//! to infer, no hazards to find, no sizes to compute.

use crate::caps::ImageKind;
use alloc::{string::String, vec::Vec};

/// Element types at the boundary of a bundle and inside GPU objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ElemType {
    F32 = 1,
    F16 = 2,
    F64 = 3,
    I8 = 4,
    U8 = 5,
    I16 = 6,
    U16 = 7,
    I32 = 8,
    U32 = 9,
    I64 = 10,
    U64 = 11,
    Bool = 12,
    BF16 = 13,
}

impl ElemType {
    /// Bytes of one element as stored at the boundary (`Bool` is one byte).
    pub const fn bytes(self) -> u64 {
        match self {
            ElemType::I8 | ElemType::U8 | ElemType::Bool => 1,
            ElemType::F16 | ElemType::BF16 | ElemType::I16 | ElemType::U16 => 2,
            ElemType::F32 | ElemType::I32 | ElemType::U32 => 4,
            ElemType::F64 | ElemType::I64 | ElemType::U64 => 8,
        }
    }
}

/// What a GPU object is for; decides memory type and lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectRole {
    /// Constant contents, filled by uploads when the bundle is loaded.
    Weights = 0,
    /// Intermediates: contents are undefined between runs.
    Arena = 1,
    /// Written by the host before a submit.
    Input = 2,
    /// Read by the host after a submit.
    Output = 3,
    /// Persists between runs (KV cache, recurrent state); zero-filled when a session starts.
    State = 4,
}

/// Texel formats of image objects; every texel holds one vec4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TexelFormat {
    Rgba32Float = 0,
    Rgba16Float = 1,
}

impl TexelFormat {
    pub const fn bytes(self) -> u64 {
        match self {
            TexelFormat::Rgba32Float => 16,
            TexelFormat::Rgba16Float => 8,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Buffer {
        bytes: u64,
    },
    /// `extent` is width, height, depth or layers (1 where unused), in texels.
    Image {
        kind: ImageKind,
        format: TexelFormat,
        extent: [u32; 3],
    },
}

/// One GPU object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub role: ObjectRole,
    pub kind: ObjectKind,
}

/// Fills an object (or part of a buffer) from the WEIGHTS section, once, before the first run.
/// Image uploads cover the whole image, texels in x, y, z order, tightly packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub object: u32,
    /// Byte offset inside a buffer object; 0 for images.
    pub object_offset: u64,
    /// Byte offset inside the WEIGHTS section.
    pub weights_offset: u64,
    pub bytes: u64,
}

/// How a shader sees one binding; slot numbers are positions in `Pipeline::bindings`
/// (descriptor set 0 / bind group 0 / argument index).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BindingKind {
    StorageRead = 0,
    StorageReadWrite = 1,
    SampledImage = 2,
    StorageImageWrite = 3,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Index into the SHADERS section of the variant.
    pub shader: u32,
    pub shader_entry: String,
    pub workgroup_size: [u32; 3],
    pub bindings: Vec<BindingKind>,
    /// Subgroup size the shader was written for; 0 = any.
    pub subgroup_size: u32,
}

/// What one binding of one dispatch points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    Buffer { object: u32, offset: u64, bytes: u64 },
    Image { object: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Dispatch {
        pipeline: u32,
        workgroups: [u32; 3],
        binds: Vec<Bind>,
        /// Index into `Plan::labels`: the node this dispatch came from.
        label: u32,
    },
    /// Everything written by earlier dispatches is visible to later ones. Present only where a
    /// hazard (read after write, write after read, write after write) exists.
    Barrier,
    /// Buffer to buffer; source and destination do not overlap.
    Copy { src: u32, src_offset: u64, dst: u32, dst_offset: u64, bytes: u64 },
}

/// A named tensor at the boundary. Data is row-major and dense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Io {
    /// The model's name, unchanged.
    pub name: String,
    /// Element type in the model (what the host hands over and gets back).
    pub elem: ElemType,
    /// Element type inside the object: i64 travels as i32, u64 as u32, bool as u32 (0 or 1);
    /// f16, f64 and bf16 as f32; 8- and 16-bit integers widen to 32 bits.
    pub device_elem: ElemType,
    pub shape: Vec<u64>,
    pub object: u32,
    /// Byte offset inside the object.
    pub offset: u64,
}

impl Io {
    /// Number of elements; `None` on overflow.
    pub fn elems(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
    }

    /// Bytes inside the object; `None` on overflow.
    pub fn device_bytes(&self) -> Option<u64> {
        self.elems()?.checked_mul(self.device_elem.bytes())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    pub name: String,
    pub inputs: Vec<Io>,
    pub outputs: Vec<Io>,
    pub steps: Vec<Step>,
}

/// What the memory planner achieved; kept for `inspect` and budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    pub strategy: String,
    pub naive_bytes: u64,
    pub planned_bytes: u64,
    pub lower_bound_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub objects: Vec<Object>,
    pub uploads: Vec<Upload>,
    pub pipelines: Vec<Pipeline>,
    pub entry_points: Vec<EntryPoint>,
    /// Tensors that persist between runs, by name: each a part of a buffer object of role State, no
    /// two of them overlapping. The host may read and write them between runs; entry points that
    /// bind the same object share them. All are zero when a session starts.
    pub states: Vec<Io>,
    pub labels: Vec<String>,
    pub memory: MemoryReport,
}
