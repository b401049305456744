//! A chain of kernels on a real driver, whatever its device file says of chains.

use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};
use drift_emit::{DialectOptions, ENTRY_POINT, emit};
use drift_kernel::chain;
use drift_kernel::{
    Access, Builder, Elem, Kernel, Layout, Scalar, Storage, TensorArg, interp, virtualize,
};
use drift_runtime::{Bundle, DriverCache, Session, SessionOptions};

const SIZE: u32 = 32;
const GROUPS: u32 = 16;
const N: usize = (SIZE * GROUPS) as usize;
const LINKS: usize = 4;
const RUNS: usize = 50;

fn arg(name: &str, elem: Elem, len: usize, access: Access) -> TensorArg {
    TensorArg {
        name: name.into(),
        elem,
        stored: [len].into(),
        view: Default::default(),
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        access,
        base_elems: 0,
        max_object_bytes: 1 << 27,
    }
}

/// `y[i] = w[i] + sum of x / N`: every workgroup reads what all of the link before have written.
fn mean(x: Access, y: Access) -> Kernel {
    let b = Builder::new("mean", [SIZE, 1, 1], [GROUPS, 1, 1]);
    let w = b.tensor(arg("w", Elem::F32, N, Access::Read));
    let x = b.tensor(arg("x", Elem::F32, N, x));
    let y = b.tensor(arg("y", Elem::F32, N, y));
    let i = b.workgroup_id(0) * SIZE + b.local_index();
    let own = b.load(w, &[i]);
    let parts = b.shared("parts", Scalar::F32, 1, SIZE);
    let values: Vec<_> = (0..GROUPS).map(|_| b.var("x", b.f32(0.0))).collect();
    b.await_(|| {
        for (turn, v) in (0u32..).zip(&values) {
            v.set(b.load(x, &[b.local_index() + turn * SIZE]));
        }
        values.iter().map(|v| v.get()).collect()
    });
    parts.store(b.local_index(), values.iter().fold(b.f32(0.0), |sum, v| sum + v.get()));
    b.barrier();
    let total = b.var("total", b.f32(0.0));
    b.for_(0u32, SIZE, 1, |k| total.set(total.get() + parts.load(k)));
    b.store(y, &[i], own + total.get() * (1.0 / N as f32));
    b.finish()
}

fn chained() -> Kernel {
    let access = |i: usize| match i {
        0 => Access::Read,
        LINKS => Access::Write,
        _ => Access::Handed,
    };
    let links: Vec<Kernel> = (0..LINKS).map(|i| mean(access(i), access(i + 1))).collect();
    let links: Vec<&Kernel> = links.iter().collect();
    virtualize(chain::chain("chain", &links)).expect("physical")
}

/// Empties what the links hand over.
fn empty() -> Kernel {
    let all = N * (LINKS - 1);
    let b = Builder::new("empty", [SIZE, 1, 1], [all as u32 / SIZE, 1, 1]);
    let to = b.tensor(arg("handed", Elem::U32, all, Access::Write));
    b.store(to, &[b.global_id(0)], b.u32(chain::MISSING));
    virtualize(b.finish()).expect("physical")
}

fn ramp() -> Vec<f32> {
    (0..N).map(|i| i as f32).collect()
}

fn interpreted(kernel: &Kernel) -> Vec<f32> {
    let mut memory = interp::Memory::new();
    let (w, x) = (memory.add_f32s(&ramp()), memory.add_f32s(&ramp()));
    let mut binds = Vec::new();
    let mut last = x;
    for _ in 0..LINKS {
        let y = memory.add_f32s(&vec![f32::from_bits(chain::MISSING); N]);
        binds.extend([w, last, y]);
        last = y;
    }
    let binds: Vec<interp::Bind> = binds.into_iter().map(interp::Bind::all).collect();
    interp::run(kernel, &memory, &binds, &interp::Options::strict()).expect("runs");
    memory.f32s(last)
}

