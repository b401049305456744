//! Shaders from WGSL, bundles by hand, and devices where there are some.
#![allow(dead_code)] // Each test file uses its own part.

use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};
use drift_runtime::{
    Bundle, Device, DriverCache, RuntimeError, RuntimeErrorKind, Session, SessionOptions,
};
use std::sync::Once;

/// SPIR-V words of a WGSL compute shader with entry point `main`.
pub fn spirv(wgsl: &str) -> Vec<u32> {
    use naga::{back::spv, front::wgsl, valid};
    let module = wgsl::parse_str(wgsl).unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
    let info = valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
    let options = spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: naga::proc::BoundsCheckPolicies::default(),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..spv::Options::default()
    };
    let entry = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
    };
    spv::write_vec(&module, &info, &options, Some(&entry)).expect("naga writes what it validated")
}

/// Puts a plan together piece by piece.
pub struct PlanBuilder {
    pub plan: Plan,
    pub shaders: ShaderSet,
    pub weights: Vec<u8>,
}

impl PlanBuilder {
    pub fn new() -> PlanBuilder {
        let entry =
            EntryPoint { name: "main".into(), inputs: vec![], outputs: vec![], steps: vec![] };
        let plan = Plan { entry_points: vec![entry], ..Plan::default() };
        PlanBuilder { plan, shaders: ShaderSet::new(), weights: vec![] }
    }

    pub fn object(&mut self, role: ObjectRole, kind: ObjectKind) -> u32 {
        self.plan.objects.push(Object { role, kind });
        self.plan.objects.len() as u32 - 1
    }

    pub fn buffer(&mut self, role: ObjectRole, bytes: u64) -> u32 {
        self.object(role, ObjectKind::Buffer { bytes })
    }

    /// A weights buffer with these contents.
    pub fn weights(&mut self, data: &[f32]) -> u32 {
        let object = self.buffer(ObjectRole::Weights, data.len() as u64 * 4);
        self.upload(object, &data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        object
    }

    pub fn upload(&mut self, object: u32, bytes: &[u8]) {
        let upload = Upload {
            object,
            object_offset: 0,
            weights_offset: self.weights.len() as u64,
            bytes: bytes.len() as u64,
        };
        self.plan.uploads.push(upload);
        self.weights.extend(bytes);
    }

    fn io(name: &str, elem: ElemType, shape: &[u64], object: u32) -> Io {
        let device_elem = match elem {
            ElemType::F16 | ElemType::F64 | ElemType::BF16 => ElemType::F32,
            ElemType::I64 | ElemType::I8 | ElemType::I16 => ElemType::I32,
            ElemType::U64 | ElemType::U8 | ElemType::U16 | ElemType::Bool => ElemType::U32,
            other => other,
        };
        Io { name: name.into(), elem, device_elem, shape: shape.into(), object, offset: 0 }
    }

    /// An input with an object of its own.
    pub fn input(&mut self, name: &str, elem: ElemType, shape: &[u64]) -> u32 {
        let object = self.buffer(ObjectRole::Input, shape.iter().product::<u64>().max(1) * 4);
        self.current().inputs.push(Self::io(name, elem, shape, object));
        object
    }

    pub fn output(&mut self, name: &str, elem: ElemType, shape: &[u64]) -> u32 {
        let object = self.buffer(ObjectRole::Output, shape.iter().product::<u64>().max(1) * 4);
        self.current().outputs.push(Self::io(name, elem, shape, object));
        object
    }

    /// A named state inside a state object.
    pub fn state(&mut self, name: &str, elem: ElemType, shape: &[u64], object: u32, offset: u64) {
        self.plan.states.push(Io { offset, ..Self::io(name, elem, shape, object) });
    }

    /// Starts another entry point: later inputs, outputs and steps are its own.
    pub fn entry(&mut self, name: &str) {
        let entry =
            EntryPoint { name: name.into(), inputs: vec![], outputs: vec![], steps: vec![] };
        self.plan.entry_points.push(entry);
    }

    /// The entry point that is being written.
    fn current(&mut self) -> &mut EntryPoint {
        self.plan.entry_points.last_mut().expect("there is always one")
    }

    pub fn pipeline(&mut self, wgsl: &str, size: u32, bindings: &[BindingKind]) -> u32 {
        let shader = self.shaders.add_words(&spirv(wgsl));
        self.plan.pipelines.push(Pipeline {
            shader,
            shader_entry: "main".into(),
            workgroup_size: [size, 1, 1],
            bindings: bindings.into(),
            subgroup_size: 0,
        });
        self.plan.pipelines.len() as u32 - 1
    }

    /// A pipeline of OpenCL C, whose kernel is `main_`; buffers are a pointer and an offset.
    pub fn opencl_pipeline(&mut self, text: &str, size: u32, bindings: &[BindingKind]) -> u32 {
        let shader = self.shaders.add(text.as_bytes());
        self.plan.pipelines.push(Pipeline {
            shader,
            shader_entry: "main_".into(),
            workgroup_size: [size, 1, 1],
            bindings: bindings.into(),
            subgroup_size: 0,
        });
        self.plan.pipelines.len() as u32 - 1
    }

    /// A pipeline of WGSL as it is, with entry point `main`.
    pub fn wgsl_pipeline(&mut self, text: &str, size: u32, bindings: &[BindingKind]) -> u32 {
        let shader = self.shaders.add(text.as_bytes());
        self.plan.pipelines.push(Pipeline {
            shader,
            shader_entry: "main".into(),
            workgroup_size: [size, 1, 1],
            bindings: bindings.into(),
            subgroup_size: 0,
        });
        self.plan.pipelines.len() as u32 - 1
    }

    pub fn dispatch(&mut self, pipeline: u32, workgroups: [u32; 3], binds: &[Bind], label: &str) {
        let label_index = self.plan.labels.len() as u32;
        self.plan.labels.push(label.into());
        self.step(Step::Dispatch { pipeline, workgroups, binds: binds.into(), label: label_index });
    }

    pub fn barrier(&mut self) {
        self.step(Step::Barrier);
    }

    pub fn step(&mut self, step: Step) {
        self.current().steps.push(step);
    }

    /// The whole of a buffer object.
    pub fn whole(&self, object: u32) -> Bind {
        let bytes = self.plan.objects[object as usize].kind.bytes().unwrap();
        Bind::Buffer { object, offset: 0, bytes }
    }

    pub fn requirements(&self, target: &str) -> Requirements {
        Requirements::new(Api::Vulkan, Dialect::SpirV, target)
    }

    pub fn bundle(self) -> Bundle {
        self.bundle_for(Api::Vulkan, Dialect::SpirV)
    }

    pub fn bundle_for(self, api: Api, dialect: Dialect) -> Bundle {
        let requirements = Requirements::new(api, dialect, "test");
        let mut writer = BundleWriter::new(Meta::new("test", "test", "0"));
        writer.add_variant(requirements, self.plan, self.shaders);
        Bundle::from_vec(writer.to_vec(&self.weights).unwrap()).unwrap()
    }
}

/// `y = a * x + w` over `n` elements, with `w` from the weights.
pub fn saxpy(n: u64, scale: f32, weights: &[f32]) -> Bundle {
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::F32, &[n]);
    let w = b.weights(weights);
    let y = b.output("y", ElemType::F32, &[n]);
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read> x: array<f32>;
         @group(0) @binding(1) var<storage, read> w: array<f32>;
         @group(0) @binding(2) var<storage, read_write> y: array<f32>;
         @compute @workgroup_size(128) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
             if (id.x < {n}u) {{ y[id.x] = {scale:?} * x[id.x] + w[id.x]; }}
         }}"
    );
    let p = b.pipeline(&wgsl, 128, &[READ, READ, WRITE]);
    let binds = [b.whole(x), b.whole(w), b.whole(y)];
    b.dispatch(p, [n.div_ceil(128) as u32, 1, 1], &binds, "saxpy");
    b.bundle()
}

