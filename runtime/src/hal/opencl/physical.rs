//! What a device says about itself.

use super::api::{DeviceId, PlatformId};
use crate::{
    device::{DeviceInfo, DeviceKind},
    error::Result,
};
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use opencl_sys as ask;
use std::sync::Mutex;

/// Bytes of arguments that a buffer takes: a pointer and an offset.
const BUFFER_ARGUMENT_BYTES: u64 = 16;
/// Bindings start at multiples of this at least: offsets are added to pointers, so they must suit
/// the widest vector (see the writer in `drift-emit`).
const OFFSET_ALIGNMENT: u64 = 16;
/// Subgroup sizes of Intel's drivers (`cl_intel_required_subgroup_size`).
const SUB_GROUP_SIZES_INTEL: u32 = 0x4108;
/// Warp size and compute capability of NVIDIA's drivers (`cl_nv_device_attribute_query`).
const WARP_SIZE_NV: u32 = 0x4003;
const COMPUTE_CAPABILITY_MAJOR_NV: u32 = 0x4000;
/// Least compute capability for [`Features::INLINE_PTX`].
const LEAST_FOR_PTX: u64 = 8;
/// What kernels multiply in PTX, whatever the device has beyond.
const PTX_SHAPES: [MatrixShape; 2] = [
    MatrixShape { m: 16, n: 16, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 },
    MatrixShape { m: 16, n: 16, k: 32, ab: MatrixElem::S8, acc: MatrixElem::S32 },
];

/// A device and its answers.
#[derive(Clone)]
pub(crate) struct Physical {
    pub platform: PlatformId,
    pub id: DeviceId,
    pub info: DeviceInfo,
    /// Everything that a compiled program depends on beside its source.
    pub identity: String,
}

/// Drivers set themselves up at the first questions, and not all of them let several threads ask these
/// at once (PoCL 3.1 crashes).
static ASKING: Mutex<()> = Mutex::new(());

/// All devices that can run Drift's kernels, best kind first. The order is the same on every call.
pub(crate) fn enumerate() -> Result<Vec<Physical>> {
    let _asking = ASKING.lock().unwrap_or_else(|e| e.into_inner());
    let mut sorted: Vec<Physical> = Vec::new();
    for platform in PlatformId::all()? {
        for id in platform.devices()? {
            if let Some(device) = Physical::query(platform, id) {
                let after = |d: &Physical| d.info.kind > device.info.kind;
                let at = sorted.iter().position(after).unwrap_or(sorted.len());
                sorted.insert(at, device);
            }
        }
    }
    for (index, device) in sorted.iter_mut().enumerate() {
        device.info.index = index;
    }
    Ok(sorted)
}

