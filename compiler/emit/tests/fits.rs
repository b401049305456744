//! Needs are computed from the IR; what is missing is named.

mod common;
use common::*;
use drift_bundle::caps::{Api, Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_emit::{Dialect, DialectOptions, Needs, dialect_caps, fits};
use drift_kernel::*;

fn needs(kernel: &Kernel, dialect: Dialect) -> Needs {
    Needs::of(kernel, dialect, &DialectOptions::default())
}

fn small_device() -> Capabilities {
    Capabilities {
        api: Api::Vulkan,
        device_name: "small".to_owned(),
        vendor_id: 0,
        device_id: 0,
        features: Features::TEXTURE_2D,
        limits: Limits {
            workgroup_memory_bytes: 1024,
            workgroup_invocations: 128,
            workgroup_size: [128, 128, 64],
            dispatch_workgroups: [65535; 3],
            storage_range_bytes: 1 << 27,
            buffer_bytes: 1 << 30,
            storage_buffers: 4,
            ..Limits::default()
        },
        storage_offset_alignment: 16,
        subgroup_size: 8,
        subgroup_size_min: 8,
        subgroup_size_max: 8,
        matrix_shapes: vec![],
    }
}

fn half_sum() -> Kernel {
    let bindings = vec![
        buffer("x", Scalar::F16, 4, 1 << 20, Access::Read),
        buffer("y", Scalar::F32, 4, 1 << 20, Access::Write),
    ];
    kernel("half_sum", bindings, |b| {
        let i = b.global_id(0);
        let x = load(b, 0, i, Type::vec(Scalar::F16, 4)).cast(Scalar::F32);
        let shared = b.shared("s", Scalar::F32, 4, 128);
        shared.store(i, x.subgroup(SubgroupOp::Add));
        store(b, 1, i, shared.load(i));
    })
}

#[test]
fn computed_from_the_ir() {
    let k = half_sum();
    let n = needs(&k, Dialect::SpirV);
    let names: Vec<&str> = n.features.names().collect();
    assert_eq!(names, ["storage-16bit", "subgroup-basic", "subgroup-arithmetic"]);
    assert_eq!(n.limits.workgroup_memory_bytes, 128 * 16);
    assert_eq!(n.limits.workgroup_invocations, 64);
    assert_eq!(n.limits.dispatch_workgroups, [4, 1, 1]);
    assert_eq!(n.limits.storage_range_bytes, 16 << 20);
    assert_eq!((n.limits.storage_buffers, n.limits.images), (2, 0));
    // WGSL has one switch for f16
    assert!(needs(&k, Dialect::Wgsl).features.contains(Features::F16));
}

#[test]
fn unused_expressions_need_nothing() {
    let k = kernel("unused", vec![], |b| {
        let x = b.u32(1);
        x.dot4(x, x, false);
    });
    assert_eq!(needs(&k, Dialect::SpirV).features, Features::default());
}

#[test]
fn what_is_missing_is_named() {
    let missing =
        fits(&needs(&half_sum(), Dialect::SpirV), &small_device(), &dialect_caps(Dialect::SpirV));
    let text: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "small has no storage-16bit",
            "small has no subgroup-basic",
            "small has no subgroup-arithmetic",
            "small has no workgroup memory in bytes of 2048 (it allows 1024)",
        ]
    );
}

#[test]
fn a_kernel_that_fits() {
    let bindings = vec![buffer("y", Scalar::F32, 1, 64, Access::Write)];
    let mut k = kernel("fits", bindings, |b| store(b, 0, b.local_index(), b.f32(1.0)));
    let caps = dialect_caps(Dialect::SpirV);
    assert_eq!(fits(&needs(&k, Dialect::SpirV), &small_device(), &caps), []);
    // pinned to the only size there is: nothing to control
    k.subgroup_size = 8;
    assert_eq!(fits(&needs(&k, Dialect::SpirV), &small_device(), &caps), []);
    k.subgroup_size = 32;
    let missing = fits(&needs(&k, Dialect::SpirV), &small_device(), &caps);
    assert!(missing.iter().any(|m| m.what == "subgroup size 32 (it has 8 to 8)"), "{missing:?}");
}

#[test]
fn matrix_shapes_of_dialects() {
    let shape = |side, ab, acc| MatrixShape { m: side, n: side, k: side, ab, acc };
    let big = shape(16, MatrixElem::F16, MatrixElem::F32);
    let small = shape(8, MatrixElem::F16, MatrixElem::F32);
    assert!(dialect_caps(Dialect::SpirV).matrix_shapes.contains(&big));
    assert!(!dialect_caps(Dialect::Msl).matrix_shapes.contains(&big));
    assert!(dialect_caps(Dialect::Msl).matrix_shapes.contains(&small));
}

#[test]
fn ptx_fits_no_device_without() {
    let options = DialectOptions { inline_ptx: true, ..DialectOptions::default() };
    let n = Needs::of(&half_sum(), Dialect::OpenClC, &options);
    let device = Capabilities {
        api: Api::OpenCl,
        features: Features::STORAGE_16BIT.union(Features::SUBGROUP_BASIC),
        limits: Limits {
            workgroup_memory_bytes: 4096,
            storage_range_bytes: 1 << 30,
            ..small_device().limits
        },
        ..small_device()
    };
    let missing = fits(&n, &device, &dialect_caps(Dialect::OpenClC));
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["small has no inline-ptx"]);
    let able = device.features.union(Features::INLINE_PTX);
    let device = Capabilities { features: able, ..device };
    assert_eq!(fits(&n, &device, &dialect_caps(Dialect::OpenClC)), []);
}