pub const READ: BindingKind = BindingKind::StorageRead;
pub const WRITE: BindingKind = BindingKind::StorageReadWrite;

/// The device to test on, with validation where the layer is installed. `None` (and a visible line)
/// without a device, unless `DRIFT_REQUIRE_GPU=1`.
pub fn device() -> Option<Device> {
    static VALIDATE: Once = Once::new();
    VALIDATE.call_once(|| {
        // SAFETY: runs once, before any other thread of this test program touches the environment:
        // every test calls `device` first.
        unsafe {
            std::env::set_var("DRIFT_VALIDATION", "1");
            std::env::set_var("DRIFT_POISON", "1");
        }
    });
    let opened = match std::env::var("DRIFT_DEVICE") {
        Ok(filter) if !filter.is_empty() => Device::find(&filter),
        _ => Device::open(0),
    };
    let device = found(opened)?;
    if !device.validation_enabled() {
        println!("skipped: validation (VK_LAYER_KHRONOS_validation is not installed)");
    }
    Some(device)
}

/// The first device of an API, in lower case; `None` (and a visible line) without one, unless
/// `DRIFT_REQUIRE_GPU=1`.
pub fn device_of(api: &str) -> Option<Device> {
    found(Device::find(api))
}

fn found(opened: Result<Device, RuntimeError>) -> Option<Device> {
    match opened {
        Ok(device) => Some(device),
        Err(e) if std::env::var("DRIFT_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("DRIFT_REQUIRE_GPU=1, but {e}")
        }
        Err(e) => {
            assert_eq!(e.kind(), RuntimeErrorKind::NoDevice, "{e}");
            println!("skipped: {e}");
            None
        }
    }
}

/// 0, 1, 2 and so on.
pub fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32).collect()
}

/// A session that leaves the user's cache directory alone.
pub fn session(device: &Device, bundle: &Bundle) -> Session {
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    Session::with_options(device, bundle, &options).unwrap_or_else(|e| panic!("{e}"))
}

/// The validation layers have nothing to say.
pub fn assert_clean(device: &Device) {
    let messages = device.validation_messages();
    assert!(messages.is_empty(), "validation: {messages:#?}");
}
