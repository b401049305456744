@group(0) @binding(0) 
var<storage> x: array<vec4<f32>, 70>;
@group(0) @binding(1) 
var<storage, read_write> y: array<vec4<f32>, 70>;

@compute @workgroup_size(8, 8, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    if ((global_id.x < 7u) && (global_id.y < 5u)) {
        let _e15 = (((global_id.z * 35u) + (global_id.y * 7u)) + global_id.x);
        let _e17 = x[_e15];
        y[_e15] = max(((_e17 * vec4(2f)) + vec4(1f)), vec4(0f));
    }
}
