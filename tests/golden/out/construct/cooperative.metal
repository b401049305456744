// language: metal3.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[512];
};
struct type_2 {
    float inner[64];
};
struct private_array {
    half inner[64];
};
struct private_array_1 {
    float inner[64];
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
    uint i = {};
    uint i_1 = {};
    uint i_2 = {};
    acc = metal::make_filled_simdgroup_matrix<float, 8, 8>(0.0);
    i = 0u;
    while(true) {
        uint _e12 = i;
        if (_e12 >= 64u) {
            break;
        }
        i_1 = local_index;
        while(true) {
            uint _e15 = i_1;
            if (_e15 >= 64u) {
                break;
            }
            float _e24 = x.inner[(((_e15 / 8u) * 64u) + (_e15 % 8u)) + _e12];
            xs.inner[_e15] = static_cast<half>(_e24);
            float _e30 = w.inner[(_e12 * 8u) + _e15];
            ws.inner[_e15] = static_cast<half>(_e30);
            i_1 = _e15 + 32u;
        }
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        metal::simdgroup_half8x8 t = NagaCooperativeLoad(&xs.inner[0u], 8u, false);
        metal::simdgroup_half8x8 t_1 = NagaCooperativeLoad(&ws.inner[0u], 8u, false);
        metal::simdgroup_float8x8 _e41 = acc;
        metal::simdgroup_float8x8 t_2 = NagaCooperativeMultiplyAdd(t, t_1, _e41);
        acc = t_2;
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        i = _e12 + 8u;
    }
    metal::simdgroup_float8x8 _e45 = acc;
    simdgroup_store(_e45, &sums.inner[0u], 8u);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    i_2 = local_index;
    while(true) {
        uint _e49 = i_2;
        if (_e49 >= 64u) {
            break;
        }
        float _e52 = sums.inner[_e49];
        y.inner[_e49] = _e52;
        i_2 = _e49 + 32u;
    }
}
