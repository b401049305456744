//! Memory placement and hazards of whole compilations.

use drift_bundle::plan::{Bind, BindingKind, ObjectKind, ObjectRole, Step};
use drift_driver::memory::Strategy;
use drift_driver::target::{self, Precision, TargetSpec};
use drift_driver::{Calibration, CompileOptions, Compiled, Stage, compile};
use drift_onnx::builder::ModelBuilder;
use drift_onnx::{ElemType, Model, Tensor};

fn options(disabled: &[&str], targets: Vec<TargetSpec>) -> CompileOptions {
    CompileOptions {
        bindings: Default::default(),
        precision: Precision::F32,
        disabled: disabled.iter().map(|d| (*d).to_owned()).collect(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: Strategy::Best,
        targets,
        stop_after: Stage::Package,
    }
}

fn compiled(model: &Model, options: &CompileOptions) -> Compiled {
    compile(model, options, &mut |_, _, _| {}).expect("it compiles")
}

fn vulkan() -> Vec<TargetSpec> {
    target::resolve(&["vulkan-modern".to_owned()]).expect("a known target")
}

fn weights(name: &str, dims: &[u64]) -> Tensor {
    let n: u64 = dims.iter().product();
    let v: Vec<f32> = (0..n).map(|i| ((i * 37 % 19) as f32 - 9.0) / 19.0).collect();
    Tensor::from_f32(dims, &v).expect("as many values as the shape says").named(name)
}

/// Two convolutions of x, joined along the channels and convolved again.
fn concat_model() -> Model {
    ModelBuilder::new(17)
        .input("x", ElemType::F32, &[1, 4, 8, 8])
        .initializer("a", weights("a", &[8, 4, 1, 1]))
        .initializer("b", weights("b", &[4, 4, 1, 1]))
        .initializer("c", weights("c", &[4, 12, 1, 1]))
        .node("Conv", &["x", "a"], &["left"], &[])
        .node("Conv", &["x", "b"], &["right"], &[])
        .node("Concat", &["left", "right"], &["both"], &[("axis", drift_onnx::Attribute::Int(1))])
        .node("Conv", &["both", "c"], &["y"], &[])
        .output("y", ElemType::F32, &[1, 4, 8, 8])
        .build()
        .expect("a valid model")
}

fn dispatches(c: &Compiled) -> usize {
    c.variants[0].steps().count()
}

#[test]
fn parts_of_a_concat_are_written_in_place() {
    let model = concat_model();
    let free = compiled(&model, &options(&[], vulkan()));
    let copied = compiled(&model, &options(&["zero-copy-concat"], vulkan()));
    assert_eq!(dispatches(&free), 3, "three convolutions and no copy");
    assert!(dispatches(&copied) > 3);
    let arena =
        |c: &Compiled| c.variants[0].planned.as_ref().map(|p| p.main().summary.planned_bytes);
    assert_eq!(arena(&free), Some(12 * 64 * 4));
    assert!(arena(&copied) > arena(&free));
}

#[test]
fn barriers_stand_where_a_hazard_is_and_nowhere_else() {
    let c = compiled(&concat_model(), &options(&[], vulkan()));
    let planned = c.variants[0].planned.as_ref().expect("a plan");
    let steps = &planned.plan.entry_points[0].steps;
    let barriers = steps.iter().filter(|s| matches!(s, Step::Barrier)).count();
    // the two first convolutions are independent; only the last waits
    assert_eq!(barriers, 1, "{steps:?}");
    assert!(drift_bundle::hazards(&planned.plan).is_empty());
}

#[test]
fn variants_share_their_weights() {
    let both = vec!["vulkan-modern".to_owned(), "webgpu-generic".to_owned()];
    let one = compiled(&concat_model(), &options(&[], vulkan()));
    let two = compiled(&concat_model(), &options(&[], target::resolve(&both).expect("known")));
    assert_eq!(two.variants.len(), 2);
    assert_eq!(one.weights.bytes(), two.weights.bytes());
}

#[test]
fn halves_without_16_bit_storage_leave_what_they_cannot_hold_in_f32() {
    // rows of 7: stored one element at a time, which packed halves cannot be
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[96, 64])
        .initializer("w", weights("w", &[64, 67]))
        .initializer("v", weights("v", &[67, 64]))
        .node("MatMul", &["x", "w"], &["h"], &[])
        .node("MatMul", &["h", "v"], &["g"], &[])
        .node("MatMul", &["g", "w"], &["y"], &[])
        .output("y", ElemType::F32, &[96, 67])
        .build()
        .expect("a valid model");
    let baseline = target::resolve(&["vulkan-baseline".to_owned()]).expect("a known target");
    let mixed = CompileOptions { precision: Precision::Mixed, ..options(&[], baseline) };
    let c = compiled(&model, &mixed);
    assert_eq!(dispatches(&c), 3);
}

