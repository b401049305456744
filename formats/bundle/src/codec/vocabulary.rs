//! The encoding of each plan and capability type, as data: field order is the format.

use super::{CodecError, Decoder, Wire, Within};
use crate::{caps::*, meta::Meta, plan::*};
use alloc::{format, vec::Vec};

/// Fields in file order. The exhaustive pattern makes a new field a compile error here.
macro_rules! wire_struct {
    ($($name:ident { $($field:ident : $ty:ty),+ $(,)? })+) => {$(
        impl Wire for $name {
            const MIN_BYTES: usize = 0 $(+ <$ty as Wire>::MIN_BYTES)+;
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),+ } = self;
                $($field.put(out);)+
            }
            fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
                $(let $field = <$ty as Wire>::get(d).map_err(|e| e.field(stringify!($field)))?;)+
                Ok($name { $($field),+ })
            }
        }
    )+};
}

/// One byte: the discriminant.
macro_rules! wire_enum {
    ($($name:ident { $($variant:ident),+ $(,)? })+) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self { $($name::$variant)|+ => out.push(*self as u8) }
            }
            fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
                let byte = d.byte()?;
                $(if byte == $name::$variant as u8 { return Ok($name::$variant); })+
                Err(d.error(format!(concat!("unknown ", stringify!($name), " {}"), byte)))
            }
        }
    )+};
}

wire_enum! {
    Api { Vulkan, Metal, OpenCl, WebGpu, Reference }
    Dialect { SpirV, Msl, OpenClC, Wgsl, KernelIr }
    ImageKind { TexelBuffer, Texture2d, Texture2dArray, Texture3d }
    MatrixElem { F16, F32, BF16, S8, U8, S32 }
    ElemType { F32, F16, F64, I8, U8, I16, U16, I32, U32, I64, U64, Bool, BF16 }
    ObjectRole { Weights, Arena, Input, Output, State }
    TexelFormat { Rgba32Float, Rgba16Float }
    BindingKind { StorageRead, StorageReadWrite, SampledImage, StorageImageWrite }
}

wire_struct! {
    MatrixShape { m: u32, n: u32, k: u32, ab: MatrixElem, acc: MatrixElem }
    Limits {
        workgroup_memory_bytes: u64,
        workgroup_invocations: u64,
        workgroup_size: [u64; 3],
        dispatch_workgroups: [u64; 3],
        storage_range_bytes: u64,
        buffer_bytes: u64,
        storage_buffers: u64,
        images: u64,
        texture_2d: u64,
        texture_3d: u64,
        texture_layers: u64,
        texel_buffer: u64,
    }
    Requirements {
        api: Api,
        dialect: Dialect,
        target: alloc::string::String,
        rank: u32,
        features: Features,
        limits: Limits,
        storage_offset_alignment: u64,
        subgroup_sizes: Vec<u32>,
        matrix_shapes: Vec<MatrixShape>,
    }
    Object { role: ObjectRole, kind: ObjectKind }
    Upload { object: u32, object_offset: u64, weights_offset: u64, bytes: u64 }
    Pipeline {
        shader: u32,
        shader_entry: alloc::string::String,
        workgroup_size: [u32; 3],
        bindings: Vec<BindingKind>,
        subgroup_size: u32,
    }
    Io {
        name: alloc::string::String,
        elem: ElemType,
        device_elem: ElemType,
        shape: Vec<u64>,
        object: u32,
        offset: u64,
    }
    EntryPoint { name: alloc::string::String, inputs: Vec<Io>, outputs: Vec<Io>, steps: Vec<Step> }
    MemoryReport {
        strategy: alloc::string::String,
        naive_bytes: u64,
        planned_bytes: u64,
        lower_bound_bytes: u64,
    }
    Plan {
        objects: Vec<Object>,
        uploads: Vec<Upload>,
        pipelines: Vec<Pipeline>,
        entry_points: Vec<EntryPoint>,
        states: Vec<Io>,
        labels: Vec<alloc::string::String>,
        memory: MemoryReport,
    }
}

impl Wire for Features {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    /// Unknown bits are kept: the comparison with a device then names them as unmet.
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        Ok(Features(d.varint()?))
    }
}

impl Wire for ObjectKind {
    const MIN_BYTES: usize = 2;
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            ObjectKind::Buffer { bytes } => {
                out.push(0);
                bytes.put(out);
            }
            ObjectKind::Image { kind, format, extent } => {
                out.push(1);
                kind.put(out);
                format.put(out);
                extent.put(out);
            }
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match d.byte()? {
            0 => Ok(ObjectKind::Buffer { bytes: Wire::get(d)? }),
            1 => Ok(ObjectKind::Image {
                kind: Wire::get(d)?,
                format: Wire::get(d)?,
                extent: Wire::get(d)?,
            }),
            tag => Err(d.error(format!("unknown object kind {tag}"))),
        }
    }
}

impl Wire for Bind {
    const MIN_BYTES: usize = 2;
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Bind::Buffer { object, offset, bytes } => {
                out.push(0);
                object.put(out);
                offset.put(out);
                bytes.put(out);
            }
            Bind::Image { object } => {
                out.push(1);
                object.put(out);
            }
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match d.byte()? {
            0 => Ok(Bind::Buffer {
                object: Wire::get(d)?,
                offset: Wire::get(d)?,
                bytes: Wire::get(d)?,
            }),
            1 => Ok(Bind::Image { object: Wire::get(d)? }),
            tag => Err(d.error(format!("unknown bind {tag}"))),
        }
    }
}

impl Wire for Step {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Step::Dispatch { pipeline, workgroups, binds, label } => {
                out.push(0);
                pipeline.put(out);
                workgroups.put(out);
                binds.put(out);
                label.put(out);
            }
            Step::Barrier => out.push(1),
            Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                out.push(2);
                src.put(out);
                src_offset.put(out);
                dst.put(out);
                dst_offset.put(out);
                bytes.put(out);
            }
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        match d.byte()? {
            0 => Ok(Step::Dispatch {
                pipeline: Wire::get(d)?,
                workgroups: Wire::get(d)?,
                binds: Wire::get(d).map_err(|e: CodecError| e.field("binds"))?,
                label: Wire::get(d)?,
            }),
            1 => Ok(Step::Barrier),
            2 => Ok(Step::Copy {
                src: Wire::get(d)?,
                src_offset: Wire::get(d)?,
                dst: Wire::get(d)?,
                dst_offset: Wire::get(d)?,
                bytes: Wire::get(d)?,
            }),
            tag => Err(d.error(format!("unknown step {tag}"))),
        }
    }
}

impl Wire for Meta {
    fn put(&self, out: &mut Vec<u8>) {
        super::put_varint(self.pairs().len() as u64, out);
        for pair in self.pairs() {
            pair.0.put(out);
            pair.1.put(out);
        }
    }
    fn get(d: &mut Decoder<'_>) -> Result<Self, CodecError> {
        let pairs = Wire::get(d)?;
        Meta::from_pairs(pairs).ok_or_else(|| d.error("keys are not sorted and unique"))
    }
}
