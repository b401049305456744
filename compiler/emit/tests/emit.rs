//! Every construct of the IR in every dialect.

mod common;
use common::*;
use drift_bundle::caps::ImageKind;
use drift_emit::{Dialect, DialectOptions, EmitError, Needs, emit};
use drift_kernel::*;

fn read_write(scalar: Scalar, width: u8) -> Vec<Binding> {
    vec![
        buffer("x", scalar, width, 256, Access::Read),
        buffer("y", scalar, width, 256, Access::Write),
    ]
}

/// `y[i] = f(x[i])` of f32.
fn map(name: &str, width: u8, f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>) -> Kernel {
    kernel(name, read_write(Scalar::F32, width), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, Type::vec(Scalar::F32, width));
        store(b, 1, i, f(b, x));
    })
}

#[test]
fn elementwise() {
    for width in [1, 2, 4] {
        let k = map("scale", width, |_, x| (x * 2.0 + 1.0).max(0.0));
        everywhere(&k);
        let words = spirv(&k);
        // Shader and nothing else
        assert_eq!(capabilities(&words), [1]);
    }
}

#[test]
fn unary_functions() {
    use UnaryOp::*;
    let all = [
        Neg, Abs, Sign, Floor, Ceil, Round, Trunc, Sqrt, Rsqrt, Exp, Exp2, Log, Log2, Sin, Cos,
        Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh, Atanh,
    ];
    for width in [1, 4] {
        for op in all {
            everywhere(&map("unary", width, |_, x| x.unary(op)));
        }
        for op in [IsNan, IsInf] {
            everywhere(&map("classify", width, |b, x| b.select(x.unary(op), x * 0.0, x)));
        }
    }
}

#[test]
fn nan_tests_are_bit_tests() {
    let k = map("nan", 1, |b, x| b.select(x.is_nan(), 0.0, x));
    for dialect in TEXT {
        let text = text(&k, dialect);
        assert!(text.contains("2139095040"), "compares with the bits of infinity: {text}");
        assert!(!text.contains("isnan"), "{text}");
    }
}

#[test]
fn binary_functions() {
    use BinaryOp::*;
    for op in [Add, Sub, Mul, Div, Rem, Min, Max, Pow] {
        everywhere(&map("float", 4, |_, x| x.binary(op, x + 1.0)));
        everywhere(&map("float", 1, |_, x| x.binary(op, x + 1.0)));
    }
    for op in [Eq, Ne, Lt, Le, Gt, Ge] {
        everywhere(&map("compare", 1, |b, x| b.select(x.binary(op, 1.0), 2.0, x)));
        everywhere(&map("compare", 4, |b, x| b.select(x.binary(op, 1.0), 2.0, x)));
    }
    for scalar in [Scalar::I32, Scalar::U32] {
        for op in [Add, Sub, Mul, Div, Rem, Min, Max, And, Or, Xor, Shl, Shr] {
            for width in [1, 4] {
                let k = kernel("integer", read_write(scalar, width), |b| {
                    let i = b.global_id(0);
                    let x = load(b, 0, i, Type::vec(scalar, width));
                    store(b, 1, i, x.binary(op, x.binary(Or, 3u32)));
                });
                everywhere(&k);
            }
        }
        for op in [UnaryOp::Neg, UnaryOp::Not, UnaryOp::Abs, UnaryOp::Sign, UnaryOp::Floor] {
            everywhere(&kernel("integer", read_write(scalar, 4), |b| {
                let i = b.global_id(0);
                store(b, 1, i, load(b, 0, i, Type::vec(scalar, 4)).unary(op));
            }));
        }
    }
}

#[test]
fn integer_division_has_no_guards() {
    let k = kernel("divide", read_write(Scalar::U32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, U32);
        store(b, 1, i, x / 7u32 + x % (x + 1u32));
    });
    let words = spirv(&k);
    assert_eq!(instructions(&words, 54).len(), 1, "no helper functions");
    assert!(!text(&k, Dialect::Msl).contains("naga_div"));
    assert!(!text(&k, Dialect::Msl).contains("naga_mod"));
}

#[test]
fn bools() {
    everywhere(&map("bools", 1, |b, x| {
        let (p, q) = (x.gt(0.0), x.lt(1.0));
        b.select(p.and(q).or(!p).xor(p.eq(q)), x, b.f32(0.0))
    }));
    // a scalar condition over vectors
    everywhere(&map("bools", 4, |b, x| b.select(x.lane(0).gt(0.0), x, b.zero4())));
    everywhere(&map("bools", 1, |_, x| x.gt(0.0).cast(Scalar::F32)));
}

