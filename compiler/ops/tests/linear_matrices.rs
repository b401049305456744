//! `linear` with many rows on devices with cooperative matrices: the interpreter's result against
//! the weights as they are stored and x as the kernel rounds it.

use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_ir::{Def, Graph, Operand, PointwiseOp, Tensor};
use drift_kernel::interp::{self, Bind, Memory, ObjectId, Options};
use drift_kernel::tensor::{Elem, Layout, Storage, pack, unpack};
use drift_ops::lower::{ArgRef, Lowering, Placement, Target, lower_node};
use drift_ops::ops::linear::{DATA, GAMMA, SCALES, Spec, X, case};
use drift_ops::quant::{Group, Scheme, host};
use drift_ops::{Case, eval_node, infer_node};

fn target(int8: bool, full_invocations: u64) -> Target {
    let shape = |k, ab, acc| MatrixShape { m: 16, n: 16, k, ab, acc };
    let caps = Capabilities {
        api: Api::Vulkan,
        device_name: "test".into(),
        vendor_id: 0,
        device_id: 0,
        features: Features::F16,
        limits: Limits {
            workgroup_memory_bytes: 48 << 10,
            workgroup_invocations: 1024,
            workgroup_size: [1024; 3],
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
        subgroup_size: 32,
        subgroup_size_min: 32,
        subgroup_size_max: 32,
        matrix_shapes: vec![
            shape(16, MatrixElem::F16, MatrixElem::F32),
            shape(32, MatrixElem::S8, MatrixElem::S32),
        ],
    };
    Target {
        caps,
        max_object_bytes: 1 << 30,
        weight_elem: Elem::F16,
        int8_activations: int8,
        full_invocations,
        chains: false,
    }
}

/// x as int8 matrices see it: rows rounded to their own scale, gamma applied. The factor of the norm
/// stays that of x before.
fn rounded(case: &Case, spec: &Spec) -> Case {
    let gamma = case.operands[GAMMA].as_ref().map(Tensor::to_f32s);
    let x = case.operands[X].as_ref().unwrap();
    let mut v = x.to_f32s();
    for row in v.chunks_mut(spec.k) {
        let mean = row.iter().map(|x| x * x).sum::<f32>() / spec.k as f32;
        if let Some(gamma) = &gamma {
            row.iter_mut().zip(gamma).for_each(|(x, g)| *x *= g);
        }
        let peak = row.iter().fold(0f32, |m, x| m.max(x.abs()));
        let factor = spec.norm.map_or(1.0, |eps| 1.0 / (mean + eps as f32).sqrt());
        let scale = peak / 127.0;
        for x in row {
            *x = (*x * (127.0 / peak)).round_ties_even() * scale * factor;
        }
    }
    let mut case = case.clone();
    case.operands[X] = Some(Tensor::from_f32(x.shape.clone(), &v));
    case.operands[GAMMA] = None;
    case.attrs.set("norm", "");
    case
}

/// Weights with scales of groups as int8 matrices see them: rounded to a step per row, that of 8 (or
/// 127) steps of its largest group.
fn rescaled(case: &Case, spec: &Spec) -> Case {
    let [data, scales] = [DATA, SCALES].map(|i| case.operands[i].as_ref().unwrap());
    let mut w = host::dequantized(spec.scheme, spec.n, spec.k, data, Some(scales)).unwrap();
    let words: Vec<u32> = scales.to_i64s().iter().map(|v| *v as u32).collect();
    let per_row = words.len() / spec.n;
    let steps = if spec.scheme.bits() == 4 { 8.0 } else { 127.0 };
    for (row, words) in w.chunks_mut(spec.k).zip(words.chunks(per_row)) {
        let halves = words.iter().flat_map(|w| [*w as u16, (w >> 16) as u16]);
        let most = halves.map(|h| half::f16::from_bits(h).to_f32().abs()).fold(0f32, f32::max);
        let step = most * (steps / 127.0);
        row.iter_mut().for_each(|w| *w = (*w * (1.0 / step)).round_ties_even() * step);
    }
    let mut case = case.clone();
    case.attrs.set("scheme", "f32");
    case.operands[DATA] = Some(Tensor::from_f32([spec.n, spec.k], &w));
    case.operands[SCALES] = None;
    case
}

fn graph(case: &Case) -> (Graph, drift_ir::NodeId) {
    let mut g = Graph::new("linear");
    let mut operands = Vec::new();
    for (i, t) in case.operands.iter().enumerate() {
        operands.push(t.as_ref().map(|t| {
            Operand::from(match i {
                X => g.add_input("x", t.dtype, t.shape.clone()),
                _ => g.add_const(format!("c{i}"), t.clone()),
            })
        }));
    }
    let node = g.add_node("linear", case.attrs.clone(), operands, Vec::new(), "linear");
    let (dtype, shape) = infer_node(&g, g.node(node)).expect("the case is sound")[0].clone();
    let y = g.add_value("y", dtype, shape, Def::Node(node, 0));
    g.node_mut(node).results.push(y);
    (g, node)
}

/// Runs a case; the names of the kernels that ran.
fn check(m: usize, spec: &Spec, half: bool, target: &Target, allowed: f64) -> Vec<String> {
    let case = case(m, spec);
    let place = format!("{} half {half}", case.name);
    let many = m >= 256 || spec.scheme.group().is_none();
    let int8 = target.int8_activations && !spec.scheme.is_float() && many;
    let seen = match (int8, spec.scheme.group()) {
        (false, _) => case.clone(),
        (true, None) => rounded(&case, spec),
        (true, Some(_)) => rescaled(&rounded(&case, spec), spec),
    };
    let (g, id) = graph(&seen);
    let stored: Vec<Option<Tensor>> = seen.operands.clone();
    let want = eval_node(&g, g.node(id), &stored).expect("the case is sound")[0].to_f64s();

    let (g, id) = graph(&case);
    let placed = |elem| Placement {
        elem,
        layout: Layout::RowMajor,
        storage: Storage::Buffer,
        base_elems: 0,
    };
    let y = g.node(id).results[0];
    let x_elem = if half { Elem::F16 } else { Elem::F32 };
    let placements: Vec<Option<Placement>> = g
        .value_ids()
        .map(|v| g.const_of(v).is_none().then(|| placed(if v == y { Elem::F32 } else { x_elem })))
        .collect();
    let mut l = Lowering::new(&g, id, target, &placements);
    lower_node(&mut l).unwrap_or_else(|e| panic!("{place}: {e}"));
    let mut memory = Memory::new();
    let x = pack(&Layout::RowMajor, x_elem, case.operands[X].as_ref().unwrap()).unwrap();
    let x = memory.add_bytes(&x);
    let out = memory.add_bytes(&vec![0xff; 4 * want.len()]);
    let temps: Vec<ObjectId> =
        l.temps.iter().map(|t| memory.add_buffer(4 * t.shape.elems() as u64)).collect();
    let mut ran = Vec::new();
    for k in &l.kernels {
        let physical = drift_kernel::virtualize(k.kernel.clone()).expect("virtualize");
        drift_kernel::validate(&physical).unwrap_or_else(|e| panic!("{place}: {e}"));
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
                    ArgRef::Temp(t) => temps[t],
                })
            })
            .collect();
        interp::run(&physical, &memory, &binds, &Options::strict())
            .unwrap_or_else(|e| panic!("{place}: {e}"));
        ran.push(physical.name.clone());
    }
    let bytes = memory.read(out, 0, memory.len_bytes(out));
    let got = unpack(&Layout::RowMajor, Elem::F32, &g.value(y).shape, &bytes).unwrap().to_f64s();
    let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (w, g)) in want.iter().zip(&got).enumerate() {
        assert!((w - g).abs() <= allowed * scale, "{place}, element {i}: {g} for {w} of {scale}");
    }
    ran
}

