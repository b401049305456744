//! OpenCL C: what is written, and where it says what a processor without checks must not do.

mod common;
use common::*;
use drift_bundle::caps::{Features, ImageKind};
use drift_emit::{Dialect, DialectOptions, EmitError, Needs, emit};
use drift_kernel::*;

fn cl(kernel: &Kernel) -> String {
    text(kernel, Dialect::OpenClC)
}

/// The line that stores the result.
fn stored(kernel: &Kernel) -> String {
    let text = cl(kernel);
    let line = text.lines().find_map(|l| l.trim().strip_prefix("y[global_x] = "));
    line.unwrap_or_else(|| panic!("no store in\n{text}")).trim_end_matches(';').to_owned()
}

#[test]
fn a_whole_kernel() {
    let k = map_of(Scalar::F32, 4, |_, x| (x * 2.0 + 1.0).max(0.0));
    let want = "\
__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
void kernel_main(
    __global const uchar *x_bytes,
    const ulong x_offset,
    __global uchar *y_bytes,
    const ulong y_offset)
{
    __global const float4 *x = (__global const float4 *)(x_bytes + x_offset);
    __global float4 *y = (__global float4 *)(y_bytes + y_offset);
    const uint global_x = get_global_id(0);
    y[global_x] = fmax(x[global_x] * (float4)(2.0f) + (float4)(1.0f), (float4)(0.0f));
}
";
    assert_eq!(cl(&k), want);
}

#[test]
fn reads_become_part_of_the_next_statement_only() {
    // y = x; x is read before the store to the same place changes it
    let binding = vec![buffer("x", Scalar::F32, 1, 256, Access::ReadWrite)];
    let k = kernel("swap", binding, |b| {
        let (i, j) = (b.global_id(0), b.u32(255) - b.global_id(0));
        let (p, q) = (load(b, 0, i, F32), load(b, 0, j, F32));
        store(b, 0, i, q);
        store(b, 0, j, p);
    });
    let text = cl(&k);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = |part: &str| lines.iter().position(|l| l.contains(part)).expect(part);
    assert!(at("= x[global_x];") < at("x[global_x] = "), "{text}");
}

#[test]
fn a_read_does_not_move_over_a_barrier() {
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::Read),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("turn", bindings, |b| {
        let (i, l) = (b.global_id(0), b.local_index());
        let tile = b.shared("tile", Scalar::F32, 1, 64);
        tile.store(l, load(b, 0, i, F32));
        b.barrier();
        let turned = tile.load(b.u32(63) - l);
        b.barrier();
        tile.store(l, b.f32(0.0));
        store(b, 1, i, turned);
    });
    let text = cl(&k);
    let read = text.find("= tile[63u - local_index];").expect("it has a name");
    let second = text.rfind("barrier(CLK_LOCAL_MEM_FENCE);").expect("two barriers");
    assert!(read < second, "{text}");
}

#[test]
fn what_does_not_change_in_a_loop_stands_before_it() {
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::Read),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("hoist", bindings, |b| {
        let i = b.global_id(0);
        let acc = b.var("acc", b.f32(0.0));
        b.for_unroll(0u32, 16u32, 1, Unroll::Full, |k| {
            let row = (i / 3u32) % 5u32;
            acc.set(acc.get() + load(b, 0, row + k, F32));
        });
        store(b, 1, i, acc.get());
    });
    let text = cl(&k);
    assert!(text.find("% 5u").expect("there") < text.find("for (").expect("a loop"), "{text}");
    assert!(text.contains("    acc = acc + x[i + t1];\n"), "{text}");
    assert!(text.contains("#pragma unroll\n    for (uint i = 0u; i < 16u; ++i) {"), "{text}");
}