#[test]
fn conversions() {
    everywhere(&map("convert", 4, |_, x| {
        x.cast(Scalar::I32).cast(Scalar::U32).cast(Scalar::F32)
            + x.bitcast(Scalar::U32).bitcast(Scalar::F32)
    }));
    everywhere(&map("lanes", 4, |b, x| {
        let k = b.global_id(0) % 4u32;
        b.compose(&[x.lane(3), x.lane_dyn(k), x.dot(x), x.hsum()])
    }));
    everywhere(&map("fma", 4, |_, x| x.fma(x, x)));
}

#[test]
fn packing() {
    everywhere(&kernel("packing", read_write(Scalar::U32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, U32);
        let half = x.unpack(Packing::Half2).pack(Packing::Half2);
        let signed = x.unpack(Packing::I8x4).pack(Packing::I8x4);
        let unsigned = x.unpack(Packing::U8x4).pack(Packing::U8x4);
        store(b, 1, i, half.xor(signed).xor(unsigned));
    }));
}

#[test]
fn unpacking_bytes_needs_no_8_bit_integers() {
    let k = kernel("unpack", read_write(Scalar::U32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, U32).unpack(Packing::U8x4);
        store(b, 1, i, x.hsum());
    });
    assert_eq!(capabilities(&spirv(&k)), [1]);
}

fn dot4() -> Kernel {
    kernel("dot4", read_write(Scalar::U32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, U32);
        let signed = x.dot4(x, b.i32(1), true);
        let unsigned = x.dot4(x, b.u32(1), false);
        store(b, 1, i, unsigned + signed.bitcast(Scalar::U32));
    })
}

#[test]
fn dot4_native_or_not() {
    let k = dot4();
    everywhere(&k);
    const DOT_PRODUCT: u32 = 6019;
    assert!(capabilities(&spirv(&k)).contains(&DOT_PRODUCT));
    let options = DialectOptions { native_dot4: false, ..DialectOptions::default() };
    let polyfill = emit(&k, Dialect::SpirV, &options).unwrap().words().unwrap();
    assert_eq!(capabilities(&polyfill), [1]);
    drift_spirv_val::validate_spirv(&polyfill, drift_spirv_val::Env::Vulkan11).unwrap();
}

#[test]
fn infinities_and_nan() {
    let k =
        map("limits", 1, |b, x| x.max(f32::NEG_INFINITY) + b.f32(f32::INFINITY) + b.f32(f32::NAN));
    everywhere(&k);
    // never a constant expression in WGSL, where it would be an error
    let wgsl = text(&k, Dialect::Wgsl);
    assert!(!wgsl.contains("bitcast<f32>(42"), "{wgsl}");
}

#[test]
fn f16_arithmetic() {
    for width in [1, 2, 4] {
        let ty = Type::vec(Scalar::F16, width);
        let k = kernel("half", read_write(Scalar::F16, width), |b| {
            let i = b.global_id(0);
            let x = load(b, 0, i, ty);
            store(b, 1, i, (x * 2.0 + f32::NEG_INFINITY).tanh());
        });
        everywhere(&k);
        let mut found = capabilities(&spirv(&k));
        found.sort_unstable();
        // Shader, Float16, StorageBuffer16BitAccess; not UniformAndStorageBuffer16BitAccess
        assert_eq!(found, [1, 9, 4433]);
        assert!(text(&k, Dialect::Wgsl).starts_with("enable f16;"));
    }
}

#[test]
fn f16_storage_alone_needs_no_f16_arithmetic() {
    let k = kernel("mixed", read_write(Scalar::F16, 4), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, Type::vec(Scalar::F16, 4)).cast(Scalar::F32);
        store(b, 1, i, (x * 2.0).cast(Scalar::F16));
    });
    everywhere(&k);
    let mut found = capabilities(&spirv(&k));
    found.sort_unstable();
    assert_eq!(found, [1, 4433]);
}

