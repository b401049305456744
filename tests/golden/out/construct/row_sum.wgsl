@group(0) @binding(0) 
var<storage> x: array<f32, 10000>;
@group(0) @binding(1) 
var<storage, read_write> y: array<f32, 10>;
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    var sum: f32;
    var i: u32;

    sum = 0f;
    i = local_index;
    loop {
        let _e9 = i;
        if (_e9 >= 1000u) {
            break;
        }
        let _e11 = sum;
        let _e16 = x[((workgroup_id.x * 1000u) + _e9)];
        sum = (_e11 + _e16);
        i = (_e9 + 64u);
    }
    let _e20 = sum;
    partial[local_index] = _e20;
    workgroupBarrier();
    if (local_index < 32u) {
        let _e25 = partial[local_index];
        let _e28 = partial[(local_index + 32u)];
        partial[local_index] = (_e25 + _e28);
    }
    workgroupBarrier();
    if (local_index < 16u) {
        let _e34 = partial[local_index];
        let _e37 = partial[(local_index + 16u)];
        partial[local_index] = (_e34 + _e37);
    }
    workgroupBarrier();
    if (local_index < 8u) {
        let _e43 = partial[local_index];
        let _e46 = partial[(local_index + 8u)];
        partial[local_index] = (_e43 + _e46);
    }
    workgroupBarrier();
    if (local_index < 4u) {
        let _e52 = partial[local_index];
        let _e55 = partial[(local_index + 4u)];
        partial[local_index] = (_e52 + _e55);
    }
    workgroupBarrier();
    if (local_index < 2u) {
        let _e61 = partial[local_index];
        let _e64 = partial[(local_index + 2u)];
        partial[local_index] = (_e61 + _e64);
    }
    workgroupBarrier();
    if (local_index < 1u) {
        let _e70 = partial[local_index];
        let _e73 = partial[(local_index + 1u)];
        partial[local_index] = (_e70 + _e73);
    }
    if (local_index == 0u) {
        let _e79 = partial[0];
        y[workgroup_id.x] = _e79;
    }
}
