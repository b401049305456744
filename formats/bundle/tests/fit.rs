//! Requirements against capabilities, field by field.

use drift_bundle::{caps::*, *};

fn device() -> Capabilities {
    Capabilities {
        api: Api::Vulkan,
        device_name: "test".into(),
        vendor_id: 1,
        device_id: 2,
        features: Features::F16.union(Features::SUBGROUP_BASIC),
        limits: Limits { buffer_bytes: 1000, storage_range_bytes: 1000, ..Limits::default() },
        storage_offset_alignment: 64,
        subgroup_size: 32,
        subgroup_size_min: 16,
        subgroup_size_max: 32,
        matrix_shapes: vec![],
    }
}

#[test]
fn each_unmet_field_is_named() {
    let mut r = Requirements::new(Api::Vulkan, Dialect::SpirV, "t");
    assert_eq!(r.unmet(&device()), []);
    r.api = Api::Metal;
    r.features = Features::F16.union(Features::DOT4).union(Features(1 << 60));
    r.limits.buffer_bytes = 1001;
    r.storage_offset_alignment = 32;
    r.subgroup_sizes = vec![16, 32, 64];
    r.matrix_shapes =
        vec![MatrixShape { m: 16, n: 16, k: 16, ab: MatrixElem::F16, acc: MatrixElem::F32 }];
    let lines: Vec<String> = r.unmet(&device()).iter().map(Unmet::to_string).collect();
    assert_eq!(
        lines,
        [
            "api: needs metal, device has vulkan",
            "features: needs dot4, device has no dot4",
            "features: needs unknown bits 0x1000000000000000, device has none (newer bundle?)",
            "limits.buffer_bytes: needs 1001, device has 1000",
            "storage_offset_alignment: needs offsets at multiples of 32 to be enough, device has alignment 64",
            // 32 is the device's own choice and needs no control.
            "subgroup_sizes: needs 16, device has 16 to 32 without control over it",
            "subgroup_sizes: needs 64, device has 16 to 32 without control over it",
            "matrix_shapes: needs 16x16x16 F16 -> F32, device has none",
        ]
    );
}

#[test]
fn the_highest_fitting_rank_wins() {
    let with = |target, rank, features| {
        let mut r = Requirements::new(Api::Vulkan, Dialect::SpirV, target);
        (r.rank, r.features) = (rank, features);
        r
    };
    let variants = [
        with("a", 1, Features::F16),
        with("b", 5, Features::DOT4),
        with("c", 3, Features::F16),
        with("d", 3, Features::F16),
    ];
    let selection = select(&variants, &device());
    assert_eq!(selection.best, Some(2));
    assert_eq!(selection.rejected.len(), 1);
    assert_eq!((selection.rejected[0].variant, selection.rejected[0].target.as_str()), (1, "b"));
    assert_eq!(select(&variants[1..2], &device()).best, None);
}