#[test]
fn shared_reduction() {
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::Read),
        buffer("y", Scalar::F32, 1, 4, Access::Write),
    ];
    let k = kernel("sum", bindings, |b| {
        let (i, local) = (b.global_id(0), b.local_index());
        let partial = b.shared("partial", Scalar::F32, 1, 64);
        partial.store(local, load(b, 0, i, F32));
        b.barrier();
        let sum = b.var("sum", b.f32(0.0));
        b.if_(local.eq(0u32), || {
            b.for_(0u32, 64u32, 1, |j| sum.set(sum.get() + partial.load(j)));
            store(b, 1, b.workgroup_id(0), sum.get());
        });
    });
    everywhere(&k);
    let words = spirv(&k);
    assert_eq!(instructions(&words, 224).len(), 1, "one barrier");
    // neither zeroed workgroup memory nor zeroed variables
    assert!(instructions(&words, 59).iter().all(|v| v.len() == 3));
    assert!(!text(&k, Dialect::Msl).contains("is_naga_first"));
}

#[test]
fn barriers_in_a_loop() {
    let bindings = read_write(Scalar::F32, 1);
    everywhere(&kernel("tiles", bindings, |b| {
        let local = b.local_index();
        let tile = b.shared("tile", Scalar::F32, 4, 64);
        let acc = b.var("acc", b.zero4());
        b.for_(0u32, 16u32, 1, |k| {
            let x = load(b, 0, k * 16u32 + b.workgroup_id(0), F32);
            tile.store(local, x.splat(4));
            b.barrier();
            acc.set(acc.get() + tile.load(b.u32(63) - local));
            b.barrier();
        });
        store(b, 1, b.global_id(0), acc.get().hsum());
    }));
}

#[test]
fn nested_control_flow() {
    let k = kernel("nested", read_write(Scalar::F32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, F32);
        let acc = b.var("acc", x);
        let table = b.array("table", F32, 8);
        b.for_unroll(0u32, 8u32, 1, Unroll::Full, |k| table.set_at(k, x + k.cast(Scalar::F32)));
        b.for_unroll(i, 200u32, 3, Unroll::Never, |k| {
            b.if_else(
                k.gt(100u32),
                || {
                    acc.set(acc.get() + table.at(k % 8u32));
                    b.if_(acc.get().gt(1e6), || b.break_());
                },
                || {
                    b.for_(0u32, k, 1, |j| {
                        acc.set(acc.get() * (j + k).cast(Scalar::F32));
                        b.if_(acc.get().lt(-1e6), || {
                            store(b, 1, i, acc.get());
                            b.return_();
                        });
                    });
                },
            );
        });
        store(b, 1, i, acc.get());
    });
    everywhere(&k);
    let controls: Vec<u32> = instructions(&spirv(&k), 246).iter().map(|m| m[2]).collect();
    assert_eq!(controls, [1, 2, 0], "Unroll, DontUnroll, none, in the order of the loops");
}

#[test]
fn nothing_follows_a_break() {
    let k = kernel("ended", read_write(Scalar::F32, 1), |b| {
        let i = b.global_id(0);
        b.for_(0u32, 8u32, 1, |k| {
            store(b, 1, i, load(b, 0, k, F32));
            b.break_();
            b.for_unroll(0u32, 4u32, 1, Unroll::Full, |_| b.barrier());
        });
        b.return_();
        b.barrier();
    });
    everywhere(&k);
    assert!(instructions(&spirv(&k), 224).is_empty());
}

/// Position of the first instruction with an opcode.
fn first(words: &[u32], opcode: u32) -> usize {
    let mut at = 5;
    while words[at] & 0xffff != opcode {
        at += (words[at] >> 16) as usize;
    }
    at
}

#[test]
fn index_math_leaves_the_loop() {
    let k = kernel("hoist", read_write(Scalar::F32, 1), |b| {
        let i = b.global_id(0);
        let acc = b.var("acc", b.f32(0.0));
        b.for_(0u32, 16u32, 1, |k| {
            // needed in the loop only, and the same in every iteration
            let row = (i / 3u32) % 5u32;
            acc.set(acc.get() + load(b, 0, row + k, F32));
        });
        store(b, 1, i, acc.get());
    });
    everywhere(&k);
    let words = spirv(&k);
    const UMOD: u32 = 137;
    assert_eq!(instructions(&words, UMOD).len(), 1);
    assert!(first(&words, UMOD) < first(&words, 246), "evaluated before the loop");
}

