//! Cross references of one variant: after this check a plan can be replayed without further tests.

use crate::{
    caps::{Dialect, ImageKind, Requirements},
    container::Section,
    error::{BundleError, ErrorKind},
    plan::*,
};
use alloc::{boxed::Box, format, string::String, vec::Vec};

/// Largest object a plan may declare (1 TiB): leaves head room in every sum of sizes.
pub const MAX_OBJECT_BYTES: u64 = 1 << 40;
/// Most objects of one plan; keeps the sum of all sizes below 2^60.
const MAX_OBJECTS: usize = 1 << 20;
/// Most entry points of a plan, and inputs or outputs of an entry point: names are compared pairwise.
const MAX_NAMES: usize = 4096;
/// Most axes of a boundary tensor.
const MAX_RANK: usize = 16;

/// Boxed, so that results of the many small checks fit in registers.
struct Problem {
    section: Section,
    path: String,
    message: String,
}

type Check = Result<(), Box<Problem>>;

fn fail(path: impl Into<String>, message: impl Into<String>) -> Check {
    Err(problem(Section::Plan, path.into(), message.into()))
}

#[cold]
#[inline(never)]
fn problem(section: Section, path: String, message: String) -> Box<Problem> {
    Box::new(Problem { section, path, message })
}

/// Checks that requirements, plan, shaders and weights of one variant agree: every index and range
/// lies inside what it points at, kinds and roles match, and the requirements admit to all that the
/// plan uses. `weights_bytes` is the size of the WEIGHTS section.
pub fn check_variant(
    requirements: &Requirements,
    plan: &Plan,
    shaders: &[&[u8]],
    weights_bytes: u64,
) -> Result<(), BundleError> {
    let run = || -> Check {
        check_shaders(requirements, shaders)?;
        check_objects(plan)?;
        check_uploads(plan, weights_bytes)?;
        check_pipelines(plan, shaders.len())?;
        if plan.entry_points.is_empty() {
            return fail("plan.entry_points", "no entry point");
        }
        if plan.entry_points.len() > MAX_NAMES {
            return fail("plan.entry_points", format!("more than {MAX_NAMES}"));
        }
        for (i, entry) in plan.entry_points.iter().enumerate() {
            check_entry_point(requirements, plan, i, entry)?;
        }
        check_states(plan)?;
        check_requirements(requirements, plan)
    };
    run().map_err(|p| {
        BundleError::new(ErrorKind::Inconsistent, p.message)
            .in_section(p.section)
            .at(p.path)
            .in_variant(0, &requirements.target)
    })
}

fn check_requirements(requirements: &Requirements, plan: &Plan) -> Check {
    if let Some((field, message)) = requirements.uncovered(plan) {
        return Err(problem(Section::Requirements, format!("requirements.{field}"), message));
    }
    Ok(())
}

fn check_shaders(requirements: &Requirements, shaders: &[&[u8]]) -> Check {
    for (i, blob) in shaders.iter().enumerate() {
        let wrong = match requirements.dialect {
            Dialect::SpirV if blob.len() % 4 != 0 || blob.len() < 20 => "not whole SPIR-V words",
            Dialect::SpirV if blob[..4] != 0x0723_0203u32.to_le_bytes() => "no SPIR-V magic number",
            Dialect::SpirV => continue,
            Dialect::KernelIr => continue,
            _ if core::str::from_utf8(blob).is_err() => "not UTF-8 text",
            _ => continue,
        };
        let message = format!("{wrong} ({} bytes)", blob.len());
        return Err(problem(Section::Shaders, format!("shaders[{i}]"), message));
    }
    Ok(())
}

