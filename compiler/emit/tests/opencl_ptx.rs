//! OpenCL C with PTX between its statements: what is written for NVIDIA's compiler, and what a device
//! needs for it.

mod common;
use common::*;
use drift_bundle::caps::{Features, MatrixElem};
use drift_emit::{Dialect, DialectOptions, EmitError, Needs, emit};
use drift_kernel::*;

const OPTIONS: DialectOptions = DialectOptions {
    spirv_version: (1, 3),
    msl_version: (2, 4),
    native_dot4: true,
    native_half: false,
    inline_ptx: true,
};

fn try_ptx(kernel: &Kernel) -> Result<String, EmitError> {
    emit(kernel, Dialect::OpenClC, &OPTIONS).map(|s| s.text().expect("text").to_owned())
}

fn ptx(kernel: &Kernel) -> String {
    try_ptx(kernel).unwrap_or_else(|e| panic!("{e}"))
}

fn needs(kernel: &Kernel) -> Needs {
    Needs::of(kernel, Dialect::OpenClC, &OPTIONS)
}

/// The statements of a kernel.
fn body(text: &str) -> Vec<&str> {
    let (_, body) = text.split_once("\n{\n    __global const").expect("a kernel");
    body.lines().map(str::trim).collect()
}

#[test]
fn a_kernel_without_need_of_ptx_is_the_same_for_all() {
    let k = map_of(Scalar::F32, 1, |_, x| x * 2.0 + 1.0);
    assert!(!ptx(&k).contains("__asm__"));
    assert_eq!(needs(&k), Needs::of(&k, Dialect::OpenClC, &DialectOptions::default()));
}

#[test]
fn halves_are_moved_as_bits_and_computed_with_two_at_a_time() {
    let k = map_of(Scalar::F16, 4, |b, x| x.fma(x, b.lit_like(1.0, x.ty())) - x);
    let text = ptx(&k);
    for part in [
        "__global const uint2 *x = (__global const uint2 *)(x_bytes + x_offset);",
        "__global uint2 *y = (__global uint2 *)(y_bytes + y_offset);",
        "const uint2 t1 = x[global_x];",
        "(uint2)(0x3c003c00u)",
        "fma.rn.f16x2 %0, %1, %2, %3;",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("from_half"), "nothing of it is f32\n{text}");
    let features = needs(&k).features;
    assert!(features.contains(Features::INLINE_PTX) && !features.contains(Features::F16));
}

#[test]
fn what_halves_have_no_instruction_for_is_rounded_once() {
    let text = ptx(&map_of(Scalar::F16, 2, |_, x| x.unary(UnaryOp::Exp)));
    assert!(text.contains("y[global_x] = to_half2(exp(from_half2(t1)));"), "{text}");
}

#[test]
fn conversions_there_and_back_are_none() {
    let k = map_of(Scalar::U32, 1, |_, x| {
        let halves = x.unpack(Packing::Half2).cast(Scalar::F16);
        (halves - halves * 0.5).cast(Scalar::F32).pack(Packing::Half2)
    });
    let text = ptx(&k);
    assert!(text.contains("sub_half2(") && text.contains("mul_half2("), "{text}");
    let body = body(&text).join("\n");
    assert!(!body.contains("from_half") && !body.contains("to_half"), "{body}");
}

#[test]
fn parts_of_halves() {
    let k = map_of(Scalar::F16, 4, |b, x| b.compose(&[x.lane(3), x.lane(2), x.lane(1), x.lane(0)]));
    let text = ptx(&k);
    let want = "as_uint2((ushort4)(as_ushort4(t1).w, as_ushort4(t1).z, as_ushort4(t1).y, as_ushort4(t1).x))";
    assert!(text.contains(want), "{text}");
}

#[test]
fn choices_are_between_values() {
    // of memory, too: a read inside of the choice would be a branch
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::Read),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("choose", bindings, |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, F32);
        store(b, 1, i, b.select(i.lt(7u32), x * 3.0, b.f32(0.0)));
    });
    let text = ptx(&k);
    assert!(text.contains("y[global_x] = (global_x < 7u) ? t2 : 0.0f;"), "{text}");
    assert!(text.contains("const float t2 = t1 * 3.0f;"), "{text}");
}

#[test]
fn subgroups_are_warps() {
    let k = map_of(Scalar::F32, 1, |b, x| {
        let sum = x.subgroup(SubgroupOp::Add) + x.subgroup_shuffle_xor(b.u32(1));
        sum + b.subgroup_invocation().cast(Scalar::F32) + b.subgroup_id().cast(Scalar::F32)
    });
    let k = Kernel { subgroup_size: 32, ..k };
    let text = ptx(&k);
    for part in [
        "shfl.sync.bfly.b32 %0, %1, %2, 31, -1;",
        "x = x + shuffle_bfly_float(x, mask);",
        "const uint subgroup = (uint)(get_local_id(0)) / 32u;",
        "const uint subgroup_lane = (uint)(get_local_id(0)) % 32u;",
        "= subgroup_add_float(t1);",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("cl_khr_subgroups") && !text.contains("sub_group"), "{text}");
    let needs = needs(&k);
    assert_eq!(needs.features, Features::INLINE_PTX);
    assert_eq!(needs.subgroup_size, 32);
    // integers have an instruction of their own
    let k = map_of(Scalar::U32, 1, |_, x| x.subgroup(SubgroupOp::Max));
    assert!(ptx(&k).contains("redux.sync.max.u32 %0, %1, -1;"));
    // part of a subgroup would wait for lanes that are not there
    let k = Kernel { workgroup_size: [48, 1, 1], ..k };
    let error = try_ptx(&k).unwrap_err().to_string();
    assert!(error.contains("workgroups of 48"), "{error}");
}