#[test]
fn bounds_of_loops_with_barriers_are_hidden_from_pocl() {
    let bindings = vec![
        buffer("x", Scalar::U32, 1, 256, Access::Read),
        buffer("y", Scalar::U32, 1, 256, Access::Write),
    ];
    let k = kernel("perhaps", bindings, |b| {
        let runs = load(b, 0, b.u32(0), U32).min(1u32);
        b.for_(0u32, runs, 1, |_| b.barrier());
        b.for_(0u32, runs, 1, |i| store(b, 1, i, i));
        b.for_(0u32, 4u32, 1, |_| b.barrier());
    });
    let text = cl(&k);
    assert_eq!(text.matches("= loop_bound(t1);").count(), 1, "{text}");
    for loops in ["i < t2;", "i_2 < t1;", "i_3 < 4u;"] {
        assert!(text.contains(loops), "{loops} in {text}");
    }
}

#[test]
fn division_cannot_trap() {
    let of = |scalar, width, f: for<'b> fn(&'b Builder, E<'b>) -> E<'b>| {
        stored(&map_of(scalar, width, f))
    };
    assert_eq!(of(Scalar::U32, 1, |_, x| x / 7u32), "x[global_x] / 7u");
    let k = map_of(Scalar::U32, 1, |b, x| x / b.global_id(0));
    assert_eq!(stored(&k), "x[global_x] / max(global_x, 1u)");
    let k = map_of(Scalar::I32, 4, |_, x| x % x.abs());
    assert!(cl(&k).contains("select(b, (int4)(1), (b == 0) | ((a == INT_MIN) & (b == -1)))"));
    // -1 is a literal that may trap, too
    let k = map_of(Scalar::I32, 1, |b, x| x / b.i32(-1));
    assert_eq!(stored(&k), "quotient_int(x[global_x], -1)");
}

#[test]
fn signed_integers_wrap() {
    let k = map_of(Scalar::I32, 1, |b, x| (x * 3i32 - b.i32(i32::MIN)) + x);
    let text = cl(&k);
    assert!(
        text.contains("as_int(as_uint(t1) * 3u - as_uint(-2147483647 - 1) + as_uint(t1))"),
        "{text}"
    );
    // and unsigned ones of themselves
    let k = map_of(Scalar::U32, 1, |_, x| x + u32::MAX);
    assert_eq!(stored(&k), "x[global_x] + 4294967295u");
}

#[test]
fn conversions_saturate() {
    assert_eq!(
        stored_as(|_, x| x.cast(Scalar::I32).cast(Scalar::F32)),
        "convert_float4(convert_int4_sat(x[global_x]))"
    );
    assert_eq!(
        stored_as(|_, x| x.cast(Scalar::U32).cast(Scalar::I32).cast(Scalar::F32)),
        "convert_float4(as_int4(convert_uint4_sat(x[global_x])))"
    );
    assert_eq!(
        stored_as(|_, x| x.gt(0.0).cast(Scalar::F32)),
        "convert_float4(-(x[global_x] > (float4)(0.0f)))"
    );
    assert_eq!(stored_as(|_, x| x.round()), "rint(x[global_x])");
}

fn stored_as(f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>) -> String {
    stored(&map_of(Scalar::F32, 4, f))
}

#[test]
fn vectors_of_bools_are_masks() {
    let k = map_of(Scalar::F32, 4, |b, x| b.select(x.gt(0.0).and(!x.is_nan()), x, b.zero4()));
    let text = cl(&k);
    assert!(
        text.contains("select((float4)(0.0f), t1, (t1 > (float4)(0.0f)) & ~isnan(t1))"),
        "{text}"
    );
    let k = map_of(Scalar::F32, 4, |b, x| b.select(x.lane(1).gt(0.0), x, b.zero4()));
    assert!(cl(&k).contains("(t1.y > 0.0f) ? t1 : (float4)(0.0f)"), "{}", cl(&k));
}