#[test]
fn siblings_evaluate_for_themselves() {
    everywhere(&kernel("siblings", read_write(Scalar::F32, 1), |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, F32);
        let root = x.sqrt();
        b.if_else(x.gt(1.0), || store(b, 1, i, root), || store(b, 1, i, root + 1.0));
        store(b, 1, i, root * 3.0);
    }));
}

#[test]
fn deep_expressions_get_names() {
    let k = map("deep", 1, |_, x| (0..500).fold(x, |acc, i| (acc + i as f32) * x));
    everywhere(&k);
    for dialect in TEXT {
        let text = text(&k, dialect);
        let deepest = text.lines().map(|line| line.matches('(').count()).max().unwrap();
        assert!(deepest < 40, "{deepest} brackets in a line of {dialect:?}");
    }
}

#[test]
fn depth_is_no_limit() {
    let k = map("very_deep", 1, |_, x| (0..20_000).fold(x, |acc, _| acc * x + 0.5));
    // a thread's stack, not that of a main program
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let words = small.spawn(move || spirv(&k)).unwrap().join().unwrap();
    const FADD: u32 = 129;
    assert_eq!(instructions(&words, FADD).len(), 20_000);
}

#[test]
fn images() {
    use ImageKind::*;
    for (kind, coords) in [(Texture2d, 2), (Texture2dArray, 3), (Texture3d, 3)] {
        for texel in [Scalar::F32, Scalar::F16] {
            let bindings =
                vec![image("x", kind, texel, Access::Read), image("y", kind, texel, Access::Write)];
            let k = kernel("texels", bindings, |b| {
                let i = b.global_id(0);
                let at: Vec<ExprId> =
                    [i % 16u32, i / 16u32, b.u32(1)][..coords].iter().map(|e| e.id).collect();
                let x = b.ordered(Expr::Image { binding: BindingId(0), coords: at.clone() }, F32X4);
                let value = (x * 2.0).id;
                b.stmt(Stmt::StoreImage { binding: BindingId(1), coords: at, value });
            });
            everywhere(&k);
            assert_eq!(capabilities(&spirv(&k)), [1], "no StorageImageWriteWithoutFormat");
        }
    }
}

#[test]
fn subgroups() {
    for scalar in [Scalar::F32, Scalar::U32] {
        let k = kernel("subgroups", read_write(scalar, 1), |b| {
            let i = b.global_id(0);
            let x = load(b, 0, i, Type::scalar(scalar));
            let x = x.subgroup(SubgroupOp::Add).max(x.subgroup(SubgroupOp::Max));
            let x = x + x.subgroup(SubgroupOp::Min) + x.subgroup_shuffle_xor(b.u32(1));
            let lane = b.subgroup_invocation();
            let first = |lane: E<'_>| {
                let e = Expr::SubgroupBroadcast(x.id, lane.id);
                b.ordered(e, Type::scalar(scalar)).id
            };
            let (_, _) = (first(b.u32(0)), first(lane));
            let id = (b.subgroup_id() * b.subgroup_size() + lane).cast(scalar);
            store(b, 1, i, x + id);
        });
        everywhere(&k);
        let wgsl = emit(&k, Dialect::Wgsl, &DialectOptions::default()).unwrap();
        assert!(wgsl.needs_subgroups_enable);
        assert!(!wgsl.text().unwrap().contains("enable subgroups"));
        assert!(!emitted(&map("plain", 1, |_, x| x), Dialect::Wgsl).needs_subgroups_enable);
    }
}

/// The component that lies in memory as it is.
fn component(s: Scalar) -> Component {
    match s {
        Scalar::F16 => Component::F16,
        _ => Component::F32,
    }
}