#[test]
fn a_chain_gives_what_the_interpreter_does() {
    if drift_conformance::gpu::api() != Api::Vulkan {
        return;
    }
    // lavapipe ends loops after 65,535 iterations of an invocation, those that wait as well, and
    // hands each of its threads a range of workgroups: with one thread, none waits for another
    // SAFETY: the only test of this program, and nothing else runs yet.
    unsafe { std::env::set_var("LP_NUM_THREADS", "1") };
    let Some(device) = drift_conformance::gpu::device() else { return };
    let (empty, chain) = (empty(), chained());
    let want = interpreted(&chain);

    let mut plan = Plan::default();
    let mut shaders = ShaderSet::new();
    for kernel in [&empty, &chain] {
        let shader = emit(kernel, Dialect::SpirV, &DialectOptions::default()).expect("SPIR-V");
        let bindings = kernel.bindings.iter().map(|b| match b.access {
            Access::Read => BindingKind::StorageRead,
            _ => BindingKind::StorageReadWrite,
        });
        plan.pipelines.push(Pipeline {
            shader: shaders.add(shader.bytes),
            shader_entry: ENTRY_POINT.into(),
            workgroup_size: kernel.workgroup_size,
            bindings: bindings.collect(),
            subgroup_size: 0,
        });
    }
    let mut object = |role, bytes| {
        plan.objects.push(Object { role, kind: ObjectKind::Buffer { bytes } });
        Bind::Buffer { object: plan.objects.len() as u32 - 1, offset: 0, bytes }
    };
    let bytes = N as u64 * 4;
    let x = object(ObjectRole::Input, bytes);
    let handed = object(ObjectRole::Arena, bytes * (LINKS as u64 - 1));
    let Bind::Buffer { object: arena, .. } = handed else { unreachable!("a buffer") };
    let mut binds = Vec::new();
    let mut last = x.clone();
    for i in 0..LINKS {
        let y = match i + 1 {
            LINKS => object(ObjectRole::Output, bytes),
            _ => Bind::Buffer { object: arena, offset: bytes * i as u64, bytes },
        };
        binds.extend([x.clone(), last, y.clone()]);
        last = y;
    }
    let io = |name: &str, bind: Bind| {
        let Bind::Buffer { object, .. } = bind else { unreachable!("buffers only") };
        let elem = ElemType::F32;
        let shape = vec![N as u64];
        Io { name: name.into(), elem, device_elem: elem, shape, object, offset: 0 }
    };
    let dispatch = |pipeline: u32, kernel: &Kernel, binds: Vec<Bind>| Step::Dispatch {
        pipeline,
        workgroups: kernel.workgroups,
        binds,
        label: pipeline,
    };
    plan.labels = ["empty", "chain"].map(Into::into).into();
    plan.entry_points = vec![EntryPoint {
        name: "main".into(),
        inputs: vec![io("x", x)],
        outputs: vec![io("y", last)],
        steps: vec![dispatch(0, &empty, vec![handed]), Step::Barrier, dispatch(1, &chain, binds)],
    }];
    let mut writer = BundleWriter::new(Meta::new("chain", "test", "0"));
    writer.add_variant(Requirements::new(Api::Vulkan, Dialect::SpirV, "test"), plan, shaders);
    let bundle = Bundle::from_vec(writer.to_vec(&[]).expect("a bundle")).expect("a bundle");
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    let mut session = Session::with_options(&device, &bundle, &options).expect("a session");
    for run in 0..RUNS {
        let have = session.run(&[("x", (&ramp()).into())]).expect("runs")["y"].to_f32();
        let near = have.iter().zip(&want).all(|(a, b)| (a - b).abs() <= b.abs() * 1e-5);
        assert!(near, "run {run}: {have:?}, wanted {want:?}");
    }
    assert!(device.validation_messages().is_empty(), "{:?}", device.validation_messages());
}
