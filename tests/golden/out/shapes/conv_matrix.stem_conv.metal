// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[1024];
};
struct type_3 {
    half inner[1152];
};
struct type_5 {
    metal::float4 inner[6];
};
struct type_7 {
    metal::half4 inner[1536];
};
struct private_array {
    metal::half4 inner[1152];
};
struct private_array_1 {
    metal::half4 inner[576];
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
, device type_5 const& x2_ [[buffer(2)]]
, device type_7& y0_ [[buffer(3)]]
) {
    threadgroup private_array left;
    threadgroup private_array_1 right;
    threadgroup private_array_2 sums;
    metal::half4 next = {};
    metal::half4 next_1 = {};
    metal::half4 next_2 = {};
    metal::half4 next_3 = {};
    uint at = {};
    uint at_1 = {};
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
    metal::simdgroup_float8x8 sum_8 = {};
    metal::simdgroup_float8x8 sum_9 = {};
    metal::simdgroup_float8x8 sum_10 = {};
    metal::simdgroup_float8x8 sum_11 = {};
    metal::simdgroup_float8x8 sum_12 = {};
    metal::simdgroup_float8x8 sum_13 = {};
    metal::simdgroup_float8x8 sum_14 = {};
    metal::simdgroup_float8x8 sum_15 = {};
    uint _e38 = local_index / 16u;
    uint _e39 = _e38 % 4u;
    at = (workgroup_id.y * 4u) + _e39;
    uint _e41 = at;
    uint _e42 = local_index % 16u;
    at_1 = _e42;
    uint _e43 = at_1;
    sum = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_4 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_5 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_6 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_1 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_7 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_8 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_9 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_2 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_10 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_11 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_12 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_3 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_13 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_14 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_15 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    uint _e61 = _e41 * 2u;
    uint _e64 = _e61 + (local_index / 192u);
    bool _e66 = _e64 >= 1u;
    uint _e72 = _e43 * 2u;
    uint _e74 = local_index / 64u;
    uint _e77 = _e72 + (_e74 % 3u);
    bool _e78 = _e77 >= 1u;
    float _e83 = x0_.inner[((_e66 ? (_e64 - 1u) : 0u) * 32u) + (_e78 ? (_e77 - 1u) : 0u)];
    metal::half4 _e89 = metal::half4(0.0h);
    next = (_e66 && _e78) ? static_cast<metal::half4>(metal::float4(_e83, 0.0, 0.0, 0.0)) : _e89;
    uint _e91 = _e74 + 1u;
    uint _e93 = _e61 + (_e91 / 3u);
    bool _e95 = (_e93 + 1u) >= 1u;
    uint _e99 = _e72 + (_e91 % 3u);
    bool _e100 = _e99 >= 1u;
    float _e105 = x0_.inner[((_e95 ? _e93 : 0u) * 32u) + (_e100 ? (_e99 - 1u) : 0u)];
    next_1 = (_e95 && _e100) ? static_cast<metal::half4>(metal::float4(_e105, 0.0, 0.0, 0.0)) : _e89;
    uint _e111 = _e74 + 8u;
    bool _e113 = _e111 < 9u;
    uint _e114 = _e113 ? _e111 : 0u;
    uint _e117 = _e61 + ((_e114 / 3u) % 3u);
    bool _e118 = _e117 >= 1u;
    uint _e123 = _e72 + (_e114 % 3u);
    bool _e124 = _e123 >= 1u;
    float _e129 = x0_.inner[((_e118 ? (_e117 - 1u) : 0u) * 32u) + (_e124 ? (_e123 - 1u) : 0u)];
    next_2 = ((_e118 && _e124) && _e113) ? static_cast<metal::half4>(metal::float4(_e129, 0.0, 0.0, 0.0)) : _e89;
    uint _e136 = _e74 + 12u;
    bool _e137 = _e136 < 9u;
    uint _e138 = _e137 ? _e136 : 0u;
    uint _e141 = _e61 + ((_e138 / 3u) % 3u);
    bool _e142 = _e141 >= 1u;
    uint _e147 = _e72 + (_e138 % 3u);
    bool _e148 = _e147 >= 1u;
    float _e153 = x0_.inner[((_e142 ? (_e141 - 1u) : 0u) * 32u) + (_e148 ? (_e147 - 1u) : 0u)];
    next_3 = ((_e142 && _e148) && _e137) ? static_cast<metal::half4>(metal::float4(_e153, 0.0, 0.0, 0.0)) : _e89;
    uint _e167 = ((_e74 * 144u) + (_e39 * 36u)) + (((_e42 < 9u) ? _e42 : 0u) * 4u);
    half _e169 = x1_.inner[_e167];
    next_4 = static_cast<metal::half4>(metal::float4(static_cast<float>(_e169), 0.0, 0.0, 0.0));
    half _e176 = x1_.inner[_e167 + 576u];
    next_5 = static_cast<metal::half4>(metal::float4(static_cast<float>(_e176), 0.0, 0.0, 0.0));
    metal::half4 _e180 = next;
    uint _e184 = ((local_index % 64u) * 18u) + _e74;
    left.inner[_e184] = _e180;
    metal::half4 _e186 = next_1;
    left.inner[_e184 + 4u] = _e186;
    metal::half4 _e189 = next_2;
    left.inner[_e184 + 8u] = _e189;
    metal::half4 _e192 = next_3;
    left.inner[_e184 + 12u] = _e192;
    metal::half4 _e195 = next_4;
    uint _e197 = (_e38 * 18u) + _e42;
    right.inner[_e197] = _e195;
    metal::half4 _e199 = next_5;
    right.inner[_e197 + 288u] = _e199;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e208 = (subgroup_id / 2u) * 16u;
    uint _e209 = ((subgroup_id % 2u) * 2304u) + _e208;
    metal::simdgroup_half8x8 t = NagaCooperativeLoad(&left.inner[_e209 / 4u], 72u, false);
    metal::simdgroup_half8x8 t_1 = NagaCooperativeLoad(&left.inner[(_e209 + 8u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_2 = NagaCooperativeLoad(&left.inner[(_e209 + 576u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_3 = NagaCooperativeLoad(&left.inner[(_e209 + 584u) / 4u], 72u, false);
    uint _e233 = _e209 + 1152u;
    metal::simdgroup_half8x8 t_4 = NagaCooperativeLoad(&left.inner[_e233 / 4u], 72u, false);
    metal::simdgroup_half8x8 t_5 = NagaCooperativeLoad(&left.inner[(_e233 + 8u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_6 = NagaCooperativeLoad(&left.inner[(_e233 + 576u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_7 = NagaCooperativeLoad(&left.inner[(_e233 + 584u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_8 = NagaCooperativeLoad(&right.inner[_e208 / 4u], 72u, true);
    metal::simdgroup_half8x8 t_9 = NagaCooperativeLoad(&right.inner[(_e208 + 576u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_10 = NagaCooperativeLoad(&right.inner[(_e208 + 8u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_11 = NagaCooperativeLoad(&right.inner[(_e208 + 584u) / 4u], 72u, true);
    uint _e278 = _e208 + 1152u;
    metal::simdgroup_half8x8 t_12 = NagaCooperativeLoad(&right.inner[_e278 / 4u], 72u, true);
    metal::simdgroup_half8x8 t_13 = NagaCooperativeLoad(&right.inner[(_e278 + 576u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_14 = NagaCooperativeLoad(&right.inner[(_e278 + 8u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_15 = NagaCooperativeLoad(&right.inner[(_e278 + 584u) / 4u], 72u, true);
    metal::simdgroup_float8x8 _e301 = sum;
    metal::simdgroup_float8x8 _e302 = sum_4;
    metal::simdgroup_float8x8 _e303 = sum_5;
    metal::simdgroup_float8x8 _e304 = sum_6;
    metal::simdgroup_float8x8 t_16 = NagaCooperativeMultiplyAdd(t, t_8, _e301);
    metal::simdgroup_float8x8 t_17 = NagaCooperativeMultiplyAdd(t_1, t_10, t_16);
    metal::simdgroup_float8x8 t_18 = NagaCooperativeMultiplyAdd(t, t_9, _e302);
    metal::simdgroup_float8x8 t_19 = NagaCooperativeMultiplyAdd(t_1, t_11, t_18);
    metal::simdgroup_float8x8 t_20 = NagaCooperativeMultiplyAdd(t_2, t_8, _e303);
    metal::simdgroup_float8x8 t_21 = NagaCooperativeMultiplyAdd(t_3, t_10, t_20);
    metal::simdgroup_float8x8 t_22 = NagaCooperativeMultiplyAdd(t_2, t_9, _e304);
    metal::simdgroup_float8x8 t_23 = NagaCooperativeMultiplyAdd(t_3, t_11, t_22);
    sum = t_17;
    sum_4 = t_19;
    sum_5 = t_21;
    sum_6 = t_23;
    metal::simdgroup_float8x8 _e313 = sum_1;
    metal::simdgroup_float8x8 _e314 = sum_7;
    metal::simdgroup_float8x8 _e315 = sum_8;
    metal::simdgroup_float8x8 _e316 = sum_9;
    metal::simdgroup_float8x8 t_24 = NagaCooperativeMultiplyAdd(t, t_12, _e313);
    metal::simdgroup_float8x8 t_25 = NagaCooperativeMultiplyAdd(t_1, t_14, t_24);
    metal::simdgroup_float8x8 t_26 = NagaCooperativeMultiplyAdd(t, t_13, _e314);
    metal::simdgroup_float8x8 t_27 = NagaCooperativeMultiplyAdd(t_1, t_15, t_26);
    metal::simdgroup_float8x8 t_28 = NagaCooperativeMultiplyAdd(t_2, t_12, _e315);
    metal::simdgroup_float8x8 t_29 = NagaCooperativeMultiplyAdd(t_3, t_14, t_28);
    metal::simdgroup_float8x8 t_30 = NagaCooperativeMultiplyAdd(t_2, t_13, _e316);
    metal::simdgroup_float8x8 t_31 = NagaCooperativeMultiplyAdd(t_3, t_15, t_30);
    sum_1 = t_25;
    sum_7 = t_27;
    sum_8 = t_29;
    sum_9 = t_31;
    metal::simdgroup_float8x8 _e325 = sum_2;
    metal::simdgroup_float8x8 _e326 = sum_10;
    metal::simdgroup_float8x8 _e327 = sum_11;
    metal::simdgroup_float8x8 _e328 = sum_12;
    metal::simdgroup_float8x8 t_32 = NagaCooperativeMultiplyAdd(t_4, t_8, _e325);
    metal::simdgroup_float8x8 t_33 = NagaCooperativeMultiplyAdd(t_5, t_10, t_32);
    metal::simdgroup_float8x8 t_34 = NagaCooperativeMultiplyAdd(t_4, t_9, _e326);
    metal::simdgroup_float8x8 t_35 = NagaCooperativeMultiplyAdd(t_5, t_11, t_34);
    metal::simdgroup_float8x8 t_36 = NagaCooperativeMultiplyAdd(t_6, t_8, _e327);
    metal::simdgroup_float8x8 t_37 = NagaCooperativeMultiplyAdd(t_7, t_10, t_36);
    metal::simdgroup_float8x8 t_38 = NagaCooperativeMultiplyAdd(t_6, t_9, _e328);
    metal::simdgroup_float8x8 t_39 = NagaCooperativeMultiplyAdd(t_7, t_11, t_38);
    sum_2 = t_33;
    sum_10 = t_35;
    sum_11 = t_37;
    sum_12 = t_39;
    metal::simdgroup_float8x8 _e337 = sum_3;
    metal::simdgroup_float8x8 _e338 = sum_13;
    metal::simdgroup_float8x8 _e339 = sum_14;
    metal::simdgroup_float8x8 _e340 = sum_15;
    metal::simdgroup_float8x8 t_40 = NagaCooperativeMultiplyAdd(t_4, t_12, _e337);
    metal::simdgroup_float8x8 t_41 = NagaCooperativeMultiplyAdd(t_5, t_14, t_40);
    metal::simdgroup_float8x8 t_42 = NagaCooperativeMultiplyAdd(t_4, t_13, _e338);
    metal::simdgroup_float8x8 t_43 = NagaCooperativeMultiplyAdd(t_5, t_15, t_42);
    metal::simdgroup_float8x8 t_44 = NagaCooperativeMultiplyAdd(t_6, t_12, _e339);
    metal::simdgroup_float8x8 t_45 = NagaCooperativeMultiplyAdd(t_7, t_14, t_44);
    metal::simdgroup_float8x8 t_46 = NagaCooperativeMultiplyAdd(t_6, t_13, _e340);
    metal::simdgroup_float8x8 t_47 = NagaCooperativeMultiplyAdd(t_7, t_15, t_46);
    sum_3 = t_41;
    sum_13 = t_43;
    sum_14 = t_45;
    sum_15 = t_47;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::simdgroup_float8x8 _e349 = sum;
    metal::simdgroup_float8x8 _e350 = sum_4;
    metal::simdgroup_float8x8 _e351 = sum_5;
    metal::simdgroup_float8x8 _e352 = sum_6;
    uint _e353 = subgroup_id * 576u;
    simdgroup_store(_e349, &sums.inner[_e353 / 4u], 36u);
    simdgroup_store(_e350, &sums.inner[(_e353 + 8u) / 4u], 36u);
    simdgroup_store(_e351, &sums.inner[(_e353 + 288u) / 4u], 36u);
    simdgroup_store(_e352, &sums.inner[(_e353 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e372 = sum_1;
    metal::simdgroup_float8x8 _e373 = sum_7;
    metal::simdgroup_float8x8 _e374 = sum_8;
    metal::simdgroup_float8x8 _e375 = sum_9;
    uint _e376 = _e353 + 16u;
    simdgroup_store(_e372, &sums.inner[_e376 / 4u], 36u);
    simdgroup_store(_e373, &sums.inner[(_e376 + 8u) / 4u], 36u);
    simdgroup_store(_e374, &sums.inner[(_e376 + 288u) / 4u], 36u);
    simdgroup_store(_e375, &sums.inner[(_e376 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e395 = local_index / 32u;
    bool _e398 = (_e395 * 4u) < 24u;
    if (_e398) {
        uint _e401 = ((local_index % 32u) * 9u) + _e395;
        metal::float4 _e403 = sums.inner[_e401];
        metal::float4 _e406 = sums.inner[_e401 + 288u];
        metal::float4 _e409 = sums.inner[_e401 + 576u];
        metal::float4 _e413 = sums.inner[_e401 + 864u];
        metal::float4 _e415 = x2_.inner[_e395];
        metal::float4 _e419 = (((_e403 + _e406) + _e409) + _e413) + _e415;
        metal::float4 _e421 = metal::float4(1.0);
        metal::float4 _e426 = _e419 * (_e421 / (metal::exp(-(_e419)) + _e421));
        metal::float4 _e428 = metal::float4(-65504.0);
        metal::float4 _e435 = metal::float4(65504.0);
        metal::float4 t_48 = metal::select(metal::select(_e426, _e435, (_e426 > _e435) & (_e426 <= metal::float4(340282350000000000000000000000000000000.0))), _e428, (_e426 < _e428) & (_e426 >= metal::float4(-340282350000000000000000000000000000000.0)));
        y0_.inner[(((_e395 * 256u) + (workgroup_id.y * 64u)) + ((_e38 % 2u) * 32u)) + _e42] = static_cast<metal::half4>(t_48);
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::simdgroup_float8x8 _e453 = sum_2;
    metal::simdgroup_float8x8 _e454 = sum_10;
    metal::simdgroup_float8x8 _e455 = sum_11;
    metal::simdgroup_float8x8 _e456 = sum_12;
    simdgroup_store(_e453, &sums.inner[_e353 / 4u], 36u);
    simdgroup_store(_e454, &sums.inner[(_e353 + 8u) / 4u], 36u);
    simdgroup_store(_e455, &sums.inner[(_e353 + 288u) / 4u], 36u);
    simdgroup_store(_e456, &sums.inner[(_e353 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e475 = sum_3;
    metal::simdgroup_float8x8 _e476 = sum_13;
    metal::simdgroup_float8x8 _e477 = sum_14;
    metal::simdgroup_float8x8 _e478 = sum_15;
    simdgroup_store(_e475, &sums.inner[_e376 / 4u], 36u);
    simdgroup_store(_e476, &sums.inner[(_e376 + 8u) / 4u], 36u);
    simdgroup_store(_e477, &sums.inner[(_e376 + 288u) / 4u], 36u);
    simdgroup_store(_e478, &sums.inner[(_e376 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e398) {
        uint _e499 = ((local_index % 32u) * 9u) + _e395;
        metal::float4 _e501 = sums.inner[_e499];
        metal::float4 _e504 = sums.inner[_e499 + 288u];
        metal::float4 _e507 = sums.inner[_e499 + 576u];
        metal::float4 _e511 = sums.inner[_e499 + 864u];
        metal::float4 _e513 = x2_.inner[_e395];
        metal::float4 _e517 = (((_e501 + _e504) + _e507) + _e511) + _e513;
        metal::float4 _e519 = metal::float4(1.0);
        metal::float4 _e524 = _e517 * (_e519 / (metal::exp(-(_e517)) + _e519));
        metal::float4 _e526 = metal::float4(-65504.0);
        metal::float4 _e533 = metal::float4(65504.0);
        metal::float4 t_49 = metal::select(metal::select(_e524, _e533, (_e524 > _e533) & (_e524 <= metal::float4(340282350000000000000000000000000000000.0))), _e526, (_e524 < _e526) & (_e524 >= metal::float4(-340282350000000000000000000000000000000.0)));
        y0_.inner[((((_e395 * 256u) + (workgroup_id.y * 64u)) + ((_e38 % 2u) * 32u)) + _e42) + 16u] = static_cast<metal::half4>(t_49);
    }
}
