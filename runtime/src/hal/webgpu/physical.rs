//! What an adapter says about itself, and what a variant asks of it.

use super::error::ready;
use crate::{
    bundle::Bundle,
    device::{DeviceInfo, DeviceKind},
};
use drift_bundle::{
    caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape},
    plan::{BindingKind, ObjectKind, Plan},
};
use std::sync::OnceLock;
use wgpu::{Adapter, Backends, DeviceType, Instance, InstanceDescriptor, InstanceFlags};

/// Where bindings start unless a plan needs a finer alignment (WebGPU, section *Limits*).
const OFFSET_ALIGNMENT: u64 = 256;

/// An adapter and its answers.
#[derive(Clone)]
pub(crate) struct Physical {
    pub adapter: Adapter,
    pub info: DeviceInfo,
    /// Everything that a compiled pipeline depends on beside its source.
    pub identity: String,
}

/// The platform's APIs, looked up once: what drivers there are does not change while a program runs.
fn instance() -> &'static Instance {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        Instance::new(InstanceDescriptor {
            backends: Backends::PRIMARY,
            flags: InstanceFlags::empty(),
            ..InstanceDescriptor::new_without_display_handle()
        })
    })
}

/// All adapters that can run Drift's kernels, best kind first. The order is the same on every call.
pub(crate) fn enumerate() -> Vec<Physical> {
    let adapters = ready(instance().enumerate_adapters(Backends::PRIMARY));
    let mut sorted: Vec<Physical> = adapters.into_iter().map(Physical::query).collect();
    sorted.sort_by_key(|p| p.info.kind);
    for (index, device) in sorted.iter_mut().enumerate() {
        device.info.index = index;
    }
    sorted
}

impl Physical {
    fn query(adapter: Adapter) -> Physical {
        let info = adapter.get_info();
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => DeviceKind::Discrete,
            DeviceType::IntegratedGpu => DeviceKind::Integrated,
            DeviceType::VirtualGpu => DeviceKind::Virtual,
            DeviceType::Cpu => DeviceKind::Cpu,
            DeviceType::Other => DeviceKind::Other,
        };
        let driver = format!("{} {}", info.driver, info.driver_info);
        let identity = format!(
            "{}\n{driver}\n{:?} {:x} {:x}",
            info.name, info.backend, info.vendor, info.device
        );
        let device = DeviceInfo {
            index: 0,
            kind,
            driver: driver.trim().to_owned(),
            api_version: format!("on {}", info.backend),
            // WebGPU does not tell
            memory_bytes: 0,
            capabilities: capabilities(&adapter, &info),
        };
        Physical { adapter, info: device, identity }
    }
}

fn capabilities(adapter: &Adapter, info: &wgpu::AdapterInfo) -> Capabilities {
    let (has, l) = (adapter.features(), adapter.limits());
    // packed products are part of the language
    let mut features = Features::DOT4
        .union(Features::TEXTURE_2D)
        .union(Features::TEXTURE_2D_ARRAY)
        .union(Features::TEXTURE_3D);
    let subgroups = Features::SUBGROUP_BASIC
        .union(Features::SUBGROUP_ARITHMETIC)
        .union(Features::SUBGROUP_SHUFFLE);
    for (feature, ours) in [
        (wgpu::Features::SHADER_F16, Features::F16.union(Features::STORAGE_16BIT)),
        (wgpu::Features::SUBGROUP, subgroups),
        (wgpu::Features::TIMESTAMP_QUERY, Features::TIMESTAMPS),
        // wgpu's own extension: no part of WebGPU
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, Features::COOPERATIVE_MATRIX),
    ] {
        if has.contains(feature) {
            features = features.union(ours);
        }
    }
    let (smallest, largest) = match has.contains(wgpu::Features::SUBGROUP) {
        true => (info.subgroup_min_size, info.subgroup_max_size),
        false => (0, 0),
    };
    let images = l.max_sampled_textures_per_shader_stage + l.max_storage_textures_per_shader_stage;
    Capabilities {
        api: Api::WebGpu,
        device_name: info.name.clone(),
        vendor_id: info.vendor,
        device_id: info.device,
        features,
        limits: Limits {
            workgroup_memory_bytes: l.max_compute_workgroup_storage_size.into(),
            workgroup_invocations: l.max_compute_invocations_per_workgroup.into(),
            workgroup_size: [
                l.max_compute_workgroup_size_x.into(),
                l.max_compute_workgroup_size_y.into(),
                l.max_compute_workgroup_size_z.into(),
            ],
            dispatch_workgroups: [l.max_compute_workgroups_per_dimension.into(); 3],
            storage_range_bytes: l.max_storage_buffer_binding_size,
            buffer_bytes: l.max_buffer_size,
            storage_buffers: l.max_storage_buffers_per_shader_stage.into(),
            images: images.into(),
            texture_2d: l.max_texture_dimension_2d.into(),
            texture_3d: l.max_texture_dimension_3d.into(),
            texture_layers: l.max_texture_array_layers.into(),
            texel_buffer: 0,
        },
        storage_offset_alignment: l.min_storage_buffer_offset_alignment.into(),
        // which of several sizes a kernel gets, nobody can say
        subgroup_size: if smallest == largest { largest } else { 0 },
        subgroup_size_min: smallest,
        subgroup_size_max: largest,
        matrix_shapes: matrix_shapes(adapter),
    }
}

