//! The OpenCL back end on bundles by hand: what replays of other APIs do, this one does too.
#![cfg(feature = "opencl")]

mod common;
use common::*;
use drift_bundle::{caps::*, plan::*};
use drift_runtime::*;
use std::time::Duration;

fn bundle(b: PlanBuilder) -> Bundle {
    b.bundle_for(Api::OpenCl, Dialect::OpenClC)
}

/// Arguments of a kernel over buffers, and a pointer to each: `x` becomes `x`, of `float`.
fn head(names: &[&str], size: u32) -> String {
    let arguments: Vec<String> =
        names.iter().map(|n| format!("__global uchar *{n}_, ulong {n}_at")).collect();
    let pointers: String = names
        .iter()
        .map(|n| format!("__global float *{n} = (__global float *)({n}_ + {n}_at);\n"))
        .collect();
    format!(
        "__kernel __attribute__((reqd_work_group_size({size}, 1, 1)))\nvoid main_({}) {{\n{pointers}",
        arguments.join(", ")
    )
}

/// `y = scale * x + w` over `n` elements, with `w` from the weights.
fn saxpy_cl(n: u64, scale: f32, weights: &[f32]) -> Bundle {
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::F32, &[n]);
    let w = b.weights(weights);
    let y = b.output("y", ElemType::F32, &[n]);
    let body =
        format!("uint i = get_global_id(0); if (i < {n}u) y[i] = {scale:?}f * x[i] + w[i]; }}");
    let p = b.opencl_pipeline(&(head(&["x", "w", "y"], 64) + &body), 64, &[READ, READ, WRITE]);
    let binds = [b.whole(x), b.whole(w), b.whole(y)];
    b.dispatch(p, [n.div_ceil(64) as u32, 1, 1], &binds, "saxpy");
    bundle(b)
}

#[test]
fn scales_and_adds_weights() {
    let Some(device) = device_of("opencl") else { return };
    let mut s = session(&device, &saxpy_cl(1000, 2.0, &ramp(1000)));
    let y = s.run(&[("x", (&ramp(1000)).into())]).unwrap();
    let want: Vec<f32> = ramp(1000).iter().map(|v| 3.0 * v).collect();
    assert_eq!(y["y"].to_f32(), want);
    // inputs stay for later runs
    s.submit().unwrap();
    assert_eq!(s.output("y").unwrap().to_f32(), want);
}

/// Parts of one arena at offsets that are no places for sub-buffers on some devices, which align them
/// to 512 bytes.
#[test]
fn bindings_start_at_multiples_of_256() {
    let Some(device) = device_of("opencl") else { return };
    let mut b = PlanBuilder::new();
    let arena = b.buffer(ObjectRole::Arena, 4096);
    let y = b.output("y", ElemType::F32, &[16]);
    let fill = head(&["a"], 16) + "uint i = get_global_id(0); a[i] = a_at + i; }";
    let fill = b.opencl_pipeline(&fill, 16, &[WRITE]);
    let add = head(&["p", "q", "y"], 16) + "uint i = get_global_id(0); y[i] = p[i] + q[i]; }";
    let add = b.opencl_pipeline(&add, 16, &[READ, READ, WRITE]);
    let part = |offset| Bind::Buffer { object: arena, offset, bytes: 64 };
    b.dispatch(fill, [1, 1, 1], &[part(256)], "p");
    b.dispatch(fill, [1, 1, 1], &[part(1280)], "q");
    b.barrier();
    let binds = [part(256), part(1280), b.whole(y)];
    b.dispatch(add, [1, 1, 1], &binds, "sum");
    let mut s = session(&device, &bundle(b));
    let want: Vec<f32> = (0..16).map(|i| (256 + 1280 + 2 * i) as f32).collect();
    assert_eq!(s.run(&[]).unwrap()["y"].to_f32(), want);
}

#[test]
fn states_are_handed_on_in_flight() {
    let Some(device) = device_of("opencl") else { return };
    let mut b = PlanBuilder::new();
    let sum = b.buffer(ObjectRole::State, 512);
    b.state("sum", ElemType::F32, &[2], sum, 0);
    b.state("step", ElemType::F32, &[1], sum, 256);
    let part = |offset| Bind::Buffer { object: sum, offset, bytes: 8 };
    let text = head(&["sum", "step"], 1) + "sum[0] += step[0]; sum[1] += 1.0f; }";
    let p = b.opencl_pipeline(&text, 1, &[WRITE, WRITE]);
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
}

