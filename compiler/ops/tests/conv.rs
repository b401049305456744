//! Convolutions on targets that make lowering choose each of its kernels: the interpreter's result
//! against the reference, and that the kernel meant by the test is the one that ran.

use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_ir::{Arg, Attrs, Body, DType, Graph, PointwiseOp, Shape, Step, Tensor};
use drift_kernel::interp::{self, Bind, Memory, ObjectId, Options};
use drift_kernel::tensor::{Elem, Layout, Storage, pack, unpack};
use drift_ops::data::sample_f32;
use drift_ops::lower::{ArgRef, Lowering, Placement, Target, lower_node};
use drift_ops::{eval_node, infer_node};

/// A device of `units` compute units, with or without cooperative matrices.
fn target(elem: Elem, units: u64, matrices: bool) -> Target {
    let shape = MatrixShape { m: 16, n: 16, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 };
    let caps = Capabilities {
        api: Api::Vulkan,
        device_name: "test".into(),
        vendor_id: 0,
        device_id: 0,
        features: Features::default(),
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
        matrix_shapes: if matrices { vec![shape] } else { Vec::new() },
    };
    Target {
        caps,
        max_object_bytes: 1 << 30,
        weight_elem: elem,
        int8_activations: false,
        full_invocations: units * 1024,
        chains: false,
    }
}

/// Order of the axes of an intermediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    RowMajor,
    SlicesFirst,
    SlicesLast,
}

impl Order {
    fn layout(self, rank: usize) -> Layout {
        let last: Vec<u8> = (2..rank as u8).collect();
        let order = match self {
            Order::RowMajor => return Layout::RowMajor,
            Order::SlicesFirst => [vec![1], last, vec![0]].concat(),
            Order::SlicesLast => [vec![0], last, vec![1]].concat(),
        };
        Layout::Slices4 { channel: 1, order }
    }
}

/// One convolution: shapes of input and weights, and what is around it.
#[derive(Clone, Debug)]
struct Case {
    x: Vec<usize>,
    w: Vec<usize>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    group: i64,
    bias: bool,
    /// Adds another tensor and takes the ReLU.
    residual: bool,
    order: (Order, Order),
}

fn case(x: &[usize], w: &[usize], stride: i64, pad: i64) -> Case {
    let spatial = x.len() - 2;
    Case {
        x: x.to_vec(),
        w: w.to_vec(),
        strides: vec![stride; spatial],
        dilations: vec![1; spatial],
        pads: vec![pad; 2 * spatial],
        group: 1,
        bias: true,
        residual: false,
        order: (Order::SlicesFirst, Order::SlicesFirst),
    }
}

impl Case {
    fn order(mut self, input: Order, output: Order) -> Case {
        self.order = (input, output);
        self
    }
    fn dilated(mut self, by: i64) -> Case {
        self.dilations.fill(by);
        self
    }
    fn residual(mut self) -> Case {
        self.residual = true;
        self
    }
    fn plain(mut self) -> Case {
        self.bias = false;
        self
    }
    fn groups(mut self, n: i64) -> Case {
        self.group = n;
        self
    }
}

fn halves(t: &Tensor) -> Tensor {
    let h = Tensor::from_f64s(DType::F16, t.shape.clone(), &t.to_f64s());
    Tensor::from_f64s(DType::F32, t.shape.clone(), &h.to_f64s())
}

