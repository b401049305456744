//! `linear` on targets that make lowering choose each of its few-row kernels: the interpreter's
//! result against the reference, of x as the kernel rounds it.

use drift_bundle::caps::{Api, Capabilities, Features, Limits};
use drift_ir::{Def, Graph, Operand, Tensor};
use drift_kernel::interp::{self, Bind, Memory, Options};
use drift_kernel::tensor::{Elem, Layout, Storage, pack, unpack};
use drift_ops::lower::{ArgRef, Link, Lowering, Placement, Target, lower_node};
use drift_ops::ops::linear::{GAMMA, Spec, X, case};
use drift_ops::quant::{Group, Scheme};
use drift_ops::{Case, eval_node, infer_node};

/// Every kind of device the kernel is cut for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    /// No subgroups, 16 KiB of workgroup memory.
    Baseline,
    /// Subgroups of 8.
    Narrow,
    /// Subgroups of 32, int8 dot products.
    Int8,
    /// The same without shuffles.
    Int8NoShuffle,
    /// The same on a large device, whose workgroups walk several blocks.
    Large,
    /// A large device with floats.
    LargeFloats,
    /// A large device whose products are links of chains.
    Links,
}

use Device::*;

const DEVICES: [Device; 7] = [Baseline, Narrow, Int8, Int8NoShuffle, Large, LargeFloats, Links];

impl Device {
    fn int8(self) -> bool {
        matches!(self, Int8 | Int8NoShuffle | Large | Links)
    }

    fn target(self) -> Target {
        let mut features = Features::F16.union(Features::STORAGE_16BIT);
        if self != Baseline {
            features =
                features.union(Features::SUBGROUP_BASIC.union(Features::SUBGROUP_ARITHMETIC));
        }
        if !matches!(self, Baseline | Int8NoShuffle) {
            features = features.union(Features::SUBGROUP_SHUFFLE);
        }
        let (min, max) = match self {
            Baseline => (1, 128),
            Narrow => (8, 8),
            _ => (32, 32),
        };
        let large = matches!(self, Large | LargeFloats | Links);
        let caps = Capabilities {
            api: Api::Vulkan,
            device_name: "test".into(),
            vendor_id: 0,
            device_id: 0,
            features,
            limits: Limits {
                workgroup_memory_bytes: if self == Baseline { 16 << 10 } else { 48 << 10 },
                workgroup_invocations: if large { 1024 } else { 256 },
                workgroup_size: [if large { 1024 } else { 256 }; 3],
                dispatch_workgroups: [65_535; 3],
                storage_range_bytes: 1 << 30,
                buffer_bytes: 1 << 30,
                storage_buffers: 8,
                images: 8,
                texture_2d: 8192,
                texture_3d: 2048,
                texture_layers: 2048,
                texel_buffer: 1 << 27,
            },
            storage_offset_alignment: 256,
            subgroup_size: max,
            subgroup_size_min: min,
            subgroup_size_max: max,
            matrix_shapes: Vec::new(),
        };
        Target {
            caps,
            max_object_bytes: 1 << 30,
            weight_elem: Elem::F32,
            int8_activations: self.int8(),
            full_invocations: if large { 64 << 10 } else { 8 << 10 },
            chains: self == Links,
        }
    }
}

/// x as a kernel with int8 activations sees it: each unit of K rounded to its own scale, with
/// gamma applied. The factor of the norm stays.
fn rounded(case: &Case, scheme: Scheme, k: usize) -> Case {
    let unit = if scheme.bits() == 4 { 32 } else { 16 };
    let mut case = case.clone();
    let gamma = case.operands[GAMMA].as_ref().map(Tensor::to_f32s);
    let x = case.operands[X].as_ref().unwrap();
    let mut v = x.to_f32s();
    for row in v.chunks_mut(k) {
        if let Some(gamma) = &gamma {
            row.iter_mut().zip(gamma).for_each(|(x, g)| *x *= g);
        }
        for unit in row.chunks_mut(unit) {
            let peak = unit.iter().fold(0f32, |m, x| m.max(x.abs()));
            let (inverse, scale) = (127.0 / peak.max(1e-30), peak / 127.0);
            unit.iter_mut().for_each(|x| *x = (*x * inverse).round_ties_even() * scale);
        }
    }
    case.operands[X] = Some(Tensor::from_f32(x.shape.clone(), &v));
    case
}

