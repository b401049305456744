@group(0) @binding(0) 
var x: texture_3d<f32>;
@group(0) @binding(1) 
var y: texture_storage_3d<rgba16float,write>;

@compute @workgroup_size(8, 8, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    if ((global_id.x < 7u) && (global_id.y < 5u)) {
        let _e13 = textureLoad(x, vec3<u32>(global_id.x, global_id.y, global_id.z), 0i);
        textureStore(y, vec3<u32>(global_id.x, global_id.y, global_id.z), max(((_e13 * vec4(2f)) + vec4(1f)), vec4(0f)));
    }
}