#[test]
fn every_strategy_plans_the_same_network() {
    let naive = |s| {
        let c = compiled(&concat_model(), &CompileOptions { memory: s, ..options(&[], vulkan()) });
        let plan = &c.variants[0].planned.as_ref().expect("a plan").plan;
        let arena = plan.objects.iter().find(|o| o.role == ObjectRole::Arena).expect("an arena");
        let ObjectKind::Buffer { bytes } = arena.kind else { panic!("the arena is a buffer") };
        (bytes, plan.memory.lower_bound_bytes)
    };
    for &strategy in Strategy::ALL {
        let (bytes, bound) = naive(strategy);
        assert!(bytes >= bound, "{strategy}: {bytes} below the bound {bound}");
    }
}

#[test]
fn webgpu_binds_what_it_writes_in_no_other_way() {
    // a residual sum in place
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[1, 4, 8, 8])
        .initializer("a", weights("a", &[8, 4, 3, 3]))
        .initializer("b", weights("b", &[8, 8, 1, 1]))
        .initializer("c", weights("c", &[4, 8, 1, 1]))
        .node("Conv", &["x", "a"], &["p"], &[("pads", drift_onnx::Attribute::Ints(vec![1; 4]))])
        .node("Conv", &["p", "b"], &["q"], &[])
        .node("Add", &["q", "p"], &["sum"], &[])
        .node("Conv", &["sum", "c"], &["y"], &[])
        .output("y", ElemType::F32, &[1, 4, 8, 8])
        .build()
        .expect("a valid model");
    let spec = |id: &str| target::resolve(&[id.to_owned()]).expect("a known target");
    let shared = |c: &Compiled| {
        let plan = &c.variants[0].planned.as_ref().expect("a plan").plan;
        assert_eq!(drift_bundle::hazard_report(plan), None);
        let mut shared = 0;
        for step in &plan.entry_points[0].steps {
            let Step::Dispatch { pipeline, binds, .. } = step else { continue };
            let kinds = &plan.pipelines[*pipeline as usize].bindings;
            assert_eq!(kinds.len(), binds.len());
            for (n, (bind, kind)) in binds.iter().zip(kinds).enumerate() {
                let Bind::Buffer { object, offset, bytes } = *bind else { panic!("an image") };
                for (other, its) in binds[..n].iter().zip(kinds) {
                    let Bind::Buffer { object: o, offset: from, bytes: len } = *other else {
                        panic!("an image")
                    };
                    let written = [*kind, *its].contains(&BindingKind::StorageReadWrite);
                    let meet = o == object && from < offset + bytes && offset < from + len;
                    shared += usize::from(written && (meet || o == object && kind != its));
                }
            }
        }
        shared
    };
    let web = compiled(&model, &options(&[], spec("webgpu-generic")));
    assert_eq!(shared(&web), 0);
    // what a dispatch only reads lies in other arenas than what it writes, so reads stay reads
    let plan = &web.variants[0].planned.as_ref().expect("a plan").plan;
    for pipeline in &plan.pipelines {
        let writes = |k: &&BindingKind| **k == BindingKind::StorageReadWrite;
        assert_eq!(pipeline.bindings.iter().filter(writes).count(), 1, "{pipeline:?}");
    }
    assert!(plan.objects.iter().filter(|o| o.role == ObjectRole::Arena).count() > 1);
    // elsewhere both are bound: the case is one that matters
    assert!(shared(&compiled(&model, &options(&[], spec("vulkan-modern")))) > 0);
}

/// Matrices round what they multiply to f16, which a logarithm would turn into absolute errors: what is
/// in front of one, and what reads values that stay in f32, is multiplied in f32.
#[test]
fn no_matrices_of_halves_in_front_of_a_logarithm() {
    let mut model = ModelBuilder::new(17).input("x", ElemType::F32, &[1, 16, 32, 32]);
    let mut last = "x".to_owned();
    for (i, channels) in [16, 64, 64, 64, 64].into_iter().enumerate() {
        let (w, c, r) = (format!("w{i}"), format!("c{i}"), format!("r{i}"));
        model = model
            .initializer(&w, weights(&w, &[64, channels, 1, 1]))
            .node("Conv", &[&last, &w], &[&c], &[])
            .node(if i == 1 { "Log" } else { "Relu" }, &[&c], &[&r], &[]);
        last = r;
    }
    let model = model.output("r4", ElemType::F32, &[1, 64, 32, 32]).build().expect("a valid model");
    let h200 = target::resolve(&["nvidia-h200".to_owned()]).expect("a known target");
    let mixed = CompileOptions { precision: Precision::Mixed, ..options(&[], h200) };
    let c = compiled(&model, &mixed);
    let planned = c.variants[0].planned.as_ref().expect("planned");
    let kernel = |step: &Step| match step {
        Step::Dispatch { pipeline, .. } => Some(
            planned.kernels[planned.plan.pipelines[*pipeline as usize].shader as usize]
                .name
                .clone(),
        ),
        _ => None,
    };
    let kernels: Vec<String> =
        planned.plan.entry_points[0].steps.iter().filter_map(kernel).collect();
    let convs: Vec<bool> = kernels
        .iter()
        .filter(|k| k.contains("conv") && *k != "conv_sum")
        .map(|k| k.contains("matrix"))
        .collect();
    assert_eq!(convs, [false, false, false, true, true], "{kernels:?}");
}

