// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[1536];
};
struct type_3 {
    metal::half4 inner[54];
};
struct type_4 {
    metal::float4 inner[6];
};
struct type_5 {
    metal::half4 inner[1536];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_5& y0_ [[buffer(3)]]
) {
    metal::float4 acc = {};
    uint _e8 = global_id.x / 256u;
    metal::float4 _e10 = x2_.inner[_e8];
    acc = _e10;
    uint _e11 = _e8 * 256u;
    uint _e14 = (global_id.x / 16u) % 16u;
    bool _e16 = _e14 >= 1u;
    uint _e21 = _e11 + ((_e16 ? (_e14 - 1u) : 0u) * 16u);
    uint _e22 = global_id.x % 16u;
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
    bool _e47 = (_e43 >= 1u) && (_e43 < 17u);
    uint _e48 = _e47 ? _e33 : 0u;
    metal::float4 _e51 = x0_.inner[_e21 + _e48];
    metal::half4 _e54 = x1_.inner[_e30 + 2u];
    metal::float4 _e55 = acc;
    metal::float4 _e58 = metal::float4(0.0);
    acc = metal::fma((_e16 && _e47) ? _e51 : _e58, static_cast<metal::float4>(_e54), metal::fma((_e16 && _e34) ? _e38 : _e58, static_cast<metal::float4>(_e41), metal::fma((_e16 && _e23) ? _e28 : _e58, static_cast<metal::float4>(_e32), _e55)));
    uint _e70 = _e14 + 1u;
    bool _e71 = _e70 >= 1u;
    uint _e74 = _e11 + ((_e71 ? _e14 : 0u) * 16u);
    metal::float4 _e77 = x0_.inner[_e74 + _e25];
    metal::half4 _e81 = x1_.inner[_e30 + 3u];
    metal::float4 _e84 = x0_.inner[_e74 + _e35];
    metal::half4 _e88 = x1_.inner[_e30 + 4u];
    metal::float4 _e91 = x0_.inner[_e74 + _e48];
    metal::half4 _e95 = x1_.inner[_e30 + 5u];
    metal::float4 _e96 = acc;
    acc = metal::fma((_e71 && _e47) ? _e91 : _e58, static_cast<metal::float4>(_e95), metal::fma((_e71 && _e34) ? _e84 : _e58, static_cast<metal::float4>(_e88), metal::fma((_e71 && _e23) ? _e77 : _e58, static_cast<metal::float4>(_e81), _e96)));
    uint _e109 = _e14 + 2u;
    bool _e112 = (_e109 >= 1u) && (_e109 < 17u);
    uint _e115 = _e11 + ((_e112 ? _e70 : 0u) * 16u);
    metal::float4 _e118 = x0_.inner[_e115 + _e25];
    metal::half4 _e122 = x1_.inner[_e30 + 6u];
    metal::float4 _e125 = x0_.inner[_e115 + _e35];
    metal::half4 _e129 = x1_.inner[_e30 + 7u];
    metal::float4 _e132 = x0_.inner[_e115 + _e48];
    metal::half4 _e136 = x1_.inner[_e30 + 8u];
    metal::float4 _e137 = acc;
    acc = metal::fma((_e112 && _e47) ? _e132 : _e58, static_cast<metal::float4>(_e136), metal::fma((_e112 && _e34) ? _e125 : _e58, static_cast<metal::float4>(_e129), metal::fma((_e112 && _e23) ? _e118 : _e58, static_cast<metal::float4>(_e122), _e137)));
    metal::float4 _e150 = acc;
    metal::float4 _e161 = (_e150 * metal::min(metal::max(_e150 + metal::float4(3.0), _e58), metal::float4(6.0))) * metal::float4(0.16666667);
    metal::float4 _e163 = metal::float4(-65504.0);
    metal::float4 _e170 = metal::float4(65504.0);
    y0_.inner[(_e11 + (_e14 * 16u)) + _e22] = static_cast<metal::half4>(metal::select(metal::select(_e161, _e170, (_e161 > _e170) & (_e161 <= metal::float4(340282350000000000000000000000000000000.0))), _e163, (_e161 < _e163) & (_e161 >= metal::float4(-340282350000000000000000000000000000000.0))));
}
