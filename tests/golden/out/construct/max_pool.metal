// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[588];
};
struct type_2 {
    float inner[147];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x [[buffer(0)]]
, device type_2& y [[buffer(1)]]
) {
    float best = {};
    uint i = {};
    uint i_1 = {};
    if ((global_id.x < 7u) && (global_id.y < 7u)) {
        best = as_type<float>(4286578688u);
        i = 0u;
        uint _e25 = global_id.x * 2u;
        while(true) {
            uint _e15 = i;
            if (_e15 >= 3u) {
                break;
            }
            i_1 = 0u;
            while(true) {
                uint _e18 = i_1;
                if (_e18 >= 3u) {
                    break;
                }
                if ((((global_id.y * 2u) + _e15) < 14u) && ((_e25 + _e18) < 14u)) {
                    float _e29 = best;
                    float _e41 = x.inner[((((global_id.z * 196u) + (global_id.y * 28u)) + (_e15 * 14u)) + _e25) + _e18];
                    best = metal::max(_e29, _e41);
                }
                i_1 = _e18 + 1u;
            }
            i = _e15 + 1u;
        }
        float _e47 = best;
        y.inner[((global_id.z * 49u) + (global_id.y * 7u)) + global_id.x] = _e47;
    }
}
