//! The WebGPU back end on bundles by hand: what replays of other APIs do, this one does too.
#![cfg(feature = "webgpu")]

mod common;
use common::*;
use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};
use drift_runtime::*;
use std::time::Duration;

fn bundle(b: PlanBuilder) -> Bundle {
    b.bundle_for(Api::WebGpu, Dialect::Wgsl)
}

/// Bindings of buffers of f32 (those that `written` lists may be written), and a head.
fn head(names: &[&str], written: &[&str], size: u32) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let access = if written.contains(name) { "read_write" } else { "read" };
        text += &format!("@group(0) @binding({i}) var<storage, {access}> {name}: array<f32>;\n");
    }
    text + &format!(
        "@compute @workgroup_size({size}) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
         let i = id.x; "
    )
}

/// `y = scale * x + w` over `n` elements, with `w` from the weights.
fn saxpy_wgsl(n: u64, scale: f32, weights: &[f32]) -> Bundle {
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::F32, &[n]);
    let w = b.weights(weights);
    let y = b.output("y", ElemType::F32, &[n]);
    let text = head(&["x", "w", "y"], &["y"], 64)
        + &format!("if (i < {n}u) {{ y[i] = {scale:?} * x[i] + w[i]; }} }}");
    let p = b.wgsl_pipeline(&text, 64, &[READ, READ, WRITE]);
    let binds = [b.whole(x), b.whole(w), b.whole(y)];
    b.dispatch(p, [n.div_ceil(64) as u32, 1, 1], &binds, "saxpy");
    bundle(b)
}

#[test]
fn scales_and_adds_weights() {
    let Some(device) = device_of("webgpu") else { return };
    let mut s = session(&device, &saxpy_wgsl(1000, 2.0, &ramp(1000)));
    let y = s.run(&[("x", (&ramp(1000)).into())]).unwrap();
    let want: Vec<f32> = ramp(1000).iter().map(|v| 3.0 * v).collect();
    assert_eq!(y["y"].to_f32(), want);
    // inputs stay for later runs
    s.submit().unwrap();
    assert_eq!(s.output("y").unwrap().to_f32(), want);
    assert_clean(&device);
}

/// Two entry points, whose outputs are kept apart, and copies between and within buffers.
#[test]
fn entry_points_and_copies() {
    let Some(device) = device_of("webgpu") else { return };
    let mut b = PlanBuilder::new();
    let w = b.weights(&ramp(64));
    let arena = b.buffer(ObjectRole::Arena, 1024);
    let y = b.output("y", ElemType::F32, &[64]);
    let copy = |src, src_offset, dst, dst_offset, bytes| Step::Copy {
        src,
        src_offset,
        dst,
        dst_offset,
        bytes,
    };
    b.step(copy(w, 0, arena, 512, 256));
    b.barrier();
    b.step(copy(arena, 512, arena, 0, 256));
    b.barrier();
    let text = head(&["a", "y"], &["y"], 64) + "y[i] = a[i] + 1.0; }";
    let p = b.wgsl_pipeline(&text, 64, &[READ, WRITE]);
    let part = Bind::Buffer { object: arena, offset: 0, bytes: 256 };
    let out = b.whole(y);
    b.dispatch(p, [1, 1, 1], &[part, out], "one");
    b.entry("second");
    let z = b.output("z", ElemType::F32, &[64]);
    let binds = [b.whole(w), b.whole(z)];
    b.dispatch(p, [1, 1, 1], &binds, "two");
    let mut s = session(&device, &bundle(b));
    s.submit().unwrap();
    s.set_entry("second").unwrap();
    s.submit_n(3).unwrap();
    let want: Vec<f32> = ramp(64).iter().map(|v| v + 1.0).collect();
    assert_eq!(s.output("z").unwrap().to_f32(), want);
    s.set_entry("main").unwrap();
    assert_eq!(s.output("y").unwrap().to_f32(), want);
    assert_clean(&device);
}

