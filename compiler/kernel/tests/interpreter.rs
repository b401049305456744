//! What the interpreter promises: control flow with divergence, subgroups, matrices, f16, integers,
//! and errors that name the place.

mod common;

use common::*;
use drift_ir::{DType, Shape, Tensor};
use drift_kernel::interp::{Bind, Memory, Options, run};
use drift_kernel::*;

/// A kernel of 64 invocations in two workgroups that writes one f32 each.
fn each(f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>) -> Result<Vec<f32>, String> {
    let b = Builder::new("each", [32, 1, 1], [2, 1, 1]);
    let y = b.tensor(arg("y", &[64].into(), Access::Write));
    let i = b.global_id(0);
    let v = f(&b, i);
    b.store(y, &[i], v.cast(Scalar::F32));
    execute(b.finish(), &[None]).map(|out| out[0].to_f32s())
}

#[track_caller]
fn check(f: impl for<'b> Fn(&'b Builder, E<'b>) -> E<'b>, want: impl Fn(u32) -> f32) {
    let want: Vec<f32> = (0..64).map(want).collect();
    assert_eq!(each(f).unwrap(), want);
}

#[test]
fn divergent_branches_and_loops() {
    check(
        |b, i| {
            let v = b.var("v", b.u32(0));
            b.if_else(
                (i % 3u32).eq(0u32),
                || v.set(v.get() + 1u32),
                || b.if_((i % 2u32).eq(0u32), || v.set(v.get() + 10u32)),
            );
            // as many rounds as the invocation's number, and a break at 40
            b.for_(0u32, i, 1, |k| {
                b.if_(k.ge(40u32), || b.break_());
                v.set(v.get() + 100u32);
            });
            v.get()
        },
        |i| {
            let first = if i % 3 == 0 {
                1
            } else if i % 2 == 0 {
                10
            } else {
                0
            };
            (first + 100 * i.min(40)) as f32
        },
    );
    // nested loops, the inner one left early, the outer one goes on
    check(
        |b, i| {
            let v = b.var("v", b.u32(0));
            b.for_(0u32, 3u32, 1, |_| {
                b.for_(i % 4u32, 10u32, 2, |k| {
                    b.if_(k.gt(i % 7u32), || b.break_());
                    v.set(v.get() + 1u32);
                });
            });
            v.get()
        },
        |i| {
            let mut n = 0;
            for _ in 0..3 {
                let mut k = i % 4;
                while k < 10 && k <= i % 7 {
                    n += 1;
                    k += 2;
                }
            }
            n as f32
        },
    );
}

#[test]
fn returned_invocations_do_nothing_more() {
    let b = Builder::new("early", [32, 1, 1], [1, 1, 1]);
    let y = b.tensor(arg("y", &[32].into(), Access::ReadWrite));
    let i = b.global_id(0);
    b.for_(0u32, 4u32, 1, |k| {
        b.if_((i + k).ge(30u32), || b.return_());
        b.store(y, &[i], b.load(y, &[i]) + 1.0);
    });
    b.store(y, &[i], b.load(y, &[i]) + 100.0);
    let out = execute(b.finish(), &[Some(Tensor::from_f32([32], &[0.0; 32]))]).unwrap();
    for (i, v) in out[0].to_f32s().into_iter().enumerate() {
        let want = match i {
            0..27 => 104.0,
            _ => (30 - i.min(30)) as f32,
        };
        assert_eq!(v, want, "{i}");
    }
}

#[test]
fn array_variables_take_run_time_indices() {
    check(
        |b, i| {
            let a = b.array("a", U32, 5);
            for k in 0..5u32 {
                a.set_at(k, b.u32(k * k));
            }
            a.set_at(i % 5u32, i);
            a.at((i + 1u32) % 5u32) * 1000u32 + a.at(i % 5u32)
        },
        |i| (((i + 1) % 5).pow(2) * 1000 + i) as f32,
    );
}