fn check_objects(plan: &Plan) -> Check {
    if plan.objects.len() > MAX_OBJECTS {
        return fail(
            "plan.objects",
            format!("{} objects, at most {MAX_OBJECTS}", plan.objects.len()),
        );
    }
    for (i, object) in plan.objects.iter().enumerate() {
        let at = || format!("plan.objects[{i}]");
        match &object.kind {
            ObjectKind::Buffer { bytes } if *bytes == 0 => return fail(at(), "buffer of 0 bytes"),
            ObjectKind::Image { kind, extent, .. } => {
                let [w, h, d] = *extent;
                if w == 0 || h == 0 || d == 0 {
                    return fail(at(), format!("{kind} with extent {w}x{h}x{d}"));
                }
                let flat = match kind {
                    ImageKind::TexelBuffer => h == 1 && d == 1,
                    ImageKind::Texture2d => d == 1,
                    ImageKind::Texture2dArray | ImageKind::Texture3d => true,
                };
                if !flat {
                    return fail(at(), format!("{kind} cannot have extent {w}x{h}x{d}"));
                }
                if matches!(object.role, ObjectRole::Input | ObjectRole::Output) {
                    return fail(at(), "inputs and outputs are buffers, not images");
                }
            }
            ObjectKind::Buffer { .. } => {}
        }
        match object.kind.bytes() {
            Some(bytes) if bytes <= MAX_OBJECT_BYTES => {}
            _ => return fail(at(), format!("larger than {MAX_OBJECT_BYTES} bytes")),
        }
    }
    Ok(())
}

impl ObjectKind {
    /// Bytes of the contents, texels tightly packed; `None` on overflow.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            ObjectKind::Buffer { bytes } => Some(*bytes),
            ObjectKind::Image { format, extent, .. } => {
                extent.iter().try_fold(format.bytes(), |n, e| n.checked_mul(u64::from(*e)))
            }
        }
    }
}

/// The object with this index, or a problem that names it.
fn object<'p>(
    plan: &'p Plan,
    index: u32,
    at: &dyn Fn() -> String,
) -> Result<&'p Object, Box<Problem>> {
    plan.objects.get(index as usize).ok_or_else(|| {
        problem(Section::Plan, at(), format!("object {index}, the plan has {}", plan.objects.len()))
    })
}

/// Checks a byte range of a buffer object.
fn range(index: u32, object: &Object, offset: u64, bytes: u64, at: &dyn Fn() -> String) -> Check {
    let ObjectKind::Buffer { bytes: size } = object.kind else {
        return fail(at(), format!("object {index} is an image, a buffer is needed"));
    };
    match offset.checked_add(bytes) {
        Some(end) if end <= size => Ok(()),
        _ => fail(at(), format!("offset {offset} + {bytes} exceeds object {index} ({size} bytes)")),
    }
}

fn check_uploads(plan: &Plan, weights_bytes: u64) -> Check {
    for (i, upload) in plan.uploads.iter().enumerate() {
        let at = || format!("plan.uploads[{i}]");
        let Upload { object: index, object_offset, weights_offset, bytes } = *upload;
        let target = object(plan, index, &at)?;
        if target.role != ObjectRole::Weights {
            return fail(
                at(),
                format!("object {index} has role {:?}, uploads fill Weights", target.role),
            );
        }
        if bytes == 0 {
            return fail(at(), "empty upload");
        }
        match target.kind {
            ObjectKind::Buffer { .. } => range(index, target, object_offset, bytes, &at)?,
            ObjectKind::Image { .. } => {
                let whole = target.kind.bytes().unwrap_or(0);
                if object_offset != 0 || bytes != whole {
                    return fail(
                        at(),
                        format!("image object {index} takes exactly {whole} bytes at offset 0"),
                    );
                }
            }
        }
        if object_offset % 4 != 0 || bytes % 4 != 0 {
            return fail(
                at(),
                format!("offset {object_offset} or size {bytes} is not a multiple of 4"),
            );
        }
        match weights_offset.checked_add(bytes) {
            Some(end) if end <= weights_bytes => {}
            _ => {
                let message = format!(
                    "weights {weights_offset} + {bytes} exceed WEIGHTS ({weights_bytes} bytes)"
                );
                return fail(at(), message);
            }
        }
    }
    Ok(())
}