/// Operands rounded to f16: 2^-11 each, over sums of some hundreds.
const HALVES: f64 = 2e-3;
/// The same integers, scaled in another order.
const INTEGERS: f64 = 2e-5;

fn plain(scheme: Scheme, n: usize, k: usize) -> Spec {
    Spec { scheme, n, k, norm: None, post: None, gate: None }
}

#[test]
fn every_scheme_with_f16_matrices() {
    // large tiles, whose ends lie outside, and small ones
    for (units, m, n, k) in [(1, 130, 136, 96), (64, 37, 50, 72), (64, 33, 36, 128)] {
        let target = target(false, 1024 * units);
        for scheme in Scheme::ALL {
            for half in [false, true] {
                let ran = check(m, &plain(scheme, n, k), half, &target, HALVES);
                assert_eq!(ran, ["linear_matrix"], "{scheme}");
            }
        }
    }
}

#[test]
fn integers_with_int8_matrices() {
    for (units, m, n, k) in [(1, 130, 136, 96), (64, 37, 50, 72), (64, 33, 36, 256)] {
        let target = target(true, 1024 * units);
        for scheme in [Scheme::Q8, Scheme::Q4] {
            let ran = check(m, &plain(scheme, n, k), false, &target, INTEGERS);
            assert_eq!(ran, ["linear_quantize", "linear_matrix_i8"]);
            let gate = Some(PointwiseOp::Silu);
            let spec = Spec { gate, norm: Some(1e-5), ..plain(scheme, n, k) };
            check(m, &spec, false, &target, INTEGERS);
        }
        // scales of groups are left to f16 where a copy of the weights is not worth it
        let ran = check(40, &plain(Scheme::Q4Groups(Group::G32), n, k), true, &target, HALVES);
        assert_eq!(ran, ["linear_matrix"]);
    }
}

#[test]
fn groups_with_int8_matrices() {
    let target = target(true, 1024 * 64);
    for scheme in Scheme::ALL.into_iter().filter(|s| s.group().is_some()) {
        // fewer units than invocations that share a row, and more
        for (n, k) in [(37, 72), (12, 1056)] {
            let ran = check(256, &plain(scheme, n, k), false, &target, INTEGERS);
            assert_eq!(ran, ["linear_quantize", "linear_rescale", "linear_matrix_i8"]);
        }
    }
    let gate = Some(PointwiseOp::Silu);
    let spec = Spec { gate, norm: Some(1e-5), ..plain(Scheme::Q4Groups(Group::G32), 40, 64) };
    check(257, &spec, false, &target, INTEGERS);
}

#[test]
fn gates_and_norms_with_f16_matrices() {
    let target = target(false, 1024);
    for scheme in [Scheme::F16, Scheme::Q8, Scheme::Q4Groups(Group::G32)] {
        let gate = Some(PointwiseOp::GeluTanh);
        check(40, &Spec { gate, ..plain(scheme, 60, 160) }, true, &target, HALVES);
        let spec = Spec { norm: Some(1e-6), gate, ..plain(scheme, 44, 96) };
        let ran = check(35, &spec, false, &target, 2.0 * HALVES);
        assert_eq!(ran, ["linear_normalize", "linear_matrix"]);
    }
}
