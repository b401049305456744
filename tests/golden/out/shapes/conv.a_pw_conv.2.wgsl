@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 1536>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 144>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 6>;
@group(0) @binding(3) 
var<storage, read_write> x3_: array<vec4<f32>, 1536>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;
    var i: u32;

    let _e8 = (global_id.x / 256u);
    let _e10 = x2_[_e8];
    acc = _e10;
    i = 0u;
    let _e20 = (((global_id.x / 16u) % 16u) * 16u);
    let _e22 = (global_id.x % 16u);
    loop {
        let _e14 = i;
        if (_e14 >= 6u) {
            break;
        }
        let _e25 = x0_[(((_e14 * 256u) + _e20) + _e22)];
        let _e30 = ((_e8 * 24u) + (_e14 * 4u));
        let _e32 = x1_[_e30];
        let _e36 = x1_[(_e30 + 1u)];
        let _e40 = x1_[(_e30 + 2u)];
        let _e44 = x1_[(_e30 + 3u)];
        let _e45 = acc;
        acc = fma(vec4(_e25.w), _e44, fma(vec4(_e25.z), _e40, fma(vec4(_e25.y), _e36, fma(vec4(_e25.x), _e32, _e45))));
        i = (_e14 + 1u);
    }
    let _e60 = acc;
    let _e63 = (((_e8 * 256u) + _e20) + _e22);
    let _e65 = x3_[_e63];
    x3_[_e63] = max((_e65 + _e60), vec4(0f));
}
