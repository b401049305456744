// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[768];
};
struct type_3 {
    metal::half4 inner[768];
};
struct type_4 {
    metal::float4 inner[12];
};
struct private_array {
    metal::half4 inner[544];
};
struct private_array_1 {
    metal::half4 inner[1088];
};
struct private_array_2 {
    metal::float4 inner[1152];
};
metal::simdgroup_half8x8 NagaCooperativeLoad(const threadgroup half* ptr, int stride, bool is_row_major) {
    metal::simdgroup_half8x8 m;
    simdgroup_load(m, ptr, stride, 0, is_row_major);
    return m;
}

metal::simdgroup_float8x8 NagaCooperativeMultiplyAdd(const thread metal::simdgroup_half8x8& a, const thread metal::simdgroup_half8x8& b, const thread metal::simdgroup_float8x8& c) {
    metal::simdgroup_float8x8 d;
    simdgroup_multiply_accumulate(d,a,b,c);
    return d;
}


struct kernel_mainInput {
};
void simdgroup_store(metal::simdgroup_float8x8 m, threadgroup metal::float4* at, uint stride, int origin = 0, bool transpose = false) {
    simdgroup_store(m, (threadgroup float*)at, stride, 0, transpose);
}

metal::simdgroup_half8x8 NagaCooperativeLoad(const threadgroup metal::half4* at, int stride, bool transpose) {
    return NagaCooperativeLoad((const threadgroup half*)at, stride, transpose);
}

