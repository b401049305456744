//! Physical kernels -> shaders, and what they require of a device.

use crate::error::{ErrorKind, Result, StageError};
use crate::plan::Planned;
use crate::target::TargetSpec;
use drift_bundle::ShaderSet;
use drift_bundle::caps::{Api, Dialect, Features, Limits, Requirements};
use drift_emit::{DialectOptions, Needs};
use drift_kernel::Kernel;

const STAGE: &str = "emit";

/// Emits every pipeline's shader; afterwards `Pipeline::shader` is an index into the set.
pub fn emit(spec: &TargetSpec, planned: &mut Planned) -> Result<(ShaderSet, Requirements)> {
    let mut set = ShaderSet::new();
    let mut requirements = Requirements::new(spec.caps.api, spec.dialect, &spec.id);
    requirements.rank = spec.rank;
    let options = options_for(spec);
    for pipeline in &mut planned.plan.pipelines {
        let kernel = &planned.kernels[pipeline.shader as usize];
        let (bytes, entry) = emit_kernel(kernel, spec, &options)?;
        pipeline.shader = set.add(bytes);
        pipeline.shader_entry = entry;
        if spec.dialect != Dialect::KernelIr {
            require(&mut requirements, &Needs::of(kernel, spec.dialect, &options));
        }
    }
    requirements.cover_plan(&planned.plan);
    check(spec, &requirements)?;
    Ok((set, requirements))
}

/// Options of the dialect that suit a target.
pub fn options_for(spec: &TargetSpec) -> DialectOptions {
    DialectOptions {
        native_dot4: spec.caps.features.contains(Features::DOT4),
        native_half: spec.caps.features.contains(Features::F16),
        inline_ptx: spec.caps.features.contains(Features::INLINE_PTX),
        ..DialectOptions::default()
    }
}

fn emit_kernel(
    kernel: &Kernel,
    spec: &TargetSpec,
    options: &DialectOptions,
) -> Result<(Vec<u8>, String)> {
    if spec.dialect == Dialect::KernelIr {
        return Ok((kernel_bytes(kernel)?, drift_emit::ENTRY_POINT.to_owned()));
    }
    let shader = drift_emit::emit(kernel, spec.dialect, options).map_err(|e| {
        // too many bindings for the language, for one: the lowering knows devices only
        let kind = match e {
            drift_emit::EmitError::Unsupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Internal,
        };
        StageError::new(STAGE, kind, format!("kernel {}: {e}", kernel.name))
    })?;
    Ok((shader.bytes, shader.entry))
}

/// Every distinct kernel of the main variant in another dialect, by kernel name.
pub fn emit_as(compiled: &crate::Compiled, dialect: Dialect) -> Result<Vec<(String, Vec<u8>)>> {
    let Some(variant) = compiled.main_variant() else { return Ok(Vec::new()) };
    let Some(planned) = &variant.planned else {
        return Err(StageError::invalid(STAGE, "no shaders before the stage plan-memory")
            .help("leave out --stop-after, or stop at `emit`"));
    };
    let options = options_for(&variant.spec);
    planned
        .kernels
        .iter()
        .map(|kernel| {
            let shader = drift_emit::emit(kernel, dialect, &options).map_err(|e| {
                let kind = ErrorKind::Unsupported;
                StageError::new(STAGE, kind, format!("kernel {}: {e}", kernel.name))
            })?;
            Ok((kernel.name.clone(), shader.bytes))
        })
        .collect()
}

/// Most bytes of one serialized kernel: unrolled kernels have some thousand expressions.
const MAX_KERNEL_BYTES: usize = 16 << 20;

/// Serialized kernel IR (the shaders of a reference variant).
pub fn kernel_bytes(kernel: &Kernel) -> Result<Vec<u8>> {
    let anonymous = Kernel { tensors: Vec::new(), ..kernel.clone() };
    postcard::to_allocvec(&anonymous)
        .map_err(|e| StageError::internal(STAGE, format!("kernel {}: {e}", kernel.name)))
}

/// Reads what [`kernel_bytes`] wrote. The result is validated: nothing in a file is trusted.
pub fn kernel_from_bytes(bytes: &[u8]) -> Result<Kernel> {
    let bad = |what: String| {
        StageError::new(
            "load",
            ErrorKind::Invalid,
            format!("the reference kernels are damaged: {what}"),
        )
        .help("compile the bundle again")
    };
    if bytes.len() > MAX_KERNEL_BYTES {
        return Err(bad(format!("{} bytes for one kernel", bytes.len())));
    }
    let kernel: Kernel = postcard::from_bytes(bytes).map_err(|e| bad(e.to_string()))?;
    drift_kernel::validate(&kernel).map_err(|e| bad(e.to_string()))?;
    Ok(kernel)
}

fn require(to: &mut Requirements, needs: &Needs) {
    to.features = to.features.union(needs.features);
    let max = |a: &mut u64, b: u64| *a = (*a).max(b);
    let (a, b): (&mut Limits, &Limits) = (&mut to.limits, &needs.limits);
    max(&mut a.workgroup_memory_bytes, b.workgroup_memory_bytes);
    max(&mut a.workgroup_invocations, b.workgroup_invocations);
    max(&mut a.storage_range_bytes, b.storage_range_bytes);
    max(&mut a.storage_buffers, b.storage_buffers);
    max(&mut a.images, b.images);
    for shape in &needs.matrix_shapes {
        if !to.matrix_shapes.contains(shape) {
            to.matrix_shapes.push(*shape);
        }
    }
    to.matrix_shapes.sort_unstable();
    if needs.subgroup_size != 0 && !to.subgroup_sizes.contains(&needs.subgroup_size) {
        to.subgroup_sizes.push(needs.subgroup_size);
        to.subgroup_sizes.sort_unstable();
    }
}

/// `requires ⊆ device caps`: a variant that its own target cannot run is a mistake here, not
/// something to find out on a phone.
fn check(spec: &TargetSpec, requirements: &Requirements) -> Result<()> {
    if spec.caps.api == Api::Reference {
        return Ok(());
    }
    let unmet = requirements.unmet(&spec.caps);
    if unmet.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = unmet.iter().map(ToString::to_string).collect();
    Err(StageError::new(
        STAGE,
        ErrorKind::Unsupported,
        format!("the kernels need more than {} has: {}", spec.id, list.join("; ")),
    )
    .help("choose a more capable --target, or report it: kernels should fit their target"))
}