#[test]
fn halves_in_memory_need_no_extension() {
    for (width, load_as, store_as) in
        [(1, "vload_half(", "vstore_half_rte("), (4, "vloada_half4(", "vstorea_half4_rte(")]
    {
        let k = map_of(Scalar::F16, width, |_, x| (x.cast(Scalar::F32) * 2.0).cast(Scalar::F16));
        let text = cl(&k);
        assert!(text.contains(load_as) && text.contains(store_as), "{text}");
        assert!(!text.contains("cl_khr_fp16") && !text.contains("round_to_half"), "{text}");
        let needs = Needs::of(&k, Dialect::OpenClC, &DialectOptions::default());
        assert!(!needs.features.contains(Features::F16));
    }
    // there and back in one kernel: the rounding is not forgotten
    let k = map_of(Scalar::F32, 2, |_, x| x.cast(Scalar::F16).cast(Scalar::F32));
    assert!(cl(&k).contains("= round_to_half2(x[global_x]);"), "{}", cl(&k));
}

#[test]
fn computing_in_halves_asks_for_them() {
    let k = map_of(Scalar::F16, 4, |b, x| b.select(x.lt(1.0), x * 2.0, x.sign()));
    let text = cl(&k);
    assert!(text.starts_with("#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n"), "{text}");
    assert!(text.contains("__global const half4 *x"), "{text}");
    assert!(text.contains("convert_short4(convert_int4(t1 < (half4)(1.0h)))"), "{text}");
    let needs = Needs::of(&k, Dialect::OpenClC, &DialectOptions::default());
    assert!(needs.features.contains(Features::F16));
}

#[test]
fn devices_without_halves_compute_in_f32_and_round() {
    let bindings = vec![
        buffer("x", Scalar::F16, 4, 256, Access::Read),
        buffer("y", Scalar::F16, 1, 256, Access::Write),
    ];
    let k = kernel("emulated", bindings, |b| {
        let (i, l) = (b.global_id(0), b.local_index());
        let tile = b.shared("tile", Scalar::F16, 4, 64);
        let x = load(b, 0, i, Type::vec(Scalar::F16, 4));
        tile.store(l, x * 2.0);
        b.barrier();
        let sum = tile.load(b.u32(63) - l) + x;
        store(b, 1, i, sum.lane(2));
    });
    let options = DialectOptions { native_half: false, ..DialectOptions::default() };
    let text = emit(&k, Dialect::OpenClC, &options).unwrap().text().unwrap().to_owned();
    for part in [
        "__local ushort4 tile[64];",
        "const float4 t1 = vloada_half4(global_x, x);",
        "vstorea_half4_rte(round_to_half4(t1 * (float4)(2.0f)), local_index, (__local half *)tile);",
        "vloada_half4(63u - local_index, (__local const half *)tile)",
        "vstore_half_rte(round_to_half4(",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("cl_khr_fp16"), "{text}");
    assert!(!Needs::of(&k, Dialect::OpenClC, &options).features.contains(Features::F16));
    let native = Needs::of(&k, Dialect::OpenClC, &DialectOptions::default());
    assert!(native.features.contains(Features::F16));
}

#[test]
fn halves_that_are_only_moved_need_no_extension() {
    let k = map_of(Scalar::F16, 4, |b, x| {
        b.select(x.lane(0).lt(1.0), b.compose(&[x.lane(3), x.lane(2), x.lane(1), x.lane(0)]), x)
    });
    let text = cl(&k);
    assert!(!text.contains("cl_khr_fp16") && !text.contains("round_to_half"), "{text}");
    assert!(text.contains("(t1.x < 1.0f) ? (float4)(t1.w, t1.z, t1.y, t1.x) : t1"), "{text}");
}

#[test]
fn dot4_is_arithmetic_where_it_must_be() {
    let k = map_of(Scalar::U32, 1, |b, x| x.dot4(x, b.i32(1), true).bitcast(Scalar::U32));
    let text = cl(&k);
    assert!(text.contains("#ifdef __opencl_c_integer_dot_product_input_4x8bit_packed"), "{text}");
    assert_eq!(stored(&k), "as_uint(dot4_signed(t1, t1, 1))");
    let needs = Needs::of(&k, Dialect::OpenClC, &DialectOptions::default());
    assert!(!needs.features.contains(Features::DOT4));
}

