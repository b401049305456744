// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[70];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x [[buffer(0)]]
, device type_1& y [[buffer(1)]]
) {
    if ((global_id.x < 7u) && (global_id.y < 5u)) {
        uint _e15 = ((global_id.z * 35u) + (global_id.y * 7u)) + global_id.x;
        metal::float4 _e17 = x.inner[_e15];
        y.inner[_e15] = metal::max((_e17 * metal::float4(2.0)) + metal::float4(1.0), metal::float4(0.0));
    }
}
