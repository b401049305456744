//! Validator, printer and requirements.

mod common;

use common::arg;
use drift_bundle::caps::{Features, ImageKind, MatrixElem, MatrixShape};
use drift_ir::Shape;
use drift_kernel::*;

fn scale() -> Kernel {
    let shape = Shape::new([1, 8, 4, 6]);
    let sliced = |name, access| TensorArg {
        layout: Layout::Slices4 { channel: 1, order: vec![1, 2, 3, 0] },
        ..arg(name, &shape, access)
    };
    let b = Builder::new("scale", [8, 4, 1], [1, 1, 2]);
    let (x, y) = (b.tensor(sliced("x", Access::Read)), b.tensor(sliced("y", Access::Write)));
    let (i, j, s) = (b.global_id(0), b.global_id(1), b.global_id(2));
    b.if_(i.lt(6u32), || {
        let at = [b.u32(0), s * 4u32, j, i];
        b.store4(y, &at, 1, b.load4(x, &at, 1) * 2.0);
    });
    b.finish()
}

#[test]
fn text_form() {
    let kernel = virtualize(scale()).unwrap();
    assert_eq!(
        print(&scale()),
        "\
kernel scale workgroup 8x4x1 grid 1x1x2 {
  tensor x: Read F32 [1,8,4,6] slices4(channel 1, order [1, 2, 3, 0]) buffer
  tensor y: Write F32 [1,8,4,6] slices4(channel 1, order [1, 2, 3, 0]) buffer
  if global.x < 6 {
    e7 = global.z * 4
    let e8 = load 4 along 1 of x(0, e7, global.y, global.x)
    store 4 along 1 of y(0, e7, global.y, global.x) = e8 * splat4(2.0)
  }
}
"
    );
    let text = print(&kernel);
    assert!(text.contains("binding 0 x: Read vec4<f32>[48]"), "{text}");
    assert!(text.contains("] = e"), "{text}");
    assert_eq!(text, print(&virtualize(scale()).unwrap()), "stable");
}

fn edit(f: impl Fn(&mut Kernel)) -> String {
    let mut kernel = virtualize(scale()).unwrap();
    validate(&kernel).unwrap();
    f(&mut kernel);
    validate(&kernel).expect_err("an error").to_string()
}

/// The first expression that `f` picks.
fn find(k: &Kernel, f: impl Fn(&Expr) -> bool) -> ExprId {
    ExprId(k.exprs.iter().position(f).expect("there") as u32)
}

#[test]
fn physical_kernels_do_without_tensors() {
    let mut kernel = virtualize(scale()).unwrap();
    kernel.tensors.clear();
    validate(&kernel).unwrap();
    // ... but logical ones do not
    let mut kernel = scale();
    kernel.tensors.clear();
    let error = validate(&kernel).expect_err("an error").to_string();
    assert!(error.contains("no such tensor"), "{error}");
    // and of those that are there, a binding names one
    assert!(edit(|k| k.bindings[0].tensor = TensorId(9)).contains("tensor 9 that is not there"));
}

#[test]
fn mistakes_are_found() {
    validate(&scale()).unwrap();
    let cases: Vec<(String, &str)> = vec![
        (edit(|k| k.types[0] = F32X4), "its operands make it"),
        (edit(|k| k.workgroup_size = [1024, 2, 1]), "2048 invocations"),
        (edit(|k| k.workgroups[1] = 0), "empty grid"),
        (edit(|k| k.types.truncate(1)), "parallel"),
        (edit(|k| k.body.push(Stmt::Break)), "outside of a loop"),
        (
            edit(|k| {
                let load = find(k, |e| matches!(e, Expr::Buffer { .. }));
                k.body.insert(0, Stmt::Let(load));
            }),
            "second let",
        ),
        (
            edit(|k| {
                // use after the scope of the let
                let load = find(k, |e| matches!(e, Expr::Buffer { .. }));
                let index = find(k, |e| matches!(e, Expr::Lit(Lit::U32(_))));
                k.body.push(Stmt::StoreBuffer { binding: BindingId(1), index, value: load });
            }),
            "out of its scope",
        ),
        (
            edit(|k| {
                let at = find(k, |e| matches!(e, Expr::Lit(Lit::U32(_))));
                k.body.push(Stmt::StoreBuffer { binding: BindingId(1), index: at, value: at });
            }),
            "holds Vector",
        ),
        (
            edit(|k| {
                let at = find(k, |e| matches!(e, Expr::Lit(Lit::U32(_))));
                k.body.push(Stmt::StoreBuffer { binding: BindingId(0), index: at, value: at });
            }),
            "only read",
        ),
        (
            edit(|k| {
                let n = find(k, |e| matches!(e, Expr::Lit(Lit::U32(_))));
                k.exprs.push(Expr::LoopIndex(LoopId(7)));
                k.types.push(U32);
                k.max.push(None);
                let value = ExprId(k.exprs.len() as u32 - 1);
                k.vars.push(Var { name: "v".into(), ty: U32, len: 4 });
                k.body.push(Stmt::SetVar { var: VarId(0), index: Some(n), value });
            }),
            "loop 7 outside of it",
        ),
        (
            edit(|k| {
                k.exprs.push(Expr::Lit(Lit::U32(9)));
                k.types.push(U32);
                k.max.push(None);
                let nine = ExprId(k.exprs.len() as u32 - 1);
                k.vars.push(Var { name: "v".into(), ty: U32, len: 4 });
                k.body.push(Stmt::SetVar { var: VarId(0), index: Some(nine), value: nine });
            }),
            "index 9 of v",
        ),
    ];
    for (found, want) in cases {
        assert!(found.contains(want) && found.contains("kernel `scale`"), "{want}: {found}");
    }
}

