//! What is written is read back, and equal parts give equal bytes.

mod common;
use common::*;
use drift_bundle::{plan::*, *};
use proptest::prelude::*;

#[test]
fn rich_bundle_round_trips() {
    let bytes = rich_bundle();
    let bundle = Bundle::parse(&bytes).unwrap();
    assert_eq!(bundle.meta().model(), "rich");
    assert_eq!(bundle.meta().get(Meta::PRECISION), Some("mixed"));
    assert_eq!(bundle.weights(), weights());
    assert_eq!(bundle.weights().as_ptr() as usize % 16, bytes.as_ptr() as usize % 16, "zero copy");
    assert_eq!(bundle.debug(), Some(&b"notes"[..]));
    assert_eq!(bundle.asset("tokenizer.json"), Some(&b"{}"[..]));
    assert_eq!(bundle.asset("empty"), Some(&[][..]));
    assert_eq!(bundle.asset("tokenizer"), None);
    let names: Vec<&str> = bundle.assets().map(|(name, _)| name).collect();
    assert_eq!(names, ["empty", "tokenizer.json"]);
    assert_eq!(bundle.variants().len(), 2);
    for (i, variant) in bundle.variants().enumerate() {
        // The second shader of the first variant equals its first and is stored once.
        assert_eq!(variant.shaders().len(), i + 1);
        let shader = i as u32;
        assert_eq!(*variant.plan, rich_plan(shader));
        assert_eq!(variant.shaders().get(i), Some(&fake_spirv(i as u32 + 1)[..]));
        assert_eq!(variant.requirements.limits.storage_range_bytes, 64);
        assert_eq!(variant.requirements.limits.workgroup_invocations, 32);
        assert_eq!(variant.requirements.subgroup_sizes, [32]);
    }
    bundle.verify().unwrap();
    let weights_info = bundle.sections().last().unwrap();
    assert_eq!(weights_info.section, Section::Weights);
    assert_eq!(weights_info.offset % WEIGHTS_ALIGN, 0);
    assert_eq!(weights_info.offset + weights_info.bytes, bytes.len() as u64);
}

#[test]
fn writing_is_deterministic_and_streams() {
    let whole = rich_bundle();
    assert_eq!(whole, rich_bundle());
    let mut out = std::io::Cursor::new(Vec::new());
    let data = weights();
    let written = rich_writer()
        .write(&mut out, data.len() as u64, |sink| {
            data.chunks(100).try_for_each(|c| sink.write_all(c))
        })
        .unwrap();
    assert_eq!(out.into_inner(), whole);
    assert_eq!(written.bytes, whole.len() as u64);
}

#[test]
fn wrong_amounts_of_weights_are_refused() {
    let mut out = std::io::Cursor::new(Vec::new());
    let short = rich_writer().write(&mut out, 1024, |sink| sink.write_all(&[0; 1000]));
    assert!(matches!(short, Err(WriteError::WeightsSize { announced: 1024, delivered: 1000 })));
    let mut out = std::io::Cursor::new(Vec::new());
    let long = rich_writer().write(&mut out, 1024, |sink| sink.write_all(&[0; 1025]));
    assert!(matches!(long, Err(WriteError::Io(_))));
    // Uploads reach byte 1024 of WEIGHTS.
    let none = rich_writer().to_vec(&[]).unwrap_err().to_string();
    assert!(none.contains("plan.uploads[0]: weights 0 + 256 exceed WEIGHTS (0 bytes)"), "{none}");
}

#[test]
fn contents_have_the_same_ranges() {
    let bytes = rich_bundle();
    let contents = Contents::parse(&bytes).unwrap();
    assert_eq!(&bytes[contents.weights.clone()], weights());
    assert_eq!(bytes[contents.variants[1].shaders[1].clone()], fake_spirv(2));
}

fn arb_name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_/. é]{0,12}"
}

/// A consistent plan of random size: chains of dispatches over one arena.
fn arb_plan() -> impl Strategy<Value = Plan> {
    (
        1u64..1 << 20,
        prop::collection::vec((0u32..4, 1u32..9, 0u64..50), 0..40),
        prop::collection::vec(arb_name(), 1..6),
        prop::collection::vec((0u64..4, 1u64..5), 0..5),
        arb_name(),
    )
        .prop_map(|(arena, steps, labels, shape, strategy)| {
            let arena = arena * 4096;
            let dims: Vec<u64> = shape.iter().map(|(a, b)| a * b).collect();
            let io_bytes = dims.iter().product::<u64>() * 4 + 4;
            let object = |role, bytes| Object { role, kind: ObjectKind::Buffer { bytes } };
            let io = |name: &str, object| Io {
                name: name.into(),
                elem: ElemType::F32,
                device_elem: ElemType::F32,
                shape: dims.clone(),
                object,
                offset: 4,
            };
            let steps = steps
                .into_iter()
                .map(|(kind, n, offset)| match kind {
                    0 => Step::Barrier,
                    1 => Step::Copy {
                        src: 0,
                        src_offset: 0,
                        dst: 1,
                        dst_offset: offset * 4 % arena,
                        bytes: 4,
                    },
                    _ => Step::Dispatch {
                        pipeline: 0,
                        workgroups: [n, kind, 1],
                        binds: vec![
                            Bind::Buffer { object: 1, offset: offset * 256 % arena, bytes: 4 },
                            Bind::Buffer { object: 2, offset: 0, bytes: 4 },
                        ],
                        label: n % labels.len() as u32,
                    },
                })
                .collect();
            Plan {
                objects: vec![
                    object(ObjectRole::Input, io_bytes),
                    object(ObjectRole::Arena, arena),
                    object(ObjectRole::Output, io_bytes),
                ],
                uploads: vec![],
                pipelines: vec![Pipeline {
                    shader: 0,
                    shader_entry: "main".into(),
                    workgroup_size: [64, 1, 1],
                    bindings: vec![BindingKind::StorageRead, BindingKind::StorageReadWrite],
                    subgroup_size: 0,
                }],
                entry_points: vec![EntryPoint {
                    name: strategy.clone(),
                    inputs: vec![io("in", 0)],
                    outputs: vec![io("out", 2)],
                    steps,
                }],
                states: vec![],
                labels,
                memory: MemoryReport { strategy, planned_bytes: arena, ..MemoryReport::default() },
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_consistent_plan_round_trips(plan in arb_plan(), weights in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut shaders = ShaderSet::new();
        shaders.add(fake_spirv(0));
        let requirements = caps::Requirements::new(caps::Api::Vulkan, caps::Dialect::SpirV, "t");
        let mut writer = BundleWriter::new(Meta::new("m", "p", "v"));
        writer.add_variant(requirements, plan.clone(), shaders);
        let bytes = writer.to_vec(&weights).unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        prop_assert_eq!(bundle.variants().next().unwrap().plan, &plan);
        prop_assert_eq!(bundle.weights(), &weights[..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let mut file = if magic { MAGIC.to_vec() } else { vec![] };
        file.extend(bytes);
        prop_assert!(Bundle::parse(&file).is_err());
    }
}
