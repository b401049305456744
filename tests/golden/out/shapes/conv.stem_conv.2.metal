// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[1024];
};
struct type_3 {
    metal::half4 inner[216];
};
struct type_5 {
    metal::float4 inner[6];
};
struct type_6 {
    metal::half4 inner[1536];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_5 const& x2_ [[buffer(2)]]
, device type_6& y0_ [[buffer(3)]]
) {
    metal::float4 acc = {};
    uint i = {};
    uint i_1 = {};
    uint _e8 = global_id.x / 256u;
    metal::float4 _e10 = x2_.inner[_e8];
    acc = _e10;
    i = 0u;
    uint _e21 = (global_id.x / 16u) % 16u;
    uint _e31 = global_id.x % 16u;
    while(true) {
        uint _e14 = i;
        if (_e14 >= 3u) {
            break;
        }
        i_1 = 0u;
        uint _e24 = (_e21 * 2u) + _e14;
        bool _e26 = _e24 >= 1u;
        while(true) {
            uint _e17 = i_1;
            if (_e17 >= 3u) {
                break;
            }
            uint _e33 = (_e31 * 2u) + _e17;
            bool _e34 = _e33 >= 1u;
            float _e39 = x0_.inner[((_e26 ? (_e24 - 1u) : 0u) * 32u) + (_e34 ? (_e33 - 1u) : 0u)];
            metal::half4 _e49 = x1_.inner[((_e8 * 36u) + (_e14 * 12u)) + (_e17 * 4u)];
            metal::float4 _e50 = acc;
            acc = metal::fma(metal::float4(((_e26 && _e34) ? metal::float4(_e39, 0.0, 0.0, 0.0) : metal::float4(0.0)).x), static_cast<metal::float4>(_e49), _e50);
            i_1 = _e17 + 1u;
        }
        i = _e14 + 1u;
    }
    metal::float4 _e64 = acc;
    metal::float4 _e66 = metal::float4(1.0);
    metal::float4 _e71 = _e64 * (_e66 / (metal::exp(-(_e64)) + _e66));
    metal::float4 _e73 = metal::float4(-65504.0);
    metal::float4 _e80 = metal::float4(65504.0);
    y0_.inner[((_e8 * 256u) + (_e21 * 16u)) + _e31] = static_cast<metal::half4>(metal::select(metal::select(_e71, _e80, (_e71 > _e80) & (_e71 <= metal::float4(340282350000000000000000000000000000000.0))), _e73, (_e71 < _e73) & (_e71 >= metal::float4(-340282350000000000000000000000000000000.0))));
}