#[test]
fn every_kind_of_image() {
    use ImageKind::*;
    for (kind, ty, at, n) in [
        (TexelBuffer, "image1d_buffer_t", "(int)(global_x)", 1),
        (Texture2d, "image2d_t", "(int2)(global_x, 1u)", 2),
        (Texture2dArray, "image2d_array_t", "(int4)(global_x, 1u, 2u, 0)", 3),
        (Texture3d, "image3d_t", "(int4)(global_x, 1u, 2u, 0)", 3),
    ] {
        let bindings = vec![
            image("x", kind, Scalar::F16, Access::Read),
            image("y", kind, Scalar::F32, Access::Write),
        ];
        let k = kernel("texels", bindings, |b| {
            let all = [b.global_id(0).id, b.u32(1).id, b.u32(2).id];
            let coords = all[..n].to_vec();
            let read = Expr::Image { binding: BindingId(0), coords: coords.clone() };
            let value = (b.ordered(read, F32X4) * 2.0).id;
            b.stmt(Stmt::StoreImage { binding: BindingId(1), coords, value });
        });
        let text = cl(&k);
        assert!(text.contains(&format!("__read_only {ty} x,\n    __write_only {ty} y")), "{text}");
        let line = format!("write_imagef(y, {at}, read_imagef(x, {at}) * (float4)(2.0f));");
        assert!(text.contains(&line), "{text}");
        assert_eq!(text.contains("cl_khr_3d_image_writes"), kind == Texture3d, "{text}");
    }
}

#[test]
fn subgroups_through_their_extension() {
    let k = map_of(Scalar::F32, 1, |b, x| {
        let sum = x.subgroup(SubgroupOp::Add) + x.subgroup_shuffle_xor(b.u32(1));
        sum + b.subgroup_invocation().cast(Scalar::F32)
    });
    let k = Kernel { subgroup_size: 16, ..k };
    let text = cl(&k);
    for part in [
        "#pragma OPENCL EXTENSION cl_khr_subgroups : enable",
        "#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable",
        "__attribute__((intel_reqd_sub_group_size(16)))",
        "const uint subgroup_lane = get_sub_group_local_id();",
        "= sub_group_reduce_add(t1);",
        "= sub_group_shuffle_xor(t1, 1u);",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn matrices_are_refused_by_name() {
    let matrix = |role| Matrix { role, component: Component::F32, rows: 8, cols: 8 };
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::Read),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("product", bindings, |b| {
        let zero = b.matrix_zero(matrix(MatrixRole::C));
        let (value, to) = (zero.id, MatrixPlace::Buffer(BindingId(1)));
        let (index, stride) = (b.u32(0).id, b.u32(8).id);
        b.stmt(Stmt::StoreMatrix { value, to, index, stride, row_major: true });
    });
    let error = emit(&k, Dialect::OpenClC, &DialectOptions::default()).unwrap_err();
    assert!(matches!(error, EmitError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("cooperative"), "{error}");
}

#[test]
fn names_do_not_collide_with_the_language() {
    let bindings = vec![
        buffer("max", Scalar::F32, 1, 256, Access::Read),
        buffer("kernel", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("names", bindings, |b| {
        let i = b.global_id(0);
        let half = b.var("half", load(b, 0, i, F32));
        store(b, 1, i, half.get().max(0.0));
    });
    let text = cl(&k);
    assert!(
        text.contains("float half_;") && text.contains("kernel_[global_x] = fmax(half_, 0.0f);"),
        "{text}"
    );
}

#[test]
fn depth_is_no_limit() {
    let k = map_of(Scalar::F32, 1, |_, x| (0..20_000).fold(x, |acc, _| acc * x + 0.5));
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let text = small.spawn(move || cl(&k)).unwrap().join().unwrap();
    assert!(text.lines().all(|l| l.len() < 200), "long lines get names");
    assert_eq!(text.matches(" + 0.5f").count(), 20_000);
}
