// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[1536];
};
struct type_2 {
    metal::half4 inner[2592];
};
struct type_4 {
    metal::float4 inner[12];
};
struct type_5 {
    metal::float4 inner[768];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_2 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_5& y0_ [[buffer(3)]]
) {
    metal::float4 acc = {};
    uint i = {};
    uint i_1 = {};
    uint i_2 = {};
    uint _e8 = global_id.x / 64u;
    metal::float4 _e10 = x2_.inner[_e8];
    acc = _e10;
    i = 0u;
    uint _e27 = (global_id.x / 8u) % 8u;
    uint _e38 = global_id.x % 8u;
    while(true) {
        uint _e14 = i;
        if (_e14 >= 3u) {
            break;
        }
        i_1 = 0u;
        uint _e30 = (_e27 * 2u) + _e14;
        bool _e32 = _e30 >= 1u;
        while(true) {
            uint _e17 = i_1;
            if (_e17 >= 3u) {
                break;
            }
            i_2 = 0u;
            uint _e40 = (_e38 * 2u) + _e17;
            bool _e41 = _e40 >= 1u;
            while(true) {
                uint _e21 = i_2;
                if (_e21 >= 6u) {
                    break;
                }
                metal::half4 _e46 = x0_.inner[((_e21 * 256u) + ((_e32 ? (_e30 - 1u) : 0u) * 16u)) + (_e41 ? (_e40 - 1u) : 0u)];
                uint _e57 = (((_e8 * 216u) + (_e14 * 72u)) + (_e17 * 24u)) + (_e21 * 4u);
                metal::half4 _e59 = x1_.inner[_e57];
                metal::half4 _e62 = x1_.inner[_e57 + 1u];
                metal::half4 _e65 = x1_.inner[_e57 + 2u];
                metal::half4 _e68 = x1_.inner[_e57 + 3u];
                metal::float4 _e69 = acc;
                metal::float4 _e74 = (_e32 && _e41) ? static_cast<metal::float4>(_e46) : metal::float4(0.0);
                metal::float4 t = metal::fma(metal::float4(_e74.z), static_cast<metal::float4>(_e65), metal::fma(metal::float4(_e74.y), static_cast<metal::float4>(_e62), metal::fma(metal::float4(_e74.x), static_cast<metal::float4>(_e59), _e69)));
                acc = metal::fma(metal::float4(_e74.w), static_cast<metal::float4>(_e68), t);
                i_2 = _e21 + 1u;
            }
            i_1 = _e17 + 1u;
        }
        i = _e14 + 1u;
    }
    metal::float4 _e97 = acc;
    metal::float4 _e99 = metal::float4(1.0);
    y0_.inner[((_e8 * 64u) + (_e27 * 8u)) + _e38] = _e97 * (_e99 / (metal::exp(-(_e97)) + _e99));
}
