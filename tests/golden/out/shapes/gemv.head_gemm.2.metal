// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[12];
};
struct type_3 {
    metal::half4 inner[96];
};
struct type_4 {
    metal::float4 inner[2];
};
struct private_array {
    metal::float4 inner[16];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(16)]] kernel void kernel_main(
  uint local_index [[thread_index_in_threadgroup]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_4& y0_ [[buffer(3)]]
) {
    threadgroup private_array sums;
    metal::float4 acc = {};
    uint i = {};
    acc = metal::float4(0.0);
    i = 0u;
    uint _e16 = local_index / 2u;
    uint _e26 = local_index % 2u;
    while(true) {
        uint _e12 = i;
        if (_e12 >= 2u) {
            break;
        }
        uint _e17 = (_e12 * 8u) + _e16;
        if (_e17 < 12u) {
            metal::float4 _e21 = x0_.inner[_e17];
            uint _e27 = ((_e12 * 64u) + (_e16 * 8u)) + _e26;
            metal::half4 _e29 = x1_.inner[_e27];
            metal::float4 _e30 = acc;
            acc = metal::fma(metal::float4(_e21.x), static_cast<metal::float4>(_e29), _e30);
            metal::half4 _e37 = x1_.inner[_e27 + 2u];
            metal::float4 _e38 = acc;
            uint _e43 = (_e12 * 32u) + (_e16 * 4u);
            acc = metal::fma(metal::float4(((_e43 + 1u) < 48u) ? _e21.y : 0.0), static_cast<metal::float4>(_e37), _e38);
            metal::half4 _e55 = x1_.inner[_e27 + 4u];
            metal::float4 _e56 = acc;
            acc = metal::fma(metal::float4(((_e43 + 2u) < 48u) ? _e21.z : 0.0), static_cast<metal::float4>(_e55), _e56);
            metal::half4 _e67 = x1_.inner[_e27 + 6u];
            metal::float4 _e68 = acc;
            acc = metal::fma(metal::float4(((_e43 + 3u) < 48u) ? _e21.w : 0.0), static_cast<metal::float4>(_e67), _e68);
        }
        i = _e12 + 1u;
    }
    metal::float4 _e79 = acc;
    sums.inner[local_index] = _e79;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e16 < 4u) {
        metal::float4 _e84 = sums.inner[local_index + 8u];
        metal::float4 _e86 = sums.inner[local_index];
        sums.inner[local_index] = _e86 + _e84;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e16 < 2u) {
        metal::float4 _e92 = sums.inner[local_index + 4u];
        metal::float4 _e94 = sums.inner[local_index];
        sums.inner[local_index] = _e94 + _e92;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e16 < 1u) {
        metal::float4 _e100 = sums.inner[local_index + 2u];
        metal::float4 _e102 = sums.inner[local_index];
        sums.inner[local_index] = _e102 + _e100;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e16 == 0u) {
        metal::float4 _e107 = sums.inner[local_index];
        metal::float4 _e109 = x2_.inner[_e26];
        y0_.inner[_e26] = _e107 + _e109;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
}
