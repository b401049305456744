// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[768];
};
struct type_3 {
    metal::half4 inner[576];
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
, device type_1 const& x3_ [[buffer(3)]]
, device type_1& y0_ [[buffer(4)]]
) {
    metal::float4 acc = {};
    uint i = {};
    uint _e9 = global_id.x / 64u;
    metal::float4 _e11 = x2_.inner[_e9];
    acc = _e11;
    i = 0u;
    uint _e21 = ((global_id.x / 8u) % 8u) * 8u;
    uint _e23 = global_id.x % 8u;
    while(true) {
        uint _e15 = i;
        if (_e15 >= 12u) {
            break;
        }
        metal::float4 _e26 = x0_.inner[((_e15 * 64u) + _e21) + _e23];
        uint _e31 = (_e9 * 48u) + (_e15 * 4u);
        metal::half4 _e33 = x1_.inner[_e31];
        metal::half4 _e37 = x1_.inner[_e31 + 1u];
        metal::half4 _e41 = x1_.inner[_e31 + 2u];
        metal::half4 _e45 = x1_.inner[_e31 + 3u];
        metal::float4 _e46 = acc;
        acc = metal::fma(metal::float4(_e26.w), static_cast<metal::float4>(_e45), metal::fma(metal::float4(_e26.z), static_cast<metal::float4>(_e41), metal::fma(metal::float4(_e26.y), static_cast<metal::float4>(_e37), metal::fma(metal::float4(_e26.x), static_cast<metal::float4>(_e33), _e46))));
        i = _e15 + 1u;
    }
    metal::float4 _e65 = acc;
    uint _e68 = ((_e9 * 64u) + _e21) + _e23;
    metal::float4 _e70 = x3_.inner[_e68];
    y0_.inner[_e68] = metal::max(_e70 + _e65, metal::float4(0.0));
}