fn check_pipelines(plan: &Plan, shaders: usize) -> Check {
    for (i, pipeline) in plan.pipelines.iter().enumerate() {
        let at = || format!("plan.pipelines[{i}]");
        if pipeline.shader as usize >= shaders {
            return fail(at(), format!("shader {}, the variant has {shaders}", pipeline.shader));
        }
        if pipeline.shader_entry.is_empty() || pipeline.shader_entry.contains('\0') {
            return fail(at(), format!("shader entry {:?} is not a name", pipeline.shader_entry));
        }
        let size = pipeline.workgroup_size;
        let invocations = size.iter().try_fold(1u32, |n, s| n.checked_mul(*s));
        if invocations.is_none_or(|n| n == 0) {
            return fail(at(), format!("workgroup size {}x{}x{}", size[0], size[1], size[2]));
        }
        if pipeline.subgroup_size != 0 && !pipeline.subgroup_size.is_power_of_two() {
            return fail(
                at(),
                format!("subgroup size {} is not a power of two", pipeline.subgroup_size),
            );
        }
    }
    Ok(())
}

/// Checks the tensors of one list: names, types, and that each lies inside an object of one of
/// `roles`.
fn check_ios(
    plan: &Plan,
    ios: &[Io],
    roles: &[ObjectRole],
    path: &dyn Fn(usize) -> String,
) -> Check {
    for (i, io) in ios.iter().enumerate() {
        let at = || format!("{} ({:?})", path(i), io.name);
        if ios[..i].iter().any(|other| other.name == io.name) {
            return fail(at(), "the name is used twice");
        }
        let target = object(plan, io.object, &at)?;
        if !roles.contains(&target.role) {
            let names: Vec<String> = roles.iter().map(|r| format!("{r:?}")).collect();
            let message = format!(
                "object {} has role {:?}, not {}",
                io.object,
                target.role,
                names.join(" or ")
            );
            return fail(at(), message);
        }
        if io.shape.len() > MAX_RANK {
            return fail(at(), format!("{} axes, at most {MAX_RANK}", io.shape.len()));
        }
        if !io.elem.travels_as(io.device_elem) {
            return fail(at(), format!("{:?} cannot travel as {:?}", io.elem, io.device_elem));
        }
        // The host side must fit too: f64 and i64 take twice the device's bytes.
        let host = io.elems().and_then(|n| n.checked_mul(io.elem.bytes()));
        let (Some(_), Some(bytes)) = (host, io.device_bytes()) else {
            return fail(at(), format!("shape {:?} overflows", io.shape));
        };
        range(io.object, target, io.offset, bytes, &at)?;
        if io.offset % 4 != 0 {
            return fail(at(), format!("offset {} is not a multiple of 4", io.offset));
        }
    }
    Ok(())
}

/// Names, places and types of the states, and that no two of them share bytes.
fn check_states(plan: &Plan) -> Check {
    if plan.states.len() > MAX_NAMES {
        return fail("plan.states", format!("more than {MAX_NAMES}"));
    }
    check_ios(plan, &plan.states, &[ObjectRole::State], &|i| format!("plan.states[{i}]"))?;
    // Checked just now: sizes do not overflow.
    let end = |io: &Io| io.offset + io.device_bytes().unwrap_or(0);
    for (i, io) in plan.states.iter().enumerate() {
        let shares = |o: &&Io| o.object == io.object && o.offset < end(io) && io.offset < end(o);
        if let Some(other) = plan.states[..i].iter().find(shares) {
            return fail("plan.states", format!("{:?} and {:?} overlap", other.name, io.name));
        }
    }
    Ok(())
}