#[test]
fn requirements_come_from_the_ir() {
    let needs = requirements(&virtualize(scale()).unwrap());
    assert_eq!(needs.features, Features::default());
    assert_eq!(needs.limits.storage_range_bytes, 8 * 4 * 6 * 4);
    assert_eq!(needs.limits.storage_buffers, 2);
    assert_eq!(needs.limits.workgroup_invocations, 32);
    assert_eq!(needs.limits.dispatch_workgroups, [1, 1, 2]);

    // f16 storage is not f16 arithmetic
    let shape = Shape::new([64]);
    let half = |name, access| TensorArg { elem: Elem::F16, ..arg(name, &shape, access) };
    let build = |arithmetic: bool| {
        let b = Builder::new("half", [64, 1, 1], [1, 1, 1]);
        let (x, y) = (b.tensor(half("x", Access::Read)), b.tensor(half("y", Access::Write)));
        let i = b.global_id(0);
        let mut v = b.load(x, &[i]) * 2.0;
        if arithmetic {
            let h = v.cast(Scalar::F16);
            v = (h * h).cast(Scalar::F32);
        }
        b.store(y, &[i], v);
        requirements(&virtualize(b.finish()).unwrap()).features
    };
    assert_eq!(build(false), Features::STORAGE_16BIT);
    assert_eq!(build(true), Features::STORAGE_16BIT.union(Features::F16));

    let b = Builder::new("all", [32, 1, 1], [1, 1, 1]);
    b.set_subgroup_size(32);
    let x = b.tensor(TensorArg {
        storage: Storage::Image(ImageKind::Texture2d),
        ..arg("x", &[4, 8, 16].into(), Access::Read)
    });
    let y = b.tensor(arg("y", &[32].into(), Access::Write));
    let i = b.local_id(0);
    let tile = b.shared("tile", Scalar::F16, 1, 256);
    let m = |role, component| Matrix { role, component, rows: 16, cols: 16 };
    let a = tile.load_matrix(m(MatrixRole::A, Component::F16), 0u32, 16u32, true);
    let w = tile.load_matrix(m(MatrixRole::B, Component::F16), 0u32, 16u32, true);
    let c = b.matrix_zero(m(MatrixRole::C, Component::F32));
    let out = b.shared("out", Scalar::F32, 1, 256);
    out.store_matrix(b.matrix_mul_add(a, w, c), 0u32, 16u32, true);
    b.barrier();
    let texel = b.load(x, &[i % 4u32, i % 8u32, i % 16u32]);
    let sum = (texel + out.load(i)).subgroup(SubgroupOp::Add);
    b.store(y, &[i], sum.subgroup_shuffle_xor(b.u32(1)));
    let kernel = virtualize(b.finish()).unwrap();
    validate(&kernel).unwrap();
    let needs = requirements(&kernel);
    let names: Vec<&str> = needs.features.names().collect();
    assert_eq!(
        names,
        [
            "f16",
            "subgroup-basic",
            "subgroup-arithmetic",
            "subgroup-shuffle",
            "cooperative-matrix",
            "texture-2d",
        ]
    );
    assert_eq!(needs.limits.workgroup_memory_bytes, 256 * 2 + 256 * 4);
    assert_eq!(needs.subgroup_size, 32);
    let (ab, acc) = (MatrixElem::F16, MatrixElem::F32);
    assert_eq!(needs.matrix_shapes, [MatrixShape { m: 16, n: 16, k: 16, ab, acc }]);
    assert_eq!((needs.limits.images, needs.limits.texture_2d), (1, 32));
}
