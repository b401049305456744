//! What a WebGPU device has, as JavaScript tells it.

use drift_bundle::caps::{Api, Capabilities, Features, Limits};

/// Numbers that describe a device, in this order. `npm/src/device.js` writes them.
pub const CAPS: usize = 15;

/// Reads the numbers and the name.
pub fn capabilities(n: &[u64; CAPS], name: &str) -> Capabilities {
    let [
        features,
        workgroup_memory_bytes,
        workgroup_invocations,
        x,
        y,
        z,
        workgroups,
        storage_range_bytes,
        buffer_bytes,
        storage_buffers,
        textures,
        texture_2d,
        texture_3d,
        texture_layers,
        subgroups,
    ] = *n;
    let (subgroup_min, subgroup_max) = (subgroups as u32 & 0xffff, (subgroups >> 16) as u32);
    let all = Features::TEXTURE_2D.union(Features::TEXTURE_2D_ARRAY).union(Features::TEXTURE_3D);
    Capabilities {
        api: Api::WebGpu,
        device_name: name.to_owned(),
        vendor_id: 0,
        device_id: 0,
        features: all.union(flags(features)),
        limits: Limits {
            workgroup_memory_bytes,
            workgroup_invocations,
            workgroup_size: [x, y, z],
            dispatch_workgroups: [workgroups; 3],
            storage_range_bytes,
            buffer_bytes,
            storage_buffers,
            images: textures,
            texture_2d,
            texture_3d,
            texture_layers,
            texel_buffer: 0,
        },
        storage_offset_alignment: 256,
        // the API does not tell which size a kernel gets, unless there is only one
        subgroup_size: if subgroup_min == subgroup_max { subgroup_min } else { 0 },
        subgroup_size_min: subgroup_min,
        subgroup_size_max: subgroup_max,
        matrix_shapes: Vec::new(),
    }
}

/// Bit 0: shader-f16. Bit 1: subgroups. Bit 2: packed_4x8_integer_dot_product.
fn flags(bits: u64) -> Features {
    let subgroups = Features::SUBGROUP_BASIC
        .union(Features::SUBGROUP_ARITHMETIC)
        .union(Features::SUBGROUP_SHUFFLE);
    let known = [Features::F16.union(Features::STORAGE_16BIT), subgroups, Features::DOT4];
    let has = known.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    has.fold(Features::default(), |all, (_, f)| all.union(*f))
}