fn matmul(side: u32, ab: Scalar, acc: Scalar) -> Kernel {
    let elems = u64::from(side * side);
    let bindings = vec![
        buffer("a", ab, 1, 4 * elems, Access::Read),
        buffer("b", ab, 1, 4 * elems, Access::Read),
        buffer("c", acc, 1, elems, Access::Write),
    ];
    let mut k = kernel("matmul", bindings, |b| {
        let m = |role, component| Matrix { role, component, rows: side, cols: side };
        let (a_ty, b_ty) = (m(MatrixRole::A, component(ab)), m(MatrixRole::B, component(ab)));
        let c_ty = m(MatrixRole::C, component(acc));
        let tile = b.shared("tile", ab, 1, side * side);
        let out = b.shared("out", acc, 1, side * side);
        let sums = b.array("sums", Type::Matrix(c_ty), 2);
        let sum = b.var("sum", b.matrix_zero(c_ty));
        sums.set_at(0u32, sum.get());
        let local = b.local_index();
        let stride = b.u32(side);
        b.for_(0u32, 4u32, 1, |k| {
            tile.store(local, load(b, 0, k * (side * side) + local, Type::scalar(ab)));
            b.barrier();
            let x = tile.load_matrix(a_ty, 0u32, side, true);
            let w = b.ordered(
                Expr::MatrixLoad {
                    matrix: b_ty,
                    from: MatrixPlace::Buffer(BindingId(1)),
                    index: (k * (side * side)).id,
                    stride: stride.id,
                    row_major: false,
                },
                Type::Matrix(b_ty),
            );
            sum.set(b.matrix_mul_add(x, w, sum.get()));
            sums.set_at(k % 2u32, b.matrix_mul_add(x, w, sums.at(k % 2u32)));
            b.barrier();
        });
        out.store_matrix(sum.get(), 0u32, side, true);
        b.barrier();
        store(b, 2, local, out.load(local));
        b.stmt(Stmt::StoreMatrix {
            value: sum.get().id,
            to: MatrixPlace::Buffer(BindingId(2)),
            index: b.u32(0).id,
            stride: stride.id,
            row_major: false,
        });
    });
    k.subgroup_size = 32;
    k
}

#[test]
fn cooperative_matrices() {
    for (ab, acc) in
        [(Scalar::F16, Scalar::F16), (Scalar::F16, Scalar::F32), (Scalar::F32, Scalar::F32)]
    {
        everywhere(&matmul(8, ab, acc));
        let k = matmul(16, ab, acc);
        spirv(&k);
        // Metal has no other: larger ones are blocks of it, and need no more of a device
        let msl = text(&k, Dialect::Msl);
        assert!(msl.contains("8x8") && !msl.contains("16x16"), "{msl}");
        let needs = Needs::of(&k, Dialect::Msl, &DialectOptions::default());
        assert!(needs.matrix_shapes.iter().all(|s| (s.m, s.n, s.k) == (8, 8, 8)), "{needs:?}");
        assert_eq!(needs.matrix_shapes.len(), 1);
    }
    let msl = text(&matmul(8, Scalar::F16, Scalar::F32), Dialect::Msl);
    assert!(msl.contains("make_filled_simdgroup_matrix<float, 8, 8>(0.0)"), "{msl}");
}

#[test]
fn matrices_in_arrays_of_vectors() {
    let bindings = vec![
        buffer("a", Scalar::F16, 4, 128, Access::Read),
        buffer("c", Scalar::F32, 4, 64, Access::Write),
    ];
    let k = kernel("vectors", bindings, |b| {
        let m = |role, component| Matrix { role, component, rows: 16, cols: 16 };
        let tile = b.shared("tile", Scalar::F16, 4, 256 * 2 / 4);
        let i = b.local_index();
        tile.store(i, load(b, 0, i, Type::vec(Scalar::F16, 4)));
        b.barrier();
        let at = b.subgroup_id() * 256u32;
        let x = tile.load_matrix(m(MatrixRole::A, Component::F16), at, 16u32, true);
        let w = tile.load_matrix(m(MatrixRole::B, Component::F16), 0u32, 16u32, true);
        let c = b.matrix_mul_add(x, w, b.matrix_zero(m(MatrixRole::C, Component::F32)));
        b.stmt(Stmt::StoreMatrix {
            value: c.id,
            to: MatrixPlace::Buffer(BindingId(1)),
            index: b.u32(0).id,
            stride: b.u32(16).id,
            row_major: true,
        });
    });
    let words = spirv(&k);
    // 16 scalars are 4 vectors
    let strides: Vec<u32> = instructions(&words, 4457).iter().map(|load| load[4]).collect();
    for id in strides {
        let stride = instructions(&words, 43).into_iter().find(|c| c[1] == id).unwrap();
        assert_eq!(stride[2], 4);
    }
    // MSL takes pointers to scalars, and counts those
    let msl = text(&k, Dialect::Msl);
    for part in [
        "return NagaCooperativeLoad((const threadgroup half*)at, stride, transpose);",
        "simdgroup_store(m, (device float*)at, stride, 0, transpose);",
        ", 16u, false)",
    ] {
        assert!(msl.contains(part), "{part}\n{msl}");
    }
}

