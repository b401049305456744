@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 256>;
@group(0) @binding(1) 
var<storage, read_write> y0_: array<vec4<f32>, 256>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    let _e5 = x0_[global_id.x];
    y0_[global_id.x] = ((_e5 * vec4(0.003921569f)) + vec4(-0.5f));
}