#[test]
fn states_are_written_and_read_in_parts_of_any_size() {
    let Some(device) = device_of("opencl") else { return };
    let mut b = PlanBuilder::new();
    let n = 300_000usize;
    let object = b.buffer(ObjectRole::State, n as u64 * 4);
    b.state("log", ElemType::F32, &[n as u64], object, 0);
    let mut s = session(&device, &bundle(b));
    let data: Vec<u8> = (0..n * 4).map(|i| (i % 251) as u8).collect();
    s.write_state("log", 0, &data).unwrap();
    let mut out = vec![0; n * 4 - 8];
    s.read_state("log", 8, &mut out).unwrap();
    assert_eq!(out, data[8..]);
}

#[test]
fn images_of_every_kind() {
    let Some(device) = device_of("opencl") else { return };
    for (kind, extent, ty, at) in [
        (ImageKind::TexelBuffer, [24, 1, 1], "image1d_buffer_t", "(int)x"),
        (ImageKind::Texture2d, [5, 3, 1], "image2d_t", "(int2)(x, y)"),
        (ImageKind::Texture2dArray, [4, 3, 2], "image2d_array_t", "(int4)(x, y, z, 0)"),
        (ImageKind::Texture3d, [3, 2, 4], "image3d_t", "(int4)(x, y, z, 0)"),
    ] {
        let feature = match kind {
            ImageKind::TexelBuffer => Features::TEXEL_BUFFER,
            ImageKind::Texture2d => Features::TEXTURE_2D,
            ImageKind::Texture2dArray => Features::TEXTURE_2D_ARRAY,
            ImageKind::Texture3d => Features::TEXTURE_3D,
        };
        if !device.capabilities().features.contains(feature) {
            println!("skipped: the device has no {kind}");
            continue;
        }
        for format in [TexelFormat::Rgba32Float, TexelFormat::Rgba16Float] {
            let [w, h, d] = extent;
            let texels = w * h * d;
            let mut b = PlanBuilder::new();
            let source = b.object(ObjectRole::Weights, ObjectKind::Image { kind, format, extent });
            let values = ramp(texels as usize * 4);
            let bytes: Vec<u8> = match format {
                TexelFormat::Rgba32Float => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                TexelFormat::Rgba16Float => {
                    values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect()
                }
            };
            b.upload(source, &bytes);
            let middle = b.object(ObjectRole::Arena, ObjectKind::Image { kind, format, extent });
            let y = b.output("y", ElemType::F32, &[u64::from(texels), 4]);
            let place = format!(
                "int i = get_global_id(0); if (i >= {texels}) return;
                 int x = i % {w}, y = i / {w} % {h}, z = i / {};",
                w * h
            );
            let pragma = "#pragma OPENCL EXTENSION cl_khr_3d_image_writes : enable\n";
            let double = format!(
                "{pragma}__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
                 void main_(__read_only {ty} a, __write_only {ty} b) {{
                     {place} write_imagef(b, {at}, 2.0f * read_imagef(a, {at})); }}"
            );
            let copy = format!(
                "__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
                 void main_(__read_only {ty} a, __global uchar *out_, ulong out_at) {{
                     {place} vstore4(read_imagef(a, {at}), i, (__global float *)(out_ + out_at)); }}"
            );
            let kinds = [BindingKind::SampledImage, BindingKind::StorageImageWrite];
            let double = b.opencl_pipeline(&double, 32, &kinds);
            let copy = b.opencl_pipeline(&copy, 32, &[BindingKind::SampledImage, WRITE]);
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
}

#[test]
fn profile_and_bench_use_device_time() {
    let Some(device) = device_of("opencl") else { return };
    let mut s = session(&device, &saxpy_cl(1 << 16, 1.0, &ramp(1 << 16)));
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
fn what_the_compiler_says_is_passed_on() {
    let Some(device) = device_of("opencl") else { return };
    let mut b = PlanBuilder::new();
    let y = b.output("y", ElemType::F32, &[1]);
    let p = b.opencl_pipeline(&(head(&["y"], 1) + "y[0] = no_such_function(1); }"), 1, &[WRITE]);
    let binds = [b.whole(y)];
    b.dispatch(p, [1, 1, 1], &binds, "broken");
    let options = SessionOptions { cache: DriverCache::Off, ..SessionOptions::default() };
    let e = Session::with_options(&device, &bundle(b), &options).map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Driver);
    let said = e.to_string();
    assert!(said.contains("shader 0, of broken: "), "{said}");
    assert!(said.contains("no_such_function"), "{said}");
}

#[test]
fn timeouts_are_reported_and_can_be_waited_out() {
    const ROUNDS: u32 = 2_000_000;
    let Some(device) = device_of("opencl") else { return };
    let mut b = PlanBuilder::new();
    let y = b.output("y", ElemType::U32, &[64]);
    let text = format!(
        "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))
         void main_(__global uchar *y_, ulong y_at) {{
             uint v = get_global_id(0);
             for (uint k = 0; k < {ROUNDS}u; ++k) {{ v = v * 1664525u + 1013904223u; v ^= v >> 7; }}
             ((__global uint *)(y_ + y_at))[get_global_id(0)] = v; }}"
    );
    let p = b.opencl_pipeline(&text, 64, &[WRITE]);
    let binds = [b.whole(y)];
    b.dispatch(p, [1, 1, 1], &binds, "spin");
    let mut s = session(&device, &bundle(b));
    s.set_timeout(Duration::from_micros(10));
    s.submit().unwrap();
    assert_eq!(s.wait().unwrap_err().kind(), RuntimeErrorKind::Timeout);
    for _ in 1..8 {
        s.submit().unwrap();
    }
    assert_eq!(s.submit().unwrap_err().kind(), RuntimeErrorKind::Timeout);
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
fn the_program_cache_is_used_again_and_never_trusted() {
    let Some(device) = device_of("opencl") else { return };
    let dir = std::env::temp_dir().join(format!("drift-opencl-cache-{}", std::process::id()));
    let bundle = saxpy_cl(64, 3.0, &[1.0; 64]);
    let options = SessionOptions { cache: DriverCache::Dir(dir.clone()), variant: None };
    let run = || {
        let mut s = Session::with_options(&device, &bundle, &options).unwrap();
        assert_eq!(s.run(&[("x", [1f32; 64][..].into())]).unwrap()["y"].to_f32(), [4.0; 64]);
    };
    run();
    let files =
        || -> Vec<_> { std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect() };
    assert_eq!(files().len(), 1, "{:?}", files());
    let file = files().remove(0);
    let first = std::fs::read(&file).unwrap();
    assert_eq!(&first[..8], b"DRFTOC01");
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    run();
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written, "written again");
    for bad in [&b""[..], b"DRFTOC01", &first[..first.len() - 1], &[0xff; 100]] {
        std::fs::write(&file, bad).unwrap();
        run();
        assert!(std::fs::read(&file).unwrap().len() > 100, "replaced by a good one");
    }
    // whole, but no program: the driver refuses it, and the source is compiled
    let mut data = 5u64.to_le_bytes().to_vec();
    data.extend(b"hello");
    let mut forged = b"DRFTOC01".to_vec();
    forged.extend(drift_bundle::hash64(&data).to_le_bytes());
    forged.extend(&data);
    std::fs::write(&file, &forged).unwrap();
    run();
    assert_eq!(files().len(), 1, "no temporary files are left");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn many_sessions_on_many_threads() {
    let Some(device) = device_of("opencl") else { return };
    let bundle = saxpy_cl(256, 2.0, &ramp(256));
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
}

#[test]
fn devices_are_found_by_their_api() {
    let Some(device) = device_of("opencl") else { return };
    let name = &device.capabilities().device_name;
    assert_eq!(device.capabilities().api, Api::OpenCl);
    let own = Device::list_of(Api::OpenCl).unwrap();
    assert_eq!(&own[0].capabilities.device_name, name);
    assert_eq!(own[0].index, 0);
    let all = Device::list().unwrap();
    let at = all.iter().position(|d| d.capabilities.api == Api::OpenCl).unwrap();
    assert_eq!(all[at].index, at);
    assert_eq!(Device::open(at).unwrap().capabilities().api, Api::OpenCl);
    assert_eq!(&Device::find("opencl:0").unwrap().capabilities().device_name, name);
    assert!(Device::find("opencl:no such").map(|_| ()).unwrap_err().to_string().contains(name));
    assert_eq!(Device::best(&saxpy_cl(1, 1.0, &[0.0])).unwrap().capabilities().api, Api::OpenCl);
}
