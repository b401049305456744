@group(0) @binding(0) 
var<storage> x0_: array<vec4<f32>, 32>;
@group(0) @binding(1) 
var<storage> x1_: array<f32, 768>;
@group(0) @binding(2) 
var<storage> x2_: array<vec4<f32>, 12>;
@group(0) @binding(3) 
var<storage, read_write> y0_: array<f32, 384>;
var<workgroup> left: array<vec4<f32>, 160>;
var<workgroup> right: array<vec4<f32>, 128>;

@compute @workgroup_size(64, 1, 1) 
fn kernel_main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
    var acc: vec4<f32>;
    var acc_1: vec4<f32>;
    var acc_2: vec4<f32>;
    var acc_3: vec4<f32>;

    let _e13 = vec4(0f);
    acc = _e13;
    acc_1 = _e13;
    acc_2 = _e13;
    acc_3 = _e13;
    let _e15 = (local_index / 4u);
    let _e19 = (local_index % 4u);
    let _e22 = x0_[((min(_e15, 7u) * 4u) + _e19)];
    let _e25 = ((_e15 * 5u) + _e19);
    left[_e25] = _e22;
    let _e33 = x0_[((min((_e15 + 16u), 7u) * 4u) + _e19)];
    left[(_e25 + 80u)] = _e33;
    let _e38 = (local_index / 8u);
    let _e40 = (_e38 * 48u);
    let _e43 = (workgroup_id.x * 32u);
    let _e44 = (local_index % 8u);
    let _e45 = (_e44 * 4u);
    let _e46 = (_e43 + _e45);
    let _e48 = min(_e46, 47u);
    let _e49 = (_e40 + _e48);
    let _e51 = x1_[_e49];
    let _e53 = (_e48 + 1u);
    let _e55 = (_e40 + min(_e53, 47u));
    let _e57 = x1_[_e55];
    let _e59 = (_e48 + 2u);
    let _e61 = (_e40 + min(_e59, 47u));
    let _e63 = x1_[_e61];
    let _e65 = (_e48 + 3u);
    let _e67 = (_e40 + min(_e65, 47u));
    let _e69 = x1_[_e67];
    let _e70 = (_e53 < 48u);
    let _e72 = (_e59 < 48u);
    let _e74 = (_e65 < 48u);
    right[local_index] = vec4<f32>(_e51, select(0f, _e57, _e70), select(0f, _e63, _e72), select(0f, _e69, _e74));
    let _e81 = x1_[(_e49 + 384u)];
    let _e84 = x1_[(_e55 + 384u)];
    let _e87 = x1_[(_e61 + 384u)];
    let _e90 = x1_[(_e67 + 384u)];
    right[(local_index + 64u)] = vec4<f32>(_e81, select(0f, _e84, _e70), select(0f, _e87, _e72), select(0f, _e90, _e74));
    workgroupBarrier();
    let _e99 = (_e38 * 20u);
    let _e101 = left[_e99];
    let _e104 = left[(_e99 + 5u)];
    let _e108 = left[(_e99 + 10u)];
    let _e112 = left[(_e99 + 15u)];
    let _e114 = right[_e44];
    let _e115 = acc;
    acc = fma(vec4(_e101.x), _e114, _e115);
    let _e119 = acc_1;
    acc_1 = fma(vec4(_e104.x), _e114, _e119);
    let _e123 = acc_2;
    acc_2 = fma(vec4(_e108.x), _e114, _e123);
    let _e127 = acc_3;
    acc_3 = fma(vec4(_e112.x), _e114, _e127);
    let _e133 = right[(_e44 + 8u)];
    let _e134 = acc;
    acc = fma(vec4(_e101.y), _e133, _e134);
    let _e138 = acc_1;
    acc_1 = fma(vec4(_e104.y), _e133, _e138);
    let _e142 = acc_2;
    acc_2 = fma(vec4(_e108.y), _e133, _e142);
    let _e146 = acc_3;
    acc_3 = fma(vec4(_e112.y), _e133, _e146);
    let _e152 = right[(_e44 + 16u)];
    let _e153 = acc;
    acc = fma(vec4(_e101.z), _e152, _e153);
    let _e157 = acc_1;
    acc_1 = fma(vec4(_e104.z), _e152, _e157);
    let _e161 = acc_2;
    acc_2 = fma(vec4(_e108.z), _e152, _e161);
    let _e165 = acc_3;
    acc_3 = fma(vec4(_e112.z), _e152, _e165);
    let _e172 = right[(_e44 + 24u)];
    let _e173 = acc;
    acc = fma(vec4(_e101.w), _e172, _e173);
    let _e177 = acc_1;
    acc_1 = fma(vec4(_e104.w), _e172, _e177);
    let _e181 = acc_2;
    acc_2 = fma(vec4(_e108.w), _e172, _e181);
    let _e185 = acc_3;
    acc_3 = fma(vec4(_e112.w), _e172, _e185);
    let _e191 = left[(_e99 + 1u)];
    let _e195 = left[(_e99 + 6u)];
    let _e199 = left[(_e99 + 11u)];
    let _e202 = left[(_e99 + 16u)];
    let _e205 = right[(_e44 + 32u)];
    let _e206 = acc;
    acc = fma(vec4(_e191.x), _e205, _e206);
    let _e210 = acc_1;
    acc_1 = fma(vec4(_e195.x), _e205, _e210);
    let _e214 = acc_2;
    acc_2 = fma(vec4(_e199.x), _e205, _e214);
    let _e218 = acc_3;
    acc_3 = fma(vec4(_e202.x), _e205, _e218);
    let _e225 = right[(_e44 + 40u)];
    let _e226 = acc;
    acc = fma(vec4(_e191.y), _e225, _e226);
    let _e230 = acc_1;
    acc_1 = fma(vec4(_e195.y), _e225, _e230);
    let _e234 = acc_2;
    acc_2 = fma(vec4(_e199.y), _e225, _e234);
    let _e238 = acc_3;
    acc_3 = fma(vec4(_e202.y), _e225, _e238);
    let _e244 = right[(_e44 + 48u)];
    let _e245 = acc;
    acc = fma(vec4(_e191.z), _e244, _e245);
    let _e249 = acc_1;
    acc_1 = fma(vec4(_e195.z), _e244, _e249);
    let _e253 = acc_2;
    acc_2 = fma(vec4(_e199.z), _e244, _e253);
    let _e257 = acc_3;
    acc_3 = fma(vec4(_e202.z), _e244, _e257);
    let _e264 = right[(_e44 + 56u)];
    let _e265 = acc;
    acc = fma(vec4(_e191.w), _e264, _e265);
    let _e269 = acc_1;
    acc_1 = fma(vec4(_e195.w), _e264, _e269);
    let _e273 = acc_2;
    acc_2 = fma(vec4(_e199.w), _e264, _e273);
    let _e277 = acc_3;
    acc_3 = fma(vec4(_e202.w), _e264, _e277);
    let _e283 = left[(_e99 + 2u)];
    let _e286 = left[(_e99 + 7u)];
    let _e290 = left[(_e99 + 12u)];
    let _e294 = left[(_e99 + 17u)];
    let _e297 = right[(_e44 + 64u)];
    let _e298 = acc;
    acc = fma(vec4(_e283.x), _e297, _e298);
    let _e302 = acc_1;
    acc_1 = fma(vec4(_e286.x), _e297, _e302);
    let _e306 = acc_2;
    acc_2 = fma(vec4(_e290.x), _e297, _e306);
    let _e310 = acc_3;
    acc_3 = fma(vec4(_e294.x), _e297, _e310);
    let _e317 = right[(_e44 + 72u)];
    let _e318 = acc;
    acc = fma(vec4(_e283.y), _e317, _e318);
    let _e322 = acc_1;
    acc_1 = fma(vec4(_e286.y), _e317, _e322);
    let _e326 = acc_2;
    acc_2 = fma(vec4(_e290.y), _e317, _e326);
    let _e330 = acc_3;
    acc_3 = fma(vec4(_e294.y), _e317, _e330);
    let _e336 = right[(_e44 + 80u)];
    let _e337 = acc;
    acc = fma(vec4(_e283.z), _e336, _e337);
    let _e341 = acc_1;
    acc_1 = fma(vec4(_e286.z), _e336, _e341);
    let _e345 = acc_2;
    acc_2 = fma(vec4(_e290.z), _e336, _e345);
    let _e349 = acc_3;
    acc_3 = fma(vec4(_e294.z), _e336, _e349);
    let _e356 = right[(_e44 + 88u)];
    let _e357 = acc;
    acc = fma(vec4(_e283.w), _e356, _e357);
    let _e361 = acc_1;
    acc_1 = fma(vec4(_e286.w), _e356, _e361);
    let _e365 = acc_2;
    acc_2 = fma(vec4(_e290.w), _e356, _e365);
    let _e369 = acc_3;
    acc_3 = fma(vec4(_e294.w), _e356, _e369);
    let _e375 = left[(_e99 + 3u)];
    let _e378 = left[(_e99 + 8u)];
    let _e382 = left[(_e99 + 13u)];
    let _e386 = left[(_e99 + 18u)];
    let _e390 = right[(_e44 + 96u)];
    let _e391 = acc;
    acc = fma(vec4(_e375.x), _e390, _e391);
    let _e395 = acc_1;
    acc_1 = fma(vec4(_e378.x), _e390, _e395);
    let _e399 = acc_2;
    acc_2 = fma(vec4(_e382.x), _e390, _e399);
    let _e403 = acc_3;
    acc_3 = fma(vec4(_e386.x), _e390, _e403);
    let _e410 = right[(_e44 + 104u)];
    let _e411 = acc;
    acc = fma(vec4(_e375.y), _e410, _e411);
    let _e415 = acc_1;
    acc_1 = fma(vec4(_e378.y), _e410, _e415);
    let _e419 = acc_2;
    acc_2 = fma(vec4(_e382.y), _e410, _e419);
    let _e423 = acc_3;
    acc_3 = fma(vec4(_e386.y), _e410, _e423);
    let _e430 = right[(_e44 + 112u)];
    let _e431 = acc;
    acc = fma(vec4(_e375.z), _e430, _e431);
    let _e435 = acc_1;
    acc_1 = fma(vec4(_e378.z), _e430, _e435);
    let _e439 = acc_2;
    acc_2 = fma(vec4(_e382.z), _e430, _e439);
    let _e443 = acc_3;
    acc_3 = fma(vec4(_e386.z), _e430, _e443);
    let _e450 = right[(_e44 + 120u)];
    let _e451 = acc;
    acc = fma(vec4(_e375.w), _e450, _e451);
    let _e455 = acc_1;
    acc_1 = fma(vec4(_e378.w), _e450, _e455);
    let _e459 = acc_2;
    acc_2 = fma(vec4(_e382.w), _e450, _e459);
    let _e463 = acc_3;
    acc_3 = fma(vec4(_e386.w), _e450, _e463);
    workgroupBarrier();
    let _e467 = (_e38 * 4u);
    let _e469 = (_e46 < 48u);
    if ((_e467 < 8u) && _e469) {
        let _e471 = acc;
        let _e475 = x2_[((workgroup_id.x * 8u) + _e44)];
        let _e478 = ((_e46 + 1u) < 48u);
        let _e482 = ((_e46 + 2u) < 48u);
        let _e486 = ((_e46 + 3u) < 48u);
        let _e490 = (_e471 + vec4<f32>(_e475.x, select(0f, _e475.y, _e478), select(0f, _e475.z, _e482), select(0f, _e475.w, _e486)));
        let _e495 = (((_e38 * 192u) + _e43) + _e45);
        y0_[_e495] = _e490.x;
        if _e478 {
            y0_[(_e495 + 1u)] = _e490.y;
        }
        if _e482 {
            y0_[(_e495 + 2u)] = _e490.z;
        }
        if _e486 {
            y0_[(_e495 + 3u)] = _e490.w;
        }
    }
    if (((_e467 + 1u) < 8u) && _e469) {
        let _e509 = acc_1;
        let _e513 = x2_[((workgroup_id.x * 8u) + _e44)];
        let _e516 = ((_e46 + 1u) < 48u);
        let _e520 = ((_e46 + 2u) < 48u);
        let _e524 = ((_e46 + 3u) < 48u);
        let _e528 = (_e509 + vec4<f32>(_e513.x, select(0f, _e513.y, _e516), select(0f, _e513.z, _e520), select(0f, _e513.w, _e524)));
        let _e533 = (((_e38 * 192u) + _e43) + _e45);
        y0_[(_e533 + 48u)] = _e528.x;
        if _e516 {
            y0_[(_e533 + 49u)] = _e528.y;
        }
        if _e520 {
            y0_[(_e533 + 50u)] = _e528.z;
        }
        if _e524 {
            y0_[(_e533 + 51u)] = _e528.w;
        }
    }
    if (((_e467 + 2u) < 8u) && _e469) {
        let _e551 = acc_2;
        let _e555 = x2_[((workgroup_id.x * 8u) + _e44)];
        let _e558 = ((_e46 + 1u) < 48u);
        let _e562 = ((_e46 + 2u) < 48u);
        let _e566 = ((_e46 + 3u) < 48u);
        let _e570 = (_e551 + vec4<f32>(_e555.x, select(0f, _e555.y, _e558), select(0f, _e555.z, _e562), select(0f, _e555.w, _e566)));
        let _e575 = (((_e38 * 192u) + _e43) + _e45);
        y0_[(_e575 + 96u)] = _e570.x;
        if _e558 {
            y0_[(_e575 + 97u)] = _e570.y;
        }
        if _e562 {
            y0_[(_e575 + 98u)] = _e570.z;
        }
        if _e566 {
            y0_[(_e575 + 99u)] = _e570.w;
        }
    }
    if (((_e467 + 3u) < 8u) && _e469) {
        let _e593 = acc_3;
        let _e597 = x2_[((workgroup_id.x * 8u) + _e44)];
        let _e600 = ((_e46 + 1u) < 48u);
        let _e604 = ((_e46 + 2u) < 48u);
        let _e608 = ((_e46 + 3u) < 48u);
        let _e612 = (_e593 + vec4<f32>(_e597.x, select(0f, _e597.y, _e600), select(0f, _e597.z, _e604), select(0f, _e597.w, _e608)));
        let _e617 = (((_e38 * 192u) + _e43) + _e45);
        y0_[(_e617 + 144u)] = _e612.x;
        if _e600 {
            y0_[(_e617 + 145u)] = _e612.y;
        }
        if _e604 {
            y0_[(_e617 + 146u)] = _e612.z;
        }
        if _e608 {
            y0_[(_e617 + 147u)] = _e612.w;
        }
    }
}
