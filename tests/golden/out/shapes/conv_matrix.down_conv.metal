// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[1536];
};
struct type_2 {
    metal::half4 inner[3456];
};
struct type_4 {
    metal::float4 inner[12];
};
struct type_5 {
    metal::float4 inner[768];
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
, device type_2 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_5& y0_ [[buffer(3)]]
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
    uint i = {};
    uint _e31 = (local_index / 8u) % 2u;
    at = (workgroup_id.y * 2u) + _e31;
    uint _e33 = at;
    uint _e34 = local_index % 8u;
    at_1 = _e34;
    uint _e35 = at_1;
    sum = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_2 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_3 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_4 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_1 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_5 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_6 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    sum_7 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    uint _e45 = local_index / 16u;
    uint _e50 = _e33 * 2u;
    bool _e52 = _e50 >= 1u;
    uint _e58 = _e35 * 2u;
    uint _e61 = _e58 + (local_index / 96u);
    bool _e62 = _e61 >= 1u;
    metal::half4 _e67 = x0_.inner[(((_e45 % 6u) * 256u) + ((_e52 ? (_e50 - 1u) : 0u) * 16u)) + (_e62 ? (_e61 - 1u) : 0u)];
    metal::half4 _e72 = metal::half4(0.0h);
    next = (_e52 && _e62) ? static_cast<metal::half4>(static_cast<metal::float4>(_e67)) : _e72;
    uint _e75 = _e45 + 4u;
    uint _e79 = (_e75 / 6u) + 2u;
    uint _e82 = _e50 + (_e79 / 3u);
    bool _e83 = _e82 >= 1u;
    uint _e89 = _e58 + (_e79 % 3u);
    bool _e90 = _e89 >= 1u;
    metal::half4 _e95 = x0_.inner[(((_e75 % 6u) * 256u) + ((_e83 ? (_e82 - 1u) : 0u) * 16u)) + (_e90 ? (_e89 - 1u) : 0u)];
    next_1 = (_e83 && _e90) ? static_cast<metal::half4>(static_cast<metal::float4>(_e95)) : _e72;
    uint _e109 = local_index / 32u;
    uint _e113 = ((workgroup_id.x * 1728u) + ((local_index / 128u) * 216u)) + ((_e109 % 4u) * 54u);
    uint _e114 = local_index % 32u;
    uint _e124 = ((_e113 + ((_e114 / 18u) * 18u)) + (((_e114 / 6u) % 3u) * 6u)) + (_e114 % 6u);
    metal::half4 _e126 = x1_.inner[_e124];
    next_2 = static_cast<metal::half4>(static_cast<metal::float4>(_e126));
    metal::half4 _e132 = x1_.inner[_e124 + 432u];
    next_3 = static_cast<metal::half4>(static_cast<metal::float4>(_e132));
    metal::half4 _e138 = x1_.inner[_e124 + 864u];
    next_4 = static_cast<metal::half4>(static_cast<metal::float4>(_e138));
    metal::half4 _e144 = x1_.inner[_e124 + 1296u];
    next_5 = static_cast<metal::half4>(static_cast<metal::float4>(_e144));
    i = 0u;
    uint _e151 = local_index % 16u;
    uint _e154 = (_e151 * 34u) + _e45;
    uint _e161 = (_e109 * 34u) + _e114;
    uint _e267 = subgroup_id * 16u;
    uint _e313 = _e267 + 2176u;
    while(true) {
        uint _e148 = i;
        if (_e148 >= 2u) {
            break;
        }
        metal::half4 _e150 = next;
        left.inner[_e154] = _e150;
        metal::half4 _e156 = next_1;
        left.inner[_e154 + 16u] = _e156;
        metal::half4 _e159 = next_2;
        right.inner[_e161] = _e159;
        metal::half4 _e163 = next_3;
        right.inner[_e161 + 272u] = _e163;
        metal::half4 _e167 = next_4;
        right.inner[_e161 + 544u] = _e167;
        metal::half4 _e171 = next_5;
        right.inner[_e161 + 816u] = _e171;
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        if ((_e148 + 1u) < 2u) {
            uint _e177 = _e148 * 32u;
            uint _e178 = _e177 + _e45;
            uint _e179 = _e178 + 32u;
            bool _e180 = _e179 < 54u;
            uint _e181 = _e180 ? _e179 : 0u;
            uint _e186 = _e50 + ((_e181 / 18u) % 3u);
            bool _e187 = _e186 >= 1u;
            uint _e194 = _e58 + ((_e181 / 6u) % 3u);
            bool _e195 = _e194 >= 1u;
            uint t = (((_e181 % 6u) * 256u) + ((_e187 ? (_e186 - 1u) : 0u) * 16u)) + (_e195 ? (_e194 - 1u) : 0u);
            metal::half4 _e200 = x0_.inner[t];
            next = ((_e187 && _e195) && _e180) ? static_cast<metal::half4>(static_cast<metal::float4>(_e200)) : _e72;
            uint _e207 = _e178 + 48u;
            bool _e208 = _e207 < 54u;
            uint _e209 = _e208 ? _e207 : 0u;
            uint _e214 = _e50 + ((_e209 / 18u) % 3u);
            bool _e215 = _e214 >= 1u;
            uint _e222 = _e58 + ((_e209 / 6u) % 3u);
            bool _e223 = _e222 >= 1u;
            uint t_1 = (((_e209 % 6u) * 256u) + ((_e215 ? (_e214 - 1u) : 0u) * 16u)) + (_e223 ? (_e222 - 1u) : 0u);
            metal::half4 _e228 = x0_.inner[t_1];
            next_1 = ((_e215 && _e223) && _e208) ? static_cast<metal::half4>(static_cast<metal::float4>(_e228)) : _e72;
            uint _e235 = (_e177 + _e114) + 32u;
            uint _e237 = (_e235 < 54u) ? _e235 : 0u;
            uint _e246 = ((_e113 + ((_e237 / 18u) * 18u)) + (((_e237 / 6u) % 3u) * 6u)) + (_e237 % 6u);
            metal::half4 _e248 = x1_.inner[_e246];
            next_2 = static_cast<metal::half4>(static_cast<metal::float4>(_e248));
            metal::half4 _e253 = x1_.inner[_e246 + 432u];
            next_3 = static_cast<metal::half4>(static_cast<metal::float4>(_e253));
            metal::half4 _e258 = x1_.inner[_e246 + 864u];
            next_4 = static_cast<metal::half4>(static_cast<metal::float4>(_e258));
            metal::half4 _e263 = x1_.inner[_e246 + 1296u];
            next_5 = static_cast<metal::half4>(static_cast<metal::float4>(_e263));
        }
        metal::simdgroup_half8x8 t_2 = NagaCooperativeLoad(&left.inner[_e267 / 4u], 136u, false);
        metal::simdgroup_half8x8 t_3 = NagaCooperativeLoad(&left.inner[(_e267 + 8u) / 4u], 136u, false);
        metal::simdgroup_half8x8 t_4 = NagaCooperativeLoad(&left.inner[(_e267 + 1088u) / 4u], 136u, false);
        metal::simdgroup_half8x8 t_5 = NagaCooperativeLoad(&left.inner[(_e267 + 1096u) / 4u], 136u, false);
        metal::simdgroup_half8x8 t_6 = NagaCooperativeLoad(&right.inner[_e267 / 4u], 136u, true);
        metal::simdgroup_half8x8 t_7 = NagaCooperativeLoad(&right.inner[(_e267 + 1088u) / 4u], 136u, true);
        metal::simdgroup_half8x8 t_8 = NagaCooperativeLoad(&right.inner[(_e267 + 8u) / 4u], 136u, true);
        metal::simdgroup_half8x8 t_9 = NagaCooperativeLoad(&right.inner[(_e267 + 1096u) / 4u], 136u, true);
        metal::simdgroup_half8x8 t_10 = NagaCooperativeLoad(&right.inner[_e313 / 4u], 136u, true);
        metal::simdgroup_half8x8 t_11 = NagaCooperativeLoad(&right.inner[(_e313 + 1088u) / 4u], 136u, true);
        metal::simdgroup_half8x8 t_12 = NagaCooperativeLoad(&right.inner[(_e313 + 8u) / 4u], 136u, true);
        metal::simdgroup_half8x8 t_13 = NagaCooperativeLoad(&right.inner[(_e313 + 1096u) / 4u], 136u, true);
        metal::simdgroup_float8x8 _e336 = sum;
        metal::simdgroup_float8x8 _e337 = sum_2;
        metal::simdgroup_float8x8 _e338 = sum_3;
        metal::simdgroup_float8x8 _e339 = sum_4;
        metal::simdgroup_float8x8 t_14 = NagaCooperativeMultiplyAdd(t_2, t_6, _e336);
        metal::simdgroup_float8x8 t_15 = NagaCooperativeMultiplyAdd(t_3, t_8, t_14);
        metal::simdgroup_float8x8 t_16 = NagaCooperativeMultiplyAdd(t_2, t_7, _e337);
        metal::simdgroup_float8x8 t_17 = NagaCooperativeMultiplyAdd(t_3, t_9, t_16);
        metal::simdgroup_float8x8 t_18 = NagaCooperativeMultiplyAdd(t_4, t_6, _e338);
        metal::simdgroup_float8x8 t_19 = NagaCooperativeMultiplyAdd(t_5, t_8, t_18);
        metal::simdgroup_float8x8 t_20 = NagaCooperativeMultiplyAdd(t_4, t_7, _e339);
        metal::simdgroup_float8x8 t_21 = NagaCooperativeMultiplyAdd(t_5, t_9, t_20);
        sum = t_15;
        sum_2 = t_17;
        sum_3 = t_19;
        sum_4 = t_21;
        metal::simdgroup_float8x8 _e348 = sum_1;
        metal::simdgroup_float8x8 _e349 = sum_5;
        metal::simdgroup_float8x8 _e350 = sum_6;
        metal::simdgroup_float8x8 _e351 = sum_7;
        metal::simdgroup_float8x8 t_22 = NagaCooperativeMultiplyAdd(t_2, t_10, _e348);
        metal::simdgroup_float8x8 t_23 = NagaCooperativeMultiplyAdd(t_3, t_12, t_22);
        metal::simdgroup_float8x8 t_24 = NagaCooperativeMultiplyAdd(t_2, t_11, _e349);
        metal::simdgroup_float8x8 t_25 = NagaCooperativeMultiplyAdd(t_3, t_13, t_24);
        metal::simdgroup_float8x8 t_26 = NagaCooperativeMultiplyAdd(t_4, t_10, _e350);
        metal::simdgroup_float8x8 t_27 = NagaCooperativeMultiplyAdd(t_5, t_12, t_26);
        metal::simdgroup_float8x8 t_28 = NagaCooperativeMultiplyAdd(t_4, t_11, _e351);
        metal::simdgroup_float8x8 t_29 = NagaCooperativeMultiplyAdd(t_5, t_13, t_28);
        sum_1 = t_23;
        sum_5 = t_25;
        sum_6 = t_27;
        sum_7 = t_29;
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        i = _e148 + 1u;
    }
    metal::simdgroup_float8x8 _e362 = sum;
    metal::simdgroup_float8x8 _e363 = sum_2;
    metal::simdgroup_float8x8 _e364 = sum_3;
    metal::simdgroup_float8x8 _e365 = sum_4;
    uint _e368 = subgroup_id * 576u;
    simdgroup_store(_e362, &sums.inner[_e368 / 4u], 36u);
    simdgroup_store(_e363, &sums.inner[(_e368 + 8u) / 4u], 36u);
    simdgroup_store(_e364, &sums.inner[(_e368 + 288u) / 4u], 36u);
    simdgroup_store(_e365, &sums.inner[(_e368 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e387 = sum_1;
    metal::simdgroup_float8x8 _e388 = sum_5;
    metal::simdgroup_float8x8 _e389 = sum_6;
    metal::simdgroup_float8x8 _e390 = sum_7;
    uint _e391 = _e368 + 16u;
    simdgroup_store(_e387, &sums.inner[_e391 / 4u], 36u);
    simdgroup_store(_e388, &sums.inner[(_e391 + 8u) / 4u], 36u);
    simdgroup_store(_e389, &sums.inner[(_e391 + 288u) / 4u], 36u);
    simdgroup_store(_e390, &sums.inner[(_e391 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if ((local_index < 128u) && (((workgroup_id.x * 32u) + (_e45 * 4u)) < 48u)) {
        uint _e418 = (_e151 * 9u) + _e45;
        metal::float4 _e420 = sums.inner[_e418];
        metal::float4 _e424 = sums.inner[_e418 + 144u];
        metal::float4 _e428 = sums.inner[_e418 + 288u];
        metal::float4 _e431 = sums.inner[_e418 + 432u];
        metal::float4 _e434 = sums.inner[_e418 + 576u];
        metal::float4 _e438 = sums.inner[_e418 + 720u];
        metal::float4 _e441 = sums.inner[_e418 + 864u];
        metal::float4 _e445 = sums.inner[_e418 + 1008u];
        metal::float4 _e449 = x2_.inner[(workgroup_id.x * 8u) + _e45];
        metal::float4 _e457 = (((((((_e420 + _e424) + _e428) + _e431) + _e434) + _e438) + _e441) + _e445) + _e449;
        metal::float4 _e459 = metal::float4(1.0);
        metal::float4 t_30 = _e457 * (_e459 / (metal::exp(-(_e457)) + _e459));
        y0_.inner[((((workgroup_id.x * 512u) + (_e45 * 64u)) + (workgroup_id.y * 16u)) + (_e31 * 8u)) + _e34] = t_30;
    }
}
