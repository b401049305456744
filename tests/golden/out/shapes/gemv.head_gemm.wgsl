@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 12>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 96>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 2>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 2>;
var<workgroup> sums: array<vec4<f32>, 16>;

@compute @workgroup_size(16, 1, 1) 
fn kernel_main(@builtin(local_invocation_index) local_index: u32) {
    var acc: vec4<f32>;
    var i: u32;

    acc = vec4(0f);
    i = 0u;
    let _e16 = (local_index / 2u);
    let _e26 = (local_index % 2u);
    loop {
        let _e12 = i;
        if (_e12 >= 2u) {
            break;
        }
        let _e17 = ((_e12 * 8u) + _e16);
        if (_e17 < 12u) {
            let _e21 = x0_[_e17];
            let _e27 = (((_e12 * 64u) + (_e16 * 8u)) + _e26);
            let _e29 = x1_[_e27];
            let _e30 = acc;
            acc = fma(vec4(_e21.x), _e29, _e30);
            let _e36 = x1_[(_e27 + 2u)];
            let _e37 = acc;
            let _e42 = ((_e12 * 32u) + (_e16 * 4u));
            acc = fma(vec4(select(0f, _e21.y, ((_e42 + 1u) < 48u))), _e36, _e37);
            let _e53 = x1_[(_e27 + 4u)];
            let _e54 = acc;
            acc = fma(vec4(select(0f, _e21.z, ((_e42 + 2u) < 48u))), _e53, _e54);
            let _e64 = x1_[(_e27 + 6u)];
            let _e65 = acc;
            acc = fma(vec4(select(0f, _e21.w, ((_e42 + 3u) < 48u))), _e64, _e65);
        }
        i = (_e12 + 1u);
    }
    let _e75 = acc;
    sums[local_index] = _e75;
    workgroupBarrier();
    if (_e16 < 4u) {
        let _e80 = sums[(local_index + 8u)];
        let _e82 = sums[local_index];
        sums[local_index] = (_e82 + _e80);
    }
    workgroupBarrier();
    if (_e16 < 2u) {
        let _e88 = sums[(local_index + 4u)];
        let _e90 = sums[local_index];
        sums[local_index] = (_e90 + _e88);
    }
    workgroupBarrier();
    if (_e16 < 1u) {
        let _e96 = sums[(local_index + 2u)];
        let _e98 = sums[local_index];
        sums[local_index] = (_e98 + _e96);
    }
    workgroupBarrier();
    if (_e16 == 0u) {
        let _e103 = sums[local_index];
        let _e105 = x2_[_e26];
        y0_[_e26] = (_e103 + _e105);
    }
    workgroupBarrier();
}