/// Runs a case and compares; returns the names of the kernels and the split of the depth.
fn check(c: &Case, elem: Elem, target: &Target) -> (Vec<String>, u32) {
    let round = |t: Tensor| if elem == Elem::F32 { t } else { halves(&t) };
    let mut g = Graph::new("conv");
    let x = round(sample_f32(1, Shape::from(&c.x[..])));
    let w = round(sample_f32(2, Shape::from(&c.w[..])));
    let xv = g.add_input("x", DType::F32, x.shape.clone());
    let wv = g.add_const("w", w.clone());
    let mut operands = vec![Some(xv.into()), Some(wv.into())];
    let mut tensors = vec![Some(x), Some(w)];
    if c.bias {
        let bias = round(sample_f32(3, [c.w[0]]));
        operands.push(Some(g.add_const("bias", bias.clone()).into()));
        tensors.push(Some(bias));
    }
    let attrs = Attrs::new()
        .with("strides", c.strides.clone())
        .with("dilations", c.dilations.clone())
        .with("pads", c.pads.clone())
        .with("group", c.group);
    let id = g.add_node("conv", attrs, operands, Vec::new(), "conv");
    let shape = infer_node(&g, g.node(id)).unwrap()[0].1.clone();
    if c.residual {
        let r = round(sample_f32(4, shape.clone()));
        let value = g.add_input("r", DType::F32, shape.clone());
        tensors.push(Some(r));
        let n = g.node_mut(id);
        let at = n.operands.len();
        n.operands.push(Some(value.into()));
        let step = |op, args| Step { op, args, dtype: DType::F32 };
        n.epilogue = Body {
            steps: vec![
                step(PointwiseOp::Add, vec![Arg::Acc, Arg::Operand(at)]),
                step(PointwiseOp::Relu, vec![Arg::Step(0)]),
            ],
            results: vec![Arg::Step(1)],
        };
    }
    let y = g.add_value("y", DType::F32, shape.clone(), drift_ir::Def::Node(id, 0));
    g.node_mut(id).results.push(y);

    let node = g.node(id);
    let want = eval_node(&g, node, &tensors).unwrap().remove(0);
    let mut memory = Memory::new();
    let mut placements: Vec<Option<Placement>> = vec![None; g.value_count()];
    let mut objects: Vec<Option<ObjectId>> = vec![None; g.value_count()];
    let rank = shape.rank();
    let place = |order: Order| Placement {
        elem,
        layout: order.layout(rank),
        storage: Storage::Buffer,
        base_elems: 0,
    };
    for (o, t) in node.operands.iter().zip(&tensors) {
        let (Some(o), Some(t)) = (o, t) else { continue };
        if g.const_of(o.value).is_none() {
            let p = place(if o.value == xv { c.order.0 } else { c.order.1 });
            let bytes = pack(&p.layout, p.elem, t).unwrap();
            objects[o.value.0 as usize] = Some(memory.add_bytes(&bytes));
            placements[o.value.0 as usize] = Some(p);
        }
    }
    let p = place(c.order.1);
    // NaN wherever no kernel writes
    let bytes = p.elem.extent_bytes(p.layout.extent_elems(&shape)) as usize;
    let result = memory.add_bytes(&vec![0xff; bytes]);
    objects[y.0 as usize] = Some(result);
    placements[y.0 as usize] = Some(p.clone());

    let mut lowering = Lowering::new(&g, id, target, &placements);
    lower_node(&mut lowering).unwrap();
    let temps: Vec<ObjectId> = lowering
        .temps
        .iter()
        .map(|t| {
            memory.add_bytes(&vec![0xff; t.elem.extent_bytes(t.shape.elems() as u64) as usize])
        })
        .collect();
    let mut names = Vec::new();
    let mut split = 1;
    for k in &lowering.kernels {
        names.push(k.kernel.name.clone());
        split = split.max(k.kernel.workgroups[2]);
        let physical = drift_kernel::virtualize(k.kernel.clone()).unwrap();
        let binds: Vec<Bind> = physical
            .bindings
            .iter()
            .map(|binding| {
                let arg = &k.kernel.tensors[binding.tensor.0 as usize];
                Bind::all(match k.args[binding.tensor.0 as usize] {
                    ArgRef::Temp(t) => temps[t],
                    ArgRef::Value(v) => objects[v.0 as usize].unwrap_or_else(|| {
                        let t = g.const_of(v).expect("a constant");
                        memory.add_bytes(&pack(&arg.layout, arg.elem, t).unwrap())
                    }),
                })
            })
            .collect();
        interp::run(&physical, &memory, &binds, &Options::strict())
            .unwrap_or_else(|e| panic!("{c:?}: {e}"));
    }
    let bytes = memory.read(result, 0, memory.len_bytes(result));
    let got = unpack(&p.layout, p.elem, &shape, &bytes).unwrap().to_f64s();
    let want = want.to_f64s();
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let tolerance = if elem == Elem::F32 { 1e-5 } else { 1e-3 };
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        // NaN fails, too
        let close = (g - w).abs() <= tolerance * scale;
        assert!(close, "{c:?} in {names:?}: element {i} is {g} instead of {w}");
    }
    (names, split)
}