fn matrix_shapes(adapter: &Adapter) -> Vec<MatrixShape> {
    let elem = |ty| match ty {
        wgpu::CooperativeScalarType::F16 => Some(MatrixElem::F16),
        wgpu::CooperativeScalarType::F32 => Some(MatrixElem::F32),
        _ => None,
    };
    let shape = |p: wgpu::CooperativeMatrixProperties| {
        let (m, n, k) = (p.m_size, p.n_size, p.k_size);
        Some(MatrixShape { m, n, k, ab: elem(p.ab_type)?, acc: elem(p.cr_type)? })
    };
    let mut shapes: Vec<_> =
        adapter.cooperative_matrix_properties().into_iter().filter_map(shape).collect();
    shapes.sort_unstable();
    shapes.dedup();
    shapes
}

/// What a device must be opened with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Needs {
    pub features: wgpu::Features,
    pub limits: wgpu::Limits,
}

impl Needs {
    /// What a variant asks for, and no more: WebGPU's guaranteed limits where these are enough (128
    /// MiB for a binding, 8 storage buffers, ...), so that nobody depends on more by mistake.
    ///
    /// `others`: bytes of the largest buffer that is not of the plan.
    pub fn of(physical: &Physical, bundle: &Bundle, variant: usize, others: u64) -> Needs {
        let contents = bundle.variant(variant);
        let (requires, plan) = (&contents.requirements, &contents.plan);
        let mut features = wgpu::Features::empty();
        let f16 = Features::F16.0 | Features::STORAGE_16BIT.0;
        let subgroups = Features::SUBGROUP_BASIC.0
            | Features::SUBGROUP_ARITHMETIC.0
            | Features::SUBGROUP_SHUFFLE.0;
        features.set(wgpu::Features::SHADER_F16, requires.features.0 & f16 != 0);
        features.set(wgpu::Features::SUBGROUP, requires.features.0 & subgroups != 0);
        let matrices = requires.features.contains(Features::COOPERATIVE_MATRIX);
        features.set(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, matrices);
        // nobody's shaders depend on these
        let harmless = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        features |= physical.adapter.features() & harmless;

        let has = physical.adapter.limits();
        let mut limits = wgpu::Limits::defaults().or_worse_values_from(&has);
        let l = &requires.limits;
        let raise = |to: &mut u32, n: u64| *to = (*to).max(u32::try_from(n).unwrap_or(u32::MAX));
        raise(&mut limits.max_compute_workgroup_storage_size, l.workgroup_memory_bytes);
        raise(&mut limits.max_compute_invocations_per_workgroup, l.workgroup_invocations);
        raise(&mut limits.max_compute_workgroup_size_x, l.workgroup_size[0]);
        raise(&mut limits.max_compute_workgroup_size_y, l.workgroup_size[1]);
        raise(&mut limits.max_compute_workgroup_size_z, l.workgroup_size[2]);
        for n in l.dispatch_workgroups {
            raise(&mut limits.max_compute_workgroups_per_dimension, n);
        }
        raise(&mut limits.max_storage_buffers_per_shader_stage, l.storage_buffers);
        raise(
            &mut limits.max_buffers_and_acceleration_structures_per_shader_stage,
            l.storage_buffers,
        );
        raise(&mut limits.max_texture_dimension_2d, l.texture_2d);
        raise(&mut limits.max_texture_dimension_3d, l.texture_3d);
        raise(&mut limits.max_texture_array_layers, l.texture_layers);
        raise(
            &mut limits.max_sampled_textures_per_shader_stage,
            most_bindings(plan, BindingKind::SampledImage),
        );
        raise(
            &mut limits.max_storage_textures_per_shader_stage,
            most_bindings(plan, BindingKind::StorageImageWrite),
        );
        let binding = &mut limits.max_storage_buffer_binding_size;
        *binding = (*binding).max(l.storage_range_bytes);
        let buffer = &mut limits.max_buffer_size;
        *buffer = (*buffer).max(l.buffer_bytes).max(largest_buffer(plan)).max(others);
        if !requires.storage_offset_alignment.is_multiple_of(OFFSET_ALIGNMENT) {
            limits.min_storage_buffer_offset_alignment = has.min_storage_buffer_offset_alignment;
        }
        Needs { features, limits }
    }
}

fn most_bindings(plan: &Plan, kind: BindingKind) -> u64 {
    let count =
        |p: &drift_bundle::plan::Pipeline| p.bindings.iter().filter(|b| **b == kind).count();
    plan.pipelines.iter().map(count).max().unwrap_or(0) as u64
}

fn largest_buffer(plan: &Plan) -> u64 {
    let bytes = |o: &drift_bundle::plan::Object| match o.kind {
        ObjectKind::Buffer { bytes } => bytes,
        ObjectKind::Image { .. } => 0,
    };
    plan.objects.iter().map(bytes).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_have_sensible_limits() {
        let devices = enumerate();
        if devices.is_empty() {
            return println!("skipped: no WebGPU adapter");
        }
        for (i, d) in devices.iter().enumerate() {
            let (c, name) = (&d.info.capabilities, &d.info.capabilities.device_name);
            assert_eq!((d.info.index, c.api), (i, Api::WebGpu));
            assert!(!name.is_empty());
            let l = &c.limits;
            assert!(
                l.workgroup_invocations >= 128 && l.workgroup_memory_bytes >= 16 << 10,
                "{name}"
            );
            assert!(l.buffer_bytes >= 128 << 20 && l.storage_buffers >= 4, "{name}: {l:?}");
            assert!(OFFSET_ALIGNMENT.is_multiple_of(c.storage_offset_alignment), "{name}");
        }
        assert!(devices.is_sorted_by_key(|d| d.info.kind));
    }
}
