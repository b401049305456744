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
struct private_array {
    float inner[64];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 workgroup_id [[threadgroup_position_in_grid]]
, uint local_index [[thread_index_in_threadgroup]]
, device type_1 const& x [[buffer(0)]]
, device type_2& y [[buffer(1)]]
) {
    threadgroup private_array partial;
    float sum = {};
    uint i = {};
    sum = 0.0;
    i = local_index;
    while(true) {
        uint _e9 = i;
        if (_e9 >= 1000u) {
            break;
        }
        float _e11 = sum;
        float _e16 = x.inner[(workgroup_id.x * 1000u) + _e9];
        sum = _e11 + _e16;
        i = _e9 + 64u;
    }
    float _e20 = sum;
    partial.inner[local_index] = _e20;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 32u) {
        float _e25 = partial.inner[local_index];
        float _e28 = partial.inner[local_index + 32u];
        partial.inner[local_index] = _e25 + _e28;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 16u) {
        float _e34 = partial.inner[local_index];
        float _e37 = partial.inner[local_index + 16u];
        partial.inner[local_index] = _e34 + _e37;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 8u) {
        float _e43 = partial.inner[local_index];
        float _e46 = partial.inner[local_index + 8u];
        partial.inner[local_index] = _e43 + _e46;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 4u) {
        float _e52 = partial.inner[local_index];
        float _e55 = partial.inner[local_index + 4u];
        partial.inner[local_index] = _e52 + _e55;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 2u) {
        float _e61 = partial.inner[local_index];
        float _e64 = partial.inner[local_index + 2u];
        partial.inner[local_index] = _e61 + _e64;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (local_index < 1u) {
        float _e70 = partial.inner[local_index];
        float _e73 = partial.inner[local_index + 1u];
        partial.inner[local_index] = _e70 + _e73;
    }
    if (local_index == 0u) {
        float _e79 = partial.inner[0];
        y.inner[workgroup_id.x] = _e79;
    }
}
