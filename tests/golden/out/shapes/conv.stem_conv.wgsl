@group(0) @binding(0) 
var<storage> x0_: array<f32, 1024>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 216>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 6>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 1536>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;
    var i: u32;
    var i_1: u32;

    let _e8 = (global_id.x / 256u);
    let _e10 = x2_[_e8];
    acc = _e10;
    i = 0u;
    let _e21 = ((global_id.x / 16u) % 16u);
    let _e31 = (global_id.x % 16u);
    loop {
        let _e14 = i;
        if (_e14 >= 3u) {
            break;
        }
        i_1 = 0u;
        let _e24 = ((_e21 * 2u) + _e14);
        let _e26 = (_e24 >= 1u);
        loop {
            let _e17 = i_1;
            if (_e17 >= 3u) {
                break;
            }
            let _e33 = ((_e31 * 2u) + _e17);
            let _e34 = (_e33 >= 1u);
            let _e39 = x0_[((select(0u, (_e24 - 1u), _e26) * 32u) + select(0u, (_e33 - 1u), _e34))];
            let _e49 = x1_[(((_e8 * 36u) + (_e14 * 12u)) + (_e17 * 4u))];
            let _e50 = acc;
            acc = fma(vec4(select(vec4(0f), vec4<f32>(_e39, 0f, 0f, 0f), (_e26 && _e34)).x), _e49, _e50);
            i_1 = (_e17 + 1u);
        }
        i = (_e14 + 1u);
    }
    let _e63 = acc;
    let _e65 = vec4(1f);
    y0_[(((_e8 * 256u) + (_e21 * 16u)) + _e31)] = (_e63 * (_e65 / (exp(-(_e63)) + _e65)));
}
