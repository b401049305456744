@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 768>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 108>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 12>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 768>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;

    let _e8 = (global_id.x / 64u);
    let _e10 = x2_[_e8];
    acc = _e10;
    let _e11 = (_e8 * 64u);
    let _e14 = ((global_id.x / 8u) % 8u);
    let _e16 = (_e14 >= 1u);
    let _e21 = (_e11 + (select(0u, (_e14 - 1u), _e16) * 8u));
    let _e22 = (global_id.x % 8u);
    let _e23 = (_e22 >= 1u);
    let _e25 = select(0u, (_e22 - 1u), _e23);
    let _e28 = x0_[(_e21 + _e25)];
    let _e30 = (_e8 * 9u);
    let _e32 = x1_[_e30];
    let _e33 = (_e22 + 1u);
    let _e34 = (_e33 >= 1u);
    let _e35 = select(0u, _e22, _e34);
    let _e38 = x0_[(_e21 + _e35)];
    let _e41 = x1_[(_e30 + 1u)];
    let _e43 = (_e22 + 2u);
    let _e46 = ((_e43 >= 1u) && (_e43 < 9u));
    let _e47 = select(0u, _e33, _e46);
    let _e50 = x0_[(_e21 + _e47)];
    let _e53 = x1_[(_e30 + 2u)];
    let _e54 = acc;
    let _e57 = vec4(0f);
    acc = fma(select(_e57, _e50, (_e16 && _e46)), _e53, fma(select(_e57, _e38, (_e16 && _e34)), _e41, fma(select(_e57, _e28, (_e16 && _e23)), _e32, _e54)));
    let _e66 = (_e14 + 1u);
    let _e67 = (_e66 >= 1u);
    let _e70 = (_e11 + (select(0u, _e14, _e67) * 8u));
    let _e73 = x0_[(_e70 + _e25)];
    let _e77 = x1_[(_e30 + 3u)];
    let _e80 = x0_[(_e70 + _e35)];
    let _e84 = x1_[(_e30 + 4u)];
    let _e87 = x0_[(_e70 + _e47)];
    let _e91 = x1_[(_e30 + 5u)];
    let _e92 = acc;
    acc = fma(select(_e57, _e87, (_e67 && _e46)), _e91, fma(select(_e57, _e80, (_e67 && _e34)), _e84, fma(select(_e57, _e73, (_e67 && _e23)), _e77, _e92)));
    let _e102 = (_e14 + 2u);
    let _e105 = ((_e102 >= 1u) && (_e102 < 9u));
    let _e108 = (_e11 + (select(0u, _e66, _e105) * 8u));
    let _e111 = x0_[(_e108 + _e25)];
    let _e115 = x1_[(_e30 + 6u)];
    let _e118 = x0_[(_e108 + _e35)];
    let _e122 = x1_[(_e30 + 7u)];
    let _e125 = x0_[(_e108 + _e47)];
    let _e128 = x1_[(_e30 + 8u)];
    let _e129 = acc;
    acc = fma(select(_e57, _e125, (_e105 && _e46)), _e128, fma(select(_e57, _e118, (_e105 && _e34)), _e122, fma(select(_e57, _e111, (_e105 && _e23)), _e115, _e129)));
    let _e139 = acc;
    y0_[((_e11 + (_e14 * 8u)) + _e22)] = ((_e139 * min(max((_e139 + vec4(3f)), _e57), vec4(6f))) * vec4(0.16666667f));
}