#[test]
fn states_are_handed_on_in_flight() {
    let Some(device) = device_of("webgpu") else { return };
    let mut b = PlanBuilder::new();
    let sum = b.buffer(ObjectRole::State, 512);
    b.state("sum", ElemType::F32, &[2], sum, 0);
    b.state("step", ElemType::F32, &[1], sum, 256);
    let part = |offset| Bind::Buffer { object: sum, offset, bytes: 8 };
    let names = ["sum", "step"];
    let text = head(&names, &names, 1) + "sum[0] += step[0]; sum[1] += 1.0; }";
    let p = b.wgsl_pipeline(&text, 1, &[WRITE, WRITE]);
    b.dispatch(p, [1, 1, 1], &[part(0), part(256)], "add");
    let mut s = session(&device, &bundle(b));
    let bytes = |v: f32| v.to_le_bytes();
    let read = |s: &mut Session| {
        let mut out = [0xaa; 8];
        s.read_state("sum", 0, &mut out).unwrap();
        [0, 4].map(|i| f32::from_le_bytes(out[i..i + 4].try_into().unwrap()))
    };
    assert_eq!(read(&mut s), [0.0, 0.0], "states start at zero");
    s.write_state("step", 0, &bytes(1.0)).unwrap();
    s.submit_n(10).unwrap();
    // behind these runs and in front of the next ones
    s.write_state("step", 0, &bytes(100.0)).unwrap();
    let mut tickets = Vec::new();
    for _ in 0..30 {
        tickets.push(s.submit_fetch(1, "sum", 0, 8).unwrap());
    }
    let last = *tickets.last().unwrap();
    let fetched = s.fetched(last).unwrap().to_vec();
    assert_eq!(&fetched[..4], &bytes(3010.0));
    assert!(s.fetched(tickets[0]).is_err(), "its place was used again");
    assert_eq!(read(&mut s), [3010.0, 40.0]);
    s.reset_state().unwrap();
    assert_eq!(read(&mut s), [0.0, 0.0]);
    assert_clean(&device);
}

/// WebGPU copies whole words; callers need not know.
#[test]
fn states_are_written_and_read_at_any_byte() {
    let Some(device) = device_of("webgpu") else { return };
    let mut b = PlanBuilder::new();
    let n = 300_000usize;
    let object = b.buffer(ObjectRole::State, n as u64 * 4);
    b.state("log", ElemType::F32, &[n as u64], object, 0);
    let mut s = session(&device, &bundle(b));
    let mut data: Vec<u8> = (0..n * 4).map(|i| (i % 251) as u8).collect();
    s.write_state("log", 0, &data).unwrap();
    for (at, bytes) in [(8, 16), (6, 3), (5, 1), (2, 2), (n * 4 - 3, 3)] {
        let patch: Vec<u8> = (0..bytes).map(|i| 0xf0 + i as u8).collect();
        s.write_state("log", at as u64, &patch).unwrap();
        data[at..at + bytes].copy_from_slice(&patch);
        let mut out = vec![0; bytes + 1];
        s.read_state("log", at as u64 - 1, &mut out).unwrap();
        assert_eq!(out, data[at - 1..at + bytes]);
    }
    let ticket = s.submit_fetch(1, "log", 5, 7).unwrap();
    assert_eq!(s.fetched(ticket).unwrap(), &data[5..12]);
    let mut out = vec![0; n * 4];
    s.read_state("log", 0, &mut out).unwrap();
    assert!(out == data);
}

#[test]
fn images_of_every_kind() {
    let Some(device) = device_of("webgpu") else { return };
    for (kind, extent, ty, at) in [
        (ImageKind::Texture2d, [5, 3, 1], "2d", "vec2<u32>(x, y)"),
        (ImageKind::Texture2dArray, [4, 3, 2], "2d_array", "vec2<u32>(x, y), z"),
        (ImageKind::Texture3d, [3, 2, 4], "3d", "vec3<u32>(x, y, z)"),
    ] {
        for format in [TexelFormat::Rgba32Float, TexelFormat::Rgba16Float] {
            let [w, h, d] = extent;
            let texels = w * h * d;
            let mut b = PlanBuilder::new();
            let source = b.object(ObjectRole::Weights, ObjectKind::Image { kind, format, extent });
            let values = ramp(texels as usize * 4);
            let (name, bytes): (_, Vec<u8>) = match format {
                TexelFormat::Rgba32Float => {
                    ("rgba32float", values.iter().flat_map(|v| v.to_le_bytes()).collect())
                }
                TexelFormat::Rgba16Float => {
                    let half = |v: &f32| half::f16::from_f32(*v).to_le_bytes();
                    ("rgba16float", values.iter().flat_map(half).collect())
                }
            };
            b.upload(source, &bytes);
            let middle = b.object(ObjectRole::Arena, ObjectKind::Image { kind, format, extent });
            let y = b.output("y", ElemType::F32, &[u64::from(texels), 4]);
            let main = format!(
                "@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                 let i = id.x; if (i >= {texels}u) {{ return; }}
                 let x = i % {w}u; let y = i / {w}u % {h}u; let z = i / {}u;",
                w * h
            );
            let a = format!("@group(0) @binding(0) var a: texture_{ty}<f32>;");
            let double = format!(
                "{a} @group(0) @binding(1) var b: texture_storage_{ty}<{name}, write>;
                 {main} textureStore(b, {at}, 2.0 * textureLoad(a, {at}, 0)); }}"
            );
            let copy = format!(
                "{a} @group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
                 {main} out[i] = textureLoad(a, {at}, 0); }}"
            );
            let kinds = [BindingKind::SampledImage, BindingKind::StorageImageWrite];
            let double = b.wgsl_pipeline(&double, 32, &kinds);
            let copy = b.wgsl_pipeline(&copy, 32, &[BindingKind::SampledImage, WRITE]);
            let groups = [texels.div_ceil(32), 1, 1];
            let (from, to) = (Bind::Image { object: source }, Bind::Image { object: middle });
            b.dispatch(double, groups, &[from, to.clone()], "a");
            b.barrier();
            let out = b.whole(y);
            b.dispatch(copy, groups, &[to, out], "b");
            let out = session(&device, &bundle(b)).run(&[]).unwrap();
            let want: Vec<f32> = values.iter().map(|v| 2.0 * v).collect();
            assert_eq!(out["y"].to_f32(), want, "{kind} {format:?}");
        }
    }
    assert_clean(&device);
}

