//! Kernels whose workgroups wait for each other, and barriers that order accesses to buffers.

mod common;
use common::*;
use drift_emit::{Dialect, DialectOptions, EmitError, emit};
use drift_kernel::chain::{self, Link};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::*;

const CONTROL_BARRIER: u32 = 224;
const MEMORY_BARRIER: u32 = 225;
const ATOMIC_LOAD: u32 = 227;
const ATOMIC_I_ADD: u32 = 234;
const COHERENT: u32 = 23;
const WORKGROUP: u32 = 2;
const QUEUE_FAMILY: u32 = 5;
const ACQUIRE_RELEASE: u32 = 0x8;
const UNIFORM_MEMORY: u32 = 0x40;
const WORKGROUP_MEMORY: u32 = 0x100;
const AVAILABLE_AND_VISIBLE: u32 = 0x2000 | 0x4000;
const NON_PRIVATE: u32 = 0x20;

fn arg(name: &str, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem: Elem::F32,
        stored: [256usize].into(),
        view: Default::default(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// `y[i] = x[255 - i] + 1`, which reads what another workgroup writes.
fn turned(x: Access) -> Kernel {
    let b = Builder::new("turned", [64, 1, 1], [4, 1, 1]);
    let (x, y) = (b.tensor(arg("x", x)), b.tensor(arg("y", Access::ReadWrite)));
    let i = b.workgroup_id(0) * 64u32 + b.local_index();
    b.store(y, &[i], b.load(x, &[b.u32(255) - i]) + 1.0);
    b.finish()
}

fn chained() -> Kernel {
    let (a, b) = (turned(Access::Read), turned(Access::ReadWrite));
    let links = [Link { kernel: &a, ahead: 0 }, Link { kernel: &b, ahead: 0 }];
    virtualize(chain::chain("chain", &links)).expect("physical")
}

/// The value of a constant.
fn constant(words: &[u32], id: u32) -> u32 {
    let found = instructions(words, 43).into_iter().find(|c| c[1] == id);
    found.expect("scopes and semantics are constants")[2]
}

fn opcodes(words: &[u32]) -> Vec<u32> {
    let mut out = Vec::new();
    let mut at = 5;
    while at < words.len() {
        out.push(words[at] & 0xffff);
        at += (words[at] >> 16) as usize;
    }
    out
}

#[test]
fn one_invocation_deals_with_the_device() {
    let words = spirv(&chained());
    let sync = [CONTROL_BARRIER, MEMORY_BARRIER, ATOMIC_LOAD, ATOMIC_I_ADD];
    let order: Vec<u32> = opcodes(&words).into_iter().filter(|code| sync.contains(code)).collect();
    let signal = [CONTROL_BARRIER, MEMORY_BARRIER, ATOMIC_I_ADD];
    let wait = [ATOMIC_LOAD, MEMORY_BARRIER, CONTROL_BARRIER];
    assert_eq!(order, [signal, wait].concat());
    for barrier in instructions(&words, CONTROL_BARRIER) {
        let [execution, memory, semantics] = [0, 1, 2].map(|i| constant(&words, barrier[i]));
        assert_eq!((execution, memory), (WORKGROUP, WORKGROUP));
        assert_eq!(semantics, ACQUIRE_RELEASE | UNIFORM_MEMORY | WORKGROUP_MEMORY);
    }
    const DEVICE: u32 = 1;
    for fence in instructions(&words, MEMORY_BARRIER) {
        let [scope, semantics] = [0, 1].map(|i| constant(&words, fence[i]));
        assert_eq!((scope, semantics), (DEVICE, ACQUIRE_RELEASE | UNIFORM_MEMORY));
    }
    for code in [ATOMIC_LOAD, ATOMIC_I_ADD] {
        for access in instructions(&words, code) {
            let [scope, semantics] = [3, 4].map(|i| constant(&words, access[i]));
            assert_eq!((scope, semantics), (DEVICE, 0), "relaxed");
        }
    }
    // x of the first link is only read; both results, the second's x and the counters are not
    let decorations = instructions(&words, 71);
    assert_eq!(decorations.iter().filter(|d| d[1] == COHERENT).count(), 4);
}

#[test]
fn chains_are_for_spirv() {
    let k = chained();
    for dialect in [Dialect::Wgsl, Dialect::Msl, Dialect::OpenClC] {
        let error = emit(&k, dialect, &DialectOptions::default()).unwrap_err();
        assert!(matches!(error, EmitError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("--disable chain"), "{error}");
    }
}

/// Invocations hand each other values through a buffer.
fn swapped() -> Kernel {
    let bindings = vec![
        buffer("x", Scalar::F32, 1, 256, Access::ReadWrite),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    kernel("swapped", bindings, |b| {
        let (i, first) = (b.local_index(), b.workgroup_id(0) * 64u32);
        store(b, 0, first + i, i.cast(Scalar::F32));
        b.buffer_barrier();
        store(b, 1, first + i, load(b, 0, first + (b.u32(63) - i), F32));
    })
}

#[test]
fn workgroups_share_buffers_in_every_language() {
    let k = swapped();
    let words = spirv(&k);
    let barriers = instructions(&words, CONTROL_BARRIER);
    assert_eq!(barriers.len(), 1);
    assert_eq!(constant(&words, barriers[0][1]), WORKGROUP);
    for (dialect, barrier) in [
        (Dialect::Wgsl, "storageBarrier();"),
        (Dialect::Wgsl, "workgroupBarrier();"),
        (Dialect::Msl, "mem_flags::mem_device"),
        (Dialect::OpenClC, "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"),
    ] {
        let text = text(&k, dialect);
        assert!(text.contains(barrier) && !text.contains("coherent"), "{text}");
    }
}

/// Counts workgroups, and reads the count.
fn counted(read: bool) -> Kernel {
    let bindings = vec![
        buffer("n", Scalar::U32, 1, 4, Access::ReadWrite),
        buffer("y", Scalar::U32, 1, 256, Access::Write),
    ];
    kernel("counted", bindings, |b| {
        let (place, index) = (AtomicPlace::Buffer(BindingId(0)), b.u32(1).id);
        let value = b.u32(1).id;
        b.ordered(Expr::AtomicAdd { place, index, value }, U32);
        if read {
            let n = b.ordered(Expr::AtomicLoad { place, index }, U32);
            store(b, 1, b.global_id(0), n);
        }
    })
}

#[test]
fn atomic_accesses() {
    let k = counted(true);
    everywhere(&k);
    assert!(text(&k, Dialect::Wgsl).contains("atomicLoad("));
    assert!(text(&k, Dialect::Msl).contains("atomic_load_explicit("));
    // and never left out because nobody uses the sum
    for read in [true, false] {
        let error = emit(&counted(read), Dialect::OpenClC, &DialectOptions::default()).unwrap_err();
        assert!(matches!(error, EmitError::Unsupported { .. }), "{error}");
        assert_eq!(instructions(&spirv(&counted(read)), ATOMIC_I_ADD).len(), 1);
    }
}

#[test]
fn fences_under_the_vulkan_memory_model() {
    let bindings = vec![
        buffer("a", Scalar::F16, 1, 1024, Access::Read),
        buffer("c", Scalar::F32, 1, 256, Access::ReadWrite),
        buffer("n", Scalar::U32, 1, 4, Access::ReadWrite),
        buffer("y", Scalar::F32, 1, 256, Access::Write),
    ];
    let k = kernel("matrices", bindings, |b| {
        let m = |role, component| Matrix { role, component, rows: 16, cols: 16 };
        let (zero, stride) = (b.u32(0), b.u32(16));
        let from = |role| {
            let matrix = m(role, Component::F16);
            let (from, row_major) = (MatrixPlace::Buffer(BindingId(0)), true);
            let (index, stride) = (zero.id, stride.id);
            let load = Expr::MatrixLoad { matrix, from, index, stride, row_major };
            b.ordered(load, Type::Matrix(matrix))
        };
        let sums = b.matrix_zero(m(MatrixRole::C, Component::F32));
        let c = b.matrix_mul_add(from(MatrixRole::A), from(MatrixRole::B), sums);
        b.stmt(Stmt::StoreMatrix {
            value: c.id,
            to: MatrixPlace::Buffer(BindingId(1)),
            index: zero.id,
            stride: stride.id,
            row_major: true,
        });
        b.buffer_barrier();
        let place = AtomicPlace::Buffer(BindingId(2));
        b.if_(b.local_index().eq(0u32), || {
            b.device_fence();
            b.ordered(Expr::AtomicAdd { place, index: zero.id, value: b.u32(1).id }, U32);
            let n = b.ordered(Expr::AtomicLoad { place, index: zero.id }, U32);
            b.device_fence();
            store(b, 3, n, b.f32(1.0));
        });
        b.buffer_barrier();
        store(b, 3, b.global_id(0), load(b, 1, b.local_index(), F32));
    });
    let words = spirv(&k);
    const BARRIER: u32 = ACQUIRE_RELEASE | UNIFORM_MEMORY | AVAILABLE_AND_VISIBLE;
    for barrier in instructions(&words, CONTROL_BARRIER) {
        assert_eq!(constant(&words, barrier[1]), WORKGROUP);
        assert_eq!(constant(&words, barrier[2]), BARRIER | WORKGROUP_MEMORY);
    }
    let fences = instructions(&words, MEMORY_BARRIER);
    assert_eq!(fences.len(), 2);
    for fence in fences {
        assert_eq!([0, 1].map(|i| constant(&words, fence[i])), [QUEUE_FAMILY, BARRIER]);
    }
    for code in [ATOMIC_LOAD, ATOMIC_I_ADD] {
        let accesses = instructions(&words, code);
        assert_eq!(accesses.len(), 1);
        assert_eq!([3, 4].map(|i| constant(&words, accesses[0][i])), [QUEUE_FAMILY, 0]);
    }
    assert!(instructions(&words, 71).iter().all(|d| d[1] != COHERENT));
    // the matrix is stored, and its elements are loaded, for others; what is only read is not
    assert_eq!(instructions(&words, 4458)[0].last(), Some(&NON_PRIVATE));
    let shared = instructions(&words, 61).into_iter().filter(|l| l.last() == Some(&NON_PRIVATE));
    assert_eq!(shared.count(), 1);
    assert!(instructions(&words, 4457).iter().all(|l| l.len() == 5));
}
