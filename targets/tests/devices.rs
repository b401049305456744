//! The embedded devices, and the rules for device files.

use drift_bundle::caps::{Api, Features};
use drift_targets::{Source, all, best_match, find, ids, load, parse, resolve};

const REQUIRED: &[&str] = &[
    "vulkan-baseline",
    "vulkan-modern",
    "webgpu-generic",
    "opencl-generic",
    "metal-generic",
    "lavapipe",
    "pocl",
    "swiftshader",
    "nvidia-h200",
    "nvidia-rtx-4090",
    "adreno-740",
    "adreno-750",
    "adreno-830",
    "mali-g715",
    "immortalis-g720",
    "apple-m1",
    "apple-m2",
    "apple-m3",
    "apple-m4",
    "apple-a17",
    "intel-ultra-165u",
    "intel-ultra-258v",
];

#[test]
fn every_embedded_device_is_valid() {
    let devices = all().unwrap_or_else(|e| panic!("{e}"));
    for id in REQUIRED {
        assert!(devices.iter().any(|d| d.id == *id), "{id} is missing");
    }
    assert_eq!(devices.len(), ids().count());
    for device in &devices {
        assert!(!device.profiles.is_empty() && device.rank > 0, "{}", device.id);
        for profile in &device.profiles {
            let caps = &profile.capabilities;
            let limits = &caps.limits;
            let place = format!("{} {:?}", device.id, caps.api);
            // Preferences are possible as written, without being lowered.
            let wishes = &profile.preferences;
            assert_eq!(wishes, &wishes.fitted(caps), "{place}");
            let invocations: u64 = wishes.workgroup.iter().map(|&n| u64::from(n)).product();
            assert!(invocations <= limits.workgroup_invocations, "{place}");
            assert!(
                limits.storage_range_bytes <= limits.buffer_bytes.max(u64::from(u32::MAX)),
                "{place}"
            );
            assert!(limits.workgroup_memory_bytes >= 16384, "{place}");
            assert!(caps.storage_offset_alignment.is_power_of_two(), "{place}");
            assert!(caps.subgroup_size_min <= caps.subgroup_size, "{place}");
            assert!(caps.subgroup_size <= caps.subgroup_size_max, "{place}");
            let size = |axis: usize| limits.workgroup_size[axis];
            assert!((0..3).all(|axis| size(axis) <= limits.workgroup_invocations), "{place}");
        }
    }
}

/// What a file asks for beyond the capabilities is lowered on reading; embedded files ask for
/// nothing of the kind.
#[test]
fn written_preferences_are_those_in_force() {
    for device in all().unwrap() {
        for profile in &device.profiles {
            let api = drift_targets::api_name(profile.capabilities.api);
            for (key, have) in [
                ("workgroup", format!("{:?}", profile.preferences.workgroup)),
                ("subgroup-size", profile.preferences.subgroup_size.to_string()),
                ("weight-objects", profile.preferences.weight_objects.to_string()),
            ] {
                let own = format!("api.{api}.prefer.{key}");
                let general = format!("prefer.{key}");
                let find = |path: &str| device.fact_lines.iter().find(|f| f.path == path);
                let written = find(&own).or_else(|| find(&general)).unwrap();
                // OpenCL, Metal and WebGPU cannot pin a subgroup size at all.
                if key != "subgroup-size" || profile.capabilities.api == Api::Vulkan {
                    assert_eq!(written.value, have, "{} {}", device.id, written.path);
                }
            }
        }
    }
}

#[test]
fn every_fact_has_a_source() {
    let (mut cited, mut unverified) = (0, 0);
    for device in all().unwrap() {
        assert!(device.fact_lines.len() > 30, "{}", device.id);
        for fact in &device.fact_lines {
            match &fact.source {
                Source::Cited(text) => {
                    cited += 1;
                    assert!(text.len() >= 8, "{} {}", device.id, fact.path);
                }
                Source::Unverified => unverified += 1,
            }
        }
        assert!(device.quirks.iter().all(|q| !q.text.is_empty()));
    }
    assert!(cited > unverified / 2, "{cited} facts with a source, {unverified} without");
}