/// (major, minor) of "OpenCL 3.0 CUDA".
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.strip_prefix("OpenCL ")?.split(' ').next()?;
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl Physical {
    /// `None` when the device is too old, has no compiler, or is of the embedded profile, which
    /// promises neither rounding nor 64-bit integers.
    fn query(platform: PlatformId, id: DeviceId) -> Option<Physical> {
        let version_text = id.text(ask::CL_DEVICE_VERSION);
        let (major, minor) = version(&version_text)?;
        let usable = (major, minor) >= (1, 2)
            && id.text(ask::CL_DEVICE_PROFILE) == "FULL_PROFILE"
            && [
                ask::CL_DEVICE_AVAILABLE,
                ask::CL_DEVICE_COMPILER_AVAILABLE,
                ask::CL_DEVICE_ENDIAN_LITTLE,
            ]
            .into_iter()
            .all(|what| id.number(what) != 0);
        if !usable {
            return None;
        }
        let ty = id.number(ask::CL_DEVICE_TYPE);
        let unified = id.number(ask::CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
        let kind = match () {
            () if ty & ask::CL_DEVICE_TYPE_CPU != 0 => DeviceKind::Cpu,
            () if ty & ask::CL_DEVICE_TYPE_GPU == 0 => DeviceKind::Other,
            () if unified => DeviceKind::Integrated,
            () => DeviceKind::Discrete,
        };
        let driver = id.text(ask::CL_DRIVER_VERSION);
        let platform_name = platform.text(ask::CL_PLATFORM_NAME);
        let capabilities = capabilities(id);
        let identity = [
            &platform_name,
            &platform.text(ask::CL_PLATFORM_VERSION),
            &capabilities.device_name,
            &version_text,
            &driver,
        ]
        .map(String::as_str)
        .join("\n");
        let info = DeviceInfo {
            index: 0,
            kind,
            driver: format!("{platform_name} {driver}"),
            api_version: format!("{major}.{minor}"),
            memory_bytes: id.number(ask::CL_DEVICE_GLOBAL_MEM_SIZE),
            capabilities,
        };
        Some(Physical { platform, id, info, identity })
    }
}

fn capabilities(id: DeviceId) -> Capabilities {
    let extensions = id.text(ask::CL_DEVICE_EXTENSIONS);
    let has = |name: &str| extensions.split(' ').any(|e| e == name);
    let images = id.number(ask::CL_DEVICE_IMAGE_SUPPORT) != 0;
    // the full profile promises 64-bit integers, and halves in memory are part of the language
    let mut features = Features::STORAGE_16BIT
        .union(Features::STORAGE_8BIT)
        .union(Features::INT8)
        .union(Features::INT64)
        .union(Features::TIMESTAMPS);
    let mut add = |on: bool, feature: Features| {
        if on {
            features = features.union(feature);
        }
    };
    add(has("cl_khr_fp16"), Features::F16);
    add(has("cl_khr_integer_dot_product"), Features::DOT4);
    // formats of four f16 and of four f32 are promised for reading and for writing
    add(images, Features::TEXTURE_2D.union(Features::TEXTURE_2D_ARRAY));
    add(images, Features::TEXEL_BUFFER);
    add(images && has("cl_khr_3d_image_writes"), Features::TEXTURE_3D);

    // NVIDIA's language has no subgroups, but takes PTX, which has them
    let ptx = has("cl_nv_device_attribute_query")
        && has("cl_nv_compiler_options")
        && id.number(COMPUTE_CAPABILITY_MAJOR_NV) >= LEAST_FOR_PTX;
    add(ptx, Features::INLINE_PTX);
    let subgroups = has("cl_khr_subgroups");
    let sizes = subgroup_sizes(id, subgroups || ptx);
    let said = sizes.is_some() && subgroups;
    add(said, Features::SUBGROUP_BASIC.union(Features::SUBGROUP_ARITHMETIC));
    add(said && has("cl_khr_subgroup_shuffle"), Features::SUBGROUP_SHUFFLE);
    let (smallest, largest) = sizes.unwrap_or((0, 0));
    let pinned = smallest != largest && has("cl_intel_required_subgroup_size");
    add(pinned, Features::SUBGROUP_SIZE_CONTROL);

    let n = |what| id.number(what);
    let item_sizes = id.numbers(ask::CL_DEVICE_MAX_WORK_ITEM_SIZES);
    let item_size = |axis: usize| item_sizes.get(axis).copied().unwrap_or(1);
    let image_2d = n(ask::CL_DEVICE_IMAGE2D_MAX_WIDTH).min(n(ask::CL_DEVICE_IMAGE2D_MAX_HEIGHT));
    let image_3d = n(ask::CL_DEVICE_IMAGE3D_MAX_WIDTH)
        .min(n(ask::CL_DEVICE_IMAGE3D_MAX_HEIGHT))
        .min(n(ask::CL_DEVICE_IMAGE3D_MAX_DEPTH));
    let largest_buffer = n(ask::CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    Capabilities {
        api: Api::OpenCl,
        device_name: id.text(ask::CL_DEVICE_NAME),
        vendor_id: n(ask::CL_DEVICE_VENDOR_ID) as u32,
        device_id: 0,
        features,
        limits: Limits {
            workgroup_memory_bytes: n(ask::CL_DEVICE_LOCAL_MEM_SIZE),
            workgroup_invocations: n(ask::CL_DEVICE_MAX_WORK_GROUP_SIZE),
            workgroup_size: [item_size(0), item_size(1), item_size(2)],
            // global sizes are size_t; what is launched on NVIDIA's hardware has the limits of CUDA
            dispatch_workgroups: match n(WARP_SIZE_NV) {
                0 => [u32::MAX.into(); 3],
                _ => [i32::MAX as u64, 65_535, 65_535],
            },
            storage_range_bytes: largest_buffer,
            buffer_bytes: largest_buffer,
            storage_buffers: n(ask::CL_DEVICE_MAX_PARAMETER_SIZE) / BUFFER_ARGUMENT_BYTES,
            images: n(ask::CL_DEVICE_MAX_READ_IMAGE_ARGS)
                .min(n(ask::CL_DEVICE_MAX_WRITE_IMAGE_ARGS)),
            texture_2d: image_2d,
            texture_3d: image_3d,
            texture_layers: n(ask::CL_DEVICE_IMAGE_MAX_ARRAY_SIZE),
            texel_buffer: n(ask::CL_DEVICE_IMAGE_MAX_BUFFER_SIZE),
        },
        storage_offset_alignment: OFFSET_ALIGNMENT,
        subgroup_size: largest,
        subgroup_size_min: smallest,
        subgroup_size_max: largest,
        matrix_shapes: if ptx { PTX_SHAPES.to_vec() } else { Vec::new() },
    }
}

/// Smallest and largest subgroup, where the device has subgroups and says how large they are: the
/// standard itself tells it of a kernel only, when that is compiled.
fn subgroup_sizes(id: DeviceId, subgroups: bool) -> Option<(u32, u32)> {
    if !subgroups {
        return None;
    }
    let mut sizes = id.numbers(SUB_GROUP_SIZES_INTEL);
    sizes.extend(Some(id.number(WARP_SIZE_NV)));
    sizes.retain(|n| (1..=128).contains(n));
    Some((*sizes.iter().min()? as u32, *sizes.iter().max()? as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("OpenCL 1.2 pocl"), Some((1, 2)));
        assert_eq!(version("OpenCL 3.0 CUDA"), Some((3, 0)));
        assert_eq!(version("OpenCL 2.0"), Some((2, 0)));
        assert_eq!(version("Vulkan 1.1"), None);
    }

    #[test]
    fn devices_have_sensible_limits() {
        let devices = match enumerate() {
            Ok(devices) if !devices.is_empty() => devices,
            _ => return println!("skipped: no OpenCL device"),
        };
        for (i, d) in devices.iter().enumerate() {
            let (c, name) = (&d.info.capabilities, &d.info.capabilities.device_name);
            assert_eq!((d.info.index, c.api), (i, Api::OpenCl));
            assert!(!name.is_empty() && d.info.memory_bytes > 0);
            let l = &c.limits;
            assert!(l.workgroup_invocations >= 1 && l.workgroup_memory_bytes >= 16 << 10, "{name}");
            assert!(l.buffer_bytes >= 128 << 20 && l.storage_buffers >= 8, "{name}: {l:?}");
        }
        assert!(devices.is_sorted_by_key(|d| d.info.kind));
    }
}