fn check_entry_point(
    requirements: &Requirements,
    plan: &Plan,
    number: usize,
    entry: &EntryPoint,
) -> Check {
    let path = format!("plan.entry_points[{number}]");
    if plan.entry_points[..number].iter().any(|e| e.name == entry.name) {
        return fail(path, format!("the name {:?} is used twice", entry.name));
    }
    for (list, ios, roles) in [
        ("inputs", &entry.inputs, [ObjectRole::Input, ObjectRole::State]),
        ("outputs", &entry.outputs, [ObjectRole::Output, ObjectRole::State]),
    ] {
        if ios.len() > MAX_NAMES {
            return fail(format!("{path}.{list}"), format!("more than {MAX_NAMES}"));
        }
        check_ios(plan, ios, &roles, &|i| format!("{path}.{list}[{i}]"))?;
    }
    let alignment = requirements.storage_offset_alignment;
    if !alignment.is_power_of_two() {
        return Err(problem(
            Section::Requirements,
            "requirements.storage_offset_alignment".into(),
            format!("{alignment} is not a power of two"),
        ));
    }
    entry.steps.iter().enumerate().try_for_each(|(i, step)| {
        let at = || format!("{path}.steps[{i}]");
        match step {
            Step::Dispatch { pipeline, workgroups, binds, label } => {
                check_dispatch(plan, alignment, *pipeline, *workgroups, binds, *label, &at)
            }
            Step::Barrier => Ok(()),
            Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                let (from, to) = (object(plan, *src, &at)?, object(plan, *dst, &at)?);
                if *bytes == 0 {
                    return fail(at(), "empty copy");
                }
                if matches!(to.role, ObjectRole::Weights | ObjectRole::Input) {
                    return fail(
                        at(),
                        format!("object {dst} has role {:?}, a copy cannot write it", to.role),
                    );
                }
                range(*src, from, *src_offset, *bytes, &at)?;
                range(*dst, to, *dst_offset, *bytes, &at)?;
                if (src_offset | dst_offset | bytes) % 4 != 0 {
                    return fail(at(), "offsets and size must be multiples of 4");
                }
                if src == dst && src_offset.abs_diff(*dst_offset) < *bytes {
                    return fail(at(), format!("source and destination overlap in object {src}"));
                }
                Ok(())
            }
        }
    })
}

fn check_dispatch(
    plan: &Plan,
    alignment: u64,
    pipeline: u32,
    workgroups: [u32; 3],
    binds: &[Bind],
    label: u32,
    at: &dyn Fn() -> String,
) -> Check {
    let Some(signature) = plan.pipelines.get(pipeline as usize) else {
        return fail(at(), format!("pipeline {pipeline}, the plan has {}", plan.pipelines.len()));
    };
    if workgroups.contains(&0) {
        return fail(at(), format!("dispatch of {workgroups:?} workgroups"));
    }
    if label as usize >= plan.labels.len() {
        return fail(at(), format!("label {label}, the plan has {}", plan.labels.len()));
    }
    if binds.len() != signature.bindings.len() {
        let (have, need) = (binds.len(), signature.bindings.len());
        return fail(at(), format!("{have} binds, pipeline {pipeline} takes {need}"));
    }
    for (i, (bind, kind)) in binds.iter().zip(&signature.bindings).enumerate() {
        let at = || format!("{}.binds[{i}]", at());
        let writes = matches!(kind, BindingKind::StorageReadWrite | BindingKind::StorageImageWrite);
        let (index, target) = match (bind, kind) {
            (
                Bind::Buffer { object: index, offset, bytes },
                BindingKind::StorageRead | BindingKind::StorageReadWrite,
            ) => {
                let target = object(plan, *index, &at)?;
                range(*index, target, *offset, *bytes, &at)?;
                if *bytes == 0 {
                    return fail(at(), "binds 0 bytes");
                }
                if offset % alignment != 0 {
                    return fail(at(), format!("offset {offset} is not a multiple of {alignment}"));
                }
                (index, target)
            }
            (
                Bind::Image { object: index },
                BindingKind::SampledImage | BindingKind::StorageImageWrite,
            ) => {
                let target = object(plan, *index, &at)?;
                if matches!(target.kind, ObjectKind::Buffer { .. }) {
                    return fail(at(), format!("object {index} is a buffer, an image is needed"));
                }
                (index, target)
            }
            (Bind::Buffer { .. }, kind) => {
                return fail(at(), format!("a buffer where the shader has {kind:?}"));
            }
            (Bind::Image { .. }, kind) => {
                return fail(at(), format!("an image where the shader has {kind:?}"));
            }
        };
        if writes && matches!(target.role, ObjectRole::Weights | ObjectRole::Input) {
            return fail(at(), format!("writes object {index}, which has role {:?}", target.role));
        }
    }
    Ok(())
}

impl ElemType {
    /// Whether a boundary tensor of this type may be held as `device` inside an object: as itself,
    /// floats as f32 or f16, integers and bool as a 32-bit integer.
    pub fn travels_as(self, device: ElemType) -> bool {
        use ElemType::*;
        self == device
            || match self {
                F32 | F16 | F64 | BF16 => matches!(device, F32 | F16),
                I8 | U8 | I16 | U16 | I32 | U32 | I64 | U64 | Bool => matches!(device, I32 | U32),
            }
    }
}