#[test]
fn integers_vectors_and_packed_bytes() {
    check(
        |b, i| {
            let s = i.bitcast(Scalar::I32) - 40i32;
            (s / 3i32) * 10i32 + s % 3i32 + (s.shr(b.i32(1))).max(-5i32)
        },
        |i| {
            let s = i as i32 - 40;
            (s / 3 * 10 + s % 3 + (s >> 1).max(-5)) as f32
        },
    );
    check(
        |b, i| {
            let word = b.compose(&[i, i + 1u32, i + 2u32, i + 3u32]).pack(Packing::U8x4);
            let ones = b.u32(0x01ff_0201);
            word.dot4(ones, b.i32(5), true) + word.unpack(Packing::I8x4).lane(3)
        },
        |i| {
            let i = i as i32;
            (5 + i + 2 * (i + 1) - (i + 2) + (i + 3) + (i + 3)) as f32
        },
    );
    check(
        |b, i| {
            let x = i.cast(Scalar::F32);
            let v = b.compose(&[x, x * 2.0, x + 1.0, b.f32(3.0)]);
            v.dot(v) + v.lane_dyn(i % 4u32) + v.hsum()
        },
        |i| {
            let x = i as f32;
            let v = [x, x * 2.0, x + 1.0, 3.0];
            v.iter().map(|x| x * x).sum::<f32>() + v[i as usize % 4] + v.iter().sum::<f32>()
        },
    );
}

#[test]
fn halves_round_after_each_operation() {
    check(
        |b, i| {
            let x = i.cast(Scalar::F32).cast(Scalar::F16);
            // 2048 + 1 is 2048 in f16
            let big = b.f32(2048.0).cast(Scalar::F16);
            (x + big) - big
        },
        |i| {
            let h = |v: f32| half::f16::from_f32(v).to_f32();
            h(h(i as f32 + 2048.0) - 2048.0)
        },
    );
}

