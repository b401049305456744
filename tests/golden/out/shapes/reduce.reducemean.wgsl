@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 768>;
@group(0) @binding(1) 
var<storage, read_write> y0_: array<vec4<f32>, 12>;
var<workgroup> parts: array<vec4<f32>, 32>;

@compute @workgroup_size(32, 1, 1) 
fn kernel_main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    var acc: vec4<f32>;
    var i: u32;

    acc = vec4(0f);
    i = 0u;
    loop {
        let _e11 = i;
        if (_e11 >= 2u) {
            break;
        }
        let _e21 = x0_[(((workgroup_id.x * 64u) + (_e11 * 32u)) + local_index)];
        let _e22 = acc;
        acc = (_e22 + _e21);
        i = (_e11 + 1u);
    }
    let _e26 = acc;
    parts[local_index] = _e26;
    workgroupBarrier();
    if (local_index < 16u) {
        let _e31 = parts[local_index];
        let _e34 = parts[(local_index + 16u)];
        parts[local_index] = (_e31 + _e34);
    }
    workgroupBarrier();
    if (local_index < 8u) {
        let _e40 = parts[local_index];
        let _e43 = parts[(local_index + 8u)];
        parts[local_index] = (_e40 + _e43);
    }
    workgroupBarrier();
    if (local_index < 4u) {
        let _e49 = parts[local_index];
        let _e52 = parts[(local_index + 4u)];
        parts[local_index] = (_e49 + _e52);
    }
    workgroupBarrier();
    if (local_index < 2u) {
        let _e57 = parts[local_index];
        let _e60 = parts[(local_index + 2u)];
        parts[local_index] = (_e57 + _e60);
    }
    workgroupBarrier();
    if (local_index < 1u) {
        let _e66 = parts[local_index];
        let _e69 = parts[(local_index + 1u)];
        parts[local_index] = (_e66 + _e69);
    }
    workgroupBarrier();
    let _e73 = parts[0];
    workgroupBarrier();
    if (local_index == 0u) {
        y0_[workgroup_id.x] = (_e73 * vec4(0.015625f));
    }
}
