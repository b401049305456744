// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[1536];
};
struct type_2 {
    metal::half4 inner[144];
};
struct type_4 {
    metal::float4 inner[6];
};
struct type_5 {
    metal::float4 inner[1536];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_2 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_5 const& x3_ [[buffer(3)]]
, device type_1& y0_ [[buffer(4)]]
) {
    metal::float4 acc = {};
    uint i = {};
    uint _e9 = global_id.x / 256u;
    metal::float4 _e11 = x2_.inner[_e9];
    acc = _e11;
    i = 0u;
    uint _e21 = ((global_id.x / 16u) % 16u) * 16u;
    uint _e23 = global_id.x % 16u;
    while(true) {
        uint _e15 = i;
        if (_e15 >= 6u) {
            break;
        }
        metal::half4 _e26 = x0_.inner[((_e15 * 256u) + _e21) + _e23];
        uint _e31 = (_e9 * 24u) + (_e15 * 4u);
        metal::half4 _e33 = x1_.inner[_e31];
        metal::half4 _e37 = x1_.inner[_e31 + 1u];
        metal::half4 _e41 = x1_.inner[_e31 + 2u];
        metal::half4 _e45 = x1_.inner[_e31 + 3u];
        metal::float4 _e46 = acc;
        metal::float4 _e47 = static_cast<metal::float4>(_e26);
        acc = metal::fma(metal::float4(_e47.w), static_cast<metal::float4>(_e45), metal::fma(metal::float4(_e47.z), static_cast<metal::float4>(_e41), metal::fma(metal::float4(_e47.y), static_cast<metal::float4>(_e37), metal::fma(metal::float4(_e47.x), static_cast<metal::float4>(_e33), _e46))));
        i = _e15 + 1u;
    }
    metal::float4 _e66 = acc;
    uint _e69 = ((_e9 * 256u) + _e21) + _e23;
    metal::float4 _e71 = x3_.inner[_e69];
    metal::float4 _e75 = metal::max(_e71 + _e66, metal::float4(0.0));
    metal::float4 _e77 = metal::float4(-65504.0);
    metal::float4 _e84 = metal::float4(65504.0);
    y0_.inner[_e69] = static_cast<metal::half4>(metal::select(metal::select(_e75, _e84, (_e75 > _e84) & (_e75 <= metal::float4(340282350000000000000000000000000000000.0))), _e77, (_e75 < _e77) & (_e75 >= metal::float4(-340282350000000000000000000000000000000.0))));
}
