//! A bundle that uses every feature of the format.

use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};

/// A minimal blob that passes for SPIR-V.
pub fn fake_spirv(tag: u32) -> Vec<u8> {
    [0x0723_0203, 0x0001_0300, 0, tag, 0].iter().flat_map(|w: &u32| w.to_le_bytes()).collect()
}

pub fn weights() -> Vec<u8> {
    (0..1024u32).map(|i| (i * 7) as u8).collect()
}

pub fn rich_plan(shader: u32) -> Plan {
    let buffer = |role, bytes| Object { role, kind: ObjectKind::Buffer { bytes } };
    let image = |kind, extent| Object {
        role: ObjectRole::Weights,
        kind: ObjectKind::Image { kind, format: TexelFormat::Rgba16Float, extent },
    };
    let io = |name: &str, elem, device_elem, object| Io {
        name: name.into(),
        elem,
        device_elem,
        shape: vec![2, 8],
        object,
        offset: 0,
    };
    Plan {
        objects: vec![
            buffer(ObjectRole::Input, 64),
            buffer(ObjectRole::Weights, 512),
            buffer(ObjectRole::Arena, 4096),
            buffer(ObjectRole::Output, 64),
            buffer(ObjectRole::State, 256),
            image(ImageKind::Texture2d, [4, 2, 1]),
            image(ImageKind::Texture2dArray, [2, 2, 2]),
            image(ImageKind::Texture3d, [2, 2, 2]),
            Object {
                role: ObjectRole::Arena,
                kind: ObjectKind::Image {
                    kind: ImageKind::Texture2d,
                    format: TexelFormat::Rgba32Float,
                    extent: [3, 3, 1],
                },
            },
        ],
        uploads: vec![
            Upload { object: 1, object_offset: 256, weights_offset: 0, bytes: 256 },
            Upload { object: 5, object_offset: 0, weights_offset: 256, bytes: 64 },
            Upload { object: 6, object_offset: 0, weights_offset: 320, bytes: 64 },
            Upload { object: 7, object_offset: 0, weights_offset: 960, bytes: 64 },
        ],
        pipelines: vec![Pipeline {
            shader,
            shader_entry: "main".into(),
            workgroup_size: [8, 4, 1],
            bindings: vec![
                BindingKind::StorageRead,
                BindingKind::StorageReadWrite,
                BindingKind::SampledImage,
                BindingKind::StorageImageWrite,
            ],
            subgroup_size: 32,
        }],
        entry_points: vec![EntryPoint {
            name: "main".into(),
            inputs: vec![io("x", ElemType::I64, ElemType::I32, 0)],
            outputs: vec![io("y", ElemType::F16, ElemType::F32, 3)],
            steps: vec![
                Step::Dispatch {
                    pipeline: 0,
                    workgroups: [3, 2, 1],
                    binds: vec![
                        Bind::Buffer { object: 0, offset: 0, bytes: 64 },
                        Bind::Buffer { object: 2, offset: 256, bytes: 64 },
                        Bind::Image { object: 5 },
                        Bind::Image { object: 8 },
                    ],
                    label: 1,
                },
                Step::Barrier,
                Step::Copy { src: 2, src_offset: 256, dst: 3, dst_offset: 0, bytes: 64 },
            ],
        }],
        states: vec![
            Io { shape: vec![2, 4], ..io("k.0", ElemType::F16, ElemType::F32, 4) },
            Io { shape: vec![8], offset: 32, ..io("params", ElemType::I32, ElemType::I32, 4) },
        ],
        labels: vec!["".into(), "conv_1/Conv".into()],
        memory: MemoryReport {
            strategy: "greedy-by-size".into(),
            naive_bytes: 1 << 40,
            planned_bytes: 300,
            lower_bound_bytes: 299,
        },
    }
}

pub fn rich_writer() -> BundleWriter {
    let mut meta = Meta::new("rich", "test", "0.0");
    meta.set(Meta::PRECISION, "mixed");
    let mut writer = BundleWriter::new(meta);
    for (target, rank) in [("vulkan-generic", 1), ("vulkan-modern", 2)] {
        let mut requirements = Requirements::new(Api::Vulkan, Dialect::SpirV, target);
        requirements.rank = rank;
        requirements.features = Features::F16.union(Features::DOT4);
        requirements.matrix_shapes =
            vec![MatrixShape { m: 16, n: 8, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 }];
        let mut shaders = ShaderSet::new();
        shaders.add(fake_spirv(1));
        let shader = shaders.add(fake_spirv(rank));
        writer.add_variant(requirements, rich_plan(shader), shaders);
    }
    writer.set_debug(b"notes".to_vec());
    writer.add_asset("tokenizer.json", b"{}".to_vec());
    writer.add_asset("empty", vec![]);
    writer
}

pub fn rich_bundle() -> Vec<u8> {
    rich_writer().to_vec(&weights()).expect("the rich bundle is consistent")
}
