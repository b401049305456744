// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[32];
};
struct type_3 {
    half inner[256];
};
struct type_4 {
    metal::float4 inner[4];
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
  uint local_index [[thread_index_in_threadgroup]]
, device type_1 const& x0_ [[buffer(0)]]
, device type_3 const& x1_ [[buffer(1)]]
, device type_4 const& x2_ [[buffer(2)]]
, device type_1 const& x3_ [[buffer(3)]]
, device type_1& y0_ [[buffer(4)]]
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
    uint _e39 = _e38 * 16u;
    uint _e40 = local_index % 8u;
    uint _e41 = _e40 * 4u;
    uint _e43 = metal::min(_e41, 15u);
    uint _e44 = _e39 + _e43;
    half _e46 = x1_.inner[_e44];
    uint _e48 = _e43 + 1u;
    uint _e50 = _e39 + metal::min(_e48, 15u);
    half _e52 = x1_.inner[_e50];
    uint _e54 = _e43 + 2u;
    uint _e56 = _e39 + metal::min(_e54, 15u);
    half _e58 = x1_.inner[_e56];
    uint _e60 = _e43 + 3u;
    uint _e62 = _e39 + metal::min(_e60, 15u);
    half _e64 = x1_.inner[_e62];
    bool _e66 = _e48 < 16u;
    bool _e69 = _e54 < 16u;
    bool _e72 = _e60 < 16u;
    right.inner[local_index] = metal::float4(static_cast<float>(_e46), _e66 ? static_cast<float>(_e52) : 0.0, _e69 ? static_cast<float>(_e58) : 0.0, _e72 ? static_cast<float>(_e64) : 0.0);
    half _e80 = x1_.inner[_e44 + 128u];
    half _e83 = x1_.inner[_e50 + 128u];
    half _e86 = x1_.inner[_e56 + 128u];
    half _e89 = x1_.inner[_e62 + 128u];
    right.inner[local_index + 64u] = metal::float4(static_cast<float>(_e80), _e66 ? static_cast<float>(_e83) : 0.0, _e69 ? static_cast<float>(_e86) : 0.0, _e72 ? static_cast<float>(_e89) : 0.0);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e102 = _e38 * 20u;
    metal::float4 _e104 = left.inner[_e102];
    metal::float4 _e107 = left.inner[_e102 + 5u];
    metal::float4 _e111 = left.inner[_e102 + 10u];
    metal::float4 _e114 = left.inner[_e102 + 15u];
    metal::float4 _e116 = right.inner[_e40];
    metal::float4 _e117 = acc;
    acc = metal::fma(metal::float4(_e104.x), _e116, _e117);
    metal::float4 _e121 = acc_1;
    acc_1 = metal::fma(metal::float4(_e107.x), _e116, _e121);
    metal::float4 _e125 = acc_2;
    acc_2 = metal::fma(metal::float4(_e111.x), _e116, _e125);
    metal::float4 _e129 = acc_3;
    acc_3 = metal::fma(metal::float4(_e114.x), _e116, _e129);
    metal::float4 _e135 = right.inner[_e40 + 8u];
    metal::float4 _e136 = acc;
    acc = metal::fma(metal::float4(_e104.y), _e135, _e136);
    metal::float4 _e140 = acc_1;
    acc_1 = metal::fma(metal::float4(_e107.y), _e135, _e140);
    metal::float4 _e144 = acc_2;
    acc_2 = metal::fma(metal::float4(_e111.y), _e135, _e144);
    metal::float4 _e148 = acc_3;
    acc_3 = metal::fma(metal::float4(_e114.y), _e135, _e148);
    metal::float4 _e154 = right.inner[_e40 + 16u];
    metal::float4 _e155 = acc;
    acc = metal::fma(metal::float4(_e104.z), _e154, _e155);
    metal::float4 _e159 = acc_1;
    acc_1 = metal::fma(metal::float4(_e107.z), _e154, _e159);
    metal::float4 _e163 = acc_2;
    acc_2 = metal::fma(metal::float4(_e111.z), _e154, _e163);
    metal::float4 _e167 = acc_3;
    acc_3 = metal::fma(metal::float4(_e114.z), _e154, _e167);
    metal::float4 _e174 = right.inner[_e40 + 24u];
    metal::float4 _e175 = acc;
    acc = metal::fma(metal::float4(_e104.w), _e174, _e175);
    metal::float4 _e179 = acc_1;
    acc_1 = metal::fma(metal::float4(_e107.w), _e174, _e179);
    metal::float4 _e183 = acc_2;
    acc_2 = metal::fma(metal::float4(_e111.w), _e174, _e183);
    metal::float4 _e187 = acc_3;
    acc_3 = metal::fma(metal::float4(_e114.w), _e174, _e187);
    metal::float4 _e193 = left.inner[_e102 + 1u];
    metal::float4 _e197 = left.inner[_e102 + 6u];
    metal::float4 _e201 = left.inner[_e102 + 11u];
    metal::float4 _e204 = left.inner[_e102 + 16u];
    metal::float4 _e208 = right.inner[_e40 + 32u];
    metal::float4 _e209 = acc;
    acc = metal::fma(metal::float4(_e193.x), _e208, _e209);
    metal::float4 _e213 = acc_1;
    acc_1 = metal::fma(metal::float4(_e197.x), _e208, _e213);
    metal::float4 _e217 = acc_2;
    acc_2 = metal::fma(metal::float4(_e201.x), _e208, _e217);
    metal::float4 _e221 = acc_3;
    acc_3 = metal::fma(metal::float4(_e204.x), _e208, _e221);
    metal::float4 _e228 = right.inner[_e40 + 40u];
    metal::float4 _e229 = acc;
    acc = metal::fma(metal::float4(_e193.y), _e228, _e229);
    metal::float4 _e233 = acc_1;
    acc_1 = metal::fma(metal::float4(_e197.y), _e228, _e233);
    metal::float4 _e237 = acc_2;
    acc_2 = metal::fma(metal::float4(_e201.y), _e228, _e237);
    metal::float4 _e241 = acc_3;
    acc_3 = metal::fma(metal::float4(_e204.y), _e228, _e241);
    metal::float4 _e248 = right.inner[_e40 + 48u];
    metal::float4 _e249 = acc;
    acc = metal::fma(metal::float4(_e193.z), _e248, _e249);
    metal::float4 _e253 = acc_1;
    acc_1 = metal::fma(metal::float4(_e197.z), _e248, _e253);
    metal::float4 _e257 = acc_2;
    acc_2 = metal::fma(metal::float4(_e201.z), _e248, _e257);
    metal::float4 _e261 = acc_3;
    acc_3 = metal::fma(metal::float4(_e204.z), _e248, _e261);
    metal::float4 _e268 = right.inner[_e40 + 56u];
    metal::float4 _e269 = acc;
    acc = metal::fma(metal::float4(_e193.w), _e268, _e269);
    metal::float4 _e273 = acc_1;
    acc_1 = metal::fma(metal::float4(_e197.w), _e268, _e273);
    metal::float4 _e277 = acc_2;
    acc_2 = metal::fma(metal::float4(_e201.w), _e268, _e277);
    metal::float4 _e281 = acc_3;
    acc_3 = metal::fma(metal::float4(_e204.w), _e268, _e281);
    metal::float4 _e287 = left.inner[_e102 + 2u];
    metal::float4 _e290 = left.inner[_e102 + 7u];
    metal::float4 _e294 = left.inner[_e102 + 12u];
    metal::float4 _e298 = left.inner[_e102 + 17u];
    metal::float4 _e301 = right.inner[_e40 + 64u];
    metal::float4 _e302 = acc;
    acc = metal::fma(metal::float4(_e287.x), _e301, _e302);
    metal::float4 _e306 = acc_1;
    acc_1 = metal::fma(metal::float4(_e290.x), _e301, _e306);
    metal::float4 _e310 = acc_2;
    acc_2 = metal::fma(metal::float4(_e294.x), _e301, _e310);
    metal::float4 _e314 = acc_3;
    acc_3 = metal::fma(metal::float4(_e298.x), _e301, _e314);
    metal::float4 _e321 = right.inner[_e40 + 72u];
    metal::float4 _e322 = acc;
    acc = metal::fma(metal::float4(_e287.y), _e321, _e322);
    metal::float4 _e326 = acc_1;
    acc_1 = metal::fma(metal::float4(_e290.y), _e321, _e326);
    metal::float4 _e330 = acc_2;
    acc_2 = metal::fma(metal::float4(_e294.y), _e321, _e330);
    metal::float4 _e334 = acc_3;
    acc_3 = metal::fma(metal::float4(_e298.y), _e321, _e334);
    metal::float4 _e340 = right.inner[_e40 + 80u];
    metal::float4 _e341 = acc;
    acc = metal::fma(metal::float4(_e287.z), _e340, _e341);
    metal::float4 _e345 = acc_1;
    acc_1 = metal::fma(metal::float4(_e290.z), _e340, _e345);
    metal::float4 _e349 = acc_2;
    acc_2 = metal::fma(metal::float4(_e294.z), _e340, _e349);
    metal::float4 _e353 = acc_3;
    acc_3 = metal::fma(metal::float4(_e298.z), _e340, _e353);
    metal::float4 _e360 = right.inner[_e40 + 88u];
    metal::float4 _e361 = acc;
    acc = metal::fma(metal::float4(_e287.w), _e360, _e361);
    metal::float4 _e365 = acc_1;
    acc_1 = metal::fma(metal::float4(_e290.w), _e360, _e365);
    metal::float4 _e369 = acc_2;
    acc_2 = metal::fma(metal::float4(_e294.w), _e360, _e369);
    metal::float4 _e373 = acc_3;
    acc_3 = metal::fma(metal::float4(_e298.w), _e360, _e373);
    metal::float4 _e379 = left.inner[_e102 + 3u];
    metal::float4 _e382 = left.inner[_e102 + 8u];
    metal::float4 _e386 = left.inner[_e102 + 13u];
    metal::float4 _e390 = left.inner[_e102 + 18u];
    metal::float4 _e394 = right.inner[_e40 + 96u];
    metal::float4 _e395 = acc;
    acc = metal::fma(metal::float4(_e379.x), _e394, _e395);
    metal::float4 _e399 = acc_1;
    acc_1 = metal::fma(metal::float4(_e382.x), _e394, _e399);
    metal::float4 _e403 = acc_2;
    acc_2 = metal::fma(metal::float4(_e386.x), _e394, _e403);
    metal::float4 _e407 = acc_3;
    acc_3 = metal::fma(metal::float4(_e390.x), _e394, _e407);
    metal::float4 _e414 = right.inner[_e40 + 104u];
    metal::float4 _e415 = acc;
    acc = metal::fma(metal::float4(_e379.y), _e414, _e415);
    metal::float4 _e419 = acc_1;
    acc_1 = metal::fma(metal::float4(_e382.y), _e414, _e419);
    metal::float4 _e423 = acc_2;
    acc_2 = metal::fma(metal::float4(_e386.y), _e414, _e423);
    metal::float4 _e427 = acc_3;
    acc_3 = metal::fma(metal::float4(_e390.y), _e414, _e427);
    metal::float4 _e434 = right.inner[_e40 + 112u];
    metal::float4 _e435 = acc;
    acc = metal::fma(metal::float4(_e379.z), _e434, _e435);
    metal::float4 _e439 = acc_1;
    acc_1 = metal::fma(metal::float4(_e382.z), _e434, _e439);
    metal::float4 _e443 = acc_2;
    acc_2 = metal::fma(metal::float4(_e386.z), _e434, _e443);
    metal::float4 _e447 = acc_3;
    acc_3 = metal::fma(metal::float4(_e390.z), _e434, _e447);
    metal::float4 _e454 = right.inner[_e40 + 120u];
    metal::float4 _e455 = acc;
    acc = metal::fma(metal::float4(_e379.w), _e454, _e455);
    metal::float4 _e459 = acc_1;
    acc_1 = metal::fma(metal::float4(_e382.w), _e454, _e459);
    metal::float4 _e463 = acc_2;
    acc_2 = metal::fma(metal::float4(_e386.w), _e454, _e463);
    metal::float4 _e467 = acc_3;
    acc_3 = metal::fma(metal::float4(_e390.w), _e454, _e467);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e471 = _e38 * 4u;
    bool _e473 = _e41 < 16u;
    if ((_e471 < 8u) && _e473) {
        metal::float4 _e475 = acc;
        metal::float4 _e477 = x2_.inner[_e40];
        uint _e478 = _e39 + _e40;
        metal::float4 _e480 = x3_.inner[_e478];
        y0_.inner[_e478] = (_e477 + _e475) + _e480;
    }
    if (((_e471 + 1u) < 8u) && _e473) {
        metal::float4 _e487 = acc_1;
        metal::float4 _e489 = x2_.inner[_e40];
        uint _e491 = (_e39 + _e40) + 4u;
        metal::float4 _e493 = x3_.inner[_e491];
        y0_.inner[_e491] = (_e489 + _e487) + _e493;
    }
    if (((_e471 + 2u) < 8u) && _e473) {
        metal::float4 _e500 = acc_2;
        metal::float4 _e502 = x2_.inner[_e40];
        uint _e504 = (_e39 + _e40) + 8u;
        metal::float4 _e506 = x3_.inner[_e504];
        y0_.inner[_e504] = (_e502 + _e500) + _e506;
    }
    if (((_e471 + 3u) < 8u) && _e473) {
        metal::float4 _e513 = acc_3;
        metal::float4 _e515 = x2_.inner[_e40];
        uint _e517 = (_e39 + _e40) + 12u;
        metal::float4 _e519 = x3_.inner[_e517];
        y0_.inner[_e517] = (_e515 + _e513) + _e519;
    }
}
