// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[768];
};
struct type_3 {
    metal::half4 inner[108];
};
struct type_4 {
    metal::float4 inner[12];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_1& y0_ [[buffer(3)]]
) {
    metal::float4 acc = {};
    uint _e8 = global_id.x / 64u;
    metal::float4 _e10 = x2_.inner[_e8];
    acc = _e10;
    uint _e11 = _e8 * 64u;
    uint _e14 = (global_id.x / 8u) % 8u;
    bool _e16 = _e14 >= 1u;
    uint _e21 = _e11 + ((_e16 ? (_e14 - 1u) : 0u) * 8u);
    uint _e22 = global_id.x % 8u;
    bool _e23 = _e22 >= 1u;
    uint _e25 = _e23 ? (_e22 - 1u) : 0u;
    metal::float4 _e28 = x0_.inner[_e21 + _e25];
    uint _e30 = _e8 * 9u;
    metal::half4 _e32 = x1_.inner[_e30];
    uint _e33 = _e22 + 1u;
    bool _e34 = _e33 >= 1u;
    uint _e35 = _e34 ? _e22 : 0u;
    metal::float4 _e38 = x0_.inner[_e21 + _e35];
    metal::half4 _e41 = x1_.inner[_e30 + 1u];
    uint _e43 = _e22 + 2u;
    bool _e46 = (_e43 >= 1u) && (_e43 < 9u);
    uint _e47 = _e46 ? _e33 : 0u;
    metal::float4 _e50 = x0_.inner[_e21 + _e47];
    metal::half4 _e53 = x1_.inner[_e30 + 2u];
    metal::float4 _e54 = acc;
    metal::float4 _e57 = metal::float4(0.0);
    acc = metal::fma((_e16 && _e46) ? _e50 : _e57, static_cast<metal::float4>(_e53), metal::fma((_e16 && _e34) ? _e38 : _e57, static_cast<metal::float4>(_e41), metal::fma((_e16 && _e23) ? _e28 : _e57, static_cast<metal::float4>(_e32), _e54)));
    uint _e69 = _e14 + 1u;
    bool _e70 = _e69 >= 1u;
    uint _e73 = _e11 + ((_e70 ? _e14 : 0u) * 8u);
    metal::float4 _e76 = x0_.inner[_e73 + _e25];
    metal::half4 _e80 = x1_.inner[_e30 + 3u];
    metal::float4 _e83 = x0_.inner[_e73 + _e35];
    metal::half4 _e87 = x1_.inner[_e30 + 4u];
    metal::float4 _e90 = x0_.inner[_e73 + _e47];
    metal::half4 _e94 = x1_.inner[_e30 + 5u];
    metal::float4 _e95 = acc;
    acc = metal::fma((_e70 && _e46) ? _e90 : _e57, static_cast<metal::float4>(_e94), metal::fma((_e70 && _e34) ? _e83 : _e57, static_cast<metal::float4>(_e87), metal::fma((_e70 && _e23) ? _e76 : _e57, static_cast<metal::float4>(_e80), _e95)));
    uint _e108 = _e14 + 2u;
    bool _e111 = (_e108 >= 1u) && (_e108 < 9u);
    uint _e114 = _e11 + ((_e111 ? _e69 : 0u) * 8u);
    metal::float4 _e117 = x0_.inner[_e114 + _e25];
    metal::half4 _e121 = x1_.inner[_e30 + 6u];
    metal::float4 _e124 = x0_.inner[_e114 + _e35];
    metal::half4 _e128 = x1_.inner[_e30 + 7u];
    metal::float4 _e131 = x0_.inner[_e114 + _e47];
    metal::half4 _e134 = x1_.inner[_e30 + 8u];
    metal::float4 _e135 = acc;
    acc = metal::fma((_e111 && _e46) ? _e131 : _e57, static_cast<metal::float4>(_e134), metal::fma((_e111 && _e34) ? _e124 : _e57, static_cast<metal::float4>(_e128), metal::fma((_e111 && _e23) ? _e117 : _e57, static_cast<metal::float4>(_e121), _e135)));
    metal::float4 _e148 = acc;
    y0_.inner[(_e11 + (_e14 * 8u)) + _e22] = (_e148 * metal::min(metal::max(_e148 + metal::float4(3.0), _e57), metal::float4(6.0))) * metal::float4(0.16666667);
}