#[test]
fn dot_products_are_one_instruction() {
    let k = map_of(Scalar::U32, 1, |b, x| x.dot4(x, b.i32(1), true).bitcast(Scalar::U32));
    let text = ptx(&k);
    assert!(text.contains("dp4a.s32.s32 %0, %1, %2, %3;"), "{text}");
    assert!(needs(&k).features.contains(Features::INLINE_PTX));
}

fn matrix(role: MatrixRole, component: Component, rows: u32, cols: u32) -> Matrix {
    Matrix { role, component, rows, cols }
}

/// A product through workgroup memory: `along`: both operands lie along the depth; `pad` elements between
/// their lines.
fn halves_product(along: bool, pad: u32) -> Kernel {
    let bindings = vec![
        buffer("a", Scalar::F16, 4, 64, Access::Read),
        buffer("c", Scalar::F32, 4, 64, Access::Write),
    ];
    let k = kernel("product", bindings, |b| {
        let stride = 16 + pad;
        let tile = b.shared("tile", Scalar::F16, 4, 2 * 4 * stride);
        let out = b.shared("out", Scalar::F32, 4, 64);
        let i = b.local_index();
        let sum = b.var("sum", b.matrix_zero(matrix(MatrixRole::C, Component::F32, 16, 16)));
        tile.store(i, load(b, 0, i, Type::vec(Scalar::F16, 4)));
        b.barrier();
        let half = |role| matrix(role, Component::F16, 16, 16);
        let x = tile.load_matrix(half(MatrixRole::A), 0u32, stride, along);
        let w =
            tile.load_matrix(half(MatrixRole::B), b.subgroup_id() * (16 * stride), stride, !along);
        sum.set(b.matrix_mul_add(x, w, sum.get()));
        out.store_matrix(sum.get(), 0u32, 16u32, true);
        b.barrier();
        store(b, 1, i, out.load(i));
    });
    Kernel { subgroup_size: 32, ..k }
}

#[test]
fn matrices_of_halves() {
    let k = halves_product(true, 8);
    drift_kernel::validate(&k).unwrap();
    let text = ptx(&k);
    for part in [
        "__local uint2 tile[192] __attribute__((aligned(16)));",
        "float8 sum;",
        "= (float8)(0);",
        "= load_left(tile, 0u * 2u, 24u * 2u, subgroup_lane);",
        "= load_right(tile, subgroup * 384u * 2u, 24u * 2u, subgroup_lane);",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
        "= multiply_halves(t",
        "store_sums_float(sum, (__local float *)out + 0u, 16u, subgroup_lane);",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let needs = needs(&k);
    let shape = needs.matrix_shapes[0];
    assert_eq!((shape.m, shape.n, shape.k, shape.acc), (16, 16, 16, MatrixElem::F32));
    assert!(needs.features.contains(Features::INLINE_PTX));
    assert!(!needs.features.contains(Features::COOPERATIVE_MATRIX), "the language has none");
}

#[test]
fn matrices_across_the_depth_are_turned() {
    let text = ptx(&halves_product(false, 8));
    assert!(text.contains("load_left_across(tile,") && text.contains("load_right_across(tile,"));
    assert_eq!(text.matches("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16").count(), 2);
}

#[test]
fn lines_of_matrices_are_aligned_or_refused() {
    assert!(try_ptx(&halves_product(true, 0)).is_ok());
    let error = try_ptx(&halves_product(true, 4)).unwrap_err().to_string();
    assert!(error.contains("multiples of 8 elements"), "{error}");
}

#[test]
fn matrices_of_bytes() {
    let bindings = vec![
        buffer("a", Scalar::U32, 4, 64, Access::Read),
        buffer("c", Scalar::F32, 4, 64, Access::Write),
    ];
    let k = kernel("bytes", bindings, |b| {
        let tile = b.shared("tile", Scalar::U32, 4, 128);
        let i = b.local_index();
        tile.store(i, load(b, 0, i, Type::vec(Scalar::U32, 4)));
        b.barrier();
        let x = tile.load_matrix(matrix(MatrixRole::A, Component::I8, 16, 32), 0u32, 12u32, true);
        let w = tile.load_matrix(matrix(MatrixRole::B, Component::I8, 32, 16), 4u32, 12u32, false);
        let sum =
            b.matrix_mul_add(x, w, b.matrix_zero(matrix(MatrixRole::C, Component::I32, 16, 16)));
        b.barrier();
        tile.store_matrix(sum, 0u32, 20u32, true);
        b.barrier();
        store(b, 1, i, tile.load(i).bitcast(Scalar::I32).cast(Scalar::F32));
    });
    let text = ptx(&k);
    for part in [
        "__local uint4 tile[128] __attribute__((aligned(16)));",
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32",
        "load_right(tile, 4u * 4u, 12u * 4u, subgroup_lane)",
        "store_sums_int(t",
        "(__local int *)tile",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(needs(&k).matrix_shapes[0].ab, MatrixElem::S8);
}