/// What the kernel should give. The norm is that of x before rounding.
fn expected(case: &Case, spec: &Spec, device: Device) -> Vec<f64> {
    let eval = |case: &Case| {
        let (g, node) = graph(case);
        let stored: Vec<Option<Tensor>> = case.operands.clone();
        eval_node(&g, g.node(node), &stored).expect("the case is sound")[0].to_f64s()
    };
    if !device.int8() || spec.scheme.is_float() {
        return eval(case);
    }
    let (Some(eps), None) = (spec.norm, spec.gate) else {
        assert!(spec.norm.is_none(), "gates and norms are tried apart");
        return eval(&rounded(case, spec.scheme, spec.k));
    };
    let mut plain = rounded(case, spec.scheme, spec.k);
    plain.attrs.set("norm", "");
    plain.operands[GAMMA] = None;
    let x = case.operands[X].as_ref().unwrap().to_f64s();
    let factors = x.chunks(spec.k).map(|row| {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / spec.k as f64;
        1.0 / (mean + eps).sqrt()
    });
    let y = eval(&plain);
    factors.zip(y.chunks(spec.n)).flat_map(|(f, y)| y.iter().map(move |y| y * f)).collect()
}

fn graph(case: &Case) -> (Graph, drift_ir::NodeId) {
    let mut g = Graph::new("linear");
    let operands: Vec<Option<Operand>> = (0..)
        .zip(&case.operands)
        .map(|(i, t)| {
            let t = t.as_ref()?;
            Some(match i {
                X => g.add_input("x", t.dtype, t.shape.clone()).into(),
                _ => g.add_const(format!("c{i}"), t.clone()).into(),
            })
        })
        .collect();
    let node = g.add_node("linear", case.attrs.clone(), operands, Vec::new(), "linear");
    let (dtype, shape) = infer_node(&g, g.node(node)).expect("the case is sound")[0].clone();
    let y = g.add_value("y", dtype, shape, Def::Node(node, 0));
    g.node_mut(node).results.push(y);
    (g, node)
}

/// Runs a case on a device; the kernels that ran, with their workgroups.
fn check(m: usize, spec: &Spec, device: Device) -> Vec<(String, u32)> {
    check_case(&case(m, spec), spec, device)
}

fn check_case(case: &Case, spec: &Spec, device: Device) -> Vec<(String, u32)> {
    let place = format!("{} on {device:?}", case.name);
    let want = expected(case, spec, device);
    let (g, id) = graph(case);
    let target = device.target();
    let plain = Placement {
        elem: Elem::F32,
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        base_elems: 0,
    };
    let placements: Vec<Option<Placement>> =
        g.value_ids().map(|v| g.const_of(v).is_none().then(|| plain.clone())).collect();
    let mut l = Lowering::new(&g, id, &target, &placements);
    lower_node(&mut l).unwrap_or_else(|e| panic!("{place}: {e}"));
    let mut memory = Memory::new();
    let y = g.node(id).results[0];
    let x = case.operands[X].as_ref().unwrap();
    let x = memory.add_bytes(&pack(&Layout::RowMajor, Elem::F32, x).unwrap());
    let out = memory.add_bytes(&vec![0xff; 4 * want.len()]);
    let mut ran = Vec::new();
    for k in &l.kernels {
        let physical = drift_kernel::virtualize(k.kernel.clone()).expect("virtualize");
        let needs = drift_kernel::requirements(&physical);
        let memory_bytes = needs.limits.workgroup_memory_bytes;
        let most = target.caps.limits.workgroup_memory_bytes;
        assert!(memory_bytes <= most, "{place}: {memory_bytes} bytes of workgroup memory");
        let binds: Vec<Bind> = physical
            .bindings
            .iter()
            .map(|b| {
                let arg = &k.kernel.tensors[b.tensor.0 as usize];
                Bind::all(match k.args[b.tensor.0 as usize] {
                    ArgRef::Value(v) if v == y => out,
                    ArgRef::Value(v) => match g.const_of(v) {
                        Some(t) => memory.add_bytes(&pack(&arg.layout, arg.elem, t).unwrap()),
                        None => x,
                    },
                    ArgRef::Temp(_) => panic!("{place}: scratch"),
                })
            })
            .collect();
        interp::run(&physical, &memory, &binds, &Options::strict())
            .unwrap_or_else(|e| panic!("{place}: {e}"));
        ran.push((physical.name.clone(), physical.workgroups[0]));
    }
    let bytes = memory.read(out, 0, memory.len_bytes(out));
    let got = unpack(&Layout::RowMajor, Elem::F32, &g.value(y).shape, &bytes).unwrap().to_f64s();
    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (w, g)) in want.iter().zip(&got).enumerate() {
        let allowed = 1e-5 * scale;
        assert!((w - g).abs() <= allowed, "{place}, element {i}: {g} for {w} (allowed {allowed})");
    }
    ran
}

fn plain(scheme: Scheme, n: usize, k: usize) -> Spec {
    Spec { scheme, n, k, norm: None, post: None, gate: None }
}