#[test]
fn workgroup_memory_is_visible_under_the_vulkan_memory_model() {
    let words = spirv(&matmul(16, Scalar::F16, Scalar::F32));
    for barrier in instructions(&words, 224) {
        let semantics = instructions(&words, 43)
            .into_iter()
            .find(|constant| constant[1] == barrier[2])
            .expect("semantics are a constant")[2];
        // AcquireRelease, WorkgroupMemory, MakeAvailable, MakeVisible
        assert_eq!(semantics, 0x8 | 0x100 | 0x2000 | 0x4000);
    }
    // the matrix load from workgroup memory is not private
    assert!(instructions(&words, 4457).iter().any(|load| load.last() == Some(&0x20)));
}

#[test]
fn buffers_beyond_what_a_type_may_hold() {
    let bindings = vec![
        buffer("x", Scalar::F32, 4, 1 << 28, Access::Read),
        buffer("y", Scalar::F32, 4, 256, Access::ReadWrite),
    ];
    let k = kernel("big", bindings, |b| {
        let i = b.global_id(0);
        store(b, 1, i, load(b, 0, i, F32X4) + load(b, 1, i, F32X4));
    });
    everywhere(&k);
    assert!(!text(&k, Dialect::Msl).contains("_mslBufferSizes"));
}

#[test]
fn slots_are_binding_numbers() {
    let k = map("slots", 4, |_, x| x);
    let msl = text(&k, Dialect::Msl);
    assert!(msl.contains("[[buffer(0)]]") && msl.contains("[[buffer(1)]]"), "{msl}");
    let words = spirv(&k);
    let decorated = |what: u32| {
        let mut values: Vec<u32> =
            instructions(&words, 71).iter().filter(|d| d[1] == what).map(|d| d[2]).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(decorated(33), [0, 1], "Binding");
    assert_eq!(decorated(34), [0, 0], "DescriptorSet");
    // NonWritable on what is only read
    assert_eq!(instructions(&words, 71).iter().filter(|d| d[1] == 24).count(), 1);
}

#[test]
fn equal_kernels_are_equal_bytes() {
    let make = || matmul(8, Scalar::F16, Scalar::F32);
    for dialect in [Dialect::SpirV, Dialect::Msl, Dialect::Wgsl] {
        let first = emitted(&make(), dialect);
        assert_eq!(first, emitted(&make(), dialect));
        let renamed = Kernel { name: "another".to_owned(), ..make() };
        assert_eq!(first, emitted(&renamed, dialect), "the kernel's name is no part of the code");
    }
}

// ---- refusals ----

#[test]
fn a_dialect_without_a_writer() {
    let k = map("plain", 1, |_, x| x);
    let error = emit(&k, Dialect::KernelIr, &DialectOptions::default()).unwrap_err();
    assert!(matches!(error, EmitError::Unsupported { .. }));
    let message = error.to_string();
    assert!(message.contains("`plain`") && message.contains("KernelIr"), "{message}");
}

#[test]
fn texel_buffers_are_named() {
    let bindings = vec![image("table", ImageKind::TexelBuffer, Scalar::F32, Access::Read)];
    let k = kernel("texel", bindings, |_| {});
    let message = emit(&k, Dialect::SpirV, &DialectOptions::default()).unwrap_err().to_string();
    assert!(message.contains("texel-buffer"), "{message}");
}

#[test]
fn logical_tensors_are_named() {
    let k = kernel("logical", vec![], |b| {
        b.ordered(Expr::Tensor { tensor: TensorId(3), coords: vec![], lanes: 1, axis: 0 }, F32);
    });
    let error = emit(&k, Dialect::SpirV, &DialectOptions::default()).unwrap_err();
    assert!(matches!(error, EmitError::NotPhysical { .. }), "{error}");
    assert!(error.to_string().contains("virtualize"), "{error}");
}

#[test]
fn values_outside_of_their_block() {
    let k = kernel("escaped", read_write(Scalar::F32, 1), |b| {
        let i = b.global_id(0);
        let mut inner = None;
        b.if_(i.lt(5u32), || inner = Some(load(b, 0, i, F32)));
        store(b, 1, i, inner.unwrap());
    });
    for dialect in [Dialect::SpirV, Dialect::Msl, Dialect::Wgsl] {
        let error = emit(&k, dialect, &DialectOptions::default()).unwrap_err();
        assert!(matches!(error, EmitError::Malformed { .. }), "{error}");
    }
}
