@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 128>;
@group(0) @binding(1) 
var<storage> x1_: array<i32, 8>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 32>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 32>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    if (global_id.x < 32u) {
        let _e8 = (global_id.x / 32u);
        let _e13 = ((global_id.x / 4u) % 8u);
        let _e16 = x1_[((_e8 * 8u) + _e13)];
        let _e27 = (global_id.x % 4u);
        let _e30 = x0_[((u32(min(max(select(_e16, (_e16 + 32i), (_e16 < 0i)), 0i), 31i)) * 4u) + _e27)];
        let _e34 = (((_e8 * 32u) + (_e13 * 4u)) + _e27);
        let _e36 = x2_[_e34];
        y0_[_e34] = (_e30 + _e36);
    }
}
