// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    uint inner[16];
};
struct type_2 {
    uint inner[1024];
};
struct type_4 {
    float inner[64];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 global_id [[thread_position_in_grid]]
, device type_1 const& x [[buffer(0)]]
, device type_2 const& w [[buffer(1)]]
, device type_4& y [[buffer(2)]]
) {
    int acc = {};
    uint i = {};
    acc = 0;
    i = 0u;
    while(true) {
        uint _e9 = i;
        if (_e9 >= 16u) {
            break;
        }
        uint _e12 = x.inner[_e9];
        uint _e17 = w.inner[(global_id.x * 16u) + _e9];
        int _e18 = acc;
        packed_char4 reinterpreted_packed_char4_e12 = as_type<packed_char4>(_e12);
        packed_char4 reinterpreted_packed_char4_e17 = as_type<packed_char4>(_e17);
        acc = as_type<int>(as_type<uint>(_e18) + as_type<uint>(( + reinterpreted_packed_char4_e12[0] * reinterpreted_packed_char4_e17[0] + reinterpreted_packed_char4_e12[1] * reinterpreted_packed_char4_e17[1] + reinterpreted_packed_char4_e12[2] * reinterpreted_packed_char4_e17[2] + reinterpreted_packed_char4_e12[3] * reinterpreted_packed_char4_e17[3])));
        i = _e9 + 1u;
    }
    int _e23 = acc;
    y.inner[global_id.x] = static_cast<float>(_e23);
}