[[max_total_threads_per_threadgroup(256)]] kernel void kernel_main(
  metal::uint3 workgroup_id [[threadgroup_position_in_grid]]
, uint local_index [[thread_index_in_threadgroup]]
, uint subgroup_id [[simdgroup_index_in_threadgroup]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_1 const& x3_ [[buffer(3)]]
, device type_1& y0_ [[buffer(4)]]
) {
    threadgroup private_array left;
    threadgroup private_array_1 right;
    threadgroup private_array_2 sums;
    metal::half4 next = {};
    metal::half4 next_1 = {};
    uint at = {};
    uint at_1 = {};
    metal::half4 next_2 = {};
    metal::half4 next_3 = {};
    metal::half4 next_4 = {};
    metal::half4 next_5 = {};
    metal::simdgroup_float8x8 sum = {};
    metal::simdgroup_float8x8 sum_1 = {};
    metal::simdgroup_float8x8 sum_2 = {};
    metal::simdgroup_float8x8 sum_3 = {};
    metal::simdgroup_float8x8 sum_4 = {};
    metal::simdgroup_float8x8 sum_5 = {};
    metal::simdgroup_float8x8 sum_6 = {};
    metal::simdgroup_float8x8 sum_7 = {};
    uint _e32 = (local_index / 8u) % 2u;
    at = (workgroup_id.y * 2u) + _e32;
    uint _e34 = at;
    uint _e35 = local_index % 8u;
    at_1 = _e35;
    uint _e36 = at_1;
    sum = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_2 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_3 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_4 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_1 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_5 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_6 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_7 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    uint _e46 = local_index / 16u;
    bool _e48 = _e46 < 12u;
    uint _e53 = _e34 * 8u;
    metal::float4 _e57 = x0_.inner[(((_e48 ? _e46 : 0u) * 64u) + _e53) + _e36];
    metal::half4 _e60 = metal::half4(0.0h);
    next = _e48 ? static_cast<metal::half4>(_e57) : _e60;
    uint _e62 = _e46 + 16u;
    bool _e63 = _e62 < 12u;
    metal::float4 _e69 = x0_.inner[(((_e63 ? _e62 : 0u) * 64u) + _e53) + _e36];
    next_1 = _e63 ? static_cast<metal::half4>(_e69) : _e60;
    uint _e81 = local_index / 32u;
    uint _e86 = local_index % 32u;
    uint _e89 = (((workgroup_id.x * 384u) + ((local_index / 128u) * 48u)) + ((_e81 % 4u) * 12u)) + ((_e86 < 12u) ? _e86 : 0u);
    metal::half4 _e91 = x1_.inner[_e89];
    next_2 = static_cast<metal::half4>(static_cast<metal::float4>(_e91));
    metal::half4 _e97 = x1_.inner[_e89 + 96u];
    next_3 = static_cast<metal::half4>(static_cast<metal::float4>(_e97));
    metal::half4 _e103 = x1_.inner[_e89 + 192u];
    next_4 = static_cast<metal::half4>(static_cast<metal::float4>(_e103));
    metal::half4 _e109 = x1_.inner[_e89 + 288u];
    next_5 = static_cast<metal::half4>(static_cast<metal::float4>(_e109));
    metal::half4 _e112 = next;
    uint _e113 = local_index % 16u;
    uint _e116 = (_e113 * 34u) + _e46;
    left.inner[_e116] = _e112;
    metal::half4 _e118 = next_1;
    left.inner[_e116 + 16u] = _e118;
    metal::half4 _e121 = next_2;
    uint _e123 = (_e81 * 34u) + _e86;
    right.inner[_e123] = _e121;
    metal::half4 _e125 = next_3;
    right.inner[_e123 + 272u] = _e125;
    metal::half4 _e129 = next_4;
    right.inner[_e123 + 544u] = _e129;
    metal::half4 _e133 = next_5;
    right.inner[_e123 + 816u] = _e133;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e138 = subgroup_id * 16u;
    metal::simdgroup_half8x8 t = NagaCooperativeLoad(&left.inner[_e138 / 4u], 136u, false);
    metal::simdgroup_half8x8 t_1 = NagaCooperativeLoad(&left.inner[(_e138 + 8u) / 4u], 136u, false);
    metal::simdgroup_half8x8 t_2 = NagaCooperativeLoad(&left.inner[(_e138 + 1088u) / 4u], 136u, false);
    metal::simdgroup_half8x8 t_3 = NagaCooperativeLoad(&left.inner[(_e138 + 1096u) / 4u], 136u, false);
    metal::simdgroup_half8x8 t_4 = NagaCooperativeLoad(&right.inner[_e138 / 4u], 136u, true);
    metal::simdgroup_half8x8 t_5 = NagaCooperativeLoad(&right.inner[(_e138 + 1088u) / 4u], 136u, true);
    metal::simdgroup_half8x8 t_6 = NagaCooperativeLoad(&right.inner[(_e138 + 8u) / 4u], 136u, true);
    metal::simdgroup_half8x8 t_7 = NagaCooperativeLoad(&right.inner[(_e138 + 1096u) / 4u], 136u, true);
    uint _e184 = _e138 + 2176u;
    metal::simdgroup_half8x8 t_8 = NagaCooperativeLoad(&right.inner[_e184 / 4u], 136u, true);
    metal::simdgroup_half8x8 t_9 = NagaCooperativeLoad(&right.inner[(_e184 + 1088u) / 4u], 136u, true);
    metal::simdgroup_half8x8 t_10 = NagaCooperativeLoad(&right.inner[(_e184 + 8u) / 4u], 136u, true);
    metal::simdgroup_half8x8 t_11 = NagaCooperativeLoad(&right.inner[(_e184 + 1096u) / 4u], 136u, true);
    metal::simdgroup_float8x8 _e207 = sum;
    metal::simdgroup_float8x8 _e208 = sum_2;
    metal::simdgroup_float8x8 _e209 = sum_3;
    metal::simdgroup_float8x8 _e210 = sum_4;
    metal::simdgroup_float8x8 t_12 = NagaCooperativeMultiplyAdd(t, t_4, _e207);
    metal::simdgroup_float8x8 t_13 = NagaCooperativeMultiplyAdd(t_1, t_6, t_12);
    metal::simdgroup_float8x8 t_14 = NagaCooperativeMultiplyAdd(t, t_5, _e208);
    metal::simdgroup_float8x8 t_15 = NagaCooperativeMultiplyAdd(t_1, t_7, t_14);
    metal::simdgroup_float8x8 t_16 = NagaCooperativeMultiplyAdd(t_2, t_4, _e209);
    metal::simdgroup_float8x8 t_17 = NagaCooperativeMultiplyAdd(t_3, t_6, t_16);
    metal::simdgroup_float8x8 t_18 = NagaCooperativeMultiplyAdd(t_2, t_5, _e210);
    metal::simdgroup_float8x8 t_19 = NagaCooperativeMultiplyAdd(t_3, t_7, t_18);
    sum = t_13;
    sum_2 = t_15;
    sum_3 = t_17;
    sum_4 = t_19;
    metal::simdgroup_float8x8 _e219 = sum_1;
    metal::simdgroup_float8x8 _e220 = sum_5;
    metal::simdgroup_float8x8 _e221 = sum_6;
    metal::simdgroup_float8x8 _e222 = sum_7;
    metal::simdgroup_float8x8 t_20 = NagaCooperativeMultiplyAdd(t, t_8, _e219);
    metal::simdgroup_float8x8 t_21 = NagaCooperativeMultiplyAdd(t_1, t_10, t_20);
    metal::simdgroup_float8x8 t_22 = NagaCooperativeMultiplyAdd(t, t_9, _e220);
    metal::simdgroup_float8x8 t_23 = NagaCooperativeMultiplyAdd(t_1, t_11, t_22);
    metal::simdgroup_float8x8 t_24 = NagaCooperativeMultiplyAdd(t_2, t_8, _e221);
    metal::simdgroup_float8x8 t_25 = NagaCooperativeMultiplyAdd(t_3, t_10, t_24);
    metal::simdgroup_float8x8 t_26 = NagaCooperativeMultiplyAdd(t_2, t_9, _e222);
    metal::simdgroup_float8x8 t_27 = NagaCooperativeMultiplyAdd(t_3, t_11, t_26);
    sum_1 = t_21;
    sum_5 = t_23;
    sum_6 = t_25;
    sum_7 = t_27;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::simdgroup_float8x8 _e231 = sum;
    metal::simdgroup_float8x8 _e232 = sum_2;
    metal::simdgroup_float8x8 _e233 = sum_3;
    metal::simdgroup_float8x8 _e234 = sum_4;
    uint _e237 = subgroup_id * 576u;
    simdgroup_store(_e231, &sums.inner[_e237 / 4u], 36u);
    simdgroup_store(_e232, &sums.inner[(_e237 + 8u) / 4u], 36u);
    simdgroup_store(_e233, &sums.inner[(_e237 + 288u) / 4u], 36u);
    simdgroup_store(_e234, &sums.inner[(_e237 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e256 = sum_1;
    metal::simdgroup_float8x8 _e257 = sum_5;
    metal::simdgroup_float8x8 _e258 = sum_6;
    metal::simdgroup_float8x8 _e259 = sum_7;
    uint _e260 = _e237 + 16u;
    simdgroup_store(_e256, &sums.inner[_e260 / 4u], 36u);
    simdgroup_store(_e257, &sums.inner[(_e260 + 8u) / 4u], 36u);
    simdgroup_store(_e258, &sums.inner[(_e260 + 288u) / 4u], 36u);
    simdgroup_store(_e259, &sums.inner[(_e260 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if ((local_index < 128u) && (((workgroup_id.x * 32u) + (_e46 * 4u)) < 48u)) {
        uint _e287 = (_e113 * 9u) + _e46;
        metal::float4 _e289 = sums.inner[_e287];
        metal::float4 _e293 = sums.inner[_e287 + 144u];
        metal::float4 _e296 = sums.inner[_e287 + 288u];
        metal::float4 _e300 = sums.inner[_e287 + 432u];
        metal::float4 _e303 = sums.inner[_e287 + 576u];
        metal::float4 _e307 = sums.inner[_e287 + 720u];
        metal::float4 _e311 = sums.inner[_e287 + 864u];
        metal::float4 _e315 = sums.inner[_e287 + 1008u];
        metal::float4 _e319 = x2_.inner[(workgroup_id.x * 8u) + _e46];
        uint _e328 = ((((workgroup_id.x * 512u) + (_e46 * 64u)) + (workgroup_id.y * 16u)) + (_e32 * 8u)) + _e35;
        metal::float4 _e330 = x3_.inner[_e328];
        y0_.inner[_e328] = metal::max(_e330 + ((((((((_e289 + _e293) + _e296) + _e300) + _e303) + _e307) + _e311) + _e315) + _e319), metal::float4(0.0));
    }
}
