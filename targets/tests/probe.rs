//! What a live driver reports survives being written to a device file and read back.

use drift_bundle::caps::{Capabilities, Features, Limits, MatrixElem, MatrixShape};
use drift_targets::{APIS, Api, find, parse, to_toml};
use proptest::prelude::*;

fn elem() -> impl Strategy<Value = MatrixElem> {
    prop::sample::select(vec![
        MatrixElem::F16,
        MatrixElem::F32,
        MatrixElem::BF16,
        MatrixElem::S8,
        MatrixElem::U8,
        MatrixElem::S32,
    ])
}

prop_compose! {
    fn shape()(m in 1u32.., n in 1u32.., k in 1u32.., ab in elem(), acc in elem()) -> MatrixShape {
        MatrixShape { m, n, k, ab, acc }
    }
}

prop_compose! {
    fn limits()(l in prop::array::uniform16(any::<u64>()), size in prop::array::uniform3(1u64..))
        -> Limits {
        Limits {
            workgroup_memory_bytes: l[0], workgroup_invocations: l[1].max(1), workgroup_size: size,
            dispatch_workgroups: [l[2], l[3], l[4]], storage_range_bytes: l[5], buffer_bytes: l[6],
            storage_buffers: l[7], images: l[8], texture_2d: l[9], texture_3d: l[10],
            texture_layers: l[11], texel_buffer: l[12],
        }
    }
}

prop_compose! {
    /// Consistent answers; the features that contradict them are left out, as the writer does.
    fn answers()(
        api in 0..APIS.len(), name in "\\PC{0,40}|[\"\\\\\n\t\u{7f}\0a-z]{0,20}", ids in any::<(u32, u32)>(),
        features in any::<u64>(), limits in limits(), alignment in 1u64..,
        subgroup in prop::array::uniform3(any::<u32>()),
        shapes in prop::collection::vec(shape(), 0..5),
    ) -> Capabilities {
        let known = Features::NAMES.iter().fold(Features(0), |all, (f, _)| all.union(*f));
        let mut features = Features(features & known.0);
        if features.contains(Features::INLINE_PTX) {
            features = features.union(Features::BY_PTX);
        }
        let mut matrix_shapes = shapes;
        if matrix_shapes.is_empty() || !features.contains(Features::COOPERATIVE_MATRIX) {
            features = features.difference(Features::COOPERATIVE_MATRIX);
            matrix_shapes.clear();
        }
        if subgroup[0] == 0 {
            features = features.difference(Features::SUBGROUP_BASIC);
        }
        Capabilities {
            api: APIS[api], device_name: name, vendor_id: ids.0, device_id: ids.1, features, limits,
            storage_offset_alignment: alignment, subgroup_size: subgroup[0],
            subgroup_size_min: subgroup[1].min(subgroup[2]),
            subgroup_size_max: subgroup[1].max(subgroup[2]), matrix_shapes,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn probed_files_read_back_exactly(caps in answers()) {
        let text = to_toml(std::slice::from_ref(&caps));
        let device = parse("probed", "probed.toml", &text)
            .unwrap_or_else(|e| panic!("{e}\n{text}"));
        prop_assert_eq!(device.capabilities(caps.api), Some(&caps));
        // Preferences come from a class of devices and are lowered to the probed limits.
        let prefer = device.preferences(caps.api).unwrap();
        let invocations: u64 = prefer.workgroup.iter().map(|&n| u64::from(n)).product();
        prop_assert!(invocations <= caps.limits.workgroup_invocations);
        prop_assert!(caps.features.contains(prefer.activation_storage.feature()));
    }
}

#[test]
fn one_gpu_through_several_apis_is_one_file() {
    let device = find("intel-ultra-165u").unwrap();
    let probed: Vec<Capabilities> =
        device.profiles.iter().map(|p| p.capabilities.clone()).collect();
    assert_eq!(probed.len(), 3);
    let text = to_toml(&probed);
    let again = parse("probed", "probed.toml", &text).unwrap();
    assert_eq!(again.apis().collect::<Vec<_>>(), device.apis().collect::<Vec<_>>());
    for caps in &probed {
        assert_eq!(again.capabilities(caps.api), Some(caps));
    }
    assert!(text.contains("source = \"vulkan driver, probed\""), "{text}");
    assert!(again.fact_lines.iter().any(|f| f.source.to_string() == "opencl driver, probed"));
}

#[test]
fn contradictory_answers_still_give_a_file_that_loads() {
    let mut caps = find("lavapipe").unwrap().capabilities(Api::Vulkan).unwrap().clone();
    caps.features = caps.features.union(Features::COOPERATIVE_MATRIX);
    let device = parse("p", "p.toml", &to_toml(&[caps.clone()])).unwrap();
    let read = device.capabilities(Api::Vulkan).unwrap();
    assert!(!read.features.contains(Features::COOPERATIVE_MATRIX));
    caps.features = read.features;
    assert_eq!(read, &caps);
    assert!(parse("p", "p.toml", &to_toml(&[])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A damaged file is read or refused, whatever the damage.
    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), cut in 0usize..40, put in ".{0,12}") {
        let caps = find("nvidia-h200").unwrap().capabilities(Api::Vulkan).unwrap().clone();
        let text = to_toml(&[caps]);
        let at = at.index(text.len());
        let before: String = text.chars().take(at).collect();
        let after: String = text.chars().skip(at + cut).collect();
        if let Err(error) = parse("p", "p.toml", &format!("{before}{put}{after}")) {
            prop_assert!(error.to_string().starts_with("p.toml"));
        }
    }
}