#[test]
fn profile_and_bench_use_device_time() {
    let Some(device) = device_of("webgpu") else { return };
    if !device.capabilities().features.contains(Features::TIMESTAMPS) {
        return println!("skipped: the device has no time stamps");
    }
    let mut s = session(&device, &saxpy_wgsl(1 << 16, 1.0, &ramp(1 << 16)));
    s.set_input("x", &ramp(1 << 16)).unwrap();
    let profile = s.run_profiled().unwrap();
    assert_eq!(profile.rows.len(), 1);
    assert_eq!(profile.rows[0].label, "saxpy");
    assert!(profile.total_nanos() > 0);
    let bench = s.bench(70).unwrap();
    assert_eq!(bench.nanos.len(), 70);
    assert!(bench.min_nanos() > 0 && bench.median_nanos() >= bench.min_nanos());
    assert!(u128::from(bench.nanos.iter().sum::<u64>()) <= bench.wall.as_nanos(), "{bench:?}");
    s.submit().unwrap();
    assert_eq!(s.output("y").unwrap().to_f32()[7], 14.0);
}

#[test]
fn what_wgpu_says_of_a_shader_is_passed_on() {
    let Some(device) = device_of("webgpu") else { return };
    let mut b = PlanBuilder::new();
    let y = b.output("y", ElemType::F32, &[1]);
    let text = head(&["y"], &["y"], 1) + "y[0] = no_such_function(i); }";
    let p = b.wgsl_pipeline(&text, 1, &[WRITE]);
    let binds = [b.whole(y)];
    b.dispatch(p, [1, 1, 1], &binds, "broken");
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    let e = Session::with_options(&device, &bundle(b), &options).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Driver);
    assert!(e.to_string().contains("no_such_function"), "{e}");
}

/// A buffer larger than any that the device was asked for before: the device is opened with limits
/// that the bundle needs; without them in its requirements, the objects of the plan still count.
#[test]
fn limits_are_raised_for_those_who_ask() {
    let Some(device) = device_of("webgpu") else { return };
    if device.capabilities().limits.buffer_bytes < 300 << 20 {
        return println!("skipped: no buffer of 300 MiB");
    }
    let mut b = PlanBuilder::new();
    let log = b.buffer(ObjectRole::State, 300 << 20);
    b.state("log", ElemType::F32, &[75 << 20], log, 0);
    let mut requirements = Requirements::new(Api::WebGpu, Dialect::Wgsl, "test");
    requirements.limits.buffer_bytes = 300 << 20;
    let mut writer = BundleWriter::new(Meta::new("test", "test", "0"));
    writer.add_variant(requirements, b.plan, ShaderSet::new());
    let bundle = Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap();
    let mut s = session(&device, &bundle);
    let last = (300 << 20) - 4;
    s.write_state("log", last, &[1, 2, 3, 4]).unwrap();
    let mut out = [0; 4];
    s.read_state("log", last, &mut out).unwrap();
    assert_eq!(out, [1, 2, 3, 4]);
}

