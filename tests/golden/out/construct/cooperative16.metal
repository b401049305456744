// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[1024];
};
struct type_2 {
    float inner[256];
};
struct private_array {
    half inner[256];
};
struct private_array_1 {
    float inner[256];
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
[[max_total_threads_per_threadgroup(32)]] kernel void kernel_main(
  uint local_index [[thread_index_in_threadgroup]]
, device type_1 const& x [[buffer(0)]]
, device type_1 const& w [[buffer(1)]]
, device type_2& y [[buffer(2)]]
) {
    threadgroup private_array xs;
    threadgroup private_array ws;
    threadgroup private_array_1 sums;
    metal::simdgroup_float8x8 acc = {};
    metal::simdgroup_float8x8 acc_1 = {};
    metal::simdgroup_float8x8 acc_2 = {};
    metal::simdgroup_float8x8 acc_3 = {};
    uint i = {};
    uint i_1 = {};
    uint i_2 = {};
    acc = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    acc_1 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    acc_2 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    acc_3 = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    i = 0u;
    while(true) {
        uint _e18 = i;
        if (_e18 >= 64u) {
            break;
        }
        i_1 = local_index;
        while(true) {
            uint _e22 = i_1;
            if (_e22 >= 256u) {
                break;
            }
            float _e31 = x.inner[(((_e22 / 16u) * 64u) + (_e22 % 16u)) + _e18];
            xs.inner[_e22] = static_cast<half>(_e31);
            float _e37 = w.inner[(_e18 * 16u) + _e22];
            ws.inner[_e22] = static_cast<half>(_e37);
            i_1 = _e22 + 32u;
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        metal::simdgroup_half8x8 t = NagaCooperativeLoad(&xs.inner[0u], 16u, false);
        metal::simdgroup_half8x8 t_1 = NagaCooperativeLoad(&xs.inner[8u], 16u, false);
        metal::simdgroup_half8x8 t_2 = NagaCooperativeLoad(&xs.inner[128u], 16u, false);
        metal::simdgroup_half8x8 t_3 = NagaCooperativeLoad(&xs.inner[136u], 16u, false);
        metal::simdgroup_half8x8 t_4 = NagaCooperativeLoad(&ws.inner[0u], 16u, false);
        metal::simdgroup_half8x8 t_5 = NagaCooperativeLoad(&ws.inner[8u], 16u, false);
        metal::simdgroup_half8x8 t_6 = NagaCooperativeLoad(&ws.inner[128u], 16u, false);
        metal::simdgroup_half8x8 t_7 = NagaCooperativeLoad(&ws.inner[136u], 16u, false);
        metal::simdgroup_float8x8 _e66 = acc;
        metal::simdgroup_float8x8 _e67 = acc_1;
        metal::simdgroup_float8x8 _e68 = acc_2;
        metal::simdgroup_float8x8 _e69 = acc_3;
        metal::simdgroup_float8x8 t_8 = NagaCooperativeMultiplyAdd(t, t_4, _e66);
        metal::simdgroup_float8x8 t_9 = NagaCooperativeMultiplyAdd(t_1, t_6, t_8);
        metal::simdgroup_float8x8 t_10 = NagaCooperativeMultiplyAdd(t, t_5, _e67);
        metal::simdgroup_float8x8 t_11 = NagaCooperativeMultiplyAdd(t_1, t_7, t_10);
        metal::simdgroup_float8x8 t_12 = NagaCooperativeMultiplyAdd(t_2, t_4, _e68);
        metal::simdgroup_float8x8 t_13 = NagaCooperativeMultiplyAdd(t_3, t_6, t_12);
        metal::simdgroup_float8x8 t_14 = NagaCooperativeMultiplyAdd(t_2, t_5, _e69);
        metal::simdgroup_float8x8 t_15 = NagaCooperativeMultiplyAdd(t_3, t_7, t_14);
        acc = t_9;
        acc_1 = t_11;
        acc_2 = t_13;
        acc_3 = t_15;
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        i = _e18 + 16u;
    }
    metal::simdgroup_float8x8 _e80 = acc;
    metal::simdgroup_float8x8 _e81 = acc_1;
    metal::simdgroup_float8x8 _e82 = acc_2;
    metal::simdgroup_float8x8 _e83 = acc_3;
    simdgroup_store(_e80, &sums.inner[0u], 16u);
    simdgroup_store(_e81, &sums.inner[8u], 16u);
    simdgroup_store(_e82, &sums.inner[128u], 16u);
    simdgroup_store(_e83, &sums.inner[136u], 16u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    i_2 = local_index;
    while(true) {
        uint _e93 = i_2;
        if (_e93 >= 256u) {
            break;
        }
        float _e96 = sums.inner[_e93];
        y.inner[_e93] = _e96;
        i_2 = _e93 + 32u;
    }
}
