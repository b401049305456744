// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[32];
};
struct type_3 {
    half inner[768];
};
struct type_4 {
    metal::float4 inner[12];
};
struct type_6 {
    float inner[384];
};
struct private_array {
    metal::float4 inner[160];
};
struct private_array_1 {
    metal::float4 inner[128];
};

struct kernel_mainInput {
};
[[max_total_threads_per_threadgroup(64)]] kernel void kernel_main(
  metal::uint3 workgroup_id [[threadgroup_position_in_grid]]
, uint local_index [[thread_index_in_threadgroup]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_6& y0_ [[buffer(3)]]
) {
    threadgroup private_array left;
    threadgroup private_array_1 right;
    metal::float4 acc = {};
    metal::float4 acc_1 = {};
    metal::float4 acc_2 = {};
    metal::float4 acc_3 = {};
    metal::float4 _e13 = metal::float4(0.0);
    acc = _e13;
    acc_1 = _e13;
    acc_2 = _e13;
    acc_3 = _e13;
    uint _e15 = local_index / 4u;
    uint _e19 = local_index % 4u;
    metal::float4 _e22 = x0_.inner[(metal::min(_e15, 7u) * 4u) + _e19];
    uint _e25 = (_e15 * 5u) + _e19;
    left.inner[_e25] = _e22;
    metal::float4 _e33 = x0_.inner[(metal::min(_e15 + 16u, 7u) * 4u) + _e19];
    left.inner[_e25 + 80u] = _e33;
    uint _e38 = local_index / 8u;
    uint _e40 = _e38 * 48u;
    uint _e43 = workgroup_id.x * 32u;
    uint _e44 = local_index % 8u;
    uint _e45 = _e44 * 4u;
    uint _e46 = _e43 + _e45;
    uint _e48 = metal::min(_e46, 47u);
    uint _e49 = _e40 + _e48;
    half _e51 = x1_.inner[_e49];
    uint _e53 = _e48 + 1u;
    uint _e55 = _e40 + metal::min(_e53, 47u);
    half _e57 = x1_.inner[_e55];
    uint _e59 = _e48 + 2u;
    uint _e61 = _e40 + metal::min(_e59, 47u);
    half _e63 = x1_.inner[_e61];
    uint _e65 = _e48 + 3u;
    uint _e67 = _e40 + metal::min(_e65, 47u);
    half _e69 = x1_.inner[_e67];
    bool _e71 = _e53 < 48u;
    bool _e74 = _e59 < 48u;
    bool _e77 = _e65 < 48u;
    right.inner[local_index] = metal::float4(static_cast<float>(_e51), _e71 ? static_cast<float>(_e57) : 0.0, _e74 ? static_cast<float>(_e63) : 0.0, _e77 ? static_cast<float>(_e69) : 0.0);
    half _e85 = x1_.inner[_e49 + 384u];
    half _e88 = x1_.inner[_e55 + 384u];
    half _e91 = x1_.inner[_e61 + 384u];
    half _e94 = x1_.inner[_e67 + 384u];
    right.inner[local_index + 64u] = metal::float4(static_cast<float>(_e85), _e71 ? static_cast<float>(_e88) : 0.0, _e74 ? static_cast<float>(_e91) : 0.0, _e77 ? static_cast<float>(_e94) : 0.0);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e107 = _e38 * 20u;
    metal::float4 _e109 = left.inner[_e107];
    metal::float4 _e112 = left.inner[_e107 + 5u];
    metal::float4 _e116 = left.inner[_e107 + 10u];
    metal::float4 _e120 = left.inner[_e107 + 15u];
    metal::float4 _e122 = right.inner[_e44];
    metal::float4 _e123 = acc;
    acc = metal::fma(metal::float4(_e109.x), _e122, _e123);
    metal::float4 _e127 = acc_1;
    acc_1 = metal::fma(metal::float4(_e112.x), _e122, _e127);
    metal::float4 _e131 = acc_2;
    acc_2 = metal::fma(metal::float4(_e116.x), _e122, _e131);
    metal::float4 _e135 = acc_3;
    acc_3 = metal::fma(metal::float4(_e120.x), _e122, _e135);
    metal::float4 _e141 = right.inner[_e44 + 8u];
    metal::float4 _e142 = acc;
    acc = metal::fma(metal::float4(_e109.y), _e141, _e142);
    metal::float4 _e146 = acc_1;
    acc_1 = metal::fma(metal::float4(_e112.y), _e141, _e146);
    metal::float4 _e150 = acc_2;
    acc_2 = metal::fma(metal::float4(_e116.y), _e141, _e150);
    metal::float4 _e154 = acc_3;
    acc_3 = metal::fma(metal::float4(_e120.y), _e141, _e154);
    metal::float4 _e160 = right.inner[_e44 + 16u];
    metal::float4 _e161 = acc;
    acc = metal::fma(metal::float4(_e109.z), _e160, _e161);
    metal::float4 _e165 = acc_1;
    acc_1 = metal::fma(metal::float4(_e112.z), _e160, _e165);
    metal::float4 _e169 = acc_2;
    acc_2 = metal::fma(metal::float4(_e116.z), _e160, _e169);
    metal::float4 _e173 = acc_3;
    acc_3 = metal::fma(metal::float4(_e120.z), _e160, _e173);
    metal::float4 _e180 = right.inner[_e44 + 24u];
    metal::float4 _e181 = acc;
    acc = metal::fma(metal::float4(_e109.w), _e180, _e181);
    metal::float4 _e185 = acc_1;
    acc_1 = metal::fma(metal::float4(_e112.w), _e180, _e185);
    metal::float4 _e189 = acc_2;
    acc_2 = metal::fma(metal::float4(_e116.w), _e180, _e189);
    metal::float4 _e193 = acc_3;
    acc_3 = metal::fma(metal::float4(_e120.w), _e180, _e193);
    metal::float4 _e199 = left.inner[_e107 + 1u];
    metal::float4 _e203 = left.inner[_e107 + 6u];
    metal::float4 _e207 = left.inner[_e107 + 11u];
    metal::float4 _e210 = left.inner[_e107 + 16u];
    metal::float4 _e213 = right.inner[_e44 + 32u];
    metal::float4 _e214 = acc;
    acc = metal::fma(metal::float4(_e199.x), _e213, _e214);
    metal::float4 _e218 = acc_1;
    acc_1 = metal::fma(metal::float4(_e203.x), _e213, _e218);
    metal::float4 _e222 = acc_2;
    acc_2 = metal::fma(metal::float4(_e207.x), _e213, _e222);
    metal::float4 _e226 = acc_3;
    acc_3 = metal::fma(metal::float4(_e210.x), _e213, _e226);
    metal::float4 _e233 = right.inner[_e44 + 40u];
    metal::float4 _e234 = acc;
    acc = metal::fma(metal::float4(_e199.y), _e233, _e234);
    metal::float4 _e238 = acc_1;
    acc_1 = metal::fma(metal::float4(_e203.y), _e233, _e238);
    metal::float4 _e242 = acc_2;
    acc_2 = metal::fma(metal::float4(_e207.y), _e233, _e242);
    metal::float4 _e246 = acc_3;
    acc_3 = metal::fma(metal::float4(_e210.y), _e233, _e246);
    metal::float4 _e252 = right.inner[_e44 + 48u];
    metal::float4 _e253 = acc;
    acc = metal::fma(metal::float4(_e199.z), _e252, _e253);
    metal::float4 _e257 = acc_1;
    acc_1 = metal::fma(metal::float4(_e203.z), _e252, _e257);
    metal::float4 _e261 = acc_2;
    acc_2 = metal::fma(metal::float4(_e207.z), _e252, _e261);
    metal::float4 _e265 = acc_3;
    acc_3 = metal::fma(metal::float4(_e210.z), _e252, _e265);
    metal::float4 _e272 = right.inner[_e44 + 56u];
    metal::float4 _e273 = acc;
    acc = metal::fma(metal::float4(_e199.w), _e272, _e273);
    metal::float4 _e277 = acc_1;
    acc_1 = metal::fma(metal::float4(_e203.w), _e272, _e277);
    metal::float4 _e281 = acc_2;
    acc_2 = metal::fma(metal::float4(_e207.w), _e272, _e281);
    metal::float4 _e285 = acc_3;
    acc_3 = metal::fma(metal::float4(_e210.w), _e272, _e285);
    metal::float4 _e291 = left.inner[_e107 + 2u];
    metal::float4 _e294 = left.inner[_e107 + 7u];
    metal::float4 _e298 = left.inner[_e107 + 12u];
    metal::float4 _e302 = left.inner[_e107 + 17u];
    metal::float4 _e305 = right.inner[_e44 + 64u];
    metal::float4 _e306 = acc;
    acc = metal::fma(metal::float4(_e291.x), _e305, _e306);
    metal::float4 _e310 = acc_1;
    acc_1 = metal::fma(metal::float4(_e294.x), _e305, _e310);
    metal::float4 _e314 = acc_2;
    acc_2 = metal::fma(metal::float4(_e298.x), _e305, _e314);
    metal::float4 _e318 = acc_3;
    acc_3 = metal::fma(metal::float4(_e302.x), _e305, _e318);
    metal::float4 _e325 = right.inner[_e44 + 72u];
    metal::float4 _e326 = acc;
    acc = metal::fma(metal::float4(_e291.y), _e325, _e326);
    metal::float4 _e330 = acc_1;
    acc_1 = metal::fma(metal::float4(_e294.y), _e325, _e330);
    metal::float4 _e334 = acc_2;
    acc_2 = metal::fma(metal::float4(_e298.y), _e325, _e334);
    metal::float4 _e338 = acc_3;
    acc_3 = metal::fma(metal::float4(_e302.y), _e325, _e338);
    metal::float4 _e344 = right.inner[_e44 + 80u];
    metal::float4 _e345 = acc;
    acc = metal::fma(metal::float4(_e291.z), _e344, _e345);
    metal::float4 _e349 = acc_1;
    acc_1 = metal::fma(metal::float4(_e294.z), _e344, _e349);
    metal::float4 _e353 = acc_2;
    acc_2 = metal::fma(metal::float4(_e298.z), _e344, _e353);
    metal::float4 _e357 = acc_3;
    acc_3 = metal::fma(metal::float4(_e302.z), _e344, _e357);
    metal::float4 _e364 = right.inner[_e44 + 88u];
    metal::float4 _e365 = acc;
    acc = metal::fma(metal::float4(_e291.w), _e364, _e365);
    metal::float4 _e369 = acc_1;
    acc_1 = metal::fma(metal::float4(_e294.w), _e364, _e369);
    metal::float4 _e373 = acc_2;
    acc_2 = metal::fma(metal::float4(_e298.w), _e364, _e373);
    metal::float4 _e377 = acc_3;
    acc_3 = metal::fma(metal::float4(_e302.w), _e364, _e377);
    metal::float4 _e383 = left.inner[_e107 + 3u];
    metal::float4 _e386 = left.inner[_e107 + 8u];
    metal::float4 _e390 = left.inner[_e107 + 13u];
    metal::float4 _e394 = left.inner[_e107 + 18u];
    metal::float4 _e398 = right.inner[_e44 + 96u];
    metal::float4 _e399 = acc;
    acc = metal::fma(metal::float4(_e383.x), _e398, _e399);
    metal::float4 _e403 = acc_1;
    acc_1 = metal::fma(metal::float4(_e386.x), _e398, _e403);
    metal::float4 _e407 = acc_2;
    acc_2 = metal::fma(metal::float4(_e390.x), _e398, _e407);
    metal::float4 _e411 = acc_3;
    acc_3 = metal::fma(metal::float4(_e394.x), _e398, _e411);
    metal::float4 _e418 = right.inner[_e44 + 104u];
    metal::float4 _e419 = acc;
    acc = metal::fma(metal::float4(_e383.y), _e418, _e419);
    metal::float4 _e423 = acc_1;
    acc_1 = metal::fma(metal::float4(_e386.y), _e418, _e423);
    metal::float4 _e427 = acc_2;
    acc_2 = metal::fma(metal::float4(_e390.y), _e418, _e427);
    metal::float4 _e431 = acc_3;
    acc_3 = metal::fma(metal::float4(_e394.y), _e418, _e431);
    metal::float4 _e438 = right.inner[_e44 + 112u];
    metal::float4 _e439 = acc;
    acc = metal::fma(metal::float4(_e383.z), _e438, _e439);
    metal::float4 _e443 = acc_1;
    acc_1 = metal::fma(metal::float4(_e386.z), _e438, _e443);
    metal::float4 _e447 = acc_2;
    acc_2 = metal::fma(metal::float4(_e390.z), _e438, _e447);
    metal::float4 _e451 = acc_3;
    acc_3 = metal::fma(metal::float4(_e394.z), _e438, _e451);
    metal::float4 _e458 = right.inner[_e44 + 120u];
    metal::float4 _e459 = acc;
    acc = metal::fma(metal::float4(_e383.w), _e458, _e459);
    metal::float4 _e463 = acc_1;
    acc_1 = metal::fma(metal::float4(_e386.w), _e458, _e463);
    metal::float4 _e467 = acc_2;
    acc_2 = metal::fma(metal::float4(_e390.w), _e458, _e467);
    metal::float4 _e471 = acc_3;
    acc_3 = metal::fma(metal::float4(_e394.w), _e458, _e471);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e475 = _e38 * 4u;
    bool _e477 = _e46 < 48u;
    if ((_e475 < 8u) && _e477) {
        metal::float4 _e479 = acc;
        metal::float4 _e483 = x2_.inner[(workgroup_id.x * 8u) + _e44];
        bool _e486 = (_e46 + 1u) < 48u;
        bool _e490 = (_e46 + 2u) < 48u;
        bool _e494 = (_e46 + 3u) < 48u;
        metal::float4 _e498 = _e479 + metal::float4(_e483.x, _e486 ? _e483.y : 0.0, _e490 ? _e483.z : 0.0, _e494 ? _e483.w : 0.0);
        uint _e503 = ((_e38 * 192u) + _e43) + _e45;
        y0_.inner[_e503] = _e498.x;
        if (_e486) {
            y0_.inner[_e503 + 1u] = _e498.y;
        }
        if (_e490) {
            y0_.inner[_e503 + 2u] = _e498.z;
        }
        if (_e494) {
            y0_.inner[_e503 + 3u] = _e498.w;
        }
    }
    if (((_e475 + 1u) < 8u) && _e477) {
        metal::float4 _e517 = acc_1;
        metal::float4 _e521 = x2_.inner[(workgroup_id.x * 8u) + _e44];
        bool _e524 = (_e46 + 1u) < 48u;
        bool _e528 = (_e46 + 2u) < 48u;
        bool _e532 = (_e46 + 3u) < 48u;
        metal::float4 _e536 = _e517 + metal::float4(_e521.x, _e524 ? _e521.y : 0.0, _e528 ? _e521.z : 0.0, _e532 ? _e521.w : 0.0);
        uint _e541 = ((_e38 * 192u) + _e43) + _e45;
        y0_.inner[_e541 + 48u] = _e536.x;
        if (_e524) {
            y0_.inner[_e541 + 49u] = _e536.y;
        }
        if (_e528) {
            y0_.inner[_e541 + 50u] = _e536.z;
        }
        if (_e532) {
            y0_.inner[_e541 + 51u] = _e536.w;
        }
    }
    if (((_e475 + 2u) < 8u) && _e477) {
        metal::float4 _e559 = acc_2;
        metal::float4 _e563 = x2_.inner[(workgroup_id.x * 8u) + _e44];
        bool _e566 = (_e46 + 1u) < 48u;
        bool _e570 = (_e46 + 2u) < 48u;
        bool _e574 = (_e46 + 3u) < 48u;
        metal::float4 _e578 = _e559 + metal::float4(_e563.x, _e566 ? _e563.y : 0.0, _e570 ? _e563.z : 0.0, _e574 ? _e563.w : 0.0);
        uint _e583 = ((_e38 * 192u) + _e43) + _e45;
        y0_.inner[_e583 + 96u] = _e578.x;
        if (_e566) {
            y0_.inner[_e583 + 97u] = _e578.y;
        }
        if (_e570) {
            y0_.inner[_e583 + 98u] = _e578.z;
        }
        if (_e574) {
            y0_.inner[_e583 + 99u] = _e578.w;
        }
    }
    if (((_e475 + 3u) < 8u) && _e477) {
        metal::float4 _e601 = acc_3;
        metal::float4 _e605 = x2_.inner[(workgroup_id.x * 8u) + _e44];
        bool _e608 = (_e46 + 1u) < 48u;
        bool _e612 = (_e46 + 2u) < 48u;
        bool _e616 = (_e46 + 3u) < 48u;
        metal::float4 _e620 = _e601 + metal::float4(_e605.x, _e608 ? _e605.y : 0.0, _e612 ? _e605.z : 0.0, _e616 ? _e605.w : 0.0);
        uint _e625 = ((_e38 * 192u) + _e43) + _e45;
        y0_.inner[_e625 + 144u] = _e620.x;
        if (_e608) {
            y0_.inner[_e625 + 145u] = _e620.y;
        }
        if (_e612) {
            y0_.inner[_e625 + 146u] = _e620.z;
        }
        if (_e616) {
            y0_.inner[_e625 + 147u] = _e620.w;
        }
    }
}
