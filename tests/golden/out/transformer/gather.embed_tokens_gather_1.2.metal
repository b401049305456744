// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::half4 inner[128];
};
struct type_3 {
    int inner[8];
};
struct type_4 {
    metal::half4 inner[32];
};
struct type_6 {
    metal::float4 inner[32];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_6& y0_ [[buffer(3)]]
) {
    if (global_id.x < 32u) {
        uint _e8 = global_id.x / 32u;
        uint _e13 = (global_id.x / 4u) % 8u;
        int _e16 = x1_.inner[(_e8 * 8u) + _e13];
        uint _e27 = global_id.x % 4u;
        metal::half4 _e30 = x0_.inner[(static_cast<uint>(metal::min(metal::max((_e16 < 0) ? as_type<int>(as_type<uint>(_e16) + as_type<uint>(32)) : _e16, 0), 31)) * 4u) + _e27];
        uint _e34 = ((_e8 * 32u) + (_e13 * 4u)) + _e27;
        metal::half4 _e36 = x2_.inner[_e34];
        y0_.inner[_e34] = static_cast<metal::float4>(_e30) + static_cast<metal::float4>(_e36);
    }
}
