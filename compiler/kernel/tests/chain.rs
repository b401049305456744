//! Chains of kernels on the interpreter: several threads run workgroups at the same time.

use drift_kernel::chain::{self, Link};
use drift_kernel::interp::{Bind, Memory, Options, run};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::{Access, Builder, Kernel, Scalar, Stmt, TensorArg, print, validate, virtualize};

const SIZE: u32 = 8;
const GROUPS: u32 = 16;
const N: usize = (SIZE * GROUPS) as usize;

fn arg(name: &str, len: usize, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem: Elem::F32,
        stored: [len].into(),
        view: drift_ir::View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// `y[i] = w[i] + sum of x`, with `w` loaded ahead; and the statements that do not need x.
fn sum(groups: u32, x: Access, shared: u32) -> (Kernel, usize) {
    let b = Builder::new("sum", [SIZE, 1, 1], [groups, 1, 1]);
    let (w, y) = (b.tensor(arg("w", N, Access::Read)), b.tensor(arg("y", N, Access::ReadWrite)));
    let x = b.tensor(arg("x", N, x));
    let i = b.workgroup_id(0) * SIZE + b.local_index();
    let i = i.min(N as u32 - 1);
    let own = b.load(w, &[i]);
    let ahead = b.position();
    let parts = b.shared("parts", Scalar::F32, 1, shared);
    let part = b.var("part", b.f32(0.0));
    b.for_(0u32, N as u32 / SIZE, 1, |turn| {
        part.set(part.get() + b.load(x, &[turn * SIZE + b.local_index()]));
    });
    parts.store(b.local_index(), part.get());
    b.barrier();
    let total = b.var("total", own);
    b.for_(0u32, SIZE, 1, |k| total.set(total.get() + parts.load(k)));
    b.store(y, &[i], total.get());
    (b.finish(), ahead)
}

#[test]
fn links_see_what_those_before_them_wrote() {
    let (first, a) = sum(GROUPS, Access::Read, SIZE);
    let (second, c) = sum(GROUPS, Access::ReadWrite, 2 * SIZE);
    let (third, d) = sum(GROUPS, Access::ReadWrite, SIZE);
    for k in [&first, &second, &third] {
        assert!(chain::can_be_link(k));
    }
    assert!(chain::fit(&first, &second));
    let links = [
        Link { kernel: &first, ahead: a },
        Link { kernel: &second, ahead: c },
        Link { kernel: &third, ahead: d },
    ];
    // one array for all
    assert_eq!(chain::shared_bytes(&links), u64::from(2 * SIZE * 4));
    let kernel = chain::chain("chain", &links);
    assert_eq!(kernel.workgroups, [3 * GROUPS, 1, 1]);
    drift_kernel::validate(&kernel).expect("a sound kernel");
    let physical = virtualize(kernel).expect("virtualize");
    drift_kernel::validate(&physical).expect("a sound kernel");
    let ramp: Vec<f32> = (0..N).map(|i| i as f32 / 64.0).collect();
    for threads in [1, 4] {
        let mut memory = Memory::new();
        let [w, x] = [memory.add_f32s(&ramp), memory.add_f32s(&ramp)];
        let [y, z, out] = [0; 3].map(|_| memory.add_f32s(&vec![f32::NAN; N]));
        let counters = memory.add_buffer(8);
        let binds = [w, y, x, w, z, y, w, out, z, counters].map(Bind::all);
        let options = Options { threads, strict: threads == 1, ..Options::default() };
        run(&physical, &memory, &binds, &options).expect("the chain runs");
        let step = |x: &[f32]| -> Vec<f32> {
            let sum: f32 = x.iter().sum();
            ramp.iter().map(|w| w + sum).collect()
        };
        let want = step(&step(&step(&ramp)));
        for (have, want) in memory.f32s(out).iter().zip(&want) {
            assert!((have - want).abs() <= want.abs() * 1e-5, "{have} {want}, {threads} threads");
        }
        let done = memory.read(counters, 0, 8);
        assert_eq!(done, [GROUPS, GROUPS].map(u32::to_le_bytes).concat());
    }
}

#[test]
fn what_leaves_early_is_no_link() {
    let b = Builder::new("early", [SIZE, 1, 1], [1, 1, 1]);
    let y = b.tensor(arg("y", N, Access::Write));
    b.if_(b.local_index().eq(0u32), || b.return_());
    b.store(y, &[b.local_index()], b.f32(1.0));
    assert!(!chain::can_be_link(&b.finish()));
    let b = Builder::new("wide", [SIZE, 1, 1], [1, 2, 1]);
    let y = b.tensor(arg("y", N, Access::Write));
    b.store(y, &[b.local_index()], b.f32(1.0));
    assert!(!chain::can_be_link(&b.finish()));
}

fn counters() -> TensorArg {
    TensorArg { elem: Elem::U32, ..arg("counters", 2, Access::ReadWrite) }
}

#[test]
fn one_invocation_signals_and_waits() {
    let (first, _) = sum(GROUPS, Access::Read, SIZE);
    let (second, ahead) = sum(GROUPS, Access::ReadWrite, SIZE);
    let links = [Link { kernel: &first, ahead: 0 }, Link { kernel: &second, ahead }];
    let text = print(&virtualize(chain::chain("chain", &links)).expect("virtualize"));
    let sync = |l: &&str| ["barrier", "fence", "atomic", "break"].iter().any(|w| l.contains(w));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(sync).collect();
    let load = lines.iter().position(|l| l.contains("atomic_load")).expect("polls");
    let add = lines.iter().position(|l| l.contains("atomic_add")).expect("signals");
    assert_eq!(lines[add - 2..add], ["buffer_barrier", "device_fence"], "{text}");
    assert_eq!(lines[load + 1..load + 4], ["break", "device_fence", "buffer_barrier"], "{text}");
}

#[test]
fn fences_may_diverge_and_barriers_may_not() {
    let make = |barrier: bool| {
        let b = Builder::new("lead", [SIZE, 1, 1], [1, 1, 1]);
        let n = b.tensor(counters());
        let y = b.tensor(arg("y", N, Access::ReadWrite));
        b.if_(b.local_index().eq(0u32), || {
            b.device_fence();
            b.atomic_add(n, 0u32, 3u32);
            if barrier {
                b.buffer_barrier();
            }
        });
        b.buffer_barrier();
        b.store(y, &[b.local_index()], b.atomic_load(n, 0u32).cast(Scalar::F32));
        virtualize(b.finish()).expect("virtualize")
    };
    let run = |kernel: &Kernel| {
        let mut memory = Memory::new();
        let (n, y) = (memory.add_buffer(8), memory.add_f32s(&[0.0; N]));
        run(kernel, &memory, &[n, y].map(Bind::all), &Options::strict()).map(|()| memory.f32s(y))
    };
    assert_eq!(run(&make(false)).expect("runs")[..SIZE as usize], [3.0; SIZE as usize]);
    let error = run(&make(true)).expect_err("a barrier that one invocation reaches").to_string();
    assert!(error.contains("barrier reached by 1 of 8"), "{error}");
}

#[test]
fn races_end_at_a_buffer_barrier_and_not_at_a_fence() {
    let make = |fence: bool| {
        let b = Builder::new("hand_over", [SIZE, 1, 1], [1, 1, 1]);
        let y = b.tensor(arg("y", N, Access::ReadWrite));
        let parts = b.shared("parts", Scalar::F32, 1, SIZE);
        let i = b.local_index();
        parts.store(i, i.cast(Scalar::F32));
        if fence {
            b.device_fence()
        } else {
            b.buffer_barrier()
        }
        b.store(y, &[i], parts.load(b.u32(SIZE - 1) - i));
        virtualize(b.finish()).expect("virtualize")
    };
    let run = |kernel: &Kernel| {
        let mut memory = Memory::new();
        let y = memory.add_f32s(&[0.0; N]);
        run(kernel, &memory, &[Bind::all(y)], &Options::strict())
    };
    run(&make(false)).expect("ordered");
    let error = run(&make(true)).expect_err("a race").to_string();
    assert!(error.contains("race with"), "{error}");
}

#[test]
fn counters_have_atomic_accesses_only() {
    let b = Builder::new("mixed", [SIZE, 1, 1], [1, 1, 1]);
    let n = b.tensor(counters());
    b.atomic_add(n, 0u32, 1u32);
    let index = b.u32(1).id;
    let mut kernel = b.finish();
    validate(&kernel).expect("atomic accesses");
    kernel.body.push(Stmt::StoreTensor {
        tensor: n,
        coords: vec![index],
        lanes: 1,
        axis: 0,
        value: index,
    });
    let error = validate(&kernel).expect_err("a plain store").to_string();
    assert!(error.contains("atomic accesses"), "{error}");
}
