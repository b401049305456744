//! What a physical device says about itself.

use super::{error::VkResultExt, instance::Instance};
use crate::{
    device::{DeviceInfo, DeviceKind},
    error::Result,
};
use ash::{ext, khr, vk};
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use std::ffi::CStr;

/// A device that has not been opened.
pub(crate) struct Physical {
    pub handle: vk::PhysicalDevice,
    pub info: DeviceInfo,
    pub properties: vk::PhysicalDeviceProperties,
    pub memory: vk::PhysicalDeviceMemoryProperties,
    /// First family with compute.
    pub queue_family: u32,
    /// Nanoseconds per tick; 0 = no time stamps.
    pub timestamp_period: f64,
    pub timestamp_mask: u64,
    /// Bytes of one memory allocation.
    pub max_allocation: u64,
    pub extensions: Vec<&'static CStr>,
    pub features: Box<FeatureChain>,
}

/// Feature structures, one chain for asking and for enabling. Only those that the device knows are
/// linked in.
#[derive(Default)]
pub(crate) struct FeatureChain {
    pub core: vk::PhysicalDeviceFeatures2<'static>,
    storage16: vk::PhysicalDevice16BitStorageFeatures<'static>,
    storage8: vk::PhysicalDevice8BitStorageFeatures<'static>,
    small_types: vk::PhysicalDeviceShaderFloat16Int8Features<'static>,
    memory_model: vk::PhysicalDeviceVulkanMemoryModelFeatures<'static>,
    subgroup_types: vk::PhysicalDeviceShaderSubgroupExtendedTypesFeatures<'static>,
    pub size_control: vk::PhysicalDeviceSubgroupSizeControlFeatures<'static>,
    dot: vk::PhysicalDeviceShaderIntegerDotProductFeatures<'static>,
    maintenance4: vk::PhysicalDeviceMaintenance4Features<'static>,
    cooperative: vk::PhysicalDeviceCooperativeMatrixFeaturesKHR<'static>,
}

// SAFETY: the pointers in the chain point into the box itself and are followed by Vulkan calls only.
unsafe impl Send for FeatureChain {}
// SAFETY: as above; shared access reads plain integers.
unsafe impl Sync for FeatureChain {}

/// Vendors, and beginnings of names, of devices with [`Features::ORDERED_WORKGROUPS`]: an H200 was
/// seen to have it, an H100 is the same chip with other memory.
const ORDERED: [(u32, &str); 2] = [(0x10de, "NVIDIA H200"), (0x10de, "NVIDIA H100")];

/// Extensions that carry a feature on devices older than the version that made it core.
const PROMOTED: &[(&CStr, u32)] = &[
    (khr::_8bit_storage::NAME, vk::API_VERSION_1_2),
    (khr::shader_float16_int8::NAME, vk::API_VERSION_1_2),
    (khr::vulkan_memory_model::NAME, vk::API_VERSION_1_2),
    (khr::shader_subgroup_extended_types::NAME, vk::API_VERSION_1_2),
    (khr::driver_properties::NAME, vk::API_VERSION_1_2),
    (ext::subgroup_size_control::NAME, vk::API_VERSION_1_3),
    (khr::shader_integer_dot_product::NAME, vk::API_VERSION_1_3),
    (khr::maintenance4::NAME, vk::API_VERSION_1_3),
    (khr::cooperative_matrix::NAME, u32::MAX),
    // Must be enabled where it exists (layered implementations).
    (khr::portability_subset::NAME, u32::MAX),
];

