//! What goes wrong goes wrong politely.

mod common;
use common::*;
use drift_bundle::{caps::*, plan::*};
use drift_runtime::*;
use std::{fs, path::PathBuf, time::Duration};

/// A directory of its own for one test, removed afterwards.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> TempDir {
        let dir = std::env::temp_dir().join(format!("drift-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }
    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path()).collect()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_are_no_bundles() {
    let dir = TempDir::new("files");
    let path = dir.0.join("x.drift");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Bundle::open(&path).map(|_| ()).unwrap_err()
    };
    let e = Bundle::open(dir.0.join("missing.drift")).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Bundle);
    assert!(e.to_string().contains("missing.drift: "), "{e}");
    assert_eq!(open(b"").to_string(), "the file is empty");
    assert!(open(b"PK\x03\x04").to_string().contains("ZIP"));
}

#[test]
fn bundles_open_from_files_and_memory() {
    let Some(device) = device() else { return };
    let dir = TempDir::new("open");
    let mut b = PlanBuilder::new();
    let y = b.output("y", ElemType::F32, &[2]);
    let w = b.weights(&[3.0, 4.0]);
    b.step(Step::Copy { src: w, src_offset: 0, dst: y, dst_offset: 0, bytes: 8 });
    let requirements = b.requirements("test");
    let mut writer = drift_bundle::BundleWriter::new(drift_bundle::Meta::new("copy", "test", "0"));
    writer.add_variant(requirements, b.plan, b.shaders);
    let bytes = writer.to_vec(&b.weights).unwrap();
    let path = dir.0.join("copy.drift");
    fs::write(&path, &bytes).unwrap();
    let leaked: &'static [u8] = bytes.clone().leak();
    for bundle in [Bundle::open(&path), Bundle::from_vec(bytes), Bundle::from_static(leaked)] {
        let bundle = bundle.unwrap();
        assert_eq!(bundle.meta().model(), "copy");
        assert_eq!(session(&device, &bundle).run(&[]).unwrap()["y"].to_f32(), [3.0, 4.0]);
    }
    assert_clean(&device);
}

#[test]
fn absurd_sizes_are_out_of_memory_or_unmet() {
    let Some(device) = device() else { return };
    // One buffer beyond every limit: named before anything is created.
    let mut b = PlanBuilder::new();
    b.buffer(ObjectRole::Arena, 1 << 40);
    let e = Session::new(&device, &b.bundle()).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Unmet, "{e}");
    assert!(e.to_string().contains("limits.buffer_bytes: needs 1099511627776, device has"), "{e}");
    // Many buffers, each within the limits, together beyond any heap.
    let limit = device.capabilities().limits.buffer_bytes.min(1 << 38);
    let mut b = PlanBuilder::new();
    let count = (1u64 << 43) / limit;
    if count > 4096 {
        println!("skipped: this device's buffers are too small for the test");
        return;
    }
    for _ in 0..count {
        b.buffer(ObjectRole::Arena, limit & !255);
    }
    let e = Session::new(&device, &b.bundle()).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::OutOfMemory, "{e}");
    assert!(e.to_string().starts_with("out of device memory: the plan's objects need"), "{e}");
    // The device goes on working.
    let mut s = session(&device, &saxpy(4, 1.0, &[0.0; 4]));
    assert_eq!(s.run(&[("x", [1f32; 4][..].into())]).unwrap()["y"].to_f32(), [1.0; 4]);
    assert_clean(&device);
}

#[test]
fn devices_are_found_by_name_and_number() {
    let Some(_) = device() else { return };
    let all = Device::list().unwrap();
    let api = |d: &drift_runtime::DeviceInfo| d.capabilities.api;
    assert!(
        all.windows(2).all(|w| api(&w[0]) != api(&w[1]) || w[0].kind <= w[1].kind),
        "best kind first, in every API"
    );
    for (i, info) in all.iter().enumerate() {
        println!("{info:?}");
        assert_eq!(info.index, i);
        let caps = &info.capabilities;
        assert!(caps.limits.workgroup_invocations >= 128, "{caps:?}");
        assert!(caps.limits.storage_range_bytes >= 1 << 27);
        assert!(
            caps.storage_offset_alignment.is_power_of_two() && caps.storage_offset_alignment <= 256
        );
        // WebGPU does not tell
        assert!(info.memory_bytes > 0 || api(info) == drift_bundle::caps::Api::WebGpu);
        assert!(!caps.device_name.is_empty());
    }
    let name = &all[0].capabilities.device_name;
    assert_eq!(&Device::find(&name.to_uppercase()).unwrap().capabilities().device_name, name);
    assert_eq!(&Device::find("0").unwrap().capabilities().device_name, name);
    let e = Device::find("no such device").map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::NoDevice);
    assert!(e.to_string().contains(name.as_str()), "{e}");
    assert!(
        Device::open(1000)
            .map(|_| ())
            .unwrap_err()
            .to_string()
            .contains("device 1000 does not exist")
    );
}

