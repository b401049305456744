//! A plan as JSON: what `npm/src/program.js` replays.

use crate::json::Json;
use drift_bundle::caps::{Features, ImageKind, Requirements};
use drift_bundle::plan::{
    Bind, BindingKind, ElemType, EntryPoint, Io, ObjectKind, ObjectRole, Plan, Step, TexelFormat,
};
use std::ops::Range;

/// Objects, uploads, pipelines, entry points and states of a checked plan. Barriers are left out:
/// WebGPU orders dispatches by itself.
pub fn program(requirements: &Requirements, plan: &Plan, shaders: &[Range<usize>]) -> String {
    let mut json = Json::default();
    json.object(|j| {
        j.key("target").text(&requirements.target);
        j.key("enable").list(extensions(requirements.features), |j, e| {
            j.text(e);
        });
        j.key("shaders").list(shaders, |j, r| j.numbers([r.start, r.end]));
        j.key("objects").list(&plan.objects, |j, o| {
            j.object(|j| {
                j.key("role").text(role(o.role));
                match &o.kind {
                    ObjectKind::Buffer { bytes } => {
                        j.key("bytes").value(bytes);
                    }
                    ObjectKind::Image { kind, format, extent } => {
                        j.key("dimension").text(dimension(*kind));
                        j.key("format").text(texels(*format));
                        j.key("texel").value(format.bytes());
                        j.key("extent").numbers(extent);
                    }
                }
            });
        });
        let mut uploads: Vec<_> = plan.uploads.iter().collect();
        uploads.sort_by_key(|u| u.weights_offset);
        j.key("uploads").list(uploads, |j, u| {
            j.numbers([u64::from(u.object), u.object_offset, u.weights_offset, u.bytes]);
        });
        j.key("pipelines").list(&plan.pipelines, |j, p| {
            j.object(|j| {
                j.key("shader").value(p.shader);
                j.key("entry").text(&p.shader_entry);
                j.key("bindings").numbers(p.bindings.iter().map(|b| match b {
                    BindingKind::StorageRead => 0,
                    BindingKind::StorageReadWrite => 1,
                    BindingKind::SampledImage => 2,
                    BindingKind::StorageImageWrite => 3,
                }));
            });
        });
        j.key("entries").list(&plan.entry_points, entry);
        j.key("states").list(&plan.states, io);
        j.key("labels").list(&plan.labels, |j, l| {
            j.text(l);
        });
    });
    json.0
}

/// Extensions that a shader may use; bundles hold WGSL without `enable` lines for subgroups.
fn extensions(features: Features) -> Vec<&'static str> {
    let all = [Features::SUBGROUP_BASIC, Features::SUBGROUP_ARITHMETIC, Features::SUBGROUP_SHUFFLE];
    let subgroups = all.into_iter().any(|f| features.contains(f));
    subgroups.then_some("subgroups").into_iter().collect()
}

/// `dispatch`: pipeline, workgroups, label, then object, offset and bytes of each binding (an image:
/// bytes 0). `copy`: source, its offset, destination, its offset, bytes.
fn entry(j: &mut Json, e: &EntryPoint) {
    j.object(|j| {
        j.key("name").text(&e.name);
        j.key("inputs").list(&e.inputs, io);
        j.key("outputs").list(&e.outputs, io);
        j.key("steps").list(&e.steps, |j, s| match s {
            Step::Barrier => {}
            Step::Dispatch { pipeline, workgroups, binds, label } => j.object(|j| {
                let [x, y, z] = *workgroups;
                let head = [*pipeline, x, y, z, *label].map(u64::from);
                let binds = binds.iter().flat_map(|b| match *b {
                    Bind::Buffer { object, offset, bytes } => [u64::from(object), offset, bytes],
                    Bind::Image { object } => [u64::from(object), 0, 0],
                });
                j.key("dispatch").numbers(head.into_iter().chain(binds));
            }),
            Step::Copy { src, src_offset, dst, dst_offset, bytes } => j.object(|j| {
                let (src, dst) = (u64::from(*src), u64::from(*dst));
                j.key("copy").numbers([src, *src_offset, dst, *dst_offset, *bytes]);
            }),
        });
    });
}

fn io(j: &mut Json, io: &Io) {
    j.object(|j| {
        j.key("name").text(&io.name);
        j.key("type").text(elem_name(io.elem));
        j.key("elem").value(io.elem as u8);
        j.key("device").value(io.device_elem as u8);
        j.key("shape").numbers(&io.shape);
        j.key("object").value(io.object);
        j.key("offset").value(io.offset);
        j.key("bytes").value(io.device_bytes().unwrap_or(0));
    });
}

pub fn elem_name(elem: ElemType) -> &'static str {
    match elem {
        ElemType::F32 => "float32",
        ElemType::F16 => "float16",
        ElemType::F64 => "float64",
        ElemType::I8 => "int8",
        ElemType::U8 => "uint8",
        ElemType::I16 => "int16",
        ElemType::U16 => "uint16",
        ElemType::I32 => "int32",
        ElemType::U32 => "uint32",
        ElemType::I64 => "int64",
        ElemType::U64 => "uint64",
        ElemType::Bool => "bool",
        ElemType::BF16 => "bfloat16",
    }
}

/// The element type with this number.
pub fn elem(number: u8) -> Option<ElemType> {
    use ElemType as E;
    let all = [E::F32, E::F16, E::F64, E::I8, E::U8, E::I16, E::U16, E::I32, E::U32];
    let more = [E::I64, E::U64, E::Bool, E::BF16];
    all.into_iter().chain(more).find(|e| *e as u8 == number)
}

fn role(role: ObjectRole) -> &'static str {
    match role {
        ObjectRole::Weights => "weights",
        ObjectRole::Arena => "arena",
        ObjectRole::Input => "input",
        ObjectRole::Output => "output",
        ObjectRole::State => "state",
    }
}

/// `GPUTextureViewDimension`. Texel buffers do not exist there; no WebGPU device satisfies a
/// variant that has one.
fn dimension(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::TexelBuffer => "1d",
        ImageKind::Texture2d => "2d",
        ImageKind::Texture2dArray => "2d-array",
        ImageKind::Texture3d => "3d",
    }
}

fn texels(format: TexelFormat) -> &'static str {
    match format {
        TexelFormat::Rgba32Float => "rgba32float",
        TexelFormat::Rgba16Float => "rgba16float",
    }
}