impl FeatureChain {
    /// Asks the device. `knows(extension)` tells whether its structures may be used.
    fn query(
        instance: &Instance,
        device: vk::PhysicalDevice,
        knows: &dyn Fn(&CStr) -> bool,
    ) -> Box<FeatureChain> {
        let mut chain = Box::<FeatureChain>::default();
        let c = &mut *chain;
        let mut tail = &mut c.core.p_next;
        // Links a structure if the device knows it, and goes on from there.
        macro_rules! link {
            ($field:ident, $known:expr) => {
                if $known {
                    *tail = (&raw mut c.$field).cast();
                    tail = &mut c.$field.p_next;
                }
            };
        }
        link!(storage16, true);
        link!(storage8, knows(khr::_8bit_storage::NAME));
        link!(small_types, knows(khr::shader_float16_int8::NAME));
        link!(memory_model, knows(khr::vulkan_memory_model::NAME));
        link!(subgroup_types, knows(khr::shader_subgroup_extended_types::NAME));
        link!(size_control, knows(ext::subgroup_size_control::NAME));
        link!(dot, knows(khr::shader_integer_dot_product::NAME));
        link!(maintenance4, knows(khr::maintenance4::NAME));
        link!(cooperative, knows(khr::cooperative_matrix::NAME));
        let _end: &mut *mut std::ffi::c_void = tail;
        // SAFETY: every linked structure lives in the box and is known to the device.
        unsafe { instance.raw.get_physical_device_features2(device, &mut c.core) };
        // Keep what shaders of our vocabulary use; all else stays off.
        let all = c.core.features;
        c.core.features = vk::PhysicalDeviceFeatures::default()
            .shader_int16(all.shader_int16 != 0)
            .shader_int64(all.shader_int64 != 0)
            .shader_float64(false);
        c.storage16.storage_push_constant16 = vk::FALSE;
        c.storage16.storage_input_output16 = vk::FALSE;
        c.storage8.storage_push_constant8 = vk::FALSE;
        c.cooperative.cooperative_matrix_robust_buffer_access = vk::FALSE;
        chain
    }

    fn features(&self) -> Features {
        let mut f = Features::default();
        for (on, feature) in [
            (self.small_types.shader_float16, Features::F16),
            (self.small_types.shader_int8, Features::INT8),
            (self.storage16.storage_buffer16_bit_access, Features::STORAGE_16BIT),
            (self.storage8.storage_buffer8_bit_access, Features::STORAGE_8BIT),
            (self.core.features.shader_int64, Features::INT64),
            (self.dot.shader_integer_dot_product, Features::DOT4),
            (self.memory_model.vulkan_memory_model, Features::VULKAN_MEMORY_MODEL),
        ] {
            if on != 0 {
                f = f.union(feature);
            }
        }
        f
    }
}

/// All devices with compute, best kind first. The order is the same on every call.
pub(crate) fn enumerate(instance: &Instance) -> Result<Vec<Physical>> {
    // SAFETY: a plain query.
    let handles =
        unsafe { instance.raw.enumerate_physical_devices() }.check("vkEnumeratePhysicalDevices")?;
    let mut devices = Vec::new();
    for handle in handles {
        if let Some(device) = Physical::query(instance, handle)? {
            devices.push(device);
        }
    }
    // Insertion keeps the driver's order among equals and is smaller than a sort.
    let mut sorted: Vec<Physical> = Vec::with_capacity(devices.len());
    for device in devices {
        let at = sorted.iter().position(|d| d.info.kind > device.info.kind).unwrap_or(sorted.len());
        sorted.insert(at, device);
    }
    for (i, device) in sorted.iter_mut().enumerate() {
        device.info.index = i;
    }
    Ok(sorted)
}

