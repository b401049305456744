@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 32>;
@group(0) @binding(1) 
var<storage, read_write> y0_: array<vec4<f32>, 32>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var most: vec4<f32>;
    var sum: vec4<f32>;
    var i: u32;
    var i_1: u32;
    var i_2: u32;

    if (global_id.x < 16u) {
        let _e19 = ((((global_id.x / 16u) * 32u) + (((global_id.x / 8u) % 2u) * 16u)) + ((global_id.x % 8u) * 2u));
        let _e21 = x0_[_e19];
        most = _e21;
        i = 0u;
        loop {
            let _e24 = i;
            if (_e24 >= 2u) {
                break;
            }
            let _e28 = x0_[(_e19 + _e24)];
            let _e29 = most;
            most = max(_e29, _e28);
            i = (_e24 + 1u);
        }
        let _e33 = most;
        sum = vec4(0f);
        i_1 = 0u;
        let _e50 = vec4(max(max(_e33.x, _e33.y), max(_e33.z, _e33.w)));
        loop {
            let _e37 = i_1;
            if (_e37 >= 2u) {
                break;
            }
            let _e41 = x0_[(_e19 + _e37)];
            let _e42 = sum;
            sum = (_e42 + exp((_e41 - _e50)));
            i_1 = (_e37 + 1u);
        }
        let _e56 = sum;
        i_2 = 0u;
        loop {
            let _e58 = i_2;
            if (_e58 >= 2u) {
                break;
            }
            let _e60 = (_e19 + _e58);
            let _e62 = x0_[_e60];
            y0_[_e60] = (exp((_e62 - _e50)) * vec4((1f / ((_e56.x + _e56.y) + (_e56.z + _e56.w)))));
            i_2 = (_e58 + 1u);
        }
    }
}