#[test]
fn inheritance_takes_values_but_not_measurements() {
    let adreno = find("adreno-830").unwrap();
    assert_eq!(
        adreno.inherits,
        ["vulkan-baseline", "vulkan-modern", "opencl-generic", "adreno-740"]
    );
    let caps = adreno.capabilities(Api::Vulkan).unwrap();
    assert!(caps.features.contains(Features::DOT4), "from adreno-740");
    assert!(caps.features.contains(Features::F16), "from vulkan-modern");
    assert_eq!(adreno.facts.f32_tflops, None, "the 740's is not the 830's");
    assert_eq!(find("adreno-740").unwrap().facts.f32_tflops, Some(3.7));
    assert!(adreno.quirks.iter().any(|q| q.id == "four-texture-weights"));
    let prefer = adreno.preferences(Api::Vulkan).unwrap();
    assert_eq!(prefer.workgroup, [8, 2, 1], "over vulkan-modern's api.vulkan.prefer");
    assert_eq!(adreno.preferences(Api::OpenCl).unwrap().workgroup, [8, 2, 1]);
    assert!(adreno.preferences(Api::Metal).is_none());
}

#[test]
fn known_values() {
    let h200 = find("nvidia-h200").unwrap();
    let caps = h200.capabilities(Api::Vulkan).unwrap();
    assert_eq!(caps.limits.workgroup_memory_bytes, 49152);
    assert_eq!(caps.limits.storage_range_bytes, u64::from(u32::MAX));
    assert_eq!(caps.vendor_id, 0x10DE);
    assert_eq!(caps.matrix_shapes.len(), 11);
    assert_eq!(h200.preferences(Api::Vulkan).unwrap().subgroup_size, 32);
    let baseline = find("vulkan-baseline").unwrap();
    let caps = baseline.capabilities(Api::Vulkan).unwrap();
    assert!(!caps.features.contains(Features::F16));
    assert_eq!(caps.limits.storage_range_bytes, 128 << 20);
    assert_eq!(caps.limits.workgroup_invocations, 256);
    assert_eq!(caps.limits.storage_buffers, 8);
    let lavapipe = find("lavapipe").unwrap();
    assert_eq!(lavapipe.capabilities(Api::Vulkan).unwrap().subgroup_size, 8);
}

#[test]
fn unknown_ids_get_suggestions() {
    let error = find("nvidia-h20").unwrap_err().to_string();
    assert!(error.contains("did you mean `nvidia-h200`"), "{error}");
    let error = find("toaster").unwrap_err().to_string();
    assert!(error.contains("lavapipe") && error.contains("path to a device file"), "{error}");
    let error = resolve("no/such/file.toml").unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.toml: cannot be read"), "{error}");
    assert_eq!(resolve("lavapipe").unwrap().id, "lavapipe");
    assert!(resolve(&"x".repeat(100_000)).unwrap_err().to_string().len() < 2000);
}

#[test]
fn files_are_loaded_and_inherit_embedded_devices() {
    let path = std::env::temp_dir().join(format!("drift-device-{}.toml", std::process::id()));
    let text = "name = \"Mine\"\nvendor = \"me\"\nrank = 3\ninherits = [\"lavapipe\"]\n";
    std::fs::write(&path, text).unwrap();
    let device = load(&path);
    std::fs::remove_file(&path).unwrap();
    let device = device.unwrap();
    assert_eq!(device.capabilities(Api::Vulkan).unwrap().limits.storage_buffers, 32);
    assert_eq!(device.name, "Mine");
    assert!(device.profile(Api::Vulkan).unwrap().name_contains.is_empty());
}

#[test]
fn live_drivers_find_their_device_or_class() {
    let mut live = find("lavapipe").unwrap().capabilities(Api::Vulkan).unwrap().clone();
    live.device_name = "llvmpipe (LLVM 15.0.6, 256 bits)".into();
    assert_eq!(best_match(&live).unwrap().id, "lavapipe");
    live.device_name = "Unheard-of GPU".into();
    live.vendor_id = 0xABCD;
    assert_eq!(best_match(&live).unwrap().id, "vulkan-modern");
    live.features = live.features.difference(Features::F16);
    assert_eq!(best_match(&live).unwrap().id, "vulkan-baseline");
    live.limits.workgroup_invocations = 1;
    assert!(best_match(&live).is_none());
}