/// Where workgroups may wait for each other, with products in 8 bits.
fn ordered(disabled: &[&str]) -> CompileOptions {
    let h200 = target::resolve(&["nvidia-h200:vulkan".to_owned()]).expect("a known target");
    assert!(h200[0].chains);
    let quantize = Some(drift_ops::quant::Scheme::Q8);
    CompileOptions { precision: Precision::Mixed, quantize, ..options(disabled, h200) }
}

fn links(c: &Compiled) -> usize {
    c.variants[0].steps().map(|s| s.links).max().unwrap_or(0)
}

#[test]
fn products_of_one_row_are_a_chain() {
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[1, 512])
        .initializer("w", weights("w", &[512, 512]))
        .initializer("v", weights("v", &[512, 512]))
        .node("MatMul", &["x", "w"], &["h"], &[])
        .node("MatMul", &["h", "v"], &["y"], &[])
        .output("y", ElemType::F32, &[1, 512])
        .build()
        .expect("a valid model");
    let chain = compiled(&model, &ordered(&[]));
    assert_eq!((links(&chain), dispatches(&chain)), (2, 2), "one empties what is handed over");
    let needs = chain.variants[0].requirements.as_ref().expect("shaders").features;
    assert!(needs.contains(drift_bundle::caps::Features::ORDERED_WORKGROUPS));
    let alone = compiled(&model, &ordered(&["chain"]));
    assert_eq!((links(&alone), dispatches(&alone)), (1, 2));
    let needs = alone.variants[0].requirements.as_ref().expect("shaders").features;
    assert!(!needs.contains(drift_bundle::caps::Features::ORDERED_WORKGROUPS));
}

/// Its reader does not see that parts of a concatenation are written.
#[test]
fn parts_of_a_concat_are_handed_to_nobody() {
    let axis = ("axis", drift_onnx::Attribute::Int(1));
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[1, 512])
        .initializer("w", weights("w", &[512, 256]))
        .initializer("v", weights("v", &[256, 256]))
        .initializer("u", weights("u", &[512, 512]))
        .node("MatMul", &["x", "w"], &["left"], &[])
        .node("MatMul", &["left", "v"], &["right"], &[])
        .node("Concat", &["left", "right"], &["both"], &[axis])
        .node("MatMul", &["both", "u"], &["y"], &[])
        .output("y", ElemType::F32, &[1, 512])
        .build()
        .expect("a valid model");
    let c = compiled(&model, &ordered(&[]));
    let inside = c.variants[0].entries[0].steps.inside.iter().flatten().count();
    assert_eq!((inside, links(&c)), (2, 1));
}

/// Networks that have a product of one row, but no two behind each other, are what they would be
/// without chains, with parts of a concatenation that begin between bindings.
#[test]
fn what_is_no_chain_is_planned_as_ever() {
    let axis = ("axis", drift_onnx::Attribute::Int(1));
    let model = ModelBuilder::new(17)
        .input("x", ElemType::F32, &[1, 64, 7, 7])
        .initializer("a", weights("a", &[40, 64, 1, 1]))
        .initializer("b", weights("b", &[24, 64, 1, 1]))
        .initializer("c", weights("c", &[64, 64, 1, 1]))
        .initializer("w", weights("w", &[64, 512]))
        .initializer("flat", Tensor::from_i64(&[2], &[1, 64]).expect("two").named("flat"))
        .node("Conv", &["x", "a"], &["left"], &[])
        .node("Conv", &["x", "b"], &["right"], &[])
        .node("Concat", &["left", "right"], &["both"], &[axis])
        .node("Conv", &["both", "c"], &["z"], &[])
        .node("GlobalAveragePool", &["z"], &["mean"], &[])
        .node("Reshape", &["mean", "flat"], &["row"], &[])
        .node("MatMul", &["row", "w"], &["y"], &[])
        .output("y", ElemType::F32, &[1, 512])
        .build()
        .expect("a valid model");
    let [with, without] = [&[][..], &["chain"]].map(|d| compiled(&model, &ordered(d)));
    assert_eq!(links(&with), 1);
    let inside = |c: &Compiled| c.variants[0].entries[0].steps.inside.clone();
    assert_eq!(inside(&with).iter().flatten().count(), 2);
    assert_eq!(inside(&with), inside(&without));
    let plan = |c: &Compiled| c.variants[0].planned.as_ref().expect("a plan").plan.clone();
    assert_eq!(plan(&with), plan(&without));
}