impl Physical {
    /// `None` when the device is too old or has no compute queue.
    fn query(instance: &Instance, handle: vk::PhysicalDevice) -> Result<Option<Physical>> {
        // SAFETY: plain queries on a handle of this instance.
        let (properties, families, memory, reported) = unsafe {
            (
                instance.raw.get_physical_device_properties(handle),
                instance.raw.get_physical_device_queue_family_properties(handle),
                instance.raw.get_physical_device_memory_properties(handle),
                instance
                    .raw
                    .enumerate_device_extension_properties(handle)
                    .check("vkEnumerateDeviceExtensionProperties")?,
            )
        };
        let version = properties.api_version.min(instance.api_version);
        let compute = families.iter().position(|f| f.queue_flags.contains(vk::QueueFlags::COMPUTE));
        let Some(family) = compute.filter(|_| version >= vk::API_VERSION_1_1) else {
            return Ok(None);
        };
        let reports = |name| {
            let hidden =
                name == khr::cooperative_matrix::NAME && instance.hides_cooperative_matrix();
            !hidden && reported.iter().any(|e| e.extension_name_as_c_str() == Ok(name))
        };
        // Needed as an extension only where it is not yet core.
        let extensions: Vec<&'static CStr> = PROMOTED
            .iter()
            .filter(|(name, core)| version < *core && reports(name))
            .map(|p| p.0)
            .collect();
        let knows = |name: &CStr| {
            let core = PROMOTED.iter().any(|(n, core)| *n == name && version >= *core);
            core || extensions.contains(&name)
        };
        let features = FeatureChain::query(instance, handle, &knows);

        let mut subgroup = vk::PhysicalDeviceSubgroupProperties::default();
        let mut maintenance3 = vk::PhysicalDeviceMaintenance3Properties::default();
        let mut maintenance4 = vk::PhysicalDeviceMaintenance4Properties::default();
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut sizes = vk::PhysicalDeviceSubgroupSizeControlProperties::default();
        let mut p2 = vk::PhysicalDeviceProperties2::default()
            .push_next(&mut subgroup)
            .push_next(&mut maintenance3);
        if knows(khr::maintenance4::NAME) {
            p2 = p2.push_next(&mut maintenance4);
        }
        if knows(khr::driver_properties::NAME) {
            p2 = p2.push_next(&mut driver);
        }
        if knows(ext::subgroup_size_control::NAME) {
            p2 = p2.push_next(&mut sizes);
        }
        // SAFETY: every linked structure is alive and known to the device.
        unsafe { instance.raw.get_physical_device_properties2(handle, &mut p2) };

        let limits = &properties.limits;
        let timestamp_bits = families[family].timestamp_valid_bits;
        let has_timestamps = timestamp_bits > 0 && limits.timestamp_period > 0.0;
        let max_allocation = maintenance3.max_memory_allocation_size;
        let max_buffer = match maintenance4.max_buffer_size {
            0 => max_allocation,
            n => n.min(max_allocation),
        };
        let matrix_shapes = if features.cooperative.cooperative_matrix != 0 {
            matrix_shapes(instance, handle)?
        } else {
            Vec::new()
        };

        let mut have = features.features();
        let mut add = |on: bool, feature| {
            if on {
                have = have.union(feature);
            }
        };
        add(has_timestamps, Features::TIMESTAMPS);
        add(!matrix_shapes.is_empty(), Features::COOPERATIVE_MATRIX);
        let subgroups = subgroup.supported_stages.contains(vk::ShaderStageFlags::COMPUTE);
        let ops = subgroup.supported_operations;
        use vk::SubgroupFeatureFlags as Ops;
        add(subgroups && ops.contains(Ops::BASIC | Ops::VOTE), Features::SUBGROUP_BASIC);
        add(subgroups && ops.contains(Ops::ARITHMETIC), Features::SUBGROUP_ARITHMETIC);
        add(subgroups && ops.contains(Ops::SHUFFLE), Features::SUBGROUP_SHUFFLE);
        let controlled = features.size_control.subgroup_size_control != 0
            && sizes.required_subgroup_size_stages.contains(vk::ShaderStageFlags::COMPUTE);
        add(controlled, Features::SUBGROUP_SIZE_CONTROL);
        let textures = image_formats_work(instance, handle);
        add(
            textures,
            Features::TEXTURE_2D.union(Features::TEXTURE_2D_ARRAY).union(Features::TEXTURE_3D),
        );
        let name = text(properties.device_name_as_c_str());
        let is = |(vendor, start): &(u32, &str)| {
            *vendor == properties.vendor_id && name.starts_with(start)
        };
        add(ORDERED.iter().any(is), Features::ORDERED_WORKGROUPS);
        // Texel buffers stay unreported: no emitter writes them for SPIR-V.

        let size = if subgroups { subgroup.subgroup_size } else { 0 };
        let sized = |n: u32| if n == 0 { size } else { n };
        let capabilities = Capabilities {
            api: Api::Vulkan,
            device_name: name,
            vendor_id: properties.vendor_id,
            device_id: properties.device_id,
            features: have,
            limits: Limits {
                workgroup_memory_bytes: limits.max_compute_shared_memory_size.into(),
                workgroup_invocations: limits.max_compute_work_group_invocations.into(),
                workgroup_size: limits.max_compute_work_group_size.map(u64::from),
                dispatch_workgroups: limits.max_compute_work_group_count.map(u64::from),
                storage_range_bytes: limits.max_storage_buffer_range.into(),
                buffer_bytes: max_buffer,
                storage_buffers: limits
                    .max_per_stage_descriptor_storage_buffers
                    .min(limits.max_descriptor_set_storage_buffers)
                    .into(),
                images: limits
                    .max_per_stage_descriptor_sampled_images
                    .min(limits.max_per_stage_descriptor_storage_images)
                    .into(),
                texture_2d: limits.max_image_dimension2_d.into(),
                texture_3d: limits.max_image_dimension3_d.into(),
                texture_layers: limits.max_image_array_layers.into(),
                texel_buffer: limits.max_texel_buffer_elements.into(),
            },
            storage_offset_alignment: limits.min_storage_buffer_offset_alignment.max(4),
            subgroup_size: size,
            subgroup_size_min: sized(sizes.min_subgroup_size),
            subgroup_size_max: sized(sizes.max_subgroup_size),
            matrix_shapes,
        };
        let driver_name = format!(
            "{} {}",
            text(driver.driver_name_as_c_str()),
            text(driver.driver_info_as_c_str())
        );
        let (major, minor, patch) = (
            vk::api_version_major(properties.api_version),
            vk::api_version_minor(properties.api_version),
            vk::api_version_patch(properties.api_version),
        );
        let info = DeviceInfo {
            index: 0,
            kind: match properties.device_type {
                vk::PhysicalDeviceType::DISCRETE_GPU => DeviceKind::Discrete,
                vk::PhysicalDeviceType::INTEGRATED_GPU => DeviceKind::Integrated,
                vk::PhysicalDeviceType::VIRTUAL_GPU => DeviceKind::Virtual,
                vk::PhysicalDeviceType::CPU => DeviceKind::Cpu,
                _ => DeviceKind::Other,
            },
            driver: driver_name.trim().into(),
            api_version: format!("{major}.{minor}.{patch}"),
            memory_bytes: memory
                .memory_heaps_as_slice()
                .iter()
                .filter(|h| h.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL))
                .map(|h| h.size)
                .max()
                .unwrap_or(0),
            capabilities,
        };
        Ok(Some(Physical {
            handle,
            info,
            properties,
            memory,
            queue_family: family as u32,
            timestamp_period: if has_timestamps { limits.timestamp_period.into() } else { 0.0 },
            timestamp_mask: u64::MAX >> (64 - timestamp_bits.clamp(1, 64)),
            max_allocation,
            extensions,
            features,
        }))
    }
}