#[test]
fn subgroups() {
    let b = Builder::new("subgroups", [32, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(8);
    let y = b.tensor(arg("y", &[3, 32].into(), Access::Write));
    let i = b.local_id(0);
    let x = i.cast(Scalar::F32);
    let sum = x.subgroup(SubgroupOp::Add);
    let partner = x.subgroup_shuffle_xor(b.u32(3));
    let place = b.subgroup_id() * 100u32 + b.subgroup_invocation() * 10u32 + b.subgroup_size();
    for (row, v) in [sum, partner, place.cast(Scalar::F32)].into_iter().enumerate() {
        b.store(y, &[b.u32(row as u32), i], v);
    }
    let out = execute(b.finish(), &[None]).unwrap();
    let want = (0..32u32)
        .map(|i| (i / 8 * 64 + 28) as f32)
        .chain((0..32).map(|i| (i ^ 3) as f32))
        .chain((0..32).map(|i| (i / 8 * 100 + i % 8 * 10 + 8) as f32));
    assert_eq!(out[0].to_f32s(), want.collect::<Vec<_>>());
}

#[test]
fn cooperative_matrices() {
    // two subgroups, each 16x16 += 16x16 * 16x16 twice, through workgroup memory
    let (m, n, k) = (16usize, 32usize, 32usize);
    let b = Builder::new("coop", [16, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(8);
    let x = b.tensor(arg("x", &[m, k].into(), Access::Read));
    let w = b.tensor(arg("w", &[k, n].into(), Access::Read));
    let y = b.tensor(arg("y", &[m, n].into(), Access::Write));
    let sx = b.shared("sx", Scalar::F16, 1, 16 * 16);
    let sw = b.shared("sw", Scalar::F16, 1, 16 * 32);
    let out = b.shared("out", Scalar::F32, 1, 16 * 32);
    let i = b.local_index();
    let matrix = |role, component| Matrix { role, component, rows: 16, cols: 16 };
    let c = matrix(MatrixRole::C, Component::F32);
    let acc = b.var("acc", b.matrix_zero(c));
    b.for_(0u32, k as u32, 16, |k0| {
        b.for_(i, 256u32, 16, |e| {
            sx.store(e, b.load(x, &[e / 16u32, k0 + e % 16u32]).cast(Scalar::F16));
        });
        b.for_(i, 512u32, 16, |e| {
            sw.store(e, b.load(w, &[k0 + e / 32u32, e % 32u32]).cast(Scalar::F16));
        });
        b.barrier();
        let a = sx.load_matrix(matrix(MatrixRole::A, Component::F16), 0u32, 16u32, true);
        let at = b.subgroup_id() * 16u32;
        let bm = sw.load_matrix(matrix(MatrixRole::B, Component::F16), at, 32u32, true);
        acc.set(b.matrix_mul_add(a, bm, acc.get()));
        b.barrier();
    });
    out.store_matrix(acc.get(), b.subgroup_id() * 16u32, 32u32, true);
    b.barrier();
    b.for_(i, 512u32, 16, |e| b.store(y, &[e / 32u32, e % 32u32], out.load(e)));
    let values = |shape: [usize; 2], f: u32| {
        let v: Vec<f32> =
            (0..(shape[0] * shape[1]) as u32).map(|i| (i * f % 7) as f32 - 3.0).collect();
        Tensor::from_f32(shape, &v)
    };
    let (xv, wv) = (values([m, k], 5), values([k, n], 3));
    let got = execute(b.finish(), &[Some(xv.clone()), Some(wv.clone()), None]).unwrap();
    let (xv, wv) = (xv.to_f32s(), wv.to_f32s());
    let want: Vec<f32> =
        (0..m * n).map(|e| (0..k).map(|p| xv[e / n * k + p] * wv[p * n + e % n]).sum()).collect();
    assert_eq!(got[2].to_f32s(), want);
}

#[test]
fn integer_matrices_from_packed_words() {
    let (m, k, n) = (16, 64, 16);
    let b = Builder::new("mm", [8, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(8);
    let words = |name, rows: usize| {
        let mut a = arg(name, &[rows, k / 4].into(), Access::Read);
        a.elem = Elem::U32;
        b.tensor(a)
    };
    let (x, w) = (words("x", m), words("w", n));
    let mut out = arg("y", &[m, n].into(), Access::Write);
    out.elem = Elem::I32;
    let y = b.tensor(out);
    let sx = b.shared("sx", Scalar::U32, 4, 16 * 4);
    let sw = b.shared("sw", Scalar::U32, 4, 16 * 4);
    let sums = b.shared("sums", Scalar::I32, 1, 16 * 16);
    let i = b.local_index();
    let matrix = |role, rows, cols, component| Matrix { role, component, rows, cols };
    let c = matrix(MatrixRole::C, 16, 16, Component::I32);
    let acc = b.var("acc", b.matrix_zero(c));
    b.for_(i, 64u32, 8, |e| {
        sx.store(e, b.load4(x, &[e / 4u32, e % 4u32 * 4u32], 1));
        sw.store(e, b.load4(w, &[e / 4u32, e % 4u32 * 4u32], 1));
    });
    b.barrier();
    for at in [0u32, 8] {
        // rows of 64 int8 are 16 words, 32 of them a matrix
        let a = sx.load_matrix(matrix(MatrixRole::A, 16, 32, Component::I8), at, 16u32, true);
        let bm = sw.load_matrix(matrix(MatrixRole::B, 32, 16, Component::I8), at, 16u32, false);
        acc.set(b.matrix_mul_add(a, bm, acc.get()));
    }
    sums.store_matrix(acc.get(), 0u32, 16u32, true);
    b.barrier();
    b.for_(i, 256u32, 8, |e| b.store(y, &[e / 16u32, e % 16u32], sums.load(e)));
    let value = |i: usize, f: usize| (i * f % 251) as i32 - 125;
    let packed = |rows: usize, f: usize| {
        let bytes: Vec<u8> = (0..rows * k).map(|i| value(i, f) as i8 as u8).collect();
        let word = |c: &[u8; 4]| i64::from(u32::from_le_bytes(*c));
        let words: Vec<i64> = bytes.as_chunks::<4>().0.iter().map(word).collect();
        Tensor::from_i64s(DType::U32, [rows, k / 4], &words)
    };
    let got = execute(b.finish(), &[Some(packed(m, 37)), Some(packed(n, 91)), None]).unwrap();
    let want: Vec<i64> = (0..m * n)
        .map(|e| {
            let (r, c) = (e / n, e % n);
            (0..k).map(|p| i64::from(value(r * k + p, 37) * value(c * k + p, 91))).sum()
        })
        .collect();
    assert_eq!(got[2].to_i64s(), want);
}

#[track_caller]
fn fails(result: Result<Vec<f32>, String>, words: &[&str]) {
    let e = result.expect_err("an error");
    for w in words {
        assert!(e.contains(w), "`{w}` is not in: {e}");
    }
}

#[test]
fn errors_name_the_place() {
    fails(
        each(|b, i| {
            let a = b.array("table", F32, 4);
            a.set_at(i % 5u32, b.f32(0.0));
            i
        }),
        &["kernel `each`", "variable `table`", "index 4", "invocation 4"],
    );
    fails(
        each(|b, i| {
            b.if_(i.lt(9u32), || b.barrier());
            i
        }),
        &["barrier reached by 9 of 32"],
    );
    fails(
        each(|b, i| {
            let s = b.shared("tile", Scalar::F32, 1, 64);
            s.store(i, b.f32(1.0));
            s.load(i + 1u32)
        }),
        &["`tile`", "barrier is missing"],
    );
    // a read of what nobody wrote is NaN, which the output shows
    let out = each(|b, _| b.shared("tile", Scalar::F32, 1, 1).load(0u32)).unwrap();
    assert!(out.iter().all(|v| v.is_nan()));
    // an index past a binding, where the kernel lies about its coordinates
    let b = Builder::new("liar", [8, 1, 1], [1, 1, 1]);
    let y = b.tensor(arg("y", &[7].into(), Access::Write));
    b.store(y, &[b.global_id(0)], b.f32(0.0));
    let e = execute(b.finish(), &[None]).unwrap_err();
    assert!(e.contains("kernel `liar`") && e.contains("`y`") && e.contains("index 7"), "{e}");
}

#[test]
fn bindings_are_checked() {
    let b = Builder::new("k", [8, 1, 1], [1, 1, 1]);
    let y = b.tensor(arg("y", &[8].into(), Access::Write));
    b.store(y, &[b.global_id(0)], b.f32(0.0));
    let kernel = virtualize(b.finish()).unwrap();
    let mut memory = Memory::new();
    let small = memory.add_buffer(28);
    let go = |binds: &[Bind]| run(&kernel, &memory, binds, &Options::default()).map_err(|e| e.what);
    assert!(go(&[]).unwrap_err().contains("0 bindings given"));
    assert!(go(&[Bind::all(small)]).unwrap_err().contains("28 bytes given, it has 32"));
    assert!(go(&[Bind::all(object(9))]).unwrap_err().contains("does not exist"));
    let range = Bind { object: small, offset_bytes: 4, len_bytes: Some(99) };
    assert!(go(&[range]).unwrap_err().contains("range 4..103"));
}

#[test]
fn threads_do_not_change_the_result() {
    let n = 10_000u32;
    let shape = Shape::new([n as usize]);
    let b = Builder::new("square", [64, 1, 1], [n.div_ceil(64), 1, 1]);
    let x = b.tensor(arg("x", &shape, Access::Read));
    let y = b.tensor(TensorArg { elem: Elem::F16, ..arg("y", &shape, Access::Write) });
    let i = b.global_id(0);
    b.if_(i.lt(n), || {
        let v = b.load(x, &[i]);
        // an odd shift, so that two workgroups share words of f16
        b.store(y, &[(i + 1u32) % n], v * v);
    });
    let kernel = virtualize(b.finish()).unwrap();
    let mut results = Vec::new();
    for threads in [1, 4] {
        let mut memory = Memory::new();
        let mut binds = place(&mut memory, &kernel.tensors[0], Some(&noise(&shape, 5)));
        let out = place(&mut memory, &kernel.tensors[1], None);
        binds.extend(&out);
        let options = Options { threads, ..Options::default() };
        run(&kernel, &memory, &binds, &options).unwrap();
        results.push(raw(&memory, &out));
    }
    assert_eq!(results[0], results[1]);
}
