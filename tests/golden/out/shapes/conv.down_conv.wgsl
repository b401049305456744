@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 1536>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 2592>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 12>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 768>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;
    var i: u32;
    var i_1: u32;
    var i_2: u32;

    let _e8 = (global_id.x / 64u);
    let _e10 = x2_[_e8];
    acc = _e10;
    i = 0u;
    let _e27 = ((global_id.x / 8u) % 8u);
    let _e38 = (global_id.x % 8u);
    loop {
        let _e14 = i;
        if (_e14 >= 3u) {
            break;
        }
        i_1 = 0u;
        let _e30 = ((_e27 * 2u) + _e14);
        let _e32 = (_e30 >= 1u);
        loop {
            let _e17 = i_1;
            if (_e17 >= 3u) {
                break;
            }
            i_2 = 0u;
            let _e40 = ((_e38 * 2u) + _e17);
            let _e41 = (_e40 >= 1u);
            loop {
                let _e21 = i_2;
                if (_e21 >= 6u) {
                    break;
                }
                let _e46 = x0_[(((_e21 * 256u) + (select(0u, (_e30 - 1u), _e32) * 16u)) + select(0u, (_e40 - 1u), _e41))];
                let _e57 = ((((_e8 * 216u) + (_e14 * 72u)) + (_e17 * 24u)) + (_e21 * 4u));
                let _e59 = x1_[_e57];
                let _e62 = x1_[(_e57 + 1u)];
                let _e65 = x1_[(_e57 + 2u)];
                let _e68 = x1_[(_e57 + 3u)];
                let _e69 = acc;
                let _e73 = select(vec4(0f), _e46, (_e32 && _e41));
                let t = fma(vec4(_e73.z), _e65, fma(vec4(_e73.y), _e62, fma(vec4(_e73.x), _e59, _e69)));
                acc = fma(vec4(_e73.w), _e68, t);
                i_2 = (_e21 + 1u);
            }
            i_1 = (_e17 + 1u);
        }
        i = (_e14 + 1u);
    }
    let _e92 = acc;
    let _e94 = vec4(1f);
    y0_[(((_e8 * 64u) + (_e27 * 8u)) + _e38)] = (_e92 * (_e94 / (exp(-(_e92)) + _e94)));
}
