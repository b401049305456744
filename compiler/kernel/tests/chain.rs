//! Chains of kernels on the interpreter: several threads run workgroups at the same time.

use drift_kernel::chain::{self, MISSING};
use drift_kernel::interp::{Bind, Memory, Options, run};
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::{
    Access, Builder, Kernel, Scalar, Stmt, TensorArg, TensorId, any_stmt, virtualize,
};

const SIZE: u32 = 8;
const GROUPS: u32 = 16;
const N: usize = (SIZE * GROUPS) as usize;

fn arg(name: &str, elem: Elem, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem,
        stored: [N].into(),
        view: drift_ir::View::identity(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// `y[i] = w[i] + mean of x`.
fn mean(x: (Elem, Access), y: (Elem, Access), shared: u32) -> Kernel {
    let b = Builder::new("mean", [SIZE, 1, 1], [GROUPS, 1, 1]);
    let w = b.tensor(arg("w", Elem::F32, Access::Read));
    let (y, x) = (b.tensor(arg("y", y.0, y.1)), b.tensor(arg("x", x.0, x.1)));
    let i = b.workgroup_id(0) * SIZE + b.local_index();
    let own = b.load(w, &[i]);
    let parts = b.shared("parts", Scalar::F32, 1, shared);
    let vars: Vec<_> = (0..N as u32 / SIZE).map(|_| b.var("x", b.f32(0.0))).collect();
    b.await_(|| {
        for (turn, v) in (0u32..).zip(&vars) {
            v.set(b.load(x, &[b.local_index() + turn * SIZE]));
        }
        vars.iter().map(|v| v.get()).collect()
    });
    let part = vars.iter().fold(b.f32(0.0), |sum, v| sum + v.get());
    parts.store(b.local_index(), part);
    b.barrier();
    let total = b.var("total", b.f32(0.0));
    b.for_(0u32, SIZE, 1, |k| total.set(total.get() + parts.load(k)));
    b.store(y, &[i], own + total.get() / N as f32);
    b.finish()
}

fn loops(k: &Kernel) -> bool {
    any_stmt(
        &k.body,
        |s| matches!(s, Stmt::For { body, .. } if any_stmt(body, |s| matches!(s, Stmt::Break))),
    )
}

#[test]
fn links_see_what_those_before_them_wrote() {
    use Access::{Handed, Read, Write};
    let first = mean((Elem::F32, Read), (Elem::F32, Handed), SIZE);
    let second = mean((Elem::F32, Handed), (Elem::F16, Handed), 2 * SIZE);
    let third = mean((Elem::F16, Handed), (Elem::F32, Write), SIZE);
    let links = [&first, &second, &third];
    for k in links {
        assert!(chain::can_be_link(k));
        assert!((0..3).all(|t| t == 0 || chain::can_be_handed(k, TensorId(t))));
    }
    assert!(chain::fit(&first, &second));
    // one array for all
    assert_eq!(chain::shared_bytes(&links), u64::from(2 * SIZE * 4));
    let kernel = chain::chain("chain", &links);
    assert_eq!(kernel.workgroups, [3 * GROUPS, 1, 1]);
    drift_kernel::validate(&kernel).expect("a sound kernel");
    let physical = virtualize(kernel).expect("virtualize");
    drift_kernel::validate(&physical).expect("a sound kernel");
    // alone, nobody waits
    assert!(loops(&physical) && !loops(&virtualize(first.clone()).expect("virtualize")));
    let ramp: Vec<f32> = (0..N).map(|i| i as f32 / 64.0).collect();
    let missing = |memory: &mut Memory, bytes: usize| {
        let words = memory.add_buffer(bytes as u64);
        memory.write(words, 0, &vec![MISSING as u8; bytes]);
        words
    };
    for threads in [1, 4] {
        let mut memory = Memory::new();
        let [w, x, out] = [0; 3].map(|_| memory.add_f32s(&ramp));
        let (y, z) = (missing(&mut memory, 4 * N), missing(&mut memory, 2 * N));
        let binds = [w, y, x, w, z, y, w, out, z].map(Bind::all);
        let options = Options { threads, strict: threads == 1, ..Options::default() };
        run(&physical, &memory, &binds, &options).expect("the chain runs");
        let step = |x: &[f32]| -> Vec<f32> {
            let mean = x.iter().sum::<f32>() / N as f32;
            ramp.iter().map(|w| w + mean).collect()
        };
        let want = step(&step(&step(&ramp)));
        for (have, want) in memory.f32s(out).iter().zip(&want) {
            // one of them went through f16
            assert!((have - want).abs() <= want.abs() * 1e-3, "{have} {want}, {threads} threads");
        }
    }
}

/// Whoever waits for a NaN waits for ever.
#[test]
fn no_result_looks_as_if_it_were_missing() {
    use Access::{Handed, Read, Write};
    let first = mean((Elem::F32, Read), (Elem::F32, Handed), SIZE);
    let second = mean((Elem::F32, Handed), (Elem::F32, Write), SIZE);
    let physical = virtualize(chain::chain("chain", &[&first, &second])).expect("virtualize");
    let mut memory = Memory::new();
    let mut w = vec![1.0; N];
    (w[3], w[5]) = (f32::NAN, f32::NEG_INFINITY);
    let w = memory.add_f32s(&w);
    let [x, out] = [0; 2].map(|_| memory.add_f32s(&vec![1.0; N]));
    let y = memory.add_buffer(4 * N as u64);
    memory.write(y, 0, &vec![MISSING as u8; 4 * N]);
    let binds = [w, y, x, w, out, y].map(Bind::all);
    run(&physical, &memory, &binds, &Options::default()).expect("the chain runs");
    let y = memory.f32s(y);
    assert_eq!((y[3].abs(), y[4], y[5]), (f32::INFINITY, 2.0, f32::NEG_INFINITY));
    assert!(memory.f32s(out).iter().all(|x| !x.is_finite()));
}

#[test]
fn what_is_read_before_it_is_there_cannot_be_handed() {
    let b = Builder::new("early", [SIZE, 1, 1], [GROUPS, 1, 1]);
    let x = b.tensor(arg("x", Elem::F32, Access::Read));
    let n = b.tensor(arg("n", Elem::U32, Access::Read));
    let y = b.tensor(arg("y", Elem::F32, Access::Write));
    let i = b.workgroup_id(0) * SIZE + b.load(n, &[b.local_index()]);
    b.store(y, &[i.min(N as u32 - 1)], b.load(x, &[b.local_index()]));
    let k = b.finish();
    let can = [x, n, y].map(|t| chain::can_be_handed(&k, t));
    assert_eq!(can, [false, false, true]);
}

#[test]
fn what_leaves_early_is_no_link() {
    let b = Builder::new("early", [SIZE, 1, 1], [1, 1, 1]);
    let y = b.tensor(arg("y", Elem::F32, Access::Write));
    b.if_(b.local_index().eq(0u32), || b.return_());
    b.store(y, &[b.local_index()], b.f32(1.0));
    assert!(!chain::can_be_link(&b.finish()));
    let b = Builder::new("wide", [SIZE, 1, 1], [1, 2, 1]);
    let y = b.tensor(arg("y", Elem::F32, Access::Write));
    b.store(y, &[b.local_index()], b.f32(1.0));
    assert!(!chain::can_be_link(&b.finish()));
}