/// A file of the fewest lines, and what happens when one of them is wrong.
#[test]
fn wrong_files_are_refused_by_line() {
    let good = "name = \"X\"\nvendor = \"v\"\nrank = 1\ninherits = [\"vulkan-baseline\"]\n";
    parse("x", "x.toml", good).unwrap();
    let cases: &[(&str, &[&str])] = &[
        (
            "[api.vulkan.limits]\nimages = 7\n",
            &["x.toml:6", "`api.vulkan.limits.images` has no source", "unverified"],
        ),
        ("[facts]\nf32-tflops = 3.5\n", &["x.toml:6", "no source"]),
        ("[facts]\nsource = \"\"\nf32-tflops = 3.5\n", &["x.toml:6", "`source` says nothing"]),
        ("[facts]\nsource = \"me\"\nf32-tflops = 3.5\n", &["x.toml:6", "`source` says nothing"]),
        (
            "[api.vulkan.limits]\nsource = \"unverified\"\nimagse = 7\n",
            &["x.toml:7", "did you mean `images`?"],
        ),
        ("[api.vulcan]\nsource = \"unverified\"\n", &["x.toml:5", "did you mean `vulkan`?"]),
        ("[api.vulkan.limits]\nimages = { value = 7 }\n", &["x.toml:6", "no source"]),
        (
            "[api.vulkan.limits]\nimages = { source = \"unverified\" }\n",
            &["x.toml:6", "no `value`"],
        ),
        (
            "[api.vulkan.limits]\nimages = { value = 1, sourec = \"unverified\" }\n",
            &["x.toml:6", "no `sourec`"],
        ),
        (
            "[api.vulkan.limits]\nimages = { value = -1, source = \"unverified\" }\n",
            &["x.toml:6", "integer from 0"],
        ),
        (
            "[api.vulkan.limits]\nworkgroup-size = { value = [1, 2], source = \"unverified\" }\n",
            &["x.toml:6", "list of 3 integers"],
        ),
        (
            "[api.vulkan.features]\nf16 = { value = 1, source = \"unverified\" }\n",
            &["x.toml:6", "true or false"],
        ),
        (
            "[prefer]\nlayout = { value = \"round\", source = \"unverified\" }\n",
            &["x.toml:6", "cannot be `round`", "slices-of-4"],
        ),
        (
            "[api.vulkan]\nmatrix-shapes = { value = [\"16x16 f16\"], source = \"unverified\" }\n",
            &["x.toml:6", "no matrix shape"],
        ),
        (
            "[api.vulkan.features]\ncooperative-matrix = { value = true, source = \"unverified\" }\n",
            &["`matrix-shapes` is missing"],
        ),
        (
            "[api.metal.limits]\nimages = { value = 1, source = \"unverified\" }\n",
            &["`api.metal.", "is missing"],
        ),
        ("api = 3\n", &["x.toml:5", "it is a table"]),
        ("name = \"again\"\n", &["x.toml:5", "no valid TOML"]),
        ("[facts\n", &["x.toml:5", "no valid TOML"]),
        (
            "[facts]\nf32-tflops = { value = nan, source = \"unverified\" }\n",
            &["x.toml:6", "number of at least 0"],
        ),
    ];
    for (addition, wanted) in cases {
        let error = parse("x", "x.toml", &format!("{good}{addition}")).unwrap_err().to_string();
        for part in *wanted {
            assert!(error.contains(part), "{addition:?} gives {error:?}, which has no {part:?}");
        }
    }
    for (text, part) in [
        ("", "no API"),
        ("inherits = [\"vulkan-baseline\"]", "`name` is missing"),
        ("inherits = [\"x\"]", "inherits itself"),
        ("inherits = [\"vulkan-basline\"]", "did you mean `vulkan-baseline`?"),
    ] {
        let error = parse("x", "x.toml", text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gives {error:?}");
    }
}
