//! Kernels whose workgroups wait for what others hand over.

mod common;
use common::*;
use drift_emit::{Dialect, DialectOptions, emit};
use drift_kernel::chain;
use drift_kernel::tensor::{Elem, Layout, Storage};
use drift_kernel::*;

const LOAD: u32 = 61;
const STORE: u32 = 62;
const DECORATE: u32 = 71;
const COHERENT: u32 = 23;
const VOLATILE: u32 = 1;

fn arg(name: &str, elem: Elem, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem,
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
fn turned(x: (Elem, Access), y: (Elem, Access)) -> Kernel {
    let b = Builder::new("turned", [64, 1, 1], [4, 1, 1]);
    let (x, y) = (b.tensor(arg("x", x.0, x.1)), b.tensor(arg("y", y.0, y.1)));
    let i = b.workgroup_id(0) * 64u32 + b.local_index();
    let v = b.var_uninit("v", F32);
    b.await_(|| {
        v.set(b.load(x, &[b.u32(255) - i]));
        vec![v.get()]
    });
    b.store(y, &[i], v.get() + 1.0);
    b.finish()
}

fn chained(elem: Elem) -> Kernel {
    let first = turned((Elem::F32, Access::Read), (elem, Access::Handed));
    let second = turned((elem, Access::Handed), (Elem::F32, Access::Write));
    virtualize(chain::chain("chain", &[&first, &second])).expect("physical")
}

#[test]
fn waits_look_at_memory_every_time() {
    for elem in [Elem::F32, Elem::F16] {
        let words = spirv(&chained(elem));
        let decorations = instructions(&words, DECORATE);
        let coherent = decorations.iter().filter(|d| d[1] == COHERENT).count();
        assert_eq!(coherent, 2, "what the first link writes, and the second reads");
        let volatile = |code: u32, operands: usize| {
            let all = instructions(&words, code);
            all.iter().filter(|i| i.len() > operands && i.last() == Some(&VOLATILE)).count()
        };
        assert_eq!((volatile(LOAD, 3), volatile(STORE, 2)), (1, 1));
    }
}

#[test]
fn kernels_alone_wait_for_nothing() {
    let k = virtualize(turned((Elem::F32, Access::Read), (Elem::F32, Access::Write)));
    let k = k.expect("physical");
    everywhere(&k);
    const LOOP_MERGE: u32 = 246;
    assert!(instructions(&spirv(&k), LOOP_MERGE).is_empty());
    assert_eq!(instructions(&spirv(&chained(Elem::F32)), LOOP_MERGE).len(), 1);
}

#[test]
fn chains_are_for_spirv() {
    let k = chained(Elem::F32);
    for dialect in [Dialect::Wgsl, Dialect::Msl, Dialect::OpenClC] {
        let error = emit(&k, dialect, &DialectOptions::default()).unwrap_err();
        assert!(error.to_string().contains("ordered-workgroups"), "{error}");
    }
}
