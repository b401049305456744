// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[32];
};
struct type_2 {
    metal::float4 inner[96];
};
struct type_4 {
    float inner[8];
};
struct private_array {
    metal::float4 inner[16];
};
struct private_array_1 {
    metal::float4 inner[128];
};
struct private_array_2 {
    metal::float4 inner[256];
};
struct private_array_3 {
    float inner[128];
};
struct private_array_4 {
    float inner[8];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 workgroup_id [[threadgroup_position_in_grid]]
, uint subgroup_id [[simdgroup_index_in_threadgroup]]
, uint subgroup_invocation [[thread_index_in_simdgroup]]
, device type_1& y0_ [[buffer(0)]]
, device type_2 const& x0_ [[buffer(1)]]
, device type_2 const& x1_ [[buffer(2)]]
, device type_2 const& x2_ [[buffer(3)]]
, device type_4 const& x3_ [[buffer(4)]]
) {
    threadgroup private_array queries;
    threadgroup private_array_1 scores;
    threadgroup private_array slices;
    threadgroup private_array_2 results;
    threadgroup private_array_3 totals;
    threadgroup private_array_4 peaks;
    metal::float4 peak = {};
    metal::float4 peak_1 = {};
    metal::float4 total = {};
    metal::float4 total_1 = {};
    metal::float4 sums = {};
    metal::float4 sums_1 = {};
    metal::float4 sums_2 = {};
    metal::float4 sums_3 = {};
    metal::float4 sums_4 = {};
    metal::float4 sums_5 = {};
    metal::float4 sums_6 = {};
    metal::float4 sums_7 = {};
    metal::float4 next = {};
    metal::float4 next_1 = {};
    metal::float4 next_2 = {};
    metal::float4 next_3 = {};
    metal::float4 next_4 = {};
    metal::float4 next_5 = {};
    metal::float4 most = {};
    metal::float4 result = {};
    float weights = {};
    uint i = {};
    uint i_1 = {};
    metal::float4 _e36 = metal::float4(-1000000000000000000000000000000.0);
    peak = _e36;
    peak_1 = _e36;
    metal::float4 _e38 = metal::float4(0.0);
    total = _e38;
    total_1 = _e38;
    sums = _e38;
    sums_1 = _e38;
    sums_2 = _e38;
    sums_3 = _e38;
    sums_4 = _e38;
    sums_5 = _e38;
    sums_6 = _e38;
    sums_7 = _e38;
    next = _e38;
    next_1 = _e38;
    next_2 = _e38;
    next_3 = _e38;
    next_4 = _e38;
    next_5 = _e38;
    uint _e40 = subgroup_id * 16u;
    uint _e42 = subgroup_invocation / 2u;
    uint _e43 = _e40 + _e42;
    uint _e45 = metal::min(_e43, 7u);
    uint _e49 = workgroup_id.y * 2u;
    uint _e51 = subgroup_invocation % 2u;
    uint _e52 = ((_e45 * 12u) + _e49) + _e51;
    metal::float4 _e56 = x1_.inner[_e52 + 4u];
    uint _e58 = _e43 + 32u;
    uint _e59 = metal::min(_e58, 7u);
    uint _e62 = ((_e59 * 12u) + _e49) + _e51;
    metal::float4 _e65 = x1_.inner[_e62 + 4u];
    next = _e56;
    next_1 = _e65;
    metal::float4 _e69 = x2_.inner[_e52 + 8u];
    uint _e70 = _e43 + 16u;
    uint _e71 = metal::min(_e70, 7u);
    metal::float4 _e77 = x2_.inner[(((_e71 * 12u) + _e49) + _e51) + 8u];
    metal::float4 _e80 = x2_.inner[_e62 + 8u];
    uint _e82 = _e43 + 48u;
    uint _e83 = metal::min(_e82, 7u);
    metal::float4 _e89 = x2_.inner[(((_e83 * 12u) + _e49) + _e51) + 8u];
    next_2 = _e69;
    next_3 = _e77;
    next_4 = _e80;
    next_5 = _e89;
    uint _e90 = subgroup_id * 32u;
    uint _e91 = _e90 + subgroup_invocation;
    bool _e92 = _e91 < 16u;
    if (_e92) {
        metal::float4 _e94 = x0_.inner[_e52];
        queries.inner[_e91] = _e94 * metal::float4(0.5100697);
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::float4 _e100 = queries.inner[_e51];
    metal::float4 _e103 = queries.inner[_e51 + 2u];
    metal::float4 _e106 = queries.inner[_e51 + 4u];
    metal::float4 _e110 = queries.inner[_e51 + 6u];
    metal::float4 _e113 = queries.inner[_e51 + 8u];
    metal::float4 _e117 = queries.inner[_e51 + 10u];
    metal::float4 _e120 = queries.inner[_e51 + 12u];
    metal::float4 _e124 = queries.inner[_e51 + 14u];
    metal::float4 _e125 = next;
    metal::float4 _e126 = next_1;
    float _e139 = metal::fma(_e100.w, _e125.w, metal::fma(_e100.z, _e125.z, metal::fma(_e100.y, _e125.y, _e100.x * _e125.x)));
    float unnamed = metal::simd_shuffle_xor(_e139, 1u);
    float _e148 = metal::fma(_e103.w, _e125.w, metal::fma(_e103.z, _e125.z, metal::fma(_e103.y, _e125.y, _e103.x * _e125.x)));
    float unnamed_1 = metal::simd_shuffle_xor(_e148, 1u);
    float _e157 = metal::fma(_e106.w, _e125.w, metal::fma(_e106.z, _e125.z, metal::fma(_e106.y, _e125.y, _e106.x * _e125.x)));
    float unnamed_2 = metal::simd_shuffle_xor(_e157, 1u);
    float _e166 = metal::fma(_e110.w, _e125.w, metal::fma(_e110.z, _e125.z, metal::fma(_e110.y, _e125.y, _e110.x * _e125.x)));
    float unnamed_3 = metal::simd_shuffle_xor(_e166, 1u);
    float _e175 = metal::fma(_e113.w, _e125.w, metal::fma(_e113.z, _e125.z, metal::fma(_e113.y, _e125.y, _e113.x * _e125.x)));
    float unnamed_4 = metal::simd_shuffle_xor(_e175, 1u);
    float _e184 = metal::fma(_e117.w, _e125.w, metal::fma(_e117.z, _e125.z, metal::fma(_e117.y, _e125.y, _e117.x * _e125.x)));
    float unnamed_5 = metal::simd_shuffle_xor(_e184, 1u);
    float _e193 = metal::fma(_e120.w, _e125.w, metal::fma(_e120.z, _e125.z, metal::fma(_e120.y, _e125.y, _e120.x * _e125.x)));
    float unnamed_6 = metal::simd_shuffle_xor(_e193, 1u);
    float _e202 = metal::fma(_e124.w, _e125.w, metal::fma(_e124.z, _e125.z, metal::fma(_e124.y, _e125.y, _e124.x * _e125.x)));
    float unnamed_7 = metal::simd_shuffle_xor(_e202, 1u);
    bool _e204 = _e43 < 8u;
    bool _e206 = _e51 == 0u;
    if (_e204 && _e206) {
        float _e209 = x3_.inner[_e45];
        float _e211 = x3_.inner[_e45];
        float _e213 = x3_.inner[_e45];
        float _e215 = x3_.inner[_e45];
        float _e217 = x3_.inner[_e45];
        float _e219 = x3_.inner[_e45];
        float _e221 = x3_.inner[_e45];
        float _e223 = x3_.inner[_e45];
        uint _e257 = _e90 + (_e42 * 2u);
        scores.inner[_e257] = metal::float4(metal::max((_e139 + unnamed) + (((_e209 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e209, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e148 + unnamed_1) + (((_e211 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e211, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e157 + unnamed_2) + (((_e213 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e213, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e166 + unnamed_3) + (((_e215 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e215, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0));
        scores.inner[_e257 + 1u] = metal::float4(metal::max((_e175 + unnamed_4) + (((_e217 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e217, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e184 + unnamed_5) + (((_e219 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e219, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e193 + unnamed_6) + (((_e221 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e221, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e202 + unnamed_7) + (((_e223 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e223, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0));
    }
    float _e297 = metal::fma(_e100.w, _e126.w, metal::fma(_e100.z, _e126.z, metal::fma(_e100.y, _e126.y, _e100.x * _e126.x)));
    float unnamed_8 = metal::simd_shuffle_xor(_e297, 1u);
    float _e302 = metal::fma(_e103.w, _e126.w, metal::fma(_e103.z, _e126.z, metal::fma(_e103.y, _e126.y, _e103.x * _e126.x)));
    float unnamed_9 = metal::simd_shuffle_xor(_e302, 1u);
    float _e307 = metal::fma(_e106.w, _e126.w, metal::fma(_e106.z, _e126.z, metal::fma(_e106.y, _e126.y, _e106.x * _e126.x)));
    float unnamed_10 = metal::simd_shuffle_xor(_e307, 1u);
    float _e312 = metal::fma(_e110.w, _e126.w, metal::fma(_e110.z, _e126.z, metal::fma(_e110.y, _e126.y, _e110.x * _e126.x)));
    float unnamed_11 = metal::simd_shuffle_xor(_e312, 1u);
    float _e317 = metal::fma(_e113.w, _e126.w, metal::fma(_e113.z, _e126.z, metal::fma(_e113.y, _e126.y, _e113.x * _e126.x)));
    float unnamed_12 = metal::simd_shuffle_xor(_e317, 1u);
    float _e322 = metal::fma(_e117.w, _e126.w, metal::fma(_e117.z, _e126.z, metal::fma(_e117.y, _e126.y, _e117.x * _e126.x)));
    float unnamed_13 = metal::simd_shuffle_xor(_e322, 1u);
    float _e327 = metal::fma(_e120.w, _e126.w, metal::fma(_e120.z, _e126.z, metal::fma(_e120.y, _e126.y, _e120.x * _e126.x)));
    float unnamed_14 = metal::simd_shuffle_xor(_e327, 1u);
    float _e332 = metal::fma(_e124.w, _e126.w, metal::fma(_e124.z, _e126.z, metal::fma(_e124.y, _e126.y, _e124.x * _e126.x)));
    float unnamed_15 = metal::simd_shuffle_xor(_e332, 1u);
    bool _e334 = _e58 < 8u;
    if (_e334 && _e206) {
        float _e337 = x3_.inner[_e59];
        float _e339 = x3_.inner[_e59];
        float _e341 = x3_.inner[_e59];
        float _e343 = x3_.inner[_e59];
        float _e345 = x3_.inner[_e59];
        float _e347 = x3_.inner[_e59];
        float _e349 = x3_.inner[_e59];
        float _e351 = x3_.inner[_e59];
        uint _e385 = _e90 + (_e42 * 2u);
        scores.inner[_e385 + 64u] = metal::float4(metal::max((_e297 + unnamed_8) + (((_e337 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e337, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e302 + unnamed_9) + (((_e339 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e339, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e307 + unnamed_10) + (((_e341 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e341, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e312 + unnamed_11) + (((_e343 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e343, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0));
        scores.inner[_e385 + 65u] = metal::float4(metal::max((_e317 + unnamed_12) + (((_e345 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e345, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e322 + unnamed_13) + (((_e347 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e347, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e327 + unnamed_14) + (((_e349 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e349, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0), metal::max((_e332 + unnamed_15) + (((_e351 < -340282350000000000000000000000000000000.0) ? -1000000000000000000000000000000.0 : metal::max(_e351, -500000000000000000000000000000.0)) * 1.442695), -1000000000000000000000000000000.0));
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e92) {
        most = _e36;
        i = 0u;
        while(true) {
            uint _e426 = i;
            if (_e426 >= (((metal::max(8u, _e43) - _e43) + 7u) / 8u)) {
                break;
            }
            metal::float4 _e428 = most;
            metal::float4 _e433 = scores.inner[(_e90 + (_e426 * 16u)) + subgroup_invocation];
            most = metal::max(_e428, _e433);
            i = _e426 + 1u;
        }
        metal::float4 _e437 = most;
        slices.inner[_e91] = _e437;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::float4 _e439 = peak;
    metal::float4 _e441 = slices.inner[0];
    metal::float4 _e443 = slices.inner[2];
    metal::float4 _e445 = slices.inner[4];
    metal::float4 _e447 = slices.inner[6];
    metal::float4 _e449 = slices.inner[8];
    metal::float4 _e451 = slices.inner[10];
    metal::float4 _e453 = slices.inner[12];
    metal::float4 _e455 = slices.inner[14];
    metal::float4 _e463 = metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(_e439, _e441), _e443), _e445), _e447), _e449), _e451), _e453), _e455);
    peak = _e463;
    metal::float4 _e464 = total;
    metal::float4 _e466 = metal::exp2(_e439 - _e463);
    total = _e464 * _e466;
    metal::float4 _e468 = sums;
    metal::float4 t = _e468 * metal::float4(_e466.x);
    sums = t;
    metal::float4 _e472 = sums_1;
    metal::float4 t_1 = _e472 * metal::float4(_e466.y);
    sums_1 = t_1;
    metal::float4 _e476 = sums_2;
    metal::float4 t_2 = _e476 * metal::float4(_e466.z);
    sums_2 = t_2;
    metal::float4 _e480 = sums_3;
    metal::float4 t_3 = _e480 * metal::float4(_e466.w);
    sums_3 = t_3;
    metal::float4 _e484 = peak_1;
    metal::float4 _e486 = slices.inner[1];
    metal::float4 _e488 = slices.inner[3];
    metal::float4 _e490 = slices.inner[5];
    metal::float4 _e492 = slices.inner[7];
    metal::float4 _e494 = slices.inner[9];
    metal::float4 _e496 = slices.inner[11];
    metal::float4 _e498 = slices.inner[13];
    metal::float4 _e500 = slices.inner[15];
    metal::float4 _e508 = metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(metal::max(_e484, _e486), _e488), _e490), _e492), _e494), _e496), _e498), _e500);
    peak_1 = _e508;
    metal::float4 _e509 = total_1;
    metal::float4 _e511 = metal::exp2(_e484 - _e508);
    total_1 = _e509 * _e511;
    metal::float4 _e513 = sums_4;
    metal::float4 t_4 = _e513 * metal::float4(_e511.x);
    sums_4 = t_4;
    metal::float4 _e517 = sums_5;
    metal::float4 t_5 = _e517 * metal::float4(_e511.y);
    sums_5 = t_5;
    metal::float4 _e521 = sums_6;
    metal::float4 t_6 = _e521 * metal::float4(_e511.z);
    sums_6 = t_6;
    metal::float4 _e525 = sums_7;
    metal::float4 t_7 = _e525 * metal::float4(_e511.w);
    sums_7 = t_7;
    bool _e529 = _e91 < 8u;
    if (_e529) {
        uint _e533 = (subgroup_id * 64u) + (subgroup_invocation * 2u);
        metal::float4 _e535 = scores.inner[_e533];
        scores.inner[_e533] = metal::select(_e38, metal::exp2(_e535 - _e463), _e535 > metal::float4(-800000000000000000000000000000.0));
    }
    if (_e529) {
        uint _e547 = ((subgroup_id * 64u) + (subgroup_invocation * 2u)) + 1u;
        metal::float4 _e549 = scores.inner[_e547];
        scores.inner[_e547] = metal::select(_e38, metal::exp2(_e549 - _e508), _e549 > metal::float4(-800000000000000000000000000000.0));
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    bool _e557 = _e43 < 16u;
    if (_e557) {
        metal::float4 _e558 = next_2;
        uint _e559 = _e45 * 2u;
        metal::float4 _e561 = scores.inner[_e559];
        metal::float4 _e562 = total;
        metal::float4 _e563 = _e204 ? _e561 : _e38;
        total = _e562 + _e563;
        metal::float4 _e565 = sums;
        sums = metal::fma(_e558, metal::float4(_e563.x), _e565);
        metal::float4 _e569 = sums_1;
        sums_1 = metal::fma(_e558, metal::float4(_e563.y), _e569);
        metal::float4 _e573 = sums_2;
        sums_2 = metal::fma(_e558, metal::float4(_e563.z), _e573);
        metal::float4 _e577 = sums_3;
        sums_3 = metal::fma(_e558, metal::float4(_e563.w), _e577);
        metal::float4 _e583 = scores.inner[_e559 + 1u];
        metal::float4 _e584 = total_1;
        metal::float4 _e585 = _e204 ? _e583 : _e38;
        total_1 = _e584 + _e585;
        metal::float4 _e587 = sums_4;
        sums_4 = metal::fma(_e558, metal::float4(_e585.x), _e587);
        metal::float4 _e591 = sums_5;
        sums_5 = metal::fma(_e558, metal::float4(_e585.y), _e591);
        metal::float4 _e595 = sums_6;
        sums_6 = metal::fma(_e558, metal::float4(_e585.z), _e595);
        metal::float4 _e599 = sums_7;
        sums_7 = metal::fma(_e558, metal::float4(_e585.w), _e599);
        metal::float4 _e603 = next_3;
        uint _e604 = _e71 * 2u;
        metal::float4 _e606 = scores.inner[_e604];
        metal::float4 _e607 = total;
        bool _e608 = _e70 < 8u;
        metal::float4 _e609 = _e608 ? _e606 : _e38;
        total = _e607 + _e609;
        metal::float4 _e611 = sums;
        sums = metal::fma(_e603, metal::float4(_e609.x), _e611);
        metal::float4 _e615 = sums_1;
        sums_1 = metal::fma(_e603, metal::float4(_e609.y), _e615);
        metal::float4 _e619 = sums_2;
        sums_2 = metal::fma(_e603, metal::float4(_e609.z), _e619);
        metal::float4 _e623 = sums_3;
        sums_3 = metal::fma(_e603, metal::float4(_e609.w), _e623);
        metal::float4 _e629 = scores.inner[_e604 + 1u];
        metal::float4 _e630 = total_1;
        metal::float4 _e631 = _e608 ? _e629 : _e38;
        total_1 = _e630 + _e631;
        metal::float4 _e633 = sums_4;
        sums_4 = metal::fma(_e603, metal::float4(_e631.x), _e633);
        metal::float4 _e637 = sums_5;
        sums_5 = metal::fma(_e603, metal::float4(_e631.y), _e637);
        metal::float4 _e641 = sums_6;
        sums_6 = metal::fma(_e603, metal::float4(_e631.z), _e641);
        metal::float4 _e645 = sums_7;
        sums_7 = metal::fma(_e603, metal::float4(_e631.w), _e645);
        metal::float4 _e649 = next_4;
        uint _e650 = _e59 * 2u;
        metal::float4 _e652 = scores.inner[_e650];
        metal::float4 _e653 = total;
        metal::float4 _e654 = _e334 ? _e652 : _e38;
        total = _e653 + _e654;
        metal::float4 _e656 = sums;
        sums = metal::fma(_e649, metal::float4(_e654.x), _e656);
        metal::float4 _e660 = sums_1;
        sums_1 = metal::fma(_e649, metal::float4(_e654.y), _e660);
        metal::float4 _e664 = sums_2;
        sums_2 = metal::fma(_e649, metal::float4(_e654.z), _e664);
        metal::float4 _e668 = sums_3;
        sums_3 = metal::fma(_e649, metal::float4(_e654.w), _e668);
        metal::float4 _e674 = scores.inner[_e650 + 1u];
        metal::float4 _e675 = total_1;
        metal::float4 _e676 = _e334 ? _e674 : _e38;
        total_1 = _e675 + _e676;
        metal::float4 _e678 = sums_4;
        sums_4 = metal::fma(_e649, metal::float4(_e676.x), _e678);
        metal::float4 _e682 = sums_5;
        sums_5 = metal::fma(_e649, metal::float4(_e676.y), _e682);
        metal::float4 _e686 = sums_6;
        sums_6 = metal::fma(_e649, metal::float4(_e676.z), _e686);
        metal::float4 _e690 = sums_7;
        sums_7 = metal::fma(_e649, metal::float4(_e676.w), _e690);
        metal::float4 _e694 = next_5;
        uint _e695 = _e83 * 2u;
        metal::float4 _e697 = scores.inner[_e695];
        metal::float4 _e698 = total;
        bool _e699 = _e82 < 8u;
        metal::float4 _e700 = _e699 ? _e697 : _e38;
        total = _e698 + _e700;
        metal::float4 _e702 = sums;
        sums = metal::fma(_e694, metal::float4(_e700.x), _e702);
        metal::float4 _e706 = sums_1;
        sums_1 = metal::fma(_e694, metal::float4(_e700.y), _e706);
        metal::float4 _e710 = sums_2;
        sums_2 = metal::fma(_e694, metal::float4(_e700.z), _e710);
        metal::float4 _e714 = sums_3;
        sums_3 = metal::fma(_e694, metal::float4(_e700.w), _e714);
        metal::float4 _e720 = scores.inner[_e695 + 1u];
        metal::float4 _e721 = total_1;
        metal::float4 _e722 = _e699 ? _e720 : _e38;
        total_1 = _e721 + _e722;
        metal::float4 _e724 = sums_4;
        sums_4 = metal::fma(_e694, metal::float4(_e722.x), _e724);
        metal::float4 _e728 = sums_5;
        sums_5 = metal::fma(_e694, metal::float4(_e722.y), _e728);
        metal::float4 _e732 = sums_6;
        sums_6 = metal::fma(_e694, metal::float4(_e722.z), _e732);
        metal::float4 _e736 = sums_7;
        sums_7 = metal::fma(_e694, metal::float4(_e722.w), _e736);
    }
    if (_e557 && _e206) {
        metal::float4 _e741 = total;
        uint _e746 = (subgroup_id * 128u) + (_e42 * 8u);
        totals.inner[_e746] = _e741.x;
        metal::float4 _e748 = total;
        totals.inner[_e746 + 1u] = _e748.y;
        metal::float4 _e752 = total;
        totals.inner[_e746 + 2u] = _e752.z;
        metal::float4 _e756 = total;
        totals.inner[_e746 + 3u] = _e756.w;
        metal::float4 _e761 = total_1;
        totals.inner[_e746 + 4u] = _e761.x;
        metal::float4 _e765 = total_1;
        totals.inner[_e746 + 5u] = _e765.y;
        metal::float4 _e770 = total_1;
        totals.inner[_e746 + 6u] = _e770.z;
        metal::float4 _e774 = total_1;
        totals.inner[_e746 + 7u] = _e774.w;
    }
    if (_e91 == 0u) {
        metal::float4 _e779 = peak;
        peaks.inner[0] = _e779.x;
        metal::float4 _e782 = peak;
        peaks.inner[1] = _e782.y;
        metal::float4 _e785 = peak;
        peaks.inner[2] = _e785.z;
        metal::float4 _e788 = peak;
        peaks.inner[3] = _e788.w;
        metal::float4 _e791 = peak_1;
        peaks.inner[4] = _e791.x;
        metal::float4 _e794 = peak_1;
        peaks.inner[5] = _e794.y;
        metal::float4 _e797 = peak_1;
        peaks.inner[6] = _e797.z;
        metal::float4 _e800 = peak_1;
        peaks.inner[7] = _e800.w;
    }
    if (_e557) {
        metal::float4 _e803 = sums;
        results.inner[_e91] = _e803;
        metal::float4 _e805 = sums_1;
        results.inner[_e91 + 32u] = _e805;
        metal::float4 _e808 = sums_2;
        results.inner[_e91 + 64u] = _e808;
        metal::float4 _e812 = sums_3;
        results.inner[_e91 + 96u] = _e812;
        metal::float4 _e816 = sums_4;
        results.inner[_e91 + 128u] = _e816;
        metal::float4 _e820 = sums_5;
        results.inner[_e91 + 160u] = _e820;
        metal::float4 _e824 = sums_6;
        results.inner[_e91 + 192u] = _e824;
        metal::float4 _e828 = sums_7;
        results.inner[_e91 + 224u] = _e828;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    if (_e92) {
        result = _e38;
        weights = 0.0;
        i_1 = 0u;
        while(true) {
            uint _e833 = i_1;
            if (_e833 >= 16u) {
                break;
            }
            metal::float4 _e835 = result;
            metal::float4 _e844 = results.inner[(((subgroup_id * 512u) + (_e42 * 32u)) + (_e833 * 2u)) + _e51];
            result = _e835 + _e844;
            float _e846 = weights;
            float _e851 = totals.inner[(_e40 + (_e833 * 8u)) + _e42];
            weights = _e846 + _e851;
            i_1 = _e833 + 1u;
        }
        metal::float4 _e855 = result;
        float _e856 = weights;
        if (_e204) {
            y0_.inner[((_e45 * 4u) + _e49) + _e51] = _e855 * metal::float4(1.0 / metal::max(_e856, 0.000000000000000000000000000001));
        }
    }
}
