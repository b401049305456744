@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 32>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 4>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 4>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 32>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var sum: vec4<f32>;
    var squares: vec4<f32>;
    var i: u32;
    var i_1: u32;
    var i_2: u32;

    if (global_id.x < 8u) {
        let _e11 = vec4(0f);
        sum = _e11;
        i = 0u;
        let _e17 = (global_id.x * 4u);
        loop {
            let _e15 = i;
            if (_e15 >= 4u) {
                break;
            }
            let _e20 = x0_[(_e17 + _e15)];
            let _e21 = sum;
            sum = (_e21 + _e20);
            i = (_e15 + 1u);
        }
        let _e25 = sum;
        squares = _e11;
        i_1 = 0u;
        let _e42 = vec4((((_e25.x + _e25.y) + (_e25.z + _e25.w)) * 0.0625f));
        loop {
            let _e27 = i_1;
            if (_e27 >= 4u) {
                break;
            }
            let _e31 = x0_[(_e17 + _e27)];
            let _e32 = squares;
            let _e43 = (_e31 - _e42);
            squares = fma(_e43, _e43, _e32);
            i_1 = (_e27 + 1u);
        }
        let _e47 = squares;
        i_2 = 0u;
        loop {
            let _e49 = i_2;
            if (_e49 >= 4u) {
                break;
            }
            let _e51 = (_e17 + _e49);
            let _e53 = x0_[_e51];
            let _e55 = x1_[_e49];
            let _e57 = x2_[_e49];
            y0_[_e51] = ((((_e53 - _e42) * vec4((1f / sqrt(((((_e47.x + _e47.y) + (_e47.z + _e47.w)) * 0.0625f) + 0.000000000001f))))) * _e55) + _e57);
            i_2 = (_e49 + 1u);
        }
    }
}