/// Products as a decode step of a large device has them, in what their steps and rows come to.
#[test]
fn links_have_enough_loads_under_way() {
    let link = |n: usize, k: usize, scheme: Scheme, device: Device| {
        let (g, id) = graph(&case(1, &plain(scheme, n, k)));
        let target = device.target();
        let (elem, layout, storage) = (Elem::F32, Layout::RowMajor, Storage::Buffer);
        let place = Placement { elem, layout, storage, base_elems: 0 };
        let placements: Vec<Option<Placement>> =
            g.value_ids().map(|v| g.const_of(v).is_none().then(|| place.clone())).collect();
        let mut l = Lowering::new(&g, id, &target, &placements);
        lower_node(&mut l).expect("lowers");
        l.kernels[0].link
    };
    let q4 = Scheme::Q4Groups(Group::G32);
    // a few rows for each compute unit: single ones
    assert_eq!(link(128, 8192, q4, Links), Link::Yes);
    assert_eq!(link(128, 8192, Scheme::Q8, Links), Link::Slow, "four tiles");
    // more of them: pairs
    assert_eq!(link(1088, 1024, q4, Links), Link::Yes, "one tile");
    assert_eq!(link(1088, 2048, Scheme::Q8, Links), Link::Yes, "two loads of each row");
    assert_eq!(link(1088, 3072, q4, Links), Link::Slow, "three steps are no pairs");
    assert_eq!(link(1088, 1024, q4, Large), Link::No);
}

#[test]
fn every_scheme_on_every_device() {
    for device in DEVICES {
        for scheme in Scheme::ALL {
            check(1, &plain(scheme, 13, 70), device);
            check(2, &plain(scheme, 6, 1500), device);
            check(1, &Spec { norm: Some(1e-5), ..plain(scheme, 9, 300) }, device);
        }
    }
}

#[test]
fn up_to_sixteen_rows() {
    for device in DEVICES {
        for m in [3, 5, 8, 16] {
            check(m, &plain(Scheme::Q4Groups(Group::G32), 10, 200), device);
            check(m, &Spec { norm: Some(1e-6), ..plain(Scheme::Q8, 7, 96) }, device);
            check(m, &plain(Scheme::F16, 5, 40), device);
        }
    }
}

#[test]
fn gates() {
    let gate = Some(drift_ir::PointwiseOp::Silu);
    for device in DEVICES {
        for (m, n) in [(1, 30), (4, 14), (9, 6)] {
            check(m, &Spec { gate, ..plain(Scheme::Q4Groups(Group::G64), n, 160) }, device);
        }
    }
}

/// More blocks of rows than the device runs at a time: workgroups take several turns.
#[test]
fn workgroups_take_turns() {
    for device in [Large, LargeFloats] {
        let ran = check(1, &plain(Scheme::Q8, 9001, 64), device);
        assert_eq!(ran.len(), 1);
        assert!(ran[0].1 < 9001 / 64, "{ran:?}: no turns");
    }
}

/// K that workgroup memory does not hold at once.
#[test]
fn long_rows_come_in_chunks() {
    check(1, &plain(Scheme::Q4, 5, 9000), Baseline);
    check(2, &plain(Scheme::F16, 3, 5000), Baseline);
    check(2, &plain(Scheme::Q8Groups(Group::G128), 5, 7000), LargeFloats);
    check(8, &plain(Scheme::Q4Groups(Group::G128), 7, 5000), Large);
    check(16, &plain(Scheme::Q8, 5, 3100), Int8NoShuffle);
}

/// Rows of zeros have no scale, and large ones no overflow.
#[test]
fn extreme_rows() {
    let spec = plain(Scheme::Q8, 4, 64);
    for device in DEVICES {
        for scale in [0.0, 1e-20, 1e30] {
            let mut case = case(1, &spec);
            let x = case.operands[X].as_ref().unwrap().to_f32s();
            let x: Vec<f32> = x.iter().map(|x| x * scale).collect();
            case.operands[X] = Some(Tensor::from_f32([1, 64], &x));
            check_case(&case, &spec, device);
        }
    }
}

/// More rows than the few-row kernel takes: tiles in workgroup memory, with edges on every side.
#[test]
fn many_rows_come_in_tiles() {
    let gate = Some(drift_ir::PointwiseOp::GeluTanh);
    for device in [Baseline, Narrow, LargeFloats] {
        for scheme in Scheme::ALL {
            let ran = check(37, &plain(scheme, 35, 70), device);
            assert_eq!(ran[0].0, "linear_tiled", "{scheme} on {device:?}");
        }
        check(17, &plain(Scheme::F32, 5, 7), device);
        check(70, &plain(Scheme::Q4Groups(Group::G32), 64, 64), device);
        for scheme in [Scheme::F16, Scheme::Q8, Scheme::Q4Groups(Group::G64)] {
            check(40, &Spec { gate, ..plain(scheme, 44, 96) }, device);
        }
        // a norm needs whole rows
        check(20, &Spec { norm: Some(1e-5), ..plain(Scheme::Q8, 6, 40) }, device);
    }
    let ran = check(128, &plain(Scheme::Q8, 4096, 16), Baseline);
    assert_eq!(ran[0], ("linear_tiled".into(), 64), "large products have large tiles");
}
