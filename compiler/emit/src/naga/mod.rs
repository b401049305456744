//! All that touches naga: building a module from a kernel, validating it, and the three writers.

mod expr;
mod metal;
mod module;
mod scope;
mod stmt;

pub use metal::msl_text;

use crate::{DialectOptions, ENTRY_POINT, EmitError};
use drift_bundle::caps::Dialect;
use drift_kernel::Kernel;
use naga::back::{spv, wgsl};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{
    Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use naga::{Module, ResourceBinding, ShaderStage};

/// Indices are in bounds by construction; see the crate's invariants.
const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

pub fn spirv_words(kernel: &Kernel, options: &DialectOptions) -> Result<Vec<u32>, EmitError> {
    let dialect = Dialect::SpirV;
    let (module, info) = validated(kernel, dialect)?;
    let spv_options = spv::Options {
        lang_version: options.spirv_version.max((1, 3)),
        flags: spv::WriterFlags::empty(),
        fake_missing_bindings: false,
        capabilities: Some(spirv_capabilities(options)),
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        use_storage_input_output_16: false,
        emit_int_div_checks: false,
        binding_map: (0..kernel.bindings.len() as u32)
            .map(|binding| {
                let info =
                    spv::BindingInfo { descriptor_set: 0, binding, binding_array_size: None };
                (ResourceBinding { group: 0, binding }, info)
            })
            .collect(),
        ..spv::Options::default()
    };
    let entry = spv::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: ENTRY_POINT.to_owned(),
    };
    spv::write_vec(&module, &info, &spv_options, Some(&entry))
        .map_err(|error| rejected(kernel, dialect, &error))
}

/// Capabilities that naga may ask for. It takes some only because they are allowed (8-bit integers
/// to unpack bytes, which a device may lack); those are left out.
fn spirv_capabilities(options: &DialectOptions) -> naga::FastHashSet<spv::Capability> {
    use spv::Capability as C;
    let mut out: naga::FastHashSet<C> = [
        C::Shader,
        C::Float16,
        C::StorageBuffer16BitAccess,
        C::GroupNonUniform,
        C::GroupNonUniformArithmetic,
        C::GroupNonUniformShuffle,
        C::CooperativeMatrixKHR,
        C::VulkanMemoryModel,
    ]
    .into_iter()
    .collect();
    if options.native_dot4 {
        out.extend([C::DotProduct, C::DotProductInput4x8BitPacked]);
    }
    out
}

pub fn wgsl_text(kernel: &Kernel) -> Result<String, EmitError> {
    let dialect = Dialect::Wgsl;
    let (module, info) = validated(kernel, dialect)?;
    let text = wgsl::write_string(&module, &info, wgsl::WriterFlags::empty())
        .map_err(|error| rejected(kernel, dialect, &error))?;
    Ok(largest_exactly(text))
}

/// naga writes the largest f32 with as few digits as tell it from its neighbours, which is more than
/// that f32 has; browsers reject a literal beyond the range (WGSL, "Numeric Literals").
fn largest_exactly(text: String) -> String {
    const ROUNDED: &str = "340282350000000000000000000000000000000f";
    match text.contains(ROUNDED) {
        true => text.replace(ROUNDED, "3.4028234663852886e38f"),
        false => text,
    }
}

fn validated(kernel: &Kernel, dialect: Dialect) -> Result<(Module, ModuleInfo), EmitError> {
    let module = module::build(kernel, dialect)?;
    let capabilities = Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SUBGROUP
        | Capabilities::SUBGROUP_BARRIER
        | Capabilities::COOPERATIVE_MATRIX
        | Capabilities::MEMORY_DECORATION_COHERENT;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| rejected(kernel, dialect, &error.into_inner()))?;
    Ok((module, info))
}

/// Keeps the causes: naga's outermost message is often no more than "entry point is invalid".
fn rejected(kernel: &Kernel, dialect: Dialect, error: &dyn std::error::Error) -> EmitError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason.push_str(": ");
        reason.push_str(&inner.to_string());
        cause = inner.source();
    }
    EmitError::Rejected { kernel: kernel.name.clone(), dialect, reason }
}
