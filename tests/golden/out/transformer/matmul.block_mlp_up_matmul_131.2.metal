// language: metal2.4
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct type_1 {
    metal::float4 inner[32];
};
struct type_3 {
    metal::half4 inner[256];
};
struct type_4 {
    metal::float4 inner[16];
};
struct type_5 {
    metal::float4 inner[128];
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
, device type_5& y0_ [[buffer(3)]]
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
    uint _e41 = workgroup_id.x * 8u;
    uint _e43 = local_index % 8u;
    uint _e44 = ((_e38 * 16u) + _e41) + _e43;
    metal::half4 _e46 = x1_.inner[_e44];
    right.inner[local_index] = static_cast<metal::float4>(_e46);
    metal::half4 _e52 = x1_.inner[_e44 + 128u];
    right.inner[local_index + 64u] = static_cast<metal::float4>(_e52);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e58 = _e38 * 20u;
    metal::float4 _e60 = left.inner[_e58];
    metal::float4 _e63 = left.inner[_e58 + 5u];
    metal::float4 _e67 = left.inner[_e58 + 10u];
    metal::float4 _e71 = left.inner[_e58 + 15u];
    metal::float4 _e73 = right.inner[_e43];
    metal::float4 _e74 = acc;
    acc = metal::fma(metal::float4(_e60.x), _e73, _e74);
    metal::float4 _e78 = acc_1;
    acc_1 = metal::fma(metal::float4(_e63.x), _e73, _e78);
    metal::float4 _e82 = acc_2;
    acc_2 = metal::fma(metal::float4(_e67.x), _e73, _e82);
    metal::float4 _e86 = acc_3;
    acc_3 = metal::fma(metal::float4(_e71.x), _e73, _e86);
    metal::float4 _e92 = right.inner[_e43 + 8u];
    metal::float4 _e93 = acc;
    acc = metal::fma(metal::float4(_e60.y), _e92, _e93);
    metal::float4 _e97 = acc_1;
    acc_1 = metal::fma(metal::float4(_e63.y), _e92, _e97);
    metal::float4 _e101 = acc_2;
    acc_2 = metal::fma(metal::float4(_e67.y), _e92, _e101);
    metal::float4 _e105 = acc_3;
    acc_3 = metal::fma(metal::float4(_e71.y), _e92, _e105);
    metal::float4 _e111 = right.inner[_e43 + 16u];
    metal::float4 _e112 = acc;
    acc = metal::fma(metal::float4(_e60.z), _e111, _e112);
    metal::float4 _e116 = acc_1;
    acc_1 = metal::fma(metal::float4(_e63.z), _e111, _e116);
    metal::float4 _e120 = acc_2;
    acc_2 = metal::fma(metal::float4(_e67.z), _e111, _e120);
    metal::float4 _e124 = acc_3;
    acc_3 = metal::fma(metal::float4(_e71.z), _e111, _e124);
    metal::float4 _e131 = right.inner[_e43 + 24u];
    metal::float4 _e132 = acc;
    acc = metal::fma(metal::float4(_e60.w), _e131, _e132);
    metal::float4 _e136 = acc_1;
    acc_1 = metal::fma(metal::float4(_e63.w), _e131, _e136);
    metal::float4 _e140 = acc_2;
    acc_2 = metal::fma(metal::float4(_e67.w), _e131, _e140);
    metal::float4 _e144 = acc_3;
    acc_3 = metal::fma(metal::float4(_e71.w), _e131, _e144);
    metal::float4 _e151 = left.inner[_e58 + 1u];
    metal::float4 _e155 = left.inner[_e58 + 6u];
    metal::float4 _e159 = left.inner[_e58 + 11u];
    metal::float4 _e162 = left.inner[_e58 + 16u];
    metal::float4 _e166 = right.inner[_e43 + 32u];
    metal::float4 _e167 = acc;
    acc = metal::fma(metal::float4(_e151.x), _e166, _e167);
    metal::float4 _e171 = acc_1;
    acc_1 = metal::fma(metal::float4(_e155.x), _e166, _e171);
    metal::float4 _e175 = acc_2;
    acc_2 = metal::fma(metal::float4(_e159.x), _e166, _e175);
    metal::float4 _e179 = acc_3;
    acc_3 = metal::fma(metal::float4(_e162.x), _e166, _e179);
    metal::float4 _e186 = right.inner[_e43 + 40u];
    metal::float4 _e187 = acc;
    acc = metal::fma(metal::float4(_e151.y), _e186, _e187);
    metal::float4 _e191 = acc_1;
    acc_1 = metal::fma(metal::float4(_e155.y), _e186, _e191);
    metal::float4 _e195 = acc_2;
    acc_2 = metal::fma(metal::float4(_e159.y), _e186, _e195);
    metal::float4 _e199 = acc_3;
    acc_3 = metal::fma(metal::float4(_e162.y), _e186, _e199);
    metal::float4 _e206 = right.inner[_e43 + 48u];
    metal::float4 _e207 = acc;
    acc = metal::fma(metal::float4(_e151.z), _e206, _e207);
    metal::float4 _e211 = acc_1;
    acc_1 = metal::fma(metal::float4(_e155.z), _e206, _e211);
    metal::float4 _e215 = acc_2;
    acc_2 = metal::fma(metal::float4(_e159.z), _e206, _e215);
    metal::float4 _e219 = acc_3;
    acc_3 = metal::fma(metal::float4(_e162.z), _e206, _e219);
    metal::float4 _e226 = right.inner[_e43 + 56u];
    metal::float4 _e227 = acc;
    acc = metal::fma(metal::float4(_e151.w), _e226, _e227);
    metal::float4 _e231 = acc_1;
    acc_1 = metal::fma(metal::float4(_e155.w), _e226, _e231);
    metal::float4 _e235 = acc_2;
    acc_2 = metal::fma(metal::float4(_e159.w), _e226, _e235);
    metal::float4 _e239 = acc_3;
    acc_3 = metal::fma(metal::float4(_e162.w), _e226, _e239);
    metal::float4 _e246 = left.inner[_e58 + 2u];
    metal::float4 _e249 = left.inner[_e58 + 7u];
    metal::float4 _e253 = left.inner[_e58 + 12u];
    metal::float4 _e257 = left.inner[_e58 + 17u];
    metal::float4 _e260 = right.inner[_e43 + 64u];
    metal::float4 _e261 = acc;
    acc = metal::fma(metal::float4(_e246.x), _e260, _e261);
    metal::float4 _e265 = acc_1;
    acc_1 = metal::fma(metal::float4(_e249.x), _e260, _e265);
    metal::float4 _e269 = acc_2;
    acc_2 = metal::fma(metal::float4(_e253.x), _e260, _e269);
    metal::float4 _e273 = acc_3;
    acc_3 = metal::fma(metal::float4(_e257.x), _e260, _e273);
    metal::float4 _e280 = right.inner[_e43 + 72u];
    metal::float4 _e281 = acc;
    acc = metal::fma(metal::float4(_e246.y), _e280, _e281);
    metal::float4 _e285 = acc_1;
    acc_1 = metal::fma(metal::float4(_e249.y), _e280, _e285);
    metal::float4 _e289 = acc_2;
    acc_2 = metal::fma(metal::float4(_e253.y), _e280, _e289);
    metal::float4 _e293 = acc_3;
    acc_3 = metal::fma(metal::float4(_e257.y), _e280, _e293);
    metal::float4 _e299 = right.inner[_e43 + 80u];
    metal::float4 _e300 = acc;
    acc = metal::fma(metal::float4(_e246.z), _e299, _e300);
    metal::float4 _e304 = acc_1;
    acc_1 = metal::fma(metal::float4(_e249.z), _e299, _e304);
    metal::float4 _e308 = acc_2;
    acc_2 = metal::fma(metal::float4(_e253.z), _e299, _e308);
    metal::float4 _e312 = acc_3;
    acc_3 = metal::fma(metal::float4(_e257.z), _e299, _e312);
    metal::float4 _e319 = right.inner[_e43 + 88u];
    metal::float4 _e320 = acc;
    acc = metal::fma(metal::float4(_e246.w), _e319, _e320);
    metal::float4 _e324 = acc_1;
    acc_1 = metal::fma(metal::float4(_e249.w), _e319, _e324);
    metal::float4 _e328 = acc_2;
    acc_2 = metal::fma(metal::float4(_e253.w), _e319, _e328);
    metal::float4 _e332 = acc_3;
    acc_3 = metal::fma(metal::float4(_e257.w), _e319, _e332);
    metal::float4 _e339 = left.inner[_e58 + 3u];
    metal::float4 _e342 = left.inner[_e58 + 8u];
    metal::float4 _e346 = left.inner[_e58 + 13u];
    metal::float4 _e350 = left.inner[_e58 + 18u];
    metal::float4 _e354 = right.inner[_e43 + 96u];
    metal::float4 _e355 = acc;
    acc = metal::fma(metal::float4(_e339.x), _e354, _e355);
    metal::float4 _e359 = acc_1;
    acc_1 = metal::fma(metal::float4(_e342.x), _e354, _e359);
    metal::float4 _e363 = acc_2;
    acc_2 = metal::fma(metal::float4(_e346.x), _e354, _e363);
    metal::float4 _e367 = acc_3;
    acc_3 = metal::fma(metal::float4(_e350.x), _e354, _e367);
    metal::float4 _e374 = right.inner[_e43 + 104u];
    metal::float4 _e375 = acc;
    acc = metal::fma(metal::float4(_e339.y), _e374, _e375);
    metal::float4 _e379 = acc_1;
    acc_1 = metal::fma(metal::float4(_e342.y), _e374, _e379);
    metal::float4 _e383 = acc_2;
    acc_2 = metal::fma(metal::float4(_e346.y), _e374, _e383);
    metal::float4 _e387 = acc_3;
    acc_3 = metal::fma(metal::float4(_e350.y), _e374, _e387);
    metal::float4 _e394 = right.inner[_e43 + 112u];
    metal::float4 _e395 = acc;
    acc = metal::fma(metal::float4(_e339.z), _e394, _e395);
    metal::float4 _e399 = acc_1;
    acc_1 = metal::fma(metal::float4(_e342.z), _e394, _e399);
    metal::float4 _e403 = acc_2;
    acc_2 = metal::fma(metal::float4(_e346.z), _e394, _e403);
    metal::float4 _e407 = acc_3;
    acc_3 = metal::fma(metal::float4(_e350.z), _e394, _e407);
    metal::float4 _e414 = right.inner[_e43 + 120u];
    metal::float4 _e415 = acc;
    acc = metal::fma(metal::float4(_e339.w), _e414, _e415);
    metal::float4 _e419 = acc_1;
    acc_1 = metal::fma(metal::float4(_e342.w), _e414, _e419);
    metal::float4 _e423 = acc_2;
    acc_2 = metal::fma(metal::float4(_e346.w), _e414, _e423);
    metal::float4 _e427 = acc_3;
    acc_3 = metal::fma(metal::float4(_e350.w), _e414, _e427);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e431 = _e38 * 4u;
    if (_e431 < 8u) {
        metal::float4 _e433 = acc;
        metal::float4 _e436 = x2_.inner[_e41 + _e43];
        metal::float4 _e437 = _e436 + _e433;
        metal::float4 _e443 = _e437 * metal::float4(0.70710677);
        metal::float4 _e444 = metal::abs(_e443);
        metal::float4 _e448 = _e443 * _e443;
        metal::float4 _e470 = metal::float4(1.0);
        metal::float4 _e480 = _e470 / metal::fma(_e444, metal::float4(0.3275911), _e470);
        metal::float4 _e499 = _e470 - ((metal::fma(metal::fma(metal::fma(metal::fma(_e480, metal::float4(1.0614054), metal::float4(-1.4531521)), _e480, metal::float4(1.4214138)), _e480, metal::float4(-0.28449672)), _e480, metal::float4(0.2548296)) * _e480) * metal::exp(-(_e448)));
        metal::float4 t = -(_e499);
        metal::float4 t_1 = metal::select(_e499, t, _e443 < _e13);
        metal::float4 t_2 = metal::select(t_1, (metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(_e448, metal::float4(-0.000013227514), metal::float4(0.00010683761)), _e448, metal::float4(-0.00075757573)), _e448, metal::float4(0.0046296297)), _e448, metal::float4(-0.023809524)), _e448, metal::float4(0.1)), _e448, metal::float4(-0.33333334)), _e448, _e470) * _e443) * metal::float4(1.1283792), _e444 < metal::float4(0.75));
        y0_.inner[((_e38 * 64u) + _e41) + _e43] = ((_e437 * metal::float4(0.5)) * (t_2 + _e470)) * metal::float4(2.0);
    }
    if ((_e431 + 1u) < 8u) {
        metal::float4 _e514 = acc_1;
        metal::float4 _e517 = x2_.inner[_e41 + _e43];
        metal::float4 _e518 = _e517 + _e514;
        metal::float4 _e524 = _e518 * metal::float4(0.70710677);
        metal::float4 _e525 = metal::abs(_e524);
        metal::float4 _e529 = _e524 * _e524;
        metal::float4 _e551 = metal::float4(1.0);
        metal::float4 _e561 = _e551 / metal::fma(_e525, metal::float4(0.3275911), _e551);
        metal::float4 _e580 = _e551 - ((metal::fma(metal::fma(metal::fma(metal::fma(_e561, metal::float4(1.0614054), metal::float4(-1.4531521)), _e561, metal::float4(1.4214138)), _e561, metal::float4(-0.28449672)), _e561, metal::float4(0.2548296)) * _e561) * metal::exp(-(_e529)));
        metal::float4 t_3 = -(_e580);
        metal::float4 t_4 = metal::select(_e580, t_3, _e524 < _e13);
        metal::float4 t_5 = metal::select(t_4, (metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(_e529, metal::float4(-0.000013227514), metal::float4(0.00010683761)), _e529, metal::float4(-0.00075757573)), _e529, metal::float4(0.0046296297)), _e529, metal::float4(-0.023809524)), _e529, metal::float4(0.1)), _e529, metal::float4(-0.33333334)), _e529, _e551) * _e524) * metal::float4(1.1283792), _e525 < metal::float4(0.75));
        y0_.inner[(((_e38 * 64u) + _e41) + _e43) + 16u] = ((_e518 * metal::float4(0.5)) * (t_5 + _e551)) * metal::float4(2.0);
    }
    if ((_e431 + 2u) < 8u) {
        metal::float4 _e596 = acc_2;
        metal::float4 _e599 = x2_.inner[_e41 + _e43];
        metal::float4 _e600 = _e599 + _e596;
        metal::float4 _e606 = _e600 * metal::float4(0.70710677);
        metal::float4 _e607 = metal::abs(_e606);
        metal::float4 _e611 = _e606 * _e606;
        metal::float4 _e633 = metal::float4(1.0);
        metal::float4 _e643 = _e633 / metal::fma(_e607, metal::float4(0.3275911), _e633);
        metal::float4 _e662 = _e633 - ((metal::fma(metal::fma(metal::fma(metal::fma(_e643, metal::float4(1.0614054), metal::float4(-1.4531521)), _e643, metal::float4(1.4214138)), _e643, metal::float4(-0.28449672)), _e643, metal::float4(0.2548296)) * _e643) * metal::exp(-(_e611)));
        metal::float4 t_6 = -(_e662);
        metal::float4 t_7 = metal::select(_e662, t_6, _e606 < _e13);
        metal::float4 t_8 = metal::select(t_7, (metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(_e611, metal::float4(-0.000013227514), metal::float4(0.00010683761)), _e611, metal::float4(-0.00075757573)), _e611, metal::float4(0.0046296297)), _e611, metal::float4(-0.023809524)), _e611, metal::float4(0.1)), _e611, metal::float4(-0.33333334)), _e611, _e633) * _e606) * metal::float4(1.1283792), _e607 < metal::float4(0.75));
        y0_.inner[(((_e38 * 64u) + _e41) + _e43) + 32u] = ((_e600 * metal::float4(0.5)) * (t_8 + _e633)) * metal::float4(2.0);
    }
    if ((_e431 + 3u) < 8u) {
        metal::float4 _e678 = acc_3;
        metal::float4 _e681 = x2_.inner[_e41 + _e43];
        metal::float4 _e682 = _e681 + _e678;
        metal::float4 _e688 = _e682 * metal::float4(0.70710677);
        metal::float4 _e689 = metal::abs(_e688);
        metal::float4 _e693 = _e688 * _e688;
        metal::float4 _e715 = metal::float4(1.0);
        metal::float4 _e725 = _e715 / metal::fma(_e689, metal::float4(0.3275911), _e715);
        metal::float4 _e744 = _e715 - ((metal::fma(metal::fma(metal::fma(metal::fma(_e725, metal::float4(1.0614054), metal::float4(-1.4531521)), _e725, metal::float4(1.4214138)), _e725, metal::float4(-0.28449672)), _e725, metal::float4(0.2548296)) * _e725) * metal::exp(-(_e693)));
        metal::float4 t_9 = -(_e744);
        metal::float4 t_10 = metal::select(_e744, t_9, _e688 < _e13);
        metal::float4 t_11 = metal::select(t_10, (metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(metal::fma(_e693, metal::float4(-0.000013227514), metal::float4(0.00010683761)), _e693, metal::float4(-0.00075757573)), _e693, metal::float4(0.0046296297)), _e693, metal::float4(-0.023809524)), _e693, metal::float4(0.1)), _e693, metal::float4(-0.33333334)), _e693, _e715) * _e688) * metal::float4(1.1283792), _e689 < metal::float4(0.75));
        y0_.inner[(((_e38 * 64u) + _e41) + _e43) + 48u] = ((_e682 * metal::float4(0.5)) * (t_11 + _e715)) * metal::float4(2.0);
    }
}
