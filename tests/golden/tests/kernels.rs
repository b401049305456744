//! Handmade kernels: one kernel over all storages, and one for each kind of construct.

use drift_bundle::caps::ImageKind;
use drift_golden::{Snapshots, check_kernel};
use drift_kernel::*;

fn tensor(name: &str, elem: Elem, storage: Storage, access: Access) -> TensorArg {
    TensorArg {
        name: name.to_owned(),
        elem,
        // channels, height, width: two slices of 4 channels, the second half full
        stored: [6usize, 5, 7].into(),
        view: Default::default(),
        layout: Layout::Slices4 { channel: 0, order: vec![0, 1, 2] },
        storage,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// `y = max(2 x + 1, 0)`, four channels of a pixel per invocation.
fn scale(elem: Elem, storage: Storage) -> Kernel {
    let b = Builder::new("scale", [8, 8, 1], [1, 1, 2]);
    let x = b.tensor(tensor("x", elem, storage, Access::Read));
    let y = b.tensor(tensor("y", elem, storage, Access::Write));
    let (column, row, slice) = (b.global_id(0), b.global_id(1), b.global_id(2));
    b.if_(column.lt(7u32).and(row.lt(5u32)), || {
        let at = [slice * 4u32, row, column];
        let value = b.load4(x, &at, 0);
        b.store4(y, &at, 0, (value * 2.0 + 1.0).max(0.0));
    });
    virtualize(b.finish()).expect("the kernel has a physical form")
}

#[test]
fn one_kernel_in_all_storages() {
    let storages = [
        ("buffer", Storage::Buffer),
        ("texture2d", Storage::Image(ImageKind::Texture2d)),
        ("texture2d_array", Storage::Image(ImageKind::Texture2dArray)),
        ("texture3d", Storage::Image(ImageKind::Texture3d)),
        ("texel_buffer", Storage::Image(ImageKind::TexelBuffer)),
    ];
    let mut problems = Vec::new();
    for (storage_name, storage) in storages {
        for (elem_name, elem) in [("f32", Elem::F32), ("f16", Elem::F16)] {
            let name = format!("storage/{storage_name}_{elem_name}");
            problems.extend(check_kernel(&name, &scale(elem, storage)).err());
        }
    }
    problems.extend(
        check_kernel("storage/buffer_f16_packed", &scale(Elem::F16Packed, Storage::Buffer)).err(),
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn row_major(name: &str, shape: &[usize], access: Access) -> TensorArg {
    TensorArg {
        name: name.to_owned(),
        elem: Elem::F32,
        stored: shape.into(),
        view: Default::default(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// Row sums through workgroup memory.
fn row_sum() -> Kernel {
    let b = Builder::new("row_sum", [64, 1, 1], [10, 1, 1]);
    let x = b.tensor(row_major("x", &[10, 1000], Access::Read));
    let y = b.tensor(row_major("y", &[10], Access::Write));
    let (row, lane) = (b.workgroup_id(0), b.local_index());
    let partial = b.shared("partial", Scalar::F32, 1, 64);
    let sum = b.var("sum", b.f32(0.0));
    b.for_(lane, 1000u32, 64, |i| sum.set(sum.get() + b.load(x, &[row, i])));
    partial.store(lane, sum.get());
    for step in [32u32, 16, 8, 4, 2, 1] {
        b.barrier();
        b.if_(lane.lt(step), || {
            partial.store(lane, partial.load(lane) + partial.load(lane + step));
        });
    }
    b.if_(lane.eq(0u32), || b.store(y, &[row], partial.load(0u32)));
    virtualize(b.finish()).expect("physical")
}

/// The same sum by subgroup operations.
fn row_sum_subgroup() -> Kernel {
    let b = Builder::new("row_sum_subgroup", [32, 1, 1], [10, 1, 1]);
    b.set_subgroup_size(32);
    let x = b.tensor(row_major("x", &[10, 1000], Access::Read));
    let y = b.tensor(row_major("y", &[10], Access::Write));
    let (row, lane) = (b.workgroup_id(0), b.subgroup_invocation());
    let sum = b.var("sum", b.f32(0.0));
    b.for_unroll(0u32, 1000u32, 32, Unroll::Never, |i| {
        let at = i + lane;
        b.if_(at.lt(1000u32), || sum.set(sum.get() + b.load(x, &[row, at])));
    });
    let total = sum.get().subgroup(SubgroupOp::Add);
    b.if_(lane.eq(0u32), || b.store(y, &[row], total));
    virtualize(b.finish()).expect("physical")
}

/// A pooling window with its border, the largest value of each.
fn max_pool() -> Kernel {
    let b = Builder::new("max_pool", [8, 8, 1], [1, 1, 3]);
    let x = b.tensor(row_major("x", &[3, 14, 14], Access::Read));
    let y = b.tensor(row_major("y", &[3, 7, 7], Access::Write));
    let (column, row, channel) = (b.global_id(0), b.global_id(1), b.global_id(2));
    b.if_(column.lt(7u32).and(row.lt(7u32)), || {
        let best = b.var("best", b.f32(f32::NEG_INFINITY));
        b.for_unroll(0u32, 3u32, 1, Unroll::Full, |dy| {
            b.for_unroll(0u32, 3u32, 1, Unroll::Full, |dx| {
                let (sy, sx) = (row * 2u32 + dy, column * 2u32 + dx);
                b.if_(sy.lt(14u32).and(sx.lt(14u32)), || {
                    best.set(best.get().max(b.load(x, &[channel, sy, sx])));
                });
            });
        });
        b.store(y, &[channel, row, column], best.get());
    });
    virtualize(b.finish()).expect("physical")
}

/// One tile of a product by cooperative matrices, f16 in and f32 out; MSL makes 16x16 of four of 8x8.
fn cooperative(side: u32) -> Kernel {
    let b = Builder::new("cooperative", [32, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(32);
    let m = |role, component| Matrix { role, component, rows: side, cols: side };
    let elems = side * side;
    let (xs, ws) = (b.shared("xs", Scalar::F16, 1, elems), b.shared("ws", Scalar::F16, 1, elems));
    let out = b.shared("sums", Scalar::F32, 1, elems);
    let x = b.tensor(row_major("x", &[side as usize, 64], Access::Read));
    let w = b.tensor(row_major("w", &[64, side as usize], Access::Read));
    let y = b.tensor(row_major("y", &[side as usize, side as usize], Access::Write));
    let lane = b.local_index();
    let acc = b.var("acc", b.matrix_zero(m(MatrixRole::C, Component::F32)));
    b.for_(0u32, 64u32, side, |k| {
        b.for_(lane, elems, 32, |i| {
            let (r, c) = (i / side, i % side);
            xs.store(i, b.load(x, &[r, k + c]).cast(Scalar::F16));
            ws.store(i, b.load(w, &[k + r, c]).cast(Scalar::F16));
        });
        b.barrier();
        let a = xs.load_matrix(m(MatrixRole::A, Component::F16), 0u32, side, true);
        let w = ws.load_matrix(m(MatrixRole::B, Component::F16), 0u32, side, true);
        acc.set(b.matrix_mul_add(a, w, acc.get()));
        b.barrier();
    });
    out.store_matrix(acc.get(), 0u32, side, true);
    b.barrier();
    b.for_(lane, elems, 32, |i| b.store(y, &[i / side, i % side], out.load(i)));
    virtualize(b.finish()).expect("physical")
}

/// int8 dot products: weights four to a word, activations likewise.
fn dot4() -> Kernel {
    let b = Builder::new("dot4", [64, 1, 1], [1, 1, 1]);
    let words = |name: &str, access, shape: &[usize]| TensorArg {
        elem: Elem::U32,
        ..row_major(name, shape, access)
    };
    let x = b.tensor(words("x", Access::Read, &[16]));
    let w = b.tensor(words("w", Access::Read, &[64, 16]));
    let y = b.tensor(row_major("y", &[64], Access::Write));
    let row = b.global_id(0);
    let acc = b.var("acc", b.i32(0));
    b.for_(0u32, 16u32, 1, |k| {
        acc.set(b.load(x, &[k]).dot4(b.load(w, &[row, k]), acc.get(), true));
    });
    b.store(y, &[row], acc.get().cast(Scalar::F32));
    virtualize(b.finish()).expect("physical")
}

/// A copy out of a tensor that no single buffer may hold.
fn split() -> Kernel {
    let b = Builder::new("split", [64, 1, 1], [4, 1, 1]);
    let parts = TensorArg { max_object_bytes: 512, ..row_major("x", &[256], Access::Read) };
    let x = b.tensor(parts);
    let y = b.tensor(row_major("y", &[256], Access::Write));
    let i = b.global_id(0);
    b.store(y, &[i], b.load(x, &[i]));
    virtualize(b.finish()).expect("physical")
}

/// Two kernels as one, of which the second waits for what other workgroups of the first hand over.
fn chained() -> Kernel {
    let turned = |x, y| {
        let b = Builder::new("turned", [64, 1, 1], [4, 1, 1]);
        let x = b.tensor(row_major("x", &[256], x));
        let y = b.tensor(row_major("y", &[256], y));
        let i = b.workgroup_id(0) * 64u32 + b.local_index();
        let v = b.var_uninit("v", F32);
        b.await_(|| {
            v.set(b.load(x, &[b.u32(255) - i]));
            vec![v.get()]
        });
        b.store(y, &[i], v.get() + 1.0);
        b.finish()
    };
    let (a, b) = (turned(Access::Read, Access::Handed), turned(Access::Handed, Access::Write));
    virtualize(chain::chain("chained", &[&a, &b])).expect("physical")
}

#[test]
fn constructs() {
    let kernels = [
        row_sum(),
        row_sum_subgroup(),
        max_pool(),
        cooperative(8),
        Kernel { name: "cooperative16".to_owned(), ..cooperative(16) },
        dot4(),
        split(),
        chained(),
    ];
    let problems: Vec<String> = kernels
        .iter()
        .filter_map(|k| check_kernel(&format!("construct/{}", k.name), k).err())
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn goldens_stay_small() {
    let bytes = Snapshots::committed().total_bytes().expect("the folder is there");
    assert!(
        bytes <= 600_000,
        "{bytes} bytes of goldens, more than anybody reads; keep fewer texts"
    );
}
