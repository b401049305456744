// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    float inner[512];
};
struct type_3 {
    half inner[1024];
};
struct type_5 {
    metal::float4 inner[4];
};
struct type_6 {
    metal::float4 inner[32];
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
, device type_5 const& x2_ [[buffer(2)]]
, device type_6 const& x3_ [[buffer(3)]]
, device type_6& y0_ [[buffer(4)]]
) {
    threadgroup private_array left;
    threadgroup private_array_1 right;
    metal::float4 acc = {};
    metal::float4 acc_1 = {};
    metal::float4 acc_2 = {};
    metal::float4 acc_3 = {};
    uint i = {};
    metal::float4 _e13 = metal::float4(0.0);
    acc = _e13;
    acc_1 = _e13;
    acc_2 = _e13;
    acc_3 = _e13;
    i = 0u;
    uint _e20 = local_index / 4u;
    uint _e24 = local_index % 4u;
    uint _e25 = _e24 * 4u;
    uint _e45 = (_e20 * 5u) + _e24;
    uint _e70 = local_index / 8u;
    uint _e71 = _e70 * 16u;
    uint _e73 = local_index % 8u;
    uint _e74 = _e73 * 4u;
    uint _e76 = metal::min(_e74, 15u);
    uint _e80 = _e76 + 1u;
    uint _e85 = _e76 + 2u;
    uint _e90 = _e76 + 3u;
    bool _e96 = _e80 < 16u;
    bool _e99 = _e85 < 16u;
    bool _e102 = _e90 < 16u;
    uint _e131 = _e70 * 20u;
    while(true) {
        uint _e17 = i;
        if (_e17 >= 64u) {
            break;
        }
        uint _e27 = ((metal::min(_e20, 7u) * 64u) + _e25) + _e17;
        float _e29 = x0_.inner[_e27];
        float _e33 = x0_.inner[_e27 + 1u];
        float _e37 = x0_.inner[_e27 + 2u];
        float _e41 = x0_.inner[_e27 + 3u];
        left.inner[_e45] = metal::float4(_e29, _e33, _e37, _e41);
        uint _e52 = ((metal::min(_e20 + 16u, 7u) * 64u) + _e25) + _e17;
        float _e54 = x0_.inner[_e52];
        float _e57 = x0_.inner[_e52 + 1u];
        float _e60 = x0_.inner[_e52 + 2u];
        float _e63 = x0_.inner[_e52 + 3u];
        left.inner[_e45 + 80u] = metal::float4(_e54, _e57, _e60, _e63);
        uint _e72 = (_e17 * 16u) + _e71;
        uint _e77 = _e72 + _e76;
        half _e79 = x1_.inner[_e77];
        uint _e82 = _e72 + metal::min(_e80, 15u);
        half _e84 = x1_.inner[_e82];
        uint _e87 = _e72 + metal::min(_e85, 15u);
        half _e89 = x1_.inner[_e87];
        uint _e92 = _e72 + metal::min(_e90, 15u);
        half _e94 = x1_.inner[_e92];
        right.inner[local_index] = metal::float4(static_cast<float>(_e79), _e96 ? static_cast<float>(_e84) : 0.0, _e99 ? static_cast<float>(_e89) : 0.0, _e102 ? static_cast<float>(_e94) : 0.0);
        half _e110 = x1_.inner[_e77 + 128u];
        half _e113 = x1_.inner[_e82 + 128u];
        half _e116 = x1_.inner[_e87 + 128u];
        half _e119 = x1_.inner[_e92 + 128u];
        right.inner[local_index + 64u] = metal::float4(static_cast<float>(_e110), _e96 ? static_cast<float>(_e113) : 0.0, _e99 ? static_cast<float>(_e116) : 0.0, _e102 ? static_cast<float>(_e119) : 0.0);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        metal::float4 _e133 = left.inner[_e131];
        metal::float4 _e136 = left.inner[_e131 + 5u];
        metal::float4 _e140 = left.inner[_e131 + 10u];
        metal::float4 _e143 = left.inner[_e131 + 15u];
        metal::float4 _e145 = right.inner[_e73];
        metal::float4 _e146 = acc;
        acc = metal::fma(metal::float4(_e133.x), _e145, _e146);
        metal::float4 _e150 = acc_1;
        acc_1 = metal::fma(metal::float4(_e136.x), _e145, _e150);
        metal::float4 _e154 = acc_2;
        acc_2 = metal::fma(metal::float4(_e140.x), _e145, _e154);
        metal::float4 _e158 = acc_3;
        acc_3 = metal::fma(metal::float4(_e143.x), _e145, _e158);
        metal::float4 _e164 = right.inner[_e73 + 8u];
        metal::float4 _e165 = acc;
        acc = metal::fma(metal::float4(_e133.y), _e164, _e165);
        metal::float4 _e169 = acc_1;
        acc_1 = metal::fma(metal::float4(_e136.y), _e164, _e169);
        metal::float4 _e173 = acc_2;
        acc_2 = metal::fma(metal::float4(_e140.y), _e164, _e173);
        metal::float4 _e177 = acc_3;
        acc_3 = metal::fma(metal::float4(_e143.y), _e164, _e177);
        metal::float4 _e183 = right.inner[_e73 + 16u];
        metal::float4 _e184 = acc;
        acc = metal::fma(metal::float4(_e133.z), _e183, _e184);
        metal::float4 _e188 = acc_1;
        acc_1 = metal::fma(metal::float4(_e136.z), _e183, _e188);
        metal::float4 _e192 = acc_2;
        acc_2 = metal::fma(metal::float4(_e140.z), _e183, _e192);
        metal::float4 _e196 = acc_3;
        acc_3 = metal::fma(metal::float4(_e143.z), _e183, _e196);
        metal::float4 _e203 = right.inner[_e73 + 24u];
        metal::float4 _e204 = acc;
        acc = metal::fma(metal::float4(_e133.w), _e203, _e204);
        metal::float4 _e208 = acc_1;
        acc_1 = metal::fma(metal::float4(_e136.w), _e203, _e208);
        metal::float4 _e212 = acc_2;
        acc_2 = metal::fma(metal::float4(_e140.w), _e203, _e212);
        metal::float4 _e216 = acc_3;
        acc_3 = metal::fma(metal::float4(_e143.w), _e203, _e216);
        metal::float4 _e222 = left.inner[_e131 + 1u];
        metal::float4 _e226 = left.inner[_e131 + 6u];
        metal::float4 _e230 = left.inner[_e131 + 11u];
        metal::float4 _e233 = left.inner[_e131 + 16u];
        metal::float4 _e237 = right.inner[_e73 + 32u];
        metal::float4 _e238 = acc;
        acc = metal::fma(metal::float4(_e222.x), _e237, _e238);
        metal::float4 _e242 = acc_1;
        acc_1 = metal::fma(metal::float4(_e226.x), _e237, _e242);
        metal::float4 _e246 = acc_2;
        acc_2 = metal::fma(metal::float4(_e230.x), _e237, _e246);
        metal::float4 _e250 = acc_3;
        acc_3 = metal::fma(metal::float4(_e233.x), _e237, _e250);
        metal::float4 _e257 = right.inner[_e73 + 40u];
        metal::float4 _e258 = acc;
        acc = metal::fma(metal::float4(_e222.y), _e257, _e258);
        metal::float4 _e262 = acc_1;
        acc_1 = metal::fma(metal::float4(_e226.y), _e257, _e262);
        metal::float4 _e266 = acc_2;
        acc_2 = metal::fma(metal::float4(_e230.y), _e257, _e266);
        metal::float4 _e270 = acc_3;
        acc_3 = metal::fma(metal::float4(_e233.y), _e257, _e270);
        metal::float4 _e277 = right.inner[_e73 + 48u];
        metal::float4 _e278 = acc;
        acc = metal::fma(metal::float4(_e222.z), _e277, _e278);
        metal::float4 _e282 = acc_1;
        acc_1 = metal::fma(metal::float4(_e226.z), _e277, _e282);
        metal::float4 _e286 = acc_2;
        acc_2 = metal::fma(metal::float4(_e230.z), _e277, _e286);
        metal::float4 _e290 = acc_3;
        acc_3 = metal::fma(metal::float4(_e233.z), _e277, _e290);
        metal::float4 _e297 = right.inner[_e73 + 56u];
        metal::float4 _e298 = acc;
        acc = metal::fma(metal::float4(_e222.w), _e297, _e298);
        metal::float4 _e302 = acc_1;
        acc_1 = metal::fma(metal::float4(_e226.w), _e297, _e302);
        metal::float4 _e306 = acc_2;
        acc_2 = metal::fma(metal::float4(_e230.w), _e297, _e306);
        metal::float4 _e310 = acc_3;
        acc_3 = metal::fma(metal::float4(_e233.w), _e297, _e310);
        metal::float4 _e316 = left.inner[_e131 + 2u];
        metal::float4 _e319 = left.inner[_e131 + 7u];
        metal::float4 _e323 = left.inner[_e131 + 12u];
        metal::float4 _e327 = left.inner[_e131 + 17u];
        metal::float4 _e330 = right.inner[_e73 + 64u];
        metal::float4 _e331 = acc;
        acc = metal::fma(metal::float4(_e316.x), _e330, _e331);
        metal::float4 _e335 = acc_1;
        acc_1 = metal::fma(metal::float4(_e319.x), _e330, _e335);
        metal::float4 _e339 = acc_2;
        acc_2 = metal::fma(metal::float4(_e323.x), _e330, _e339);
        metal::float4 _e343 = acc_3;
        acc_3 = metal::fma(metal::float4(_e327.x), _e330, _e343);
        metal::float4 _e350 = right.inner[_e73 + 72u];
        metal::float4 _e351 = acc;
        acc = metal::fma(metal::float4(_e316.y), _e350, _e351);
        metal::float4 _e355 = acc_1;
        acc_1 = metal::fma(metal::float4(_e319.y), _e350, _e355);
        metal::float4 _e359 = acc_2;
        acc_2 = metal::fma(metal::float4(_e323.y), _e350, _e359);
        metal::float4 _e363 = acc_3;
        acc_3 = metal::fma(metal::float4(_e327.y), _e350, _e363);
        metal::float4 _e369 = right.inner[_e73 + 80u];
        metal::float4 _e370 = acc;
        acc = metal::fma(metal::float4(_e316.z), _e369, _e370);
        metal::float4 _e374 = acc_1;
        acc_1 = metal::fma(metal::float4(_e319.z), _e369, _e374);
        metal::float4 _e378 = acc_2;
        acc_2 = metal::fma(metal::float4(_e323.z), _e369, _e378);
        metal::float4 _e382 = acc_3;
        acc_3 = metal::fma(metal::float4(_e327.z), _e369, _e382);
        metal::float4 _e389 = right.inner[_e73 + 88u];
        metal::float4 _e390 = acc;
        acc = metal::fma(metal::float4(_e316.w), _e389, _e390);
        metal::float4 _e394 = acc_1;
        acc_1 = metal::fma(metal::float4(_e319.w), _e389, _e394);
        metal::float4 _e398 = acc_2;
        acc_2 = metal::fma(metal::float4(_e323.w), _e389, _e398);
        metal::float4 _e402 = acc_3;
        acc_3 = metal::fma(metal::float4(_e327.w), _e389, _e402);
        metal::float4 _e408 = left.inner[_e131 + 3u];
        metal::float4 _e411 = left.inner[_e131 + 8u];
        metal::float4 _e415 = left.inner[_e131 + 13u];
        metal::float4 _e419 = left.inner[_e131 + 18u];
        metal::float4 _e423 = right.inner[_e73 + 96u];
        metal::float4 _e424 = acc;
        acc = metal::fma(metal::float4(_e408.x), _e423, _e424);
        metal::float4 _e428 = acc_1;
        acc_1 = metal::fma(metal::float4(_e411.x), _e423, _e428);
        metal::float4 _e432 = acc_2;
        acc_2 = metal::fma(metal::float4(_e415.x), _e423, _e432);
        metal::float4 _e436 = acc_3;
        acc_3 = metal::fma(metal::float4(_e419.x), _e423, _e436);
        metal::float4 _e443 = right.inner[_e73 + 104u];
        metal::float4 _e444 = acc;
        acc = metal::fma(metal::float4(_e408.y), _e443, _e444);
        metal::float4 _e448 = acc_1;
        acc_1 = metal::fma(metal::float4(_e411.y), _e443, _e448);
        metal::float4 _e452 = acc_2;
        acc_2 = metal::fma(metal::float4(_e415.y), _e443, _e452);
        metal::float4 _e456 = acc_3;
        acc_3 = metal::fma(metal::float4(_e419.y), _e443, _e456);
        metal::float4 _e463 = right.inner[_e73 + 112u];
        metal::float4 _e464 = acc;
        acc = metal::fma(metal::float4(_e408.z), _e463, _e464);
        metal::float4 _e468 = acc_1;
        acc_1 = metal::fma(metal::float4(_e411.z), _e463, _e468);
        metal::float4 _e472 = acc_2;
        acc_2 = metal::fma(metal::float4(_e415.z), _e463, _e472);
        metal::float4 _e476 = acc_3;
        acc_3 = metal::fma(metal::float4(_e419.z), _e463, _e476);
        metal::float4 _e483 = right.inner[_e73 + 120u];
        metal::float4 _e484 = acc;
        acc = metal::fma(metal::float4(_e408.w), _e483, _e484);
        metal::float4 _e488 = acc_1;
        acc_1 = metal::fma(metal::float4(_e411.w), _e483, _e488);
        metal::float4 _e492 = acc_2;
        acc_2 = metal::fma(metal::float4(_e415.w), _e483, _e492);
        metal::float4 _e496 = acc_3;
        acc_3 = metal::fma(metal::float4(_e419.w), _e483, _e496);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        i = _e17 + 16u;
    }
    uint _e502 = _e70 * 4u;
    bool _e504 = _e74 < 16u;
    if ((_e502 < 8u) && _e504) {
        metal::float4 _e506 = acc;
        metal::float4 _e508 = x2_.inner[_e73];
        uint _e509 = _e71 + _e73;
        metal::float4 _e511 = x3_.inner[_e509];
        y0_.inner[_e509] = (_e508 + _e506) + _e511;
    }
    if (((_e502 + 1u) < 8u) && _e504) {
        metal::float4 _e518 = acc_1;
        metal::float4 _e520 = x2_.inner[_e73];
        uint _e522 = (_e71 + _e73) + 4u;
        metal::float4 _e524 = x3_.inner[_e522];
        y0_.inner[_e522] = (_e520 + _e518) + _e524;
    }
    if (((_e502 + 2u) < 8u) && _e504) {
        metal::float4 _e531 = acc_2;
        metal::float4 _e533 = x2_.inner[_e73];
        uint _e535 = (_e71 + _e73) + 8u;
        metal::float4 _e537 = x3_.inner[_e535];
        y0_.inner[_e535] = (_e533 + _e531) + _e537;
    }
    if (((_e502 + 3u) < 8u) && _e504) {
        metal::float4 _e544 = acc_3;
        metal::float4 _e546 = x2_.inner[_e73];
        uint _e548 = (_e71 + _e73) + 12u;
        metal::float4 _e550 = x3_.inner[_e548];
        y0_.inner[_e548] = (_e546 + _e544) + _e550;
    }
}
