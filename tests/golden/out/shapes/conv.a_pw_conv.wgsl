@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 1536>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 144>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 6>;
@group(0) @binding(3) 
var<storage> x3_: array<vec4<f32>, 1536>;
@group(0) @binding(4) 
var<storage, read_write> y0_: array<vec4<f32>, 1536>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;
    var i: u32;

    let _e9 = (global_id.x / 256u);
    let _e11 = x2_[_e9];
    acc = _e11;
    i = 0u;
    let _e21 = (((global_id.x / 16u) % 16u) * 16u);
    let _e23 = (global_id.x % 16u);
    loop {
        let _e15 = i;
        if (_e15 >= 6u) {
            break;
        }
        let _e26 = x0_[(((_e15 * 256u) + _e21) + _e23)];
        let _e31 = ((_e9 * 24u) + (_e15 * 4u));
        let _e33 = x1_[_e31];
        let _e37 = x1_[(_e31 + 1u)];
        let _e41 = x1_[(_e31 + 2u)];
        let _e45 = x1_[(_e31 + 3u)];
        let _e46 = acc;
        acc = fma(vec4(_e26.w), _e45, fma(vec4(_e26.z), _e41, fma(vec4(_e26.y), _e37, fma(vec4(_e26.x), _e33, _e46))));
        i = (_e15 + 1u);
    }
    let _e61 = acc;
    let _e64 = (((_e9 * 256u) + _e21) + _e23);
    let _e66 = x3_[_e64];
    y0_[_e64] = max((_e66 + _e61), vec4(0f));
}
