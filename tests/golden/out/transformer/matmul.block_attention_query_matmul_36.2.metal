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
, device type_1& y0_ [[buffer(3)]]
, threadgroup private_array& left
, threadgroup private_array_1& right
) {
    metal::float4 acc = {};
    metal::float4 acc_1 = {};
    metal::float4 acc_2 = {};
    metal::float4 acc_3 = {};
    metal::float4 _e12 = metal::float4(0.0);
    acc = _e12;
    acc_1 = _e12;
    acc_2 = _e12;
    acc_3 = _e12;
    uint _e14 = local_index / 4u;
    uint _e18 = local_index % 4u;
    metal::float4 _e21 = x0_.inner[(metal::min(_e14, 7u) * 4u) + _e18];
    uint _e24 = (_e14 * 5u) + _e18;
    left.inner[_e24] = _e21;
    metal::float4 _e32 = x0_.inner[(metal::min(_e14 + 16u, 7u) * 4u) + _e18];
    left.inner[_e24 + 80u] = _e32;
    uint _e37 = local_index / 8u;
    uint _e38 = _e37 * 16u;
    uint _e39 = local_index % 8u;
    uint _e40 = _e39 * 4u;
    uint _e42 = metal::min(_e40, 15u);
    uint _e43 = _e38 + _e42;
    half _e45 = x1_.inner[_e43];
    uint _e47 = _e42 + 1u;
    uint _e49 = _e38 + metal::min(_e47, 15u);
    half _e51 = x1_.inner[_e49];
    uint _e53 = _e42 + 2u;
    uint _e55 = _e38 + metal::min(_e53, 15u);
    half _e57 = x1_.inner[_e55];
    uint _e59 = _e42 + 3u;
    uint _e61 = _e38 + metal::min(_e59, 15u);
    half _e63 = x1_.inner[_e61];
    bool _e65 = _e47 < 16u;
    bool _e68 = _e53 < 16u;
    bool _e71 = _e59 < 16u;
    right.inner[local_index] = metal::float4(static_cast<float>(_e45), _e65 ? static_cast<float>(_e51) : 0.0, _e68 ? static_cast<float>(_e57) : 0.0, _e71 ? static_cast<float>(_e63) : 0.0);
    half _e79 = x1_.inner[_e43 + 128u];
    half _e82 = x1_.inner[_e49 + 128u];
    half _e85 = x1_.inner[_e55 + 128u];
    half _e88 = x1_.inner[_e61 + 128u];
    right.inner[local_index + 64u] = metal::float4(static_cast<float>(_e79), _e65 ? static_cast<float>(_e82) : 0.0, _e68 ? static_cast<float>(_e85) : 0.0, _e71 ? static_cast<float>(_e88) : 0.0);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e101 = _e37 * 20u;
    metal::float4 _e103 = left.inner[_e101];
    metal::float4 _e106 = left.inner[_e101 + 5u];
    metal::float4 _e110 = left.inner[_e101 + 10u];
    metal::float4 _e113 = left.inner[_e101 + 15u];
    metal::float4 _e115 = right.inner[_e39];
    metal::float4 _e116 = acc;
    acc = metal::fma(metal::float4(_e103.x), _e115, _e116);
    metal::float4 _e120 = acc_1;
    acc_1 = metal::fma(metal::float4(_e106.x), _e115, _e120);
    metal::float4 _e124 = acc_2;
    acc_2 = metal::fma(metal::float4(_e110.x), _e115, _e124);
    metal::float4 _e128 = acc_3;
    acc_3 = metal::fma(metal::float4(_e113.x), _e115, _e128);
    metal::float4 _e134 = right.inner[_e39 + 8u];
    metal::float4 _e135 = acc;
    acc = metal::fma(metal::float4(_e103.y), _e134, _e135);
    metal::float4 _e139 = acc_1;
    acc_1 = metal::fma(metal::float4(_e106.y), _e134, _e139);
    metal::float4 _e143 = acc_2;
    acc_2 = metal::fma(metal::float4(_e110.y), _e134, _e143);
    metal::float4 _e147 = acc_3;
    acc_3 = metal::fma(metal::float4(_e113.y), _e134, _e147);
    metal::float4 _e153 = right.inner[_e39 + 16u];
    metal::float4 _e154 = acc;
    acc = metal::fma(metal::float4(_e103.z), _e153, _e154);
    metal::float4 _e158 = acc_1;
    acc_1 = metal::fma(metal::float4(_e106.z), _e153, _e158);
    metal::float4 _e162 = acc_2;
    acc_2 = metal::fma(metal::float4(_e110.z), _e153, _e162);
    metal::float4 _e166 = acc_3;
    acc_3 = metal::fma(metal::float4(_e113.z), _e153, _e166);
    metal::float4 _e173 = right.inner[_e39 + 24u];
    metal::float4 _e174 = acc;
    acc = metal::fma(metal::float4(_e103.w), _e173, _e174);
    metal::float4 _e178 = acc_1;
    acc_1 = metal::fma(metal::float4(_e106.w), _e173, _e178);
    metal::float4 _e182 = acc_2;
    acc_2 = metal::fma(metal::float4(_e110.w), _e173, _e182);
    metal::float4 _e186 = acc_3;
    acc_3 = metal::fma(metal::float4(_e113.w), _e173, _e186);
    metal::float4 _e192 = left.inner[_e101 + 1u];
    metal::float4 _e196 = left.inner[_e101 + 6u];
    metal::float4 _e200 = left.inner[_e101 + 11u];
    metal::float4 _e203 = left.inner[_e101 + 16u];
    metal::float4 _e207 = right.inner[_e39 + 32u];
    metal::float4 _e208 = acc;
    acc = metal::fma(metal::float4(_e192.x), _e207, _e208);
    metal::float4 _e212 = acc_1;
    acc_1 = metal::fma(metal::float4(_e196.x), _e207, _e212);
    metal::float4 _e216 = acc_2;
    acc_2 = metal::fma(metal::float4(_e200.x), _e207, _e216);
    metal::float4 _e220 = acc_3;
    acc_3 = metal::fma(metal::float4(_e203.x), _e207, _e220);
    metal::float4 _e227 = right.inner[_e39 + 40u];
    metal::float4 _e228 = acc;
    acc = metal::fma(metal::float4(_e192.y), _e227, _e228);
    metal::float4 _e232 = acc_1;
    acc_1 = metal::fma(metal::float4(_e196.y), _e227, _e232);
    metal::float4 _e236 = acc_2;
    acc_2 = metal::fma(metal::float4(_e200.y), _e227, _e236);
    metal::float4 _e240 = acc_3;
    acc_3 = metal::fma(metal::float4(_e203.y), _e227, _e240);
    metal::float4 _e247 = right.inner[_e39 + 48u];
    metal::float4 _e248 = acc;
    acc = metal::fma(metal::float4(_e192.z), _e247, _e248);
    metal::float4 _e252 = acc_1;
    acc_1 = metal::fma(metal::float4(_e196.z), _e247, _e252);
    metal::float4 _e256 = acc_2;
    acc_2 = metal::fma(metal::float4(_e200.z), _e247, _e256);
    metal::float4 _e260 = acc_3;
    acc_3 = metal::fma(metal::float4(_e203.z), _e247, _e260);
    metal::float4 _e267 = right.inner[_e39 + 56u];
    metal::float4 _e268 = acc;
    acc = metal::fma(metal::float4(_e192.w), _e267, _e268);
    metal::float4 _e272 = acc_1;
    acc_1 = metal::fma(metal::float4(_e196.w), _e267, _e272);
    metal::float4 _e276 = acc_2;
    acc_2 = metal::fma(metal::float4(_e200.w), _e267, _e276);
    metal::float4 _e280 = acc_3;
    acc_3 = metal::fma(metal::float4(_e203.w), _e267, _e280);
    metal::float4 _e286 = left.inner[_e101 + 2u];
    metal::float4 _e289 = left.inner[_e101 + 7u];
    metal::float4 _e293 = left.inner[_e101 + 12u];
    metal::float4 _e297 = left.inner[_e101 + 17u];
    metal::float4 _e300 = right.inner[_e39 + 64u];
    metal::float4 _e301 = acc;
    acc = metal::fma(metal::float4(_e286.x), _e300, _e301);
    metal::float4 _e305 = acc_1;
    acc_1 = metal::fma(metal::float4(_e289.x), _e300, _e305);
    metal::float4 _e309 = acc_2;
    acc_2 = metal::fma(metal::float4(_e293.x), _e300, _e309);
    metal::float4 _e313 = acc_3;
    acc_3 = metal::fma(metal::float4(_e297.x), _e300, _e313);
    metal::float4 _e320 = right.inner[_e39 + 72u];
    metal::float4 _e321 = acc;
    acc = metal::fma(metal::float4(_e286.y), _e320, _e321);
    metal::float4 _e325 = acc_1;
    acc_1 = metal::fma(metal::float4(_e289.y), _e320, _e325);
    metal::float4 _e329 = acc_2;
    acc_2 = metal::fma(metal::float4(_e293.y), _e320, _e329);
    metal::float4 _e333 = acc_3;
    acc_3 = metal::fma(metal::float4(_e297.y), _e320, _e333);
    metal::float4 _e339 = right.inner[_e39 + 80u];
    metal::float4 _e340 = acc;
    acc = metal::fma(metal::float4(_e286.z), _e339, _e340);
    metal::float4 _e344 = acc_1;
    acc_1 = metal::fma(metal::float4(_e289.z), _e339, _e344);
    metal::float4 _e348 = acc_2;
    acc_2 = metal::fma(metal::float4(_e293.z), _e339, _e348);
    metal::float4 _e352 = acc_3;
    acc_3 = metal::fma(metal::float4(_e297.z), _e339, _e352);
    metal::float4 _e359 = right.inner[_e39 + 88u];
    metal::float4 _e360 = acc;
    acc = metal::fma(metal::float4(_e286.w), _e359, _e360);
    metal::float4 _e364 = acc_1;
    acc_1 = metal::fma(metal::float4(_e289.w), _e359, _e364);
    metal::float4 _e368 = acc_2;
    acc_2 = metal::fma(metal::float4(_e293.w), _e359, _e368);
    metal::float4 _e372 = acc_3;
    acc_3 = metal::fma(metal::float4(_e297.w), _e359, _e372);
    metal::float4 _e378 = left.inner[_e101 + 3u];
    metal::float4 _e381 = left.inner[_e101 + 8u];
    metal::float4 _e385 = left.inner[_e101 + 13u];
    metal::float4 _e389 = left.inner[_e101 + 18u];
    metal::float4 _e393 = right.inner[_e39 + 96u];
    metal::float4 _e394 = acc;
    acc = metal::fma(metal::float4(_e378.x), _e393, _e394);
    metal::float4 _e398 = acc_1;
    acc_1 = metal::fma(metal::float4(_e381.x), _e393, _e398);
    metal::float4 _e402 = acc_2;
    acc_2 = metal::fma(metal::float4(_e385.x), _e393, _e402);
    metal::float4 _e406 = acc_3;
    acc_3 = metal::fma(metal::float4(_e389.x), _e393, _e406);
    metal::float4 _e413 = right.inner[_e39 + 104u];
    metal::float4 _e414 = acc;
    acc = metal::fma(metal::float4(_e378.y), _e413, _e414);
    metal::float4 _e418 = acc_1;
    acc_1 = metal::fma(metal::float4(_e381.y), _e413, _e418);
    metal::float4 _e422 = acc_2;
    acc_2 = metal::fma(metal::float4(_e385.y), _e413, _e422);
    metal::float4 _e426 = acc_3;
    acc_3 = metal::fma(metal::float4(_e389.y), _e413, _e426);
    metal::float4 _e433 = right.inner[_e39 + 112u];
    metal::float4 _e434 = acc;
    acc = metal::fma(metal::float4(_e378.z), _e433, _e434);
    metal::float4 _e438 = acc_1;
    acc_1 = metal::fma(metal::float4(_e381.z), _e433, _e438);
    metal::float4 _e442 = acc_2;
    acc_2 = metal::fma(metal::float4(_e385.z), _e433, _e442);
    metal::float4 _e446 = acc_3;
    acc_3 = metal::fma(metal::float4(_e389.z), _e433, _e446);
    metal::float4 _e453 = right.inner[_e39 + 120u];
    metal::float4 _e454 = acc;
    acc = metal::fma(metal::float4(_e378.w), _e453, _e454);
    metal::float4 _e458 = acc_1;
    acc_1 = metal::fma(metal::float4(_e381.w), _e453, _e458);
    metal::float4 _e462 = acc_2;
    acc_2 = metal::fma(metal::float4(_e385.w), _e453, _e462);
    metal::float4 _e466 = acc_3;
    acc_3 = metal::fma(metal::float4(_e389.w), _e453, _e466);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e470 = _e37 * 4u;
    bool _e472 = _e40 < 16u;
    if ((_e470 < 8u) && _e472) {
        metal::float4 _e474 = acc;
        metal::float4 _e476 = x2_.inner[_e39];
        y0_.inner[((((local_index / 2u) % 4u) * 16u) + (_e37 * 8u)) + (local_index % 2u)] = _e476 + _e474;
    }
    if (((_e470 + 1u) < 8u) && _e472) {
        metal::float4 _e489 = acc_1;
        metal::float4 _e491 = x2_.inner[_e39];
        y0_.inner[(((((local_index / 2u) % 4u) * 16u) + (_e37 * 8u)) + (local_index % 2u)) + 2u] = _e491 + _e489;
    }
    if (((_e470 + 2u) < 8u) && _e472) {
        metal::float4 _e505 = acc_2;
        metal::float4 _e507 = x2_.inner[_e39];
        y0_.inner[(((((local_index / 2u) % 4u) * 16u) + (_e37 * 8u)) + (local_index % 2u)) + 4u] = _e507 + _e505;
    }
    if (((_e470 + 3u) < 8u) && _e472) {
        metal::float4 _e521 = acc_3;
        metal::float4 _e523 = x2_.inner[_e39];
        y0_.inner[(((((local_index / 2u) % 4u) * 16u) + (_e37 * 8u)) + (local_index % 2u)) + 6u] = _e523 + _e521;
    }
}
