@group(0) @binding(0) 
var<storage> x0_: array<vec4<i32>, 2>;
@group(0) @binding(1) 
var<storage, read_write> y0_: array<vec4<f32>, 2>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    if (global_id.x < 2u) {
        let _e8 = x0_[(global_id.x % 2u)];
        y0_[global_id.x] = ((vec4(1f) - vec4<f32>(_e8)) * vec4(-10000f));
    }
}
