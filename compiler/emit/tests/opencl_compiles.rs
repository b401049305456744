//! A compiler's opinion of our OpenCL C: clang, which most drivers are made of, on every construct. Once
//! with all extensions, once as for devices without halves, and once with PTX between the statements, whose
//! operands it checks.

mod common;
use common::*;
use drift_bundle::caps::ImageKind;
use drift_emit::{Dialect, DialectOptions, emit};
use drift_kernel::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// clang 15 or newer, where it is installed; else a visible line. Before, its header had no
/// `vload_half` for devices without halves.
fn clang() -> Option<&'static str> {
    let major = |name: &str| -> Option<u32> {
        let output = Command::new(name).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split("version ").nth(1)?.split('.').next()?.parse().ok()
    };
    let names = ["clang", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20"];
    let found = names.into_iter().find(|name| major(name).is_some_and(|n| n >= 15));
    if found.is_none() {
        println!("skipped: no clang of version 15 or newer is installed");
    }
    found
}

/// Panics with what clang says about a text.
fn compiles(clang: &str, text: &str, extensions: &str) {
    compiles_for(clang, "spir64", text, extensions);
}

fn compiles_for(clang: &str, target: &str, text: &str, extensions: &str) {
    let mut child = Command::new(clang)
        .args(["-x", "cl", "-cl-std=CL1.2", "-target", target, "-fsyntax-only"])
        .args(["-Xclang", "-finclude-default-header"])
        .args(["-Xclang", &format!("-cl-ext={extensions}")])
        // clang has no pragma for an extension that adds functions only
        .args(["-Werror", "-Wall", "-Wno-unused", "-Wno-ignored-pragmas", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it has run before");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{text}");
}

fn text_of(k: &Kernel, native_half: bool) -> String {
    text_with(k, DialectOptions { native_half, ..DialectOptions::default() })
}

fn text_with(k: &Kernel, options: DialectOptions) -> String {
    let shader = emit(k, Dialect::OpenClC, &options).unwrap_or_else(|e| panic!("{e}"));
    shader.text().expect("text").to_owned()
}

/// Compiles a kernel as it is for devices with and without halves.
fn check(clang: &str, k: &Kernel) {
    compiles(clang, &text_of(k, true), "+all");
    compiles(clang, &text_of(k, false), "+all,-cl_khr_fp16");
    check_ptx(clang, k);
}

/// As NVIDIA's compiler would take it.
fn check_ptx(clang: &str, k: &Kernel) {
    let text = text_with(k, DialectOptions { inline_ptx: true, ..DialectOptions::default() });
    compiles_for(clang, "nvptx64-nvidia-nvcl", &text, "+all,-cl_khr_fp16");
}

/// `y[i] = f(x[i])`, of numbers that lie in elements of `store` (three lie as one and two).
fn map(scalar: Scalar, width: u8, f: impl for<'b> Fn(&'b Builder, E<'b>) -> Vec<E<'b>>) -> Kernel {
    let bindings = vec![
        buffer("x", scalar, 1, 4096, Access::Read),
        buffer("y", Scalar::U32, 1, 4096, Access::Write),
    ];
    kernel("map", bindings, |b| {
        let i = b.global_id(0);
        let part = |k: u32| load(b, 0, i * 4u32 + k, Type::scalar(scalar));
        let x = match width {
            1 => part(0),
            n => b.compose(&(0..u32::from(n)).map(part).collect::<Vec<_>>()),
        };
        for value in f(b, x) {
            let v = value.ty().vector();
            let bits = match v.scalar {
                Scalar::Bool => value.cast(Scalar::U32),
                Scalar::F16 => value.cast(Scalar::F32).bitcast(Scalar::U32),
                Scalar::U32 => value,
                _ => value.bitcast(Scalar::U32),
            };
            for lane in 0..v.width {
                store(b, 1, i, bits.lane(lane));
            }
        }
    })
}

#[test]
fn functions_of_every_type_and_width() {
    use BinaryOp as B;
    use UnaryOp as U;
    let Some(clang) = clang() else { return };
    for width in 1..=4 {
        for scalar in [Scalar::F32, Scalar::F16] {
            let all = [
                U::Neg,
                U::Abs,
                U::Sign,
                U::Floor,
                U::Ceil,
                U::Round,
                U::Trunc,
                U::Sqrt,
                U::Rsqrt,
                U::Exp,
                U::Exp2,
                U::Log,
                U::Log2,
                U::Sin,
                U::Cos,
                U::Tan,
                U::Asin,
                U::Acos,
                U::Atan,
                U::Sinh,
                U::Cosh,
                U::Tanh,
                U::Asinh,
                U::Acosh,
                U::Atanh,
                U::IsNan,
                U::IsInf,
            ];
            check(clang, &map(scalar, width, |_, x| all.map(|op| x.unary(op)).to_vec()));
            let all = [
                B::Add,
                B::Sub,
                B::Mul,
                B::Div,
                B::Rem,
                B::Min,
                B::Max,
                B::Pow,
                B::Eq,
                B::Ne,
                B::Lt,
                B::Le,
                B::Gt,
                B::Ge,
            ];
            check(clang, &map(scalar, width, |_, x| all.map(|op| x.binary(op, x + 1.0)).to_vec()));
            check(
                clang,
                &map(scalar, width, |b, x| {
                    let mask = x.gt(0.0).and(x.is_nan()).or(!x.lt(1.0)).xor(x.eq(x * 2.0));
                    let mut out = vec![
                        x.fma(x, 1.0),
                        b.select(mask, x, x * 0.5),
                        b.select(x.lane(0).gt(0.0), x, x * f32::INFINITY),
                        x.cast(Scalar::I32),
                        x.cast(Scalar::U32),
                        x.cast(Scalar::Bool),
                        mask.cast(x.ty().vector().scalar),
                    ];
                    if width > 1 {
                        out.extend([x.dot(x), x.lane_dyn(b.global_id(0) % 2u32)]);
                        out.push(mask.lane_dyn(b.global_id(0) % 2u32).cast(Scalar::U32));
                        out.push(mask.lane(1).cast(Scalar::U32));
                    }
                    out
                }),
            );
        }
        for scalar in [Scalar::I32, Scalar::U32] {
            let all = [
                B::Add,
                B::Sub,
                B::Mul,
                B::Div,
                B::Rem,
                B::Min,
                B::Max,
                B::And,
                B::Or,
                B::Xor,
                B::Shl,
                B::Shr,
                B::Eq,
                B::Ne,
                B::Lt,
                B::Le,
                B::Gt,
                B::Ge,
            ];
            check(
                clang,
                &map(scalar, width, |b, x| {
                    let mut out = all.map(|op| x.binary(op, x.binary(B::Or, 3u32))).to_vec();
                    out.extend([U::Not, U::Abs, U::Sign].map(|op| x.unary(op)));
                    out.extend([
                        x / 7u32,
                        x.cast(Scalar::F32),
                        x.cast(Scalar::F16),
                        x.cast(Scalar::Bool),
                    ]);
                    out.extend([x.fma(x, 1u32), b.select(x.gt(1u32), x, x * 2u32)]);
                    if scalar == Scalar::I32 {
                        out.extend([-x, x / -1i32, x - i32::MIN, x.cast(Scalar::U32)]);
                    }
                    out
                }),
            );
        }
    }
}

#[test]
fn packing_and_dot_products() {
    let Some(clang) = clang() else { return };
    check(
        clang,
        &map(Scalar::U32, 1, |b, x| {
            vec![
                x.unpack(Packing::Half2).pack(Packing::Half2),
                x.unpack(Packing::I8x4).pack(Packing::I8x4),
                x.unpack(Packing::U8x4).pack(Packing::U8x4),
                x.dot4(x, b.i32(3), true),
                x.dot4(x, b.u32(3), false),
                b.lit_like(f64::NAN, F32),
                b.lit_like(f64::NEG_INFINITY, F16),
            ]
        }),
    );
}

#[test]
fn memory_of_every_kind() {
    let Some(clang) = clang() else { return };
    for scalar in [Scalar::F32, Scalar::F16, Scalar::I32] {
        for width in [1, 2, 4] {
            let ty = Type::vec(scalar, width);
            let bindings = vec![
                buffer("x", scalar, width, 256, Access::Read),
                buffer("y", scalar, width, 256, Access::ReadWrite),
            ];
            check(
                clang,
                &kernel("memory", bindings, |b| {
                    let (i, l) = (b.global_id(0), b.local_index());
                    let tile = b.shared("tile", scalar, width, 64);
                    let table = b.array("table", ty, 8);
                    let acc = b.var("acc", load(b, 0, i, ty));
                    b.for_unroll(0u32, 8u32, 1, Unroll::Full, |k| table.set_at(k, acc.get()));
                    tile.store(l, acc.get());
                    b.barrier();
                    let rounds = b.global_id(1).min(1u32);
                    b.for_(0u32, rounds, 2, |k| {
                        acc.set(acc.get() + tile.load(b.u32(63) - l) + table.at(k % 8u32));
                        b.barrier();
                        b.if_(k.gt(100u32), || b.break_());
                    });
                    b.if_else(i.lt(7u32), || store(b, 1, i, acc.get()), || b.return_());
                }),
            );
        }
    }
    use ImageKind::*;
    for (kind, n) in [(TexelBuffer, 1), (Texture2d, 2), (Texture2dArray, 3), (Texture3d, 3)] {
        let bindings = vec![
            image("x", kind, Scalar::F16, Access::Read),
            image("y", kind, Scalar::F32, Access::Write),
        ];
        check(
            clang,
            &kernel("texels", bindings, |b| {
                let all = [b.global_id(0).id, b.global_id(1).id, b.global_id(2).id];
                let coords = all[..n].to_vec();
                let read = Expr::Image { binding: BindingId(0), coords: coords.clone() };
                let value = (b.ordered(read, F32X4) * 2.0).id;
                b.stmt(Stmt::StoreImage { binding: BindingId(1), coords, value });
            }),
        );
    }
}

/// The functions are the extension's own: clang 15 declares them for newer versions of the language.
#[test]
fn subgroups() {
    let Some(clang) = clang() else { return };
    let k = map(Scalar::F32, 4, |b, x| {
        let sum = x.subgroup(SubgroupOp::Add) + x.subgroup(SubgroupOp::Max);
        let first = Expr::SubgroupBroadcast(x.id, b.u32(0).id);
        let first = b.ordered(first, x.ty());
        let lane = b.subgroup_id() * b.subgroup_size() + b.subgroup_invocation();
        vec![sum + x.subgroup_shuffle_xor(b.u32(1)), first, lane]
    });
    let text = text_of(&k, true);
    let text = format!(
        "float sub_group_reduce_add(float x); float sub_group_reduce_max(float x);\n\
         float sub_group_broadcast(float x, uint lane); uint get_sub_group_id(void);\n\
         float sub_group_shuffle_xor(float x, uint mask); uint get_sub_group_local_id(void);\n\
         uint get_sub_group_size(void);\n{text}"
    );
    compiles(clang, &text, "+all");
    check_ptx(clang, &k);
}

#[test]
fn subgroups_and_shuffles_of_every_type_in_ptx() {
    let Some(clang) = clang() else { return };
    for scalar in [Scalar::F32, Scalar::F16, Scalar::I32, Scalar::U32] {
        for width in [1, 2, 4] {
            let k = map(scalar, width, |b, x| {
                let lane = b.subgroup_id() * b.subgroup_size() + b.subgroup_invocation();
                let first = b.ordered(Expr::SubgroupBroadcast(x.id, lane.id), x.ty());
                let all = [SubgroupOp::Add, SubgroupOp::Min, SubgroupOp::Max];
                let mut out = all.map(|op| x.subgroup(op)).to_vec();
                out.extend([x.subgroup_shuffle_xor(b.u32(1)), first]);
                out
            });
            check_ptx(clang, &k);
        }
    }
}
