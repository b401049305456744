//! What a device says about itself, and what Metal promises of its family.

use super::Device;
use crate::device::{DeviceInfo, DeviceKind};
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use objc2_foundation::NSProcessInfo;
use objc2_metal::{MTLDevice, MTLGPUFamily};

/// Lanes of a simdgroup on every GPU of Apple.
const APPLE_SIMD: u32 = 32;
/// PCI vendor number of Apple.
const APPLE: u32 = 0x106b;
/// Slots of buffers in a kernel's argument table (Metal Feature Set Tables).
const BUFFER_SLOTS: u64 = 31;
/// Alignment of a buffer's offset in the `device` address space: that of the widest element.
const OFFSET_ALIGNMENT: u64 = 16;

/// A device and its answers.
pub(crate) struct Physical {
    pub device: Device,
    pub info: DeviceInfo,
    /// The host reads and writes the device's memory.
    pub unified: bool,
    /// Everything that a compiled pipeline depends on beside its source.
    pub identity: String,
}

/// All devices, best kind first. The order is the same on every call.
pub(crate) fn enumerate() -> Vec<Physical> {
    #[cfg(target_os = "macos")]
    let devices = objc2_metal::MTLCopyAllDevices().to_vec();
    #[cfg(not(target_os = "macos"))]
    let devices: Vec<Device> = objc2_metal::MTLCreateSystemDefaultDevice().into_iter().collect();
    let mut list: Vec<Physical> = devices.into_iter().map(Physical::query).collect();
    list.sort_by_key(|d| d.info.kind);
    list.iter_mut().enumerate().for_each(|(index, d)| d.info.index = index);
    list
}

impl Physical {
    fn query(device: Device) -> Physical {
        let unified = device.hasUnifiedMemory();
        let kind = match unified || device.isLowPower() {
            true => DeviceKind::Integrated,
            false => DeviceKind::Discrete,
        };
        let capabilities = capabilities(&device);
        let system = NSProcessInfo::processInfo().operatingSystemVersionString().to_string();
        let identity = format!("{}\n{system}", capabilities.device_name);
        let metal = if device.supportsFamily(MTLGPUFamily::Metal3) { "3" } else { "2" };
        let info = DeviceInfo {
            index: 0,
            kind,
            driver: system,
            api_version: metal.into(),
            memory_bytes: device.recommendedMaxWorkingSetSize(),
            capabilities,
        };
        Physical { device, info, unified, identity }
    }
}

fn capabilities(device: &Device) -> Capabilities {
    let family = |f| device.supportsFamily(f);
    // A14 and M1 on: reductions over simdgroups and their matrices
    let apple7 = family(MTLGPUFamily::Apple7);
    let apple = family(MTLGPUFamily::Apple1);
    // halves, 8- and 16-bit elements and textures of all kinds are part of the language
    let mut features = [
        Features::STORAGE_16BIT,
        Features::STORAGE_8BIT,
        Features::INT8,
        Features::INT64,
        Features::TIMESTAMPS,
        Features::TEXTURE_2D,
        Features::TEXTURE_2D_ARRAY,
        Features::TEXTURE_3D,
    ]
    .into_iter()
    .fold(Features::F16, Features::union);
    if apple7 {
        features = features
            .union(Features::SUBGROUP_BASIC)
            .union(Features::SUBGROUP_ARITHMETIC)
            .union(Features::SUBGROUP_SHUFFLE)
            .union(Features::COOPERATIVE_MATRIX);
    }
    // Other GPUs have simdgroups, too, but each kernel its own size of them.
    let simd = if apple7 { APPLE_SIMD } else { 0 };
    let shape = |ab, acc| MatrixShape { m: 8, n: 8, k: 8, ab, acc };
    let matrix_shapes = match apple7 {
        true => vec![
            shape(MatrixElem::F16, MatrixElem::F16),
            shape(MatrixElem::F16, MatrixElem::F32),
            shape(MatrixElem::F32, MatrixElem::F32),
        ],
        false => Vec::new(),
    };
    let threads = device.maxThreadsPerThreadgroup();
    let size = [threads.width as u64, threads.height as u64, threads.depth as u64];
    let largest_buffer = device.maxBufferLength() as u64;
    Capabilities {
        api: Api::Metal,
        device_name: device.name().to_string(),
        vendor_id: if apple { APPLE } else { 0 },
        device_id: 0,
        features,
        limits: Limits {
            workgroup_memory_bytes: device.maxThreadgroupMemoryLength() as u64,
            // of one along the first axis, which no product may exceed
            workgroup_invocations: size[0],
            workgroup_size: size,
            // Metal names no limit
            dispatch_workgroups: [u32::MAX.into(); 3],
            storage_range_bytes: largest_buffer,
            buffer_bytes: largest_buffer,
            storage_buffers: BUFFER_SLOTS,
            // Feature Set Tables: from Apple6 and Mac2 on
            images: 128,
            texture_2d: 16_384,
            texture_3d: 2048,
            texture_layers: 2048,
            texel_buffer: 0,
        },
        storage_offset_alignment: OFFSET_ALIGNMENT,
        subgroup_size: simd,
        subgroup_size_min: simd,
        subgroup_size_max: simd,
        matrix_shapes,
    }
}
