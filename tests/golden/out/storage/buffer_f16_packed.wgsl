@group(0) @binding(0) 
var<storage> x: array<vec2<u32>, 70>;
@group(0) @binding(1) 
var<storage, read_write> y: array<vec2<u32>, 70>;

@compute @workgroup_size(8, 8, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    if ((global_id.x < 7u) && (global_id.y < 5u)) {
        let _e15 = (((global_id.z * 35u) + (global_id.y * 7u)) + global_id.x);
        let _e17 = x[_e15];
        let _e19 = unpack2x16float(_e17.x);
        let _e23 = unpack2x16float(_e17.y);
        let _e35 = max(((vec4<f32>(_e19.x, _e19.y, _e23.x, _e23.y) * vec4(2f)) + vec4(1f)), vec4(0f));
        y[_e15] = vec2<u32>(pack2x16float(vec2<f32>(_e35.x, _e35.y)), pack2x16float(vec2<f32>(_e35.z, _e35.w)));
    }
}
