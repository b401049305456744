//! A network compiled and loaded, and its outputs compared.

use crate::shared::{Case, Network};
use crate::{meaning, worst};
use drift_bundle::Meta;
use drift_bundle::caps::{Api, Features};
use drift_driver::dims::DimBindings;
use drift_driver::memory::Strategy;
pub use drift_driver::target::Precision;
use drift_driver::target::{self, TargetSpec};
use drift_driver::{Calibration, CompileOptions, Compiled, Stage, StageError, package, pipeline};
use drift_runtime::{Bundle, Device, DeviceKind, DriverCache, Session, SessionOptions};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A compiled network on a device.
pub struct Loaded {
    pub compiled: Compiled,
    pub session: Session,
}

/// The target that suits a device of the tests: the one that `DRIFT_TARGET` names, if it is of the
/// device's API (`nvidia-h200`), or the plainest one that has all of the device's features.
pub fn target_for(device: &Device) -> &'static str {
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var("DRIFT_TARGET").ok());
    if let Some(id) = wanted.as_deref()
        && targets(&[id])[0].caps.api == device.capabilities().api
    {
        return id;
    }
    let swiftshader = device.capabilities().device_name.contains("SwiftShader");
    match (device.capabilities().api, device.info().kind) {
        (Api::Vulkan, _) if swiftshader => "swiftshader",
        (Api::OpenCl, DeviceKind::Cpu) => "pocl",
        (Api::OpenCl, _) if takes_ptx(device) => "opencl-h200",
        (Api::OpenCl, _) => "opencl-generic",
        (Api::WebGpu, _) if crate::gpu::core_only() => "webgpu-generic",
        // in Chromium
        (Api::WebGpu, _) if device.capabilities().device_name.contains("swiftshader") => {
            "webgpu-swiftshader"
        }
        (Api::WebGpu, DeviceKind::Cpu) => "webgpu-lavapipe",
        (Api::WebGpu, _) => "webgpu-modern",
        (Api::Metal, _) => "metal-generic",
        (_, DeviceKind::Cpu) => "lavapipe",
        _ => "vulkan-modern",
    }
}

/// NVIDIA's OpenCL: whatever the GPU, kernels are those of the largest.
fn takes_ptx(device: &Device) -> bool {
    device.capabilities().features.contains(Features::INLINE_PTX)
}

/// A target of the same API with fewer features.
pub fn baseline_for(device: &Device) -> &'static str {
    match device.capabilities().api {
        Api::OpenCl => "opencl-generic",
        Api::WebGpu => "webgpu-generic",
        Api::Metal => "metal-generic",
        _ => "vulkan-baseline",
    }
}

/// Targets by id.
pub fn targets(ids: &[&str]) -> Vec<TargetSpec> {
    let ids: Vec<String> = ids.iter().map(|s| (*s).to_owned()).collect();
    target::resolve(&ids).unwrap_or_else(|e| panic!("{e}"))
}

/// Options for these input shapes.
pub fn options(
    shapes: Vec<(String, Vec<usize>)>,
    precision: Precision,
    targets: Vec<TargetSpec>,
    stop_after: Stage,
) -> CompileOptions {
    CompileOptions {
        bindings: DimBindings { dims: BTreeMap::new(), shapes: shapes.into_iter().collect() },
        precision,
        disabled: Vec::new(),
        bisect_limit: None,
        quantize: None,
        calibration: Calibration::None,
        memory: Strategy::default(),
        targets,
        stop_after,
    }
}

/// Reads and compiles a network.
pub fn compile(network: &Network, options: &CompileOptions) -> Result<Compiled, StageError> {
    let model =
        drift_onnx::Model::open(network.model_path()).map_err(|e| StageError::onnx("read", &e))?;
    pipeline::compile(&model, options, &mut |_, _, _| {})
}

/// The bundle of a compilation.
pub fn bundle_bytes(compiled: &Compiled) -> Result<Vec<u8>, StageError> {
    package::to_vec(compiled, Meta::new("conformance", "conformance", "0"))
}

/// Loads a compilation on a device, without the user's pipeline cache.
pub fn load(device: &Device, compiled: &Compiled) -> Result<Session, String> {
    let bytes = bundle_bytes(compiled).map_err(|e| e.to_string())?;
    let bundle = Bundle::from_vec(bytes).map_err(|e| e.to_string())?;
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    Session::with_options(device, &bundle, &options).map_err(|e| e.to_string())
}

impl Loaded {
    /// Compiles a network for a target and the shapes of a case, and loads it.
    pub fn new(
        device: &Device,
        network: &Network,
        case: usize,
        precision: Precision,
        target: &str,
    ) -> Result<Loaded, String> {
        let targets = targets(&[target]);
        let options = options(network.input_shapes(case), precision, targets, Stage::Package);
        let compiled = compile(network, &options).map_err(|e| e.to_string())?;
        let session = load(device, &compiled)?;
        Ok(Loaded { compiled, session })
    }

    /// Runs a case and compares every output: the line of each, or what is wrong.
    pub fn check(
        &mut self,
        network: &Network,
        case: &Case,
        precision: Precision,
    ) -> Result<Vec<String>, String> {
        let inputs: Vec<_> = case.inputs.iter().map(|(n, a)| (n.as_str(), a.tensor())).collect();
        let outputs = self.session.run(&inputs).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        let mut wrong = Vec::new();
        for (name, want) in &case.outputs {
            let got = outputs.get(name).ok_or_else(|| format!("no output {name}"))?;
            if got.shape != want.shape {
                wrong.push(format!("{name}: shape {:?} instead of {:?}", got.shape, want.shape));
                continue;
            }
            let got: Vec<f64> = got.to_f32().into_iter().map(f64::from).collect();
            let want = want.to_f64();
            let w = worst(&got, &want);
            let tolerance = network.tolerance(name, precision);
            let line = format!(
                "{} / {name}: max error {:.2e} of {:.4}, {:.2e} allowed",
                case.description,
                w.error,
                w.scale,
                tolerance.limit(w.scale)
            );
            if w.error > tolerance.limit(w.scale) && !tolerance.holds_each(&got, &want) {
                wrong.push(format!("{line}; element {}: {} instead of {}", w.index, w.got, w.want));
            }
            if let Err(e) = meaning::same(&network.name, &got, &want) {
                wrong.push(format!("{line}; {e}"));
            }
            lines.push(line);
        }
        if wrong.is_empty() { Ok(lines) } else { Err(wrong.join("\n")) }
    }
}
