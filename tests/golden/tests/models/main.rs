//! Goldens of all kernels of two reference models: a convolutional network as PyTorch exports it
//! (the demo model) and a transformer of one block as exporters write it, each for several targets
//! and precisions. `out/<model>/index.txt` has one line per dispatch.
//!
//! `cargo xtask goldens` writes them anew; read the diff before you commit it.

mod transformer;

use drift_driver::Stage;
use drift_driver::dims::DimBindings;
use drift_driver::memory::Strategy;
use drift_driver::pipeline::{Calibration, CompileOptions, Variant, compile};
use drift_driver::plan::Planned;
use drift_driver::target::{self, Precision};
use drift_emit::{Dialect, DialectOptions};
use drift_golden::{Dispatch, Snapshots, check_model_kernels, check_model_kernels_in};
use drift_kernel::{Expr, Kernel, Lit};
use drift_onnx::Model;
use std::path::Path;

/// What both models are compiled for, and the dialects whose text is kept of kernels that no variant
/// before has. Every kernel is emitted and validated in all dialects, and is readable in one at
/// least; for the rest hashes must do, as nobody reads a megabyte.
const VARIANTS: [(&str, Precision, &[Dialect]); 5] = [
    ("vulkan-modern", Precision::F32, &[Dialect::SpirV, Dialect::Wgsl]),
    ("webgpu-generic", Precision::F32, &[Dialect::Wgsl]),
    ("vulkan-modern", Precision::Mixed, &[Dialect::Msl]),
    ("metal-generic", Precision::Mixed, &[Dialect::Msl]),
    ("opencl-generic", Precision::Mixed, &[Dialect::OpenClC]),
];

/// At most so many dispatches and distinct kernels, on any of [`VARIANTS`]. Fewer is fine: then
/// lower the figure.
struct Budget {
    dispatches: usize,
    kernels: usize,
}

const SHAPES: Budget = Budget { dispatches: 11, kernels: 10 };
const TRANSFORMER: Budget = Budget { dispatches: 10, kernels: 8 };

fn shapes() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shapes/shapes.onnx");
    Model::open(path).expect("the demo model is part of the repository")
}

/// Every dispatch of a model for all of [`VARIANTS`]. Holds the model to its budget on the way.
fn dispatches(model: &Model, shapes: &[(&str, &[usize])], budget: &Budget) -> Vec<Dispatch> {
    let shapes = shapes.iter().map(|(name, dims)| ((*name).to_owned(), dims.to_vec())).collect();
    let mut options = CompileOptions {
        bindings: DimBindings { shapes, ..DimBindings::default() },
        precision: Precision::F32,
        disabled: Vec::new(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: Strategy::default(),
        targets: Vec::new(),
        stop_after: Stage::Emit,
    };
    let mut out = Vec::new();
    for (id, precision, text) in VARIANTS {
        options.precision = precision;
        options.targets = target::resolve(&[id.to_owned()]).expect("a target of the repository");
        let compiled = compile(model, &options, &mut |_, _, _| {})
            .unwrap_or_else(|e| panic!("{id} {precision}: {e}"));
        assert_eq!(compiled.variants.len(), 1, "{id} has one API");
        let planned = ships_what_is_golden(&compiled.variants[0]);
        let (steps, kernels) = (planned.main().dispatches.len(), planned.kernels.len());
        println!("{id} {precision}: {steps} dispatches, {kernels} kernels");
        assert!(
            steps <= budget.dispatches && kernels <= budget.kernels,
            "{id} {precision}: {steps} dispatches of {kernels} kernels; the budget is {} of {}",
            budget.dispatches,
            budget.kernels
        );
        out.extend(planned.main().dispatches.iter().map(|dispatch| {
            let kernel = &planned.kernels[dispatch.pipeline as usize];
            Dispatch {
                variant: format!("{id} {precision}"),
                node: dispatch.node.clone(),
                kernel: Kernel { workgroups: dispatch.workgroups, ..kernel.clone() },
                text: text.to_vec(),
            }
        }));
    }
    out
}

/// The shaders of the variant are those that goldens are made of: its kernels, emitted with the same
/// options, are byte by byte what a bundle holds.
fn ships_what_is_golden(variant: &Variant) -> &Planned {
    let planned = variant.planned.as_ref().expect("compiled beyond the plan");
    assert_eq!(planned.plan.pipelines.len(), planned.kernels.len());
    for (pipeline, kernel) in planned.plan.pipelines.iter().zip(&planned.kernels) {
        let shader = drift_emit::emit(kernel, variant.spec.dialect, &DialectOptions::default())
            .unwrap_or_else(|e| panic!("{}: {e}", variant.spec.id));
        let shipped = variant.shaders.get(pipeline.shader as usize);
        assert!(shipped == Some(&shader.bytes), "{}: {}", variant.spec.id, kernel.name);
    }
    planned
}

#[test]
fn the_kernels_of_the_demo_model() {
    let dispatches = dispatches(&shapes(), &[], &SHAPES);
    check_model_kernels("shapes", &dispatches).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_kernels_of_a_transformer() {
    let dispatches = dispatches(&transformer::model(), &transformer::INPUT_SHAPES, &TRANSFORMER);
    check_model_kernels("transformer", &dispatches).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn another_number_in_one_kernel_is_shown() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("another_number");
    if root.exists() {
        std::fs::remove_dir_all(&root).expect("an old folder goes away");
    }
    let mut dispatches = dispatches(&shapes(), &[], &SHAPES);
    check_model_kernels_in(&Snapshots::new(&root, true), "shapes", &dispatches).unwrap();
    let compare = Snapshots::new(&root, false);
    check_model_kernels_in(&compare, "shapes", &dispatches).unwrap();

    // the picture is brought to -0.5 .. 0.5 by the first kernel of every variant
    let half = Lit::F32((-0.5f32).to_bits());
    let mut changed = 0;
    for dispatch in dispatches.iter_mut().filter(|dispatch| dispatch.node == "/Sub") {
        for expr in dispatch.kernel.exprs.iter_mut().filter(|e| **e == Expr::Lit(half)) {
            *expr = Expr::Lit(Lit::F32((-0.75f32).to_bits()));
            changed += 1;
        }
    }
    assert_eq!(changed, VARIANTS.len(), "one -0.5 per variant");
    let error = check_model_kernels_in(&compare, "shapes", &dispatches).unwrap_err();
    assert!(error.contains("golden shapes/pointwise.sub.wgsl has changed, line 9"), "{error}");
    let line = |mark: char, number: &str| {
        format!("{mark}     y0_[global_id.x] = ((_e5 * vec4(0.003921569f)) + vec4({number}f));")
    };
    assert!(error.contains(&line('-', "-0.5")) && error.contains(&line('+', "-0.75")), "{error}");
    assert!(error.contains("golden shapes/pointwise.sub.spvasm has changed"), "{error}");
    assert!(error.contains("- pointwise.sub.metal: "), "the hash of the third dialect: {error}");
    assert_eq!(error.matches("has changed").count(), 3, "no other kernel: {error}");
}