#[test]
fn timeouts_are_reported_and_can_be_waited_out() {
    const ROUNDS: u32 = 60_000;
    let Some(device) = device_of("webgpu") else { return };
    let mut b = PlanBuilder::new();
    let y = b.output("y", ElemType::U32, &[64]);
    let text = format!(
        "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
         @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
             var v = id.x;
             for (var k = 0u; k < {ROUNDS}u; k++) {{ v = v * 1664525u + 1013904223u; v ^= v >> 7u; }}
             y[id.x] = v; }}"
    );
    let p = b.wgsl_pipeline(&text, 64, &[WRITE]);
    let binds = [b.whole(y)];
    for _ in 0..20 {
        b.dispatch(p, [1, 1, 1], &binds, "spin");
        b.barrier();
    }
    let mut s = session(&device, &bundle(b));
    s.set_timeout(Duration::from_micros(10));
    s.submit().unwrap();
    assert_eq!(s.wait().unwrap_err().kind(), RuntimeErrorKind::Timeout);
    s.set_timeout(Duration::from_secs(120));
    s.wait().unwrap();
    let round = |v: u32| {
        let v = v.wrapping_mul(1664525).wrapping_add(1013904223);
        v ^ (v >> 7)
    };
    let want = (0..ROUNDS).fold(63, |v, _| round(v));
    assert_eq!(s.output("y").unwrap().to_i64().unwrap()[63], i64::from(want));
}

#[test]
fn the_pipeline_cache_is_used_again_and_never_trusted() {
    let Some(device) = device_of("webgpu") else { return };
    let dir = std::env::temp_dir().join(format!("drift-webgpu-cache-{}", std::process::id()));
    let bundle = saxpy_wgsl(64, 3.0, &[1.0; 64]);
    let options = SessionOptions { cache: DriverCache::Dir(dir.clone()), variant: None };
    let run = || {
        let mut s = Session::with_options(&device, &bundle, &options).unwrap();
        assert_eq!(s.run(&[("x", [1f32; 64][..].into())]).unwrap()["y"].to_f32(), [4.0; 64]);
    };
    run();
    let files = || -> Vec<_> {
        let dir = std::fs::read_dir(&dir).into_iter().flatten();
        dir.map(|e| e.unwrap().path()).collect()
    };
    if files().is_empty() {
        return println!("skipped: no pipeline cache here (Vulkan has one)");
    }
    assert_eq!(files().len(), 1, "{:?}", files());
    let file = files().remove(0);
    let first = std::fs::read(&file).unwrap();
    assert_eq!(&first[..8], b"DRFTWG01");
    for bad in [&b""[..], b"DRFTWG01", &first[..first.len() - 1], &[0xff; 100]] {
        std::fs::write(&file, bad).unwrap();
        run();
        assert_eq!(&std::fs::read(&file).unwrap()[..8], b"DRFTWG01", "replaced by a good one");
    }
    // whole, but no cache: wgpu starts with an empty one
    let mut forged = b"DRFTWG01".to_vec();
    forged.extend(drift_bundle::hash64(b"hello").to_le_bytes());
    forged.extend(b"hello");
    std::fs::write(&file, &forged).unwrap();
    run();
    assert_eq!(files().len(), 1, "no temporary files are left");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn many_sessions_on_many_threads() {
    let Some(device) = device_of("webgpu") else { return };
    let bundle = saxpy_wgsl(256, 2.0, &ramp(256));
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (device, bundle) = (&device, &bundle);
            scope.spawn(move || {
                let mut s = session(device, bundle);
                for i in 0..10 {
                    let x = vec![(t * 10 + i) as f32; 256];
                    let y = s.run(&[("x", (&x).into())]).unwrap()["y"].to_f32();
                    assert!(y.iter().enumerate().all(|(k, v)| *v == 2.0 * x[k] + k as f32));
                }
            });
        }
    });
    assert_clean(&device);
}

#[test]
fn devices_are_found_by_their_api() {
    let Some(device) = device_of("webgpu") else { return };
    let name = &device.capabilities().device_name;
    assert_eq!(device.capabilities().api, Api::WebGpu);
    let own = Device::list_of(Api::WebGpu).unwrap();
    assert_eq!(&own[0].capabilities.device_name, name);
    let all = Device::list().unwrap();
    let at = all.iter().position(|d| d.capabilities.api == Api::WebGpu).unwrap();
    assert_eq!(Device::open(at).unwrap().capabilities().api, Api::WebGpu);
    assert_eq!(&Device::find("webgpu:0").unwrap().capabilities().device_name, name);
    let none = Device::find("webgpu:no such").map(|_| ()).unwrap_err();
    assert!(none.to_string().contains(name), "{none}");
    let best = Device::best(&saxpy_wgsl(1, 1.0, &[0.0])).unwrap();
    assert_eq!(best.capabilities().api, Api::WebGpu);
}