fn text(name: std::result::Result<&CStr, std::ffi::FromBytesUntilNulError>) -> String {
    name.map_or(String::new(), |n| n.to_string_lossy().into_owned())
}

/// Whether both texel formats can be sampled, written by shaders and filled by copies, in all
/// three dimensionalities (format features do not differ between these).
fn image_formats_work(instance: &Instance, device: vk::PhysicalDevice) -> bool {
    use vk::FormatFeatureFlags as F;
    let needed = F::SAMPLED_IMAGE | F::STORAGE_IMAGE | F::TRANSFER_DST;
    [vk::Format::R16G16B16A16_SFLOAT, vk::Format::R32G32B32A32_SFLOAT].into_iter().all(|format| {
        // SAFETY: a plain query.
        let p = unsafe { instance.raw.get_physical_device_format_properties(device, format) };
        p.optimal_tiling_features.contains(needed)
    })
}

/// Cooperative-matrix shapes at subgroup scope whose element types the vocabulary has.
fn matrix_shapes(instance: &Instance, device: vk::PhysicalDevice) -> Result<Vec<MatrixShape>> {
    let query = khr::cooperative_matrix::Instance::new(&instance.entry, &instance.raw);
    // SAFETY: the device has the extension.
    let rows = unsafe { query.get_physical_device_cooperative_matrix_properties(device) }
        .check("vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR")?;
    let elem = |ty| match ty {
        vk::ComponentTypeKHR::FLOAT16 => Some(MatrixElem::F16),
        vk::ComponentTypeKHR::FLOAT32 => Some(MatrixElem::F32),
        vk::ComponentTypeKHR::SINT8 => Some(MatrixElem::S8),
        vk::ComponentTypeKHR::UINT8 => Some(MatrixElem::U8),
        vk::ComponentTypeKHR::SINT32 => Some(MatrixElem::S32),
        // bf16 needs a feature (VK_KHR_shader_bfloat16) that the bindings do not know yet.
        _ => None,
    };
    let mut shapes = Vec::new();
    for row in rows {
        let plain = row.scope == vk::ScopeKHR::SUBGROUP
            && row.a_type == row.b_type
            && row.c_type == row.result_type
            && row.saturating_accumulation == 0;
        if let (true, Some(ab), Some(acc)) = (plain, elem(row.a_type), elem(row.c_type)) {
            let shape = MatrixShape { m: row.m_size, n: row.n_size, k: row.k_size, ab, acc };
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    Ok(shapes)
}
