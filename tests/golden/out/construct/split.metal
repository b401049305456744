// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[128];
};
struct type_2 {
    float inner[256];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x_part0_ [[buffer(0)]]
, device type_1 const& x_part1_ [[buffer(1)]]
, device type_2& y [[buffer(2)]]
) {
    float x_value = {};
    if ((global_id.x / 128u) < 1u) {
        float _e12 = x_part0_.inner[global_id.x % 128u];
        x_value = _e12;
    } else {
        float _e15 = x_part1_.inner[global_id.x % 128u];
        x_value = _e15;
    }
    float _e16 = x_value;
    y.inner[global_id.x] = _e16;
}
