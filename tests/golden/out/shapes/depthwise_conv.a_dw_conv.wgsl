@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 1536>;
@group(0) @binding(1) 
var<storage> x1_: array<vec4<f32>, 54>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 6>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<vec4<f32>, 1536>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(global_invocation_id) global_id: vec3<u32>) {
    var acc: vec4<f32>;

    let _e8 = (global_id.x / 256u);
    let _e10 = x2_[_e8];
    acc = _e10;
    let _e11 = (_e8 * 256u);
    let _e14 = ((global_id.x / 16u) % 16u);
    let _e16 = (_e14 >= 1u);
    let _e21 = (_e11 + (select(0u, (_e14 - 1u), _e16) * 16u));
    let _e22 = (global_id.x % 16u);
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
    let _e47 = ((_e43 >= 1u) && (_e43 < 17u));
    let _e48 = select(0u, _e33, _e47);
    let _e51 = x0_[(_e21 + _e48)];
    let _e54 = x1_[(_e30 + 2u)];
    let _e55 = acc;
    let _e58 = vec4(0f);
    acc = fma(select(_e58, _e51, (_e16 && _e47)), _e54, fma(select(_e58, _e38, (_e16 && _e34)), _e41, fma(select(_e58, _e28, (_e16 && _e23)), _e32, _e55)));
    let _e67 = (_e14 + 1u);
    let _e68 = (_e67 >= 1u);
    let _e71 = (_e11 + (select(0u, _e14, _e68) * 16u));
    let _e74 = x0_[(_e71 + _e25)];
    let _e78 = x1_[(_e30 + 3u)];
    let _e81 = x0_[(_e71 + _e35)];
    let _e85 = x1_[(_e30 + 4u)];
    let _e88 = x0_[(_e71 + _e48)];
    let _e92 = x1_[(_e30 + 5u)];
    let _e93 = acc;
    acc = fma(select(_e58, _e88, (_e68 && _e47)), _e92, fma(select(_e58, _e81, (_e68 && _e34)), _e85, fma(select(_e58, _e74, (_e68 && _e23)), _e78, _e93)));
    let _e103 = (_e14 + 2u);
    let _e106 = ((_e103 >= 1u) && (_e103 < 17u));
    let _e109 = (_e11 + (select(0u, _e67, _e106) * 16u));
    let _e112 = x0_[(_e109 + _e25)];
    let _e116 = x1_[(_e30 + 6u)];
    let _e119 = x0_[(_e109 + _e35)];
    let _e123 = x1_[(_e30 + 7u)];
    let _e126 = x0_[(_e109 + _e48)];
    let _e130 = x1_[(_e30 + 8u)];
    let _e131 = acc;
    acc = fma(select(_e58, _e126, (_e106 && _e47)), _e130, fma(select(_e58, _e119, (_e106 && _e34)), _e123, fma(select(_e58, _e112, (_e106 && _e23)), _e116, _e131)));
    let _e141 = acc;
    y0_[((_e11 + (_e14 * 16u)) + _e22)] = ((_e141 * min(max((_e141 + vec4(3f)), _e58), vec4(6f))) * vec4(0.16666667f));
}