#[test]
fn a_variant_for_another_api_is_unmet() {
    let Some(device) = device() else { return };
    let b = PlanBuilder::new();
    let mut requirements = Requirements::new(Api::Metal, Dialect::Msl, "apple-m1");
    requirements.features = Features::F16;
    let mut writer = drift_bundle::BundleWriter::new(drift_bundle::Meta::new("m", "test", "0"));
    writer.add_variant(requirements, b.plan, b.shaders);
    let bundle = Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap();
    let e = Session::new(&device, &bundle).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("apple-m1 on ") && e.contains("api: needs metal, device has vulkan"), "{e}");
    if std::env::var("DRIFT_DEVICE").is_err() {
        let e = Device::best(&bundle).map(|_| ()).unwrap_err();
        assert_eq!(e.kind(), RuntimeErrorKind::Unmet);
    }
}

/// A kernel that takes long, and a wait that does not. The length comes from many workgroups:
/// llvmpipe ends a shader's loops after 65,535 iterations in all.
#[test]
fn timeouts_are_reported_and_can_be_waited_out() {
    const ROUNDS: u32 = 60_000;
    const GROUPS: u32 = 20;
    let Some(device) = device() else { return };
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::U32, &[1]);
    let y = b.output("y", ElemType::U32, &[u64::from(GROUPS) * 64]);
    let p = b.pipeline(
        "@group(0) @binding(0) var<storage, read> x: array<u32>;
         @group(0) @binding(1) var<storage, read_write> y: array<u32>;
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
             var v = id.x;
             for (var k = 0u; k < x[0]; k++) { v = v * 1664525u + 1013904223u; }
             y[id.x] = v;
         }",
        64,
        &[READ, WRITE],
    );
    let binds = [b.whole(x), b.whole(y)];
    b.dispatch(p, [GROUPS, 1, 1], &binds, "spin");
    let mut session = session(&device, &b.bundle());
    session.set_input("x", &[ROUNDS][..]).unwrap();
    session.set_timeout(Duration::from_micros(10));
    session.submit().unwrap();
    let e = session.wait().unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Timeout, "{e}");
    // Eight submits may be in flight; one more waits for the first. Nothing is lost.
    for _ in 1..8 {
        session.submit().unwrap();
    }
    assert_eq!(session.submit().unwrap_err().kind(), RuntimeErrorKind::Timeout);
    session.set_timeout(Duration::from_secs(120));
    session.wait().unwrap();
    let last = GROUPS * 64 - 1;
    let expected = (0..ROUNDS).fold(last, |v, _| v.wrapping_mul(1664525).wrapping_add(1013904223));
    let y = session.output("y").unwrap().to_i64().unwrap();
    assert_eq!(y[last as usize], i64::from(expected));
    assert_clean(&device);
}

#[test]
fn the_driver_cache_is_written_once_used_again_and_never_trusted() {
    let Some(device) = device() else { return };
    let dir = TempDir::new("cache");
    let bundle = saxpy(64, 3.0, &[1.0; 64]);
    let options = SessionOptions { cache: DriverCache::Dir(dir.0.clone()), variant: None };
    let run = || {
        let mut s = Session::with_options(&device, &bundle, &options).unwrap();
        assert_eq!(s.run(&[("x", [1f32; 64][..].into())]).unwrap()["y"].to_f32(), [4.0; 64]);
    };
    run();
    let files = dir.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let first = fs::read(&files[0]).unwrap();
    assert_eq!(&first[..8], b"DRFTPC01");
    let written = fs::metadata(&files[0]).unwrap().modified().unwrap();
    run();
    assert_eq!(
        fs::metadata(&files[0]).unwrap().modified().unwrap(),
        written,
        "written again without need"
    );
    // Damaged in several ways: ignored, and replaced by a good one.
    let mut flipped = first.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&b""[..], b"DRFTPC01", &flipped, &first[..first.len() - 1], &[0xff; 100]] {
        fs::write(&files[0], bad).unwrap();
        run();
        assert_eq!(fs::read(&files[0]).unwrap(), first);
    }
    // A place that cannot be written is no error.
    let nowhere = DriverCache::Dir(files[0].join("below-a-file"));
    let options = SessionOptions { cache: nowhere, variant: None };
    Session::with_options(&device, &bundle, &options).unwrap();
    assert_eq!(dir.files().len(), 1, "no temporary files are left");
    assert_clean(&device);
}
