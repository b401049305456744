//! Writes seeds/bundle_parse: bundles that hold one of everything the reader knows.
//! Run from this folder: `cargo run --example make_bundle_seeds --features seeds`; they are
//! committed.

use drift_bundle::caps::*;
use drift_bundle::plan::*;
use drift_bundle::{BundleWriter, Meta, ShaderSet};

fn requirements(api: Api, dialect: Dialect, target: &str) -> Requirements {
    Requirements {
        api,
        dialect,
        target: target.into(),
        rank: 3,
        features: Features::F16.union(Features::TEXTURE_2D),
        limits: Limits::default(),
        storage_offset_alignment: 64,
        subgroup_sizes: vec![8, 32],
        matrix_shapes: vec![MatrixShape {
            m: 16,
            n: 16,
            k: 16,
            ab: MatrixElem::F16,
            acc: MatrixElem::F32,
        }],
    }
}

/// The words of the smallest thing with a SPIR-V header.
const SPIRV: [u32; 6] = [0x0723_0203, 0x0001_0300, 0, 8, 0, 0x0002_0011];

fn io(name: &str, object: u32) -> Io {
    Io {
        name: name.into(),
        elem: ElemType::I64,
        device_elem: ElemType::I32,
        shape: vec![1, 16],
        object,
        offset: 0,
    }
}

fn plan(shader: u32) -> Plan {
    let buffer = |role, bytes| Object { role, kind: ObjectKind::Buffer { bytes } };
    let image = ObjectKind::Image {
        kind: ImageKind::Texture2d,
        format: TexelFormat::Rgba32Float,
        extent: [2, 2, 1],
    };
    let pipeline = |bindings: &[BindingKind]| Pipeline {
        shader,
        shader_entry: "main".into(),
        workgroup_size: [8, 4, 1],
        bindings: bindings.to_vec(),
        subgroup_size: 8,
    };
    let dispatch =
        |pipeline, binds| Step::Dispatch { pipeline, workgroups: [2, 1, 1], binds, label: 0 };
    let whole = |object, bytes| Bind::Buffer { object, offset: 0, bytes };
    Plan {
        objects: vec![
            buffer(ObjectRole::Input, 64),
            buffer(ObjectRole::Output, 64),
            buffer(ObjectRole::Arena, 256),
            buffer(ObjectRole::Weights, 64),
            Object { role: ObjectRole::Weights, kind: image.clone() },
            buffer(ObjectRole::State, 64),
            Object { role: ObjectRole::Arena, kind: image },
        ],
        uploads: vec![
            Upload { object: 3, object_offset: 0, weights_offset: 0, bytes: 64 },
            Upload { object: 4, object_offset: 0, weights_offset: 64, bytes: 64 },
        ],
        pipelines: vec![
            pipeline(&[BindingKind::StorageRead, BindingKind::StorageReadWrite]),
            pipeline(&[BindingKind::SampledImage, BindingKind::StorageImageWrite]),
        ],
        entry_points: vec![EntryPoint {
            name: "main".into(),
            inputs: vec![io("x", 0), io("past", 5)],
            outputs: vec![io("y", 1)],
            steps: vec![
                dispatch(0, vec![whole(3, 64), whole(2, 256)]),
                Step::Barrier,
                dispatch(1, vec![Bind::Image { object: 4 }, Bind::Image { object: 6 }]),
                Step::Copy { src: 2, src_offset: 64, dst: 1, dst_offset: 0, bytes: 64 },
            ],
        }],
        states: vec![io("past", 5)],
        labels: vec!["conv1 + relu".into()],
        memory: MemoryReport {
            strategy: "greedy-by-size".into(),
            naive_bytes: 512,
            planned_bytes: 256,
            lower_bound_bytes: 256,
        },
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut meta = Meta::new("seed", "drift-fuzz", "0");
    meta.set(Meta::PRECISION, "mixed");
    let weights = [7u8; 128];

    let mut shaders = ShaderSet::new();
    let shader = shaders.add_words(&SPIRV);
    let mut one = BundleWriter::new(meta.clone());
    let vulkan = requirements(Api::Vulkan, Dialect::SpirV, "vulkan-generic");
    one.add_variant(vulkan.clone(), plan(shader), shaders.clone());
    std::fs::write("seeds/bundle_parse/vulkan", one.to_vec(&weights)?)?;

    let mut text = ShaderSet::new();
    let kernel = text.add("@compute @workgroup_size(8, 4, 1) fn main() {}");
    text.add("// another one");
    let mut two = BundleWriter::new(meta);
    two.add_variant(vulkan, plan(shader), shaders);
    two.add_variant(requirements(Api::WebGpu, Dialect::Wgsl, "webgpu"), plan(kernel), text);
    two.set_debug(b"notes".to_vec());
    two.add_asset("tokenizer.json", b"{}".to_vec());
    std::fs::write("seeds/bundle_parse/two_variants", two.to_vec(&weights)?)?;
    Ok(())
}
