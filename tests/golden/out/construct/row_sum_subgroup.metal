// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[10000];
};
struct type_2 {
    float inner[10];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(32)]] kernel void kernel_main(
  metal::uint3 workgroup_id [[threadgroup_position_in_grid]]
, uint subgroup_invocation [[thread_index_in_simdgroup]]
, device type_1 const& x [[buffer(0)]]
, device type_2& y [[buffer(1)]]
) {
    float sum = {};
    uint i = {};
    sum = 0.0;
    i = 0u;
    while(true) {
        uint _e9 = i;
        if (_e9 >= 1000u) {
            break;
        }
        if ((_e9 + subgroup_invocation) < 1000u) {
            float _e13 = sum;
            float _e19 = x.inner[((workgroup_id.x * 1000u) + _e9) + subgroup_invocation];
            sum = _e13 + _e19;
        }
        i = _e9 + 32u;
    }
    float _e23 = sum;
    float unnamed = metal::simd_sum(_e23);
    if (subgroup_invocation == 0u) {
        y.inner[workgroup_id.x] = unnamed;
    }
}
