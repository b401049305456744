// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[1536];
};
struct type_2 {
    metal::half4 inner[192];
};
struct type_4 {
    metal::float4 inner[6];
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
, device type_2 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_1 const& x3_ [[buffer(3)]]
, device type_1& y0_ [[buffer(4)]]
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
    uint _e39 = local_index / 16u;
    uint _e40 = _e39 % 4u;
    at = (workgroup_id.y * 4u) + _e40;
    uint _e42 = at;
    uint _e43 = local_index % 16u;
    at_1 = _e43;
    uint _e44 = at_1;
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
    uint _e62 = local_index / 64u;
    uint _e65 = _e42 * 16u;
    metal::half4 _e69 = x0_.inner[((_e62 * 256u) + _e65) + _e44];
    next = static_cast<metal::half4>(static_cast<metal::float4>(_e69));
    uint _e72 = _e62 + 4u;
    bool _e74 = _e72 < 6u;
    metal::half4 _e81 = x0_.inner[(((_e74 ? _e72 : 0u) * 256u) + _e65) + _e44];
    metal::half4 _e85 = metal::half4(0.0h);
    next_1 = _e74 ? static_cast<metal::half4>(static_cast<metal::float4>(_e81)) : _e85;
    uint _e88 = _e62 + 8u;
    bool _e89 = _e88 < 6u;
    metal::half4 _e95 = x0_.inner[(((_e89 ? _e88 : 0u) * 256u) + _e65) + _e44];
    next_2 = _e89 ? static_cast<metal::half4>(static_cast<metal::float4>(_e95)) : _e85;
    uint _e100 = _e62 + 12u;
    bool _e101 = _e100 < 6u;
    metal::half4 _e107 = x0_.inner[(((_e101 ? _e100 : 0u) * 256u) + _e65) + _e44];
    next_3 = _e101 ? static_cast<metal::half4>(static_cast<metal::float4>(_e107)) : _e85;
    uint _e117 = ((_e62 * 24u) + (_e40 * 6u)) + ((_e43 < 6u) ? _e43 : 0u);
    metal::half4 _e119 = x1_.inner[_e117];
    next_4 = static_cast<metal::half4>(static_cast<metal::float4>(_e119));
    metal::half4 _e125 = x1_.inner[_e117 + 96u];
    next_5 = static_cast<metal::half4>(static_cast<metal::float4>(_e125));
    metal::half4 _e128 = next;
    uint _e132 = ((local_index % 64u) * 18u) + _e62;
    left.inner[_e132] = _e128;
    metal::half4 _e134 = next_1;
    left.inner[_e132 + 4u] = _e134;
    metal::half4 _e137 = next_2;
    left.inner[_e132 + 8u] = _e137;
    metal::half4 _e140 = next_3;
    left.inner[_e132 + 12u] = _e140;
    metal::half4 _e143 = next_4;
    uint _e145 = (_e39 * 18u) + _e43;
    right.inner[_e145] = _e143;
    metal::half4 _e147 = next_5;
    right.inner[_e145 + 288u] = _e147;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e157 = (subgroup_id / 2u) * 16u;
    uint _e158 = ((subgroup_id % 2u) * 2304u) + _e157;
    metal::simdgroup_half8x8 t = NagaCooperativeLoad(&left.inner[_e158 / 4u], 72u, false);
    metal::simdgroup_half8x8 t_1 = NagaCooperativeLoad(&left.inner[(_e158 + 8u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_2 = NagaCooperativeLoad(&left.inner[(_e158 + 576u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_3 = NagaCooperativeLoad(&left.inner[(_e158 + 584u) / 4u], 72u, false);
    uint _e182 = _e158 + 1152u;
    metal::simdgroup_half8x8 t_4 = NagaCooperativeLoad(&left.inner[_e182 / 4u], 72u, false);
    metal::simdgroup_half8x8 t_5 = NagaCooperativeLoad(&left.inner[(_e182 + 8u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_6 = NagaCooperativeLoad(&left.inner[(_e182 + 576u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_7 = NagaCooperativeLoad(&left.inner[(_e182 + 584u) / 4u], 72u, false);
    metal::simdgroup_half8x8 t_8 = NagaCooperativeLoad(&right.inner[_e157 / 4u], 72u, true);
    metal::simdgroup_half8x8 t_9 = NagaCooperativeLoad(&right.inner[(_e157 + 576u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_10 = NagaCooperativeLoad(&right.inner[(_e157 + 8u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_11 = NagaCooperativeLoad(&right.inner[(_e157 + 584u) / 4u], 72u, true);
    uint _e227 = _e157 + 1152u;
    metal::simdgroup_half8x8 t_12 = NagaCooperativeLoad(&right.inner[_e227 / 4u], 72u, true);
    metal::simdgroup_half8x8 t_13 = NagaCooperativeLoad(&right.inner[(_e227 + 576u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_14 = NagaCooperativeLoad(&right.inner[(_e227 + 8u) / 4u], 72u, true);
    metal::simdgroup_half8x8 t_15 = NagaCooperativeLoad(&right.inner[(_e227 + 584u) / 4u], 72u, true);
    metal::simdgroup_float8x8 _e250 = sum;
    metal::simdgroup_float8x8 _e251 = sum_4;
    metal::simdgroup_float8x8 _e252 = sum_5;
    metal::simdgroup_float8x8 _e253 = sum_6;
    metal::simdgroup_float8x8 t_16 = NagaCooperativeMultiplyAdd(t, t_8, _e250);
    metal::simdgroup_float8x8 t_17 = NagaCooperativeMultiplyAdd(t_1, t_10, t_16);
    metal::simdgroup_float8x8 t_18 = NagaCooperativeMultiplyAdd(t, t_9, _e251);
    metal::simdgroup_float8x8 t_19 = NagaCooperativeMultiplyAdd(t_1, t_11, t_18);
    metal::simdgroup_float8x8 t_20 = NagaCooperativeMultiplyAdd(t_2, t_8, _e252);
    metal::simdgroup_float8x8 t_21 = NagaCooperativeMultiplyAdd(t_3, t_10, t_20);
    metal::simdgroup_float8x8 t_22 = NagaCooperativeMultiplyAdd(t_2, t_9, _e253);
    metal::simdgroup_float8x8 t_23 = NagaCooperativeMultiplyAdd(t_3, t_11, t_22);
    sum = t_17;
    sum_4 = t_19;
    sum_5 = t_21;
    sum_6 = t_23;
    metal::simdgroup_float8x8 _e262 = sum_1;
    metal::simdgroup_float8x8 _e263 = sum_7;
    metal::simdgroup_float8x8 _e264 = sum_8;
    metal::simdgroup_float8x8 _e265 = sum_9;
    metal::simdgroup_float8x8 t_24 = NagaCooperativeMultiplyAdd(t, t_12, _e262);
    metal::simdgroup_float8x8 t_25 = NagaCooperativeMultiplyAdd(t_1, t_14, t_24);
    metal::simdgroup_float8x8 t_26 = NagaCooperativeMultiplyAdd(t, t_13, _e263);
    metal::simdgroup_float8x8 t_27 = NagaCooperativeMultiplyAdd(t_1, t_15, t_26);
    metal::simdgroup_float8x8 t_28 = NagaCooperativeMultiplyAdd(t_2, t_12, _e264);
    metal::simdgroup_float8x8 t_29 = NagaCooperativeMultiplyAdd(t_3, t_14, t_28);
    metal::simdgroup_float8x8 t_30 = NagaCooperativeMultiplyAdd(t_2, t_13, _e265);
    metal::simdgroup_float8x8 t_31 = NagaCooperativeMultiplyAdd(t_3, t_15, t_30);
    sum_1 = t_25;
    sum_7 = t_27;
    sum_8 = t_29;
    sum_9 = t_31;
    metal::simdgroup_float8x8 _e274 = sum_2;
    metal::simdgroup_float8x8 _e275 = sum_10;
    metal::simdgroup_float8x8 _e276 = sum_11;
    metal::simdgroup_float8x8 _e277 = sum_12;
    metal::simdgroup_float8x8 t_32 = NagaCooperativeMultiplyAdd(t_4, t_8, _e274);
    metal::simdgroup_float8x8 t_33 = NagaCooperativeMultiplyAdd(t_5, t_10, t_32);
    metal::simdgroup_float8x8 t_34 = NagaCooperativeMultiplyAdd(t_4, t_9, _e275);
    metal::simdgroup_float8x8 t_35 = NagaCooperativeMultiplyAdd(t_5, t_11, t_34);
    metal::simdgroup_float8x8 t_36 = NagaCooperativeMultiplyAdd(t_6, t_8, _e276);
    metal::simdgroup_float8x8 t_37 = NagaCooperativeMultiplyAdd(t_7, t_10, t_36);
    metal::simdgroup_float8x8 t_38 = NagaCooperativeMultiplyAdd(t_6, t_9, _e277);
    metal::simdgroup_float8x8 t_39 = NagaCooperativeMultiplyAdd(t_7, t_11, t_38);
    sum_2 = t_33;
    sum_10 = t_35;
    sum_11 = t_37;
    sum_12 = t_39;
    metal::simdgroup_float8x8 _e286 = sum_3;
    metal::simdgroup_float8x8 _e287 = sum_13;
    metal::simdgroup_float8x8 _e288 = sum_14;
    metal::simdgroup_float8x8 _e289 = sum_15;
    metal::simdgroup_float8x8 t_40 = NagaCooperativeMultiplyAdd(t_4, t_12, _e286);
    metal::simdgroup_float8x8 t_41 = NagaCooperativeMultiplyAdd(t_5, t_14, t_40);
    metal::simdgroup_float8x8 t_42 = NagaCooperativeMultiplyAdd(t_4, t_13, _e287);
    metal::simdgroup_float8x8 t_43 = NagaCooperativeMultiplyAdd(t_5, t_15, t_42);
    metal::simdgroup_float8x8 t_44 = NagaCooperativeMultiplyAdd(t_6, t_12, _e288);
    metal::simdgroup_float8x8 t_45 = NagaCooperativeMultiplyAdd(t_7, t_14, t_44);
    metal::simdgroup_float8x8 t_46 = NagaCooperativeMultiplyAdd(t_6, t_13, _e289);
    metal::simdgroup_float8x8 t_47 = NagaCooperativeMultiplyAdd(t_7, t_15, t_46);
    sum_3 = t_41;
    sum_13 = t_43;
    sum_14 = t_45;
    sum_15 = t_47;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::simdgroup_float8x8 _e298 = sum;
    metal::simdgroup_float8x8 _e299 = sum_4;
    metal::simdgroup_float8x8 _e300 = sum_5;
    metal::simdgroup_float8x8 _e301 = sum_6;
    uint _e304 = subgroup_id * 576u;
    simdgroup_store(_e298, &sums.inner[_e304 / 4u], 36u);
    simdgroup_store(_e299, &sums.inner[(_e304 + 8u) / 4u], 36u);
    simdgroup_store(_e300, &sums.inner[(_e304 + 288u) / 4u], 36u);
    simdgroup_store(_e301, &sums.inner[(_e304 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e323 = sum_1;
    metal::simdgroup_float8x8 _e324 = sum_7;
    metal::simdgroup_float8x8 _e325 = sum_8;
    metal::simdgroup_float8x8 _e326 = sum_9;
    uint _e327 = _e304 + 16u;
    simdgroup_store(_e323, &sums.inner[_e327 / 4u], 36u);
    simdgroup_store(_e324, &sums.inner[(_e327 + 8u) / 4u], 36u);
    simdgroup_store(_e325, &sums.inner[(_e327 + 288u) / 4u], 36u);
    simdgroup_store(_e326, &sums.inner[(_e327 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e347 = local_index / 32u;
    bool _e349 = (_e347 * 4u) < 24u;
    if (_e349) {
        uint _e353 = ((local_index % 32u) * 9u) + _e347;
        metal::float4 _e355 = sums.inner[_e353];
        metal::float4 _e358 = sums.inner[_e353 + 288u];
        metal::float4 _e361 = sums.inner[_e353 + 576u];
        metal::float4 _e365 = sums.inner[_e353 + 864u];
        metal::float4 _e367 = x2_.inner[_e347];
        uint _e374 = (((_e347 * 256u) + (workgroup_id.y * 64u)) + ((_e39 % 2u) * 32u)) + _e43;
        metal::half4 _e376 = x3_.inner[_e374];
        metal::float4 _e385 = metal::max(static_cast<metal::float4>(_e376) + ((((_e355 + _e358) + _e361) + _e365) + _e367), metal::float4(0.0));
        metal::float4 _e387 = metal::float4(-65504.0);
        metal::float4 _e394 = metal::float4(65504.0);
        y0_.inner[_e374] = static_cast<metal::half4>(metal::select(metal::select(_e385, _e394, (_e385 > _e394) & (_e385 <= metal::float4(340282350000000000000000000000000000000.0))), _e387, (_e385 < _e387) & (_e385 >= metal::float4(-340282350000000000000000000000000000000.0))));
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::simdgroup_float8x8 _e404 = sum_2;
    metal::simdgroup_float8x8 _e405 = sum_10;
    metal::simdgroup_float8x8 _e406 = sum_11;
    metal::simdgroup_float8x8 _e407 = sum_12;
    simdgroup_store(_e404, &sums.inner[_e304 / 4u], 36u);
    simdgroup_store(_e405, &sums.inner[(_e304 + 8u) / 4u], 36u);
    simdgroup_store(_e406, &sums.inner[(_e304 + 288u) / 4u], 36u);
    simdgroup_store(_e407, &sums.inner[(_e304 + 296u) / 4u], 36u);
    metal::simdgroup_float8x8 _e426 = sum_3;
    metal::simdgroup_float8x8 _e427 = sum_13;
    metal::simdgroup_float8x8 _e428 = sum_14;
    metal::simdgroup_float8x8 _e429 = sum_15;
    simdgroup_store(_e426, &sums.inner[_e327 / 4u], 36u);
    simdgroup_store(_e427, &sums.inner[(_e327 + 8u) / 4u], 36u);
    simdgroup_store(_e428, &sums.inner[(_e327 + 288u) / 4u], 36u);
    simdgroup_store(_e429, &sums.inner[(_e327 + 296u) / 4u], 36u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e349) {
        uint _e451 = ((local_index % 32u) * 9u) + _e347;
        metal::float4 _e453 = sums.inner[_e451];
        metal::float4 _e456 = sums.inner[_e451 + 288u];
        metal::float4 _e459 = sums.inner[_e451 + 576u];
        metal::float4 _e463 = sums.inner[_e451 + 864u];
        metal::float4 _e465 = x2_.inner[_e347];
        uint _e473 = ((((_e347 * 256u) + (workgroup_id.y * 64u)) + ((_e39 % 2u) * 32u)) + _e43) + 16u;
        metal::half4 _e475 = x3_.inner[_e473];
        metal::float4 _e484 = metal::max(static_cast<metal::float4>(_e475) + ((((_e453 + _e456) + _e459) + _e463) + _e465), metal::float4(0.0));
        metal::float4 _e486 = metal::float4(-65504.0);
        metal::float4 _e493 = metal::float4(65504.0);
        y0_.inner[_e473] = static_cast<metal::half4>(metal::select(metal::select(_e484, _e493, (_e484 > _e493) & (_e484 <= metal::float4(340282350000000000000000000000000000000.0))), _e486, (_e484 < _e486) & (_e484 >= metal::float4(-340282350000000000000000000000000000000.0))));
    }
}