/// Geometries that every kernel without groups must get right.
fn shapes() -> Vec<Case> {
    use Order::*;
    vec![
        case(&[1, 16, 8, 8], &[16, 16, 1, 1], 1, 0),
        case(&[1, 32, 9, 7], &[40, 32, 1, 1], 1, 0).residual().order(SlicesLast, SlicesLast),
        case(&[1, 64, 7, 7], &[36, 64, 3, 3], 1, 1).residual(),
        case(&[2, 8, 11, 9], &[33, 8, 3, 3], 2, 1),
        // channels that fill no slice
        case(&[1, 3, 20, 20], &[32, 3, 7, 7], 2, 3).order(RowMajor, SlicesFirst),
        case(&[1, 5, 9, 9], &[35, 5, 3, 3], 1, 1).order(SlicesLast, SlicesFirst).residual(),
        case(&[1, 1, 12, 12], &[32, 1, 5, 5], 1, 2).plain().order(SlicesFirst, RowMajor),
        case(&[1, 24, 13, 6], &[34, 24, 3, 3], 1, 2).dilated(2).order(SlicesLast, SlicesLast),
        case(&[2, 12, 40], &[32, 12, 5], 2, 2),
        case(&[1, 6, 4, 5, 6], &[32, 6, 3, 3, 3], 1, 1).residual(),
        // one pixel
        case(&[1, 48, 1, 1], &[40, 48, 1, 1], 1, 0),
    ]
}

#[test]
fn cooperative_matrices_agree_with_the_reference() {
    // few units want large tiles, many units small ones and a split depth
    for units in [1, 8, 132] {
        let target = target(Elem::F16, units, true);
        for c in shapes() {
            let (names, _) = check(&c, Elem::F16, &target);
            assert_eq!(names[0], "conv_matrix", "{c:?}");
        }
    }
}

#[test]
fn deep_products_are_split() {
    let deep = case(&[1, 256, 5, 5], &[48, 256, 3, 3], 1, 1).residual();
    for order in [Order::SlicesFirst, Order::SlicesLast] {
        let deep = deep.clone().order(order, order);
        for (elem, matrices) in [(Elem::F16, true), (Elem::F32, false), (Elem::F16, false)] {
            let (names, split) = check(&deep, elem, &target(elem, 132, matrices));
            assert_eq!(names[1..], ["conv_sum"], "{names:?}");
            assert!(split > 1, "the depth of {deep:?} is not split");
        }
    }
    let shallow = case(&[1, 32, 5, 5], &[48, 32, 1, 1], 1, 0);
    assert_eq!(check(&shallow, Elem::F16, &target(Elem::F16, 132, true)).0, ["conv_matrix"]);
}

#[test]
fn tiles_without_matrices_agree_with_the_reference() {
    let target = target(Elem::F32, 132, false);
    let mut tiled = 0;
    for c in shapes() {
        let (names, _) = check(&c, Elem::F32, &target);
        tiled += usize::from(names[0] == "conv_tiled");
    }
    assert!(tiled >= 6, "only {tiled} of the shapes were computed by tiles");
}

#[test]
fn direct_kernels_agree_with_the_reference() {
    for units in [1, 2, 8] {
        let target = target(Elem::F32, units, false);
        for c in shapes() {
            assert_eq!(check(&c, Elem::F32, &target).0, ["conv"], "{c:?}");
        }
        let grouped = case(&[1, 16, 9, 9], &[32, 8, 3, 3], 1, 1).groups(2).residual();
        assert_eq!(check(&grouped, Elem::F32, &target).0, ["conv"]);
        let odd = case(&[1, 6, 9, 9], &[8, 3, 3, 3], 1, 1).groups(2);
        assert_eq!(check(&odd, Elem::F32, &target).0, ["grouped_conv"]);
    }
}

#[test]
fn depthwise_kernels_agree_with_the_reference() {
    use Order::*;
    for units in [1, 8, 132] {
        let target = target(Elem::F16, units, true);
        for c in [
            case(&[1, 16, 12, 12], &[16, 1, 3, 3], 1, 1).groups(16),
            case(&[1, 16, 13, 13], &[16, 1, 3, 3], 2, 1).groups(16).residual(),
            case(&[2, 10, 9, 11], &[10, 1, 5, 5], 1, 2).groups(10).order(SlicesLast, SlicesLast),
            case(&[1, 8, 14, 14], &[8, 1, 3, 3], 1, 2).groups(8).dilated(2).plain(),
            case(&[1, 8, 30], &[8, 1, 9], 3, 4).groups(8),
            case(&[1, 4, 5, 6, 7], &[4, 1, 3, 3, 3], 1, 1).groups(4).order(RowMajor, SlicesFirst),
            case(&[1, 8, 5, 5], &[8, 1, 5, 5], 1, 0).groups(8),
        ] {
            assert_eq!(check(&c, Elem::F16, &target).0, ["depthwise_conv"], "{c:?}");
        }
    }
}
