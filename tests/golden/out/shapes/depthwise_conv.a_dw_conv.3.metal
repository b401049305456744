// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[1536];
};
struct type_2 {
    metal::half4 inner[54];
};
struct type_4 {
    metal::float4 inner[6];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_2 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_1& y0_ [[buffer(3)]]
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
    metal::half4 _e28 = x0_.inner[_e21 + _e25];
    uint _e30 = _e8 * 9u;
    metal::half4 _e32 = x1_.inner[_e30];
    uint _e33 = _e22 + 1u;
    bool _e34 = _e33 >= 1u;
    uint _e35 = _e34 ? _e22 : 0u;
    metal::half4 _e38 = x0_.inner[_e21 + _e35];
    metal::half4 _e41 = x1_.inner[_e30 + 1u];
    uint _e43 = _e22 + 2u;
    bool _e47 = (_e43 >= 1u) && (_e43 < 17u);
    uint _e48 = _e47 ? _e33 : 0u;
    metal::half4 _e51 = x0_.inner[_e21 + _e48];
    metal::half4 _e54 = x1_.inner[_e30 + 2u];
    metal::float4 _e55 = acc;
    metal::float4 _e59 = metal::float4(0.0);
    acc = metal::fma((_e16 && _e47) ? static_cast<metal::float4>(_e51) : _e59, static_cast<metal::float4>(_e54), metal::fma((_e16 && _e34) ? static_cast<metal::float4>(_e38) : _e59, static_cast<metal::float4>(_e41), metal::fma((_e16 && _e23) ? static_cast<metal::float4>(_e28) : _e59, static_cast<metal::float4>(_e32), _e55)));
    uint _e73 = _e14 + 1u;
    bool _e74 = _e73 >= 1u;
    uint _e77 = _e11 + ((_e74 ? _e14 : 0u) * 16u);
    metal::half4 _e80 = x0_.inner[_e77 + _e25];
    metal::half4 _e84 = x1_.inner[_e30 + 3u];
    metal::half4 _e87 = x0_.inner[_e77 + _e35];
    metal::half4 _e91 = x1_.inner[_e30 + 4u];
    metal::half4 _e94 = x0_.inner[_e77 + _e48];
    metal::half4 _e98 = x1_.inner[_e30 + 5u];
    metal::float4 _e99 = acc;
    acc = metal::fma((_e74 && _e47) ? static_cast<metal::float4>(_e94) : _e59, static_cast<metal::float4>(_e98), metal::fma((_e74 && _e34) ? static_cast<metal::float4>(_e87) : _e59, static_cast<metal::float4>(_e91), metal::fma((_e74 && _e23) ? static_cast<metal::float4>(_e80) : _e59, static_cast<metal::float4>(_e84), _e99)));
    uint _e115 = _e14 + 2u;
    bool _e118 = (_e115 >= 1u) && (_e115 < 17u);
    uint _e121 = _e11 + ((_e118 ? _e73 : 0u) * 16u);
    metal::half4 _e124 = x0_.inner[_e121 + _e25];
    metal::half4 _e128 = x1_.inner[_e30 + 6u];
    metal::half4 _e131 = x0_.inner[_e121 + _e35];
    metal::half4 _e135 = x1_.inner[_e30 + 7u];
    metal::half4 _e138 = x0_.inner[_e121 + _e48];
    metal::half4 _e142 = x1_.inner[_e30 + 8u];
    metal::float4 _e143 = acc;
    acc = metal::fma((_e118 && _e47) ? static_cast<metal::float4>(_e138) : _e59, static_cast<metal::float4>(_e142), metal::fma((_e118 && _e34) ? static_cast<metal::float4>(_e131) : _e59, static_cast<metal::float4>(_e135), metal::fma((_e118 && _e23) ? static_cast<metal::float4>(_e124) : _e59, static_cast<metal::float4>(_e128), _e143)));
    metal::float4 _e159 = acc;
    metal::float4 _e170 = (_e159 * metal::min(metal::max(_e159 + metal::float4(3.0), _e59), metal::float4(6.0))) * metal::float4(0.16666667);
    metal::float4 _e172 = metal::float4(-65504.0);
    metal::float4 _e179 = metal::float4(65504.0);
    y0_.inner[(_e11 + (_e14 * 16u)) + _e22] = static_cast<metal::half4>(metal::select(metal::select(_e170, _e179, (_e170 > _e179) & (_e170 <= metal::float4(340282350000000000000000000000000000000.0))), _e172, (_e170 < _e172) & (_e170 >= metal::float4(-340282350000000000000000000000000000000.0))));
}
