// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;


struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, metal::texture2d_array<float, metal::access::sample> x [[texture(0)]]
, metal::texture2d_array<float, metal::access::write> y [[texture(1)]]
) {
    if ((global_id.x < 7u) && (global_id.y < 5u)) {
        metal::float4 _e13 = x.read(metal::uint2(metal::uint2(global_id.x, global_id.y)), global_id.z, 0);
        y.write(metal::max((_e13 * metal::float4(2.0)) + metal::float4(1.0), metal::float4(0.0)), metal::uint2(metal::uint2(global_id.x, global_id.y)), global_id.z);
    }
}
