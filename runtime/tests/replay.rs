//! Plans made by hand, replayed on a real driver (lavapipe will do).

mod common;
use common::*;
use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};
use drift_runtime::*;

#[test]
fn scales_and_adds_weights() {
    let Some(device) = device() else { return };
    let bundle = saxpy(1000, 2.0, &ramp(1000));
    let mut session = session(&device, &bundle);
    for round in 0..3 {
        let x: Vec<f32> = (0..1000).map(|i| (i * round) as f32).collect();
        let outputs = session.run(&[("x", (&x).into())]).unwrap();
        let expected: Vec<f32> = x.iter().zip(ramp(1000)).map(|(x, w)| 2.0 * x + w).collect();
        assert_eq!(outputs["y"].to_f32(), expected);
        assert_eq!(outputs["y"].shape, [1000]);
        assert_eq!(session.output("y").unwrap(), outputs[0]);
    }
    drop(session);
    assert_clean(&device);
}

/// Three dependent steps in one arena whose first range is used again by the third step.
#[test]
fn barriers_order_steps_that_share_arena_memory() {
    let Some(device) = device() else { return };
    let n = 4096u64;
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::F32, &[n]);
    let arena = b.buffer(ObjectRole::Arena, 3 * n * 4);
    let y = b.output("y", ElemType::F32, &[n]);
    // Each step reads a neighbour, so a missing barrier shows.
    let wgsl = |plus: f32| {
        format!(
            "@group(0) @binding(0) var<storage, read> a: array<f32>;
             @group(0) @binding(1) var<storage, read_write> b: array<f32>;
             @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                 b[id.x] = a[(id.x + 1025u) % {n}u] + {plus:?};
             }}"
        )
    };
    let steps = [1.0, 10.0, 100.0].map(|plus| b.pipeline(&wgsl(plus), 64, &[READ, WRITE]));
    let part = |i: u64| Bind::Buffer { object: arena, offset: i * n * 4, bytes: n * 4 };
    let whole_x = b.whole(x);
    let groups = [(n / 64) as u32, 1, 1];
    b.dispatch(steps[0], groups, &[whole_x, part(0)], "one");
    b.barrier();
    b.dispatch(steps[1], groups, &[part(0), part(1)], "two");
    b.barrier();
    b.dispatch(steps[2], groups, &[part(1), part(0)], "three");
    b.barrier();
    b.step(Step::Copy { src: arena, src_offset: 0, dst: y, dst_offset: 0, bytes: n * 4 });
    let mut session = session(&device, &b.bundle());
    let out = session.run(&[("x", (&ramp(4096)).into())]).unwrap();
    let expected: Vec<f32> = (0..4096).map(|i| ((i + 3 * 1025) % 4096) as f32 + 111.0).collect();
    assert_eq!(out["y"].to_f32(), expected);
    assert_clean(&device);
}

/// Weights in images of all kinds and both formats, read through an intermediate image.
#[test]
fn images_are_uploaded_read_and_written() {
    let Some(device) = device() else { return };
    for (kind, extent, ty, coordinate) in [
        (ImageKind::Texture2d, [5, 3, 1], "texture_2d<f32>", "vec2(x, y), 0"),
        (ImageKind::Texture2dArray, [4, 3, 2], "texture_2d_array<f32>", "vec2(x, y), z, 0"),
        (ImageKind::Texture3d, [3, 2, 4], "texture_3d<f32>", "vec3(x, y, z), 0"),
    ] {
        for format in [TexelFormat::Rgba32Float, TexelFormat::Rgba16Float] {
            let [w, h, d] = extent;
            let texels = u64::from(w * h * d);
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
            let y = b.output("y", ElemType::F32, &[texels, 4]);
            let storage = ty.replace("texture_", "texture_storage_").replace(
                "<f32>",
                match format {
                    TexelFormat::Rgba32Float => "<rgba32float, write>",
                    TexelFormat::Rgba16Float => "<rgba16float, write>",
                },
            );
            let split = format!(
                "let x = i32(id.x % {w}u); let y = i32(id.x / {w}u % {h}u); let z = i32(id.x / {}u);
                 if (id.x >= {texels}u) {{ return; }}",
                w * h
            );
            let write_at = coordinate.trim_end_matches(", 0");
            let double = format!(
                "@group(0) @binding(0) var source: {ty};
                 @group(0) @binding(1) var middle: {storage};
                 @compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                     {split} textureStore(middle, {write_at}, 2.0 * textureLoad(source, {coordinate}));
                 }}"
            );
            let read = format!(
                "@group(0) @binding(0) var middle: {ty};
                 @group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
                 @compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
                     {split} out[id.x] = textureLoad(middle, {coordinate});
                 }}"
            );
            let double = b.pipeline(
                &double,
                32,
                &[BindingKind::SampledImage, BindingKind::StorageImageWrite],
            );
            let read = b.pipeline(&read, 32, &[BindingKind::SampledImage, WRITE]);
            let groups = [texels.div_ceil(32) as u32, 1, 1];
            b.dispatch(
                double,
                groups,
                &[Bind::Image { object: source }, Bind::Image { object: middle }],
                "a",
            );
            b.barrier();
            let out = b.whole(y);
            b.dispatch(read, groups, &[Bind::Image { object: middle }, out], "b");
            let mut session = session(&device, &b.bundle());
            let out = session.run(&[]).unwrap();
            let expected: Vec<f32> = values.iter().map(|v| 2.0 * v).collect();
            assert_eq!(out["y"].to_f32(), expected, "{kind} {format:?}");
        }
    }
    assert_clean(&device);
}

#[test]
fn integers_travel_as_32_bits_and_are_checked() {
    let Some(device) = device() else { return };
    let mut b = PlanBuilder::new();
    let ids = b.input("ids", ElemType::I64, &[2, 3]);
    let mask = b.input("mask", ElemType::Bool, &[6]);
    let y = b.output("y", ElemType::I64, &[6]);
    let p = b.pipeline(
        "@group(0) @binding(0) var<storage, read> ids: array<i32>;
         @group(0) @binding(1) var<storage, read> mask: array<u32>;
         @group(0) @binding(2) var<storage, read_write> y: array<i32>;
         @compute @workgroup_size(6) fn main(@builtin(local_invocation_index) i: u32) {
             y[i] = select(0, -ids[i], mask[i] != 0u);
         }",
        6,
        &[READ, READ, WRITE],
    );
    let binds = [b.whole(ids), b.whole(mask), b.whole(y)];
    b.dispatch(p, [1, 1, 1], &binds, "negate");
    let mut session = session(&device, &b.bundle());
    let mask = [true, false, true, true, true, true];
    let ids = [1i64, 2, -3, 4, 2_000_000_000, 0];
    let shaped = TensorRef::new(TensorData::I64(&ids), &[2, 3]);
    let out = session.run(&[("mask", mask[..].into()), ("ids", shaped)]).unwrap();
    assert_eq!(out["y"].to_i64().unwrap(), [-1, 0, 3, -4, -2_000_000_000, 0]);
    assert_eq!(out["y"].elem, ElemType::I64);

    let message = |inputs: &[(&str, TensorRef<'_>)], session: &mut Session| {
        let e = session.run(inputs).unwrap_err();
        assert_eq!(e.kind(), RuntimeErrorKind::Input);
        e.to_string()
    };
    let big = [0i64, 0, 0, 3_000_000_000, 0, 0];
    let e = message(&[("mask", mask[..].into()), ("ids", big[..].into())], &mut session);
    assert_eq!(e, "input \"ids\": element 3 is 3000000000, which does not fit I32");
    assert_eq!(message(&[("ids", ids[..].into())], &mut session), "input \"mask\": not given");
    let all: [(&str, TensorRef<'_>); 3] =
        [("ids", ids[..].into()), ("mask", mask[..].into()), ("extra", ids[..].into())];
    assert_eq!(message(&all, &mut session), "input \"extra\": no such input; there are: ids, mask");
    assert!(session.output("z").unwrap_err().to_string().contains("no such output; there are: y"));
    assert_clean(&device);
}

/// State persists over runs, starts at zero and can be reset or set.
#[test]
fn state_persists_and_resets() {
    let Some(device) = device() else { return };
    let mut b = PlanBuilder::new();
    let x = b.input("x", ElemType::F32, &[4]);
    let state = b.buffer(ObjectRole::State, 16);
    let io = Io {
        name: "sum".into(),
        elem: ElemType::F32,
        device_elem: ElemType::F32,
        shape: vec![4],
        object: state,
        offset: 0,
    };
    b.plan.entry_points[0].outputs.push(io.clone());
    let p = b.pipeline(
        "@group(0) @binding(0) var<storage, read> x: array<f32>;
         @group(0) @binding(1) var<storage, read_write> sum: array<f32>;
         @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { sum[i] += x[i]; }",
        4,
        &[READ, WRITE],
    );
    let binds = [b.whole(x), b.whole(state)];
    b.dispatch(p, [1, 1, 1], &binds, "accumulate");
    // A second entry point that takes the state as an input and does nothing.
    let set = EntryPoint { name: "set".into(), inputs: vec![io], outputs: vec![], steps: vec![] };
    b.plan.entry_points.push(set);
    let mut session = session(&device, &b.bundle());
    let one = [1f32; 4];
    for n in 1..=3 {
        let out = session.run(&[("x", one[..].into())]).unwrap();
        assert_eq!(out["sum"].to_f32(), [n as f32; 4]);
    }
    session.reset_state().unwrap();
    assert_eq!(session.run(&[("x", one[..].into())]).unwrap()["sum"].to_f32(), one);
    session.set_entry("set").unwrap();
    session.run(&[("sum", [5f32; 4][..].into())]).unwrap();
    assert!(session.set_entry("nope").unwrap_err().to_string().contains("there are: main, set"));
    session.set_entry("main").unwrap();
    assert_eq!(session.run(&[("x", one[..].into())]).unwrap()["sum"].to_f32(), [6f32; 4]);
    assert_clean(&device);
}

#[test]
fn profile_and_bench_use_gpu_time() {
    let Some(device) = device() else { return };
    let mut session = session(&device, &saxpy(1 << 16, 1.0, &ramp(1 << 16)));
    if !device.capabilities().features.contains(Features::TIMESTAMPS) {
        println!("skipped: the device has no time stamps");
        return;
    }
    let x = ramp(1 << 16);
    session.set_input("x", &x).unwrap();
    let profile = session.run_profiled().unwrap();
    assert_eq!(profile.rows.len(), 1);
    assert_eq!(profile.rows[0].label, "saxpy");
    assert!(profile.total_nanos() > 0);
    let bench = session.bench(70).unwrap();
    assert_eq!(bench.nanos.len(), 70);
    assert!(bench.min_nanos() > 0 && bench.median_nanos() >= bench.min_nanos());
    // The sum of GPU times cannot exceed what passed on the clock.
    assert!(u128::from(bench.nanos.iter().sum::<u64>()) <= bench.wall.as_nanos(), "{bench:?}");
    // Measuring leaves normal runs intact.
    session.submit().unwrap();
    assert_eq!(session.output("y").unwrap().to_f32()[7], 14.0);
    assert_clean(&device);
}

#[test]
fn the_best_fitting_variant_is_chosen() {
    let Some(device) = device() else { return };
    // Variants that add 1, 2 and 3; the last one wants what no device has.
    let mut writer = BundleWriter::new(Meta::new("variants", "test", "0"));
    for (target, rank, plus) in [("low", 1, 1.0), ("high", 2, 2.0), ("exotic", 3, 3.0)] {
        let mut b = PlanBuilder::new();
        let x = b.input("x", ElemType::F32, &[1]);
        let y = b.output("y", ElemType::F32, &[1]);
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read> x: array<f32>;
             @group(0) @binding(1) var<storage, read_write> y: array<f32>;
             @compute @workgroup_size(1) fn main() {{ y[0] = x[0] + {plus:?}; }}"
        );
        let p = b.pipeline(&wgsl, 1, &[READ, WRITE]);
        let binds = [b.whole(x), b.whole(y)];
        b.dispatch(p, [1, 1, 1], &binds, "add");
        let mut requirements = b.requirements(target);
        requirements.rank = rank;
        if target == "exotic" {
            requirements.limits.workgroup_memory_bytes = 1 << 40;
        }
        writer.add_variant(requirements, b.plan, b.shaders);
    }
    let bundle = Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap();
    let mut best = session(&device, &bundle);
    assert_eq!(best.requirements().target, "high");
    assert_eq!(best.run(&[("x", [1f32][..].into())]).unwrap()["y"].to_f32(), [3.0]);
    let named = |target: &str| {
        let options = SessionOptions { cache: DriverCache::Off, variant: Some(target.into()) };
        Session::with_options(&device, &bundle, &options)
    };
    let mut low = named("low").unwrap();
    assert_eq!(low.run(&[("x", [1f32][..].into())]).unwrap()["y"].to_f32(), [2.0]);
    let e = named("exotic").map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), RuntimeErrorKind::Unmet);
    assert!(
        e.to_string().contains("limits.workgroup_memory_bytes: needs 1099511627776, device has"),
        "{e}"
    );
    let e = named("none").map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("it has: low, high, exotic"), "{e}");
    assert_clean(&device);
}

#[test]
fn many_sessions_on_many_threads() {
    let Some(device) = device() else { return };
    let bundles: Vec<Bundle> = (0..4).map(|i| saxpy(5000, i as f32, &ramp(5000))).collect();
    std::thread::scope(|scope| {
        for (i, bundle) in bundles.iter().enumerate() {
            let device = device.clone();
            scope.spawn(move || {
                let mut first = session(&device, bundle);
                let mut second = session(&device, bundle);
                for round in 0..20 {
                    let x = vec![round as f32; 5000];
                    for s in [&mut first, &mut second] {
                        s.set_inputs(&[("x", (&x).into())]).unwrap();
                        s.submit().unwrap();
                    }
                    for s in [&mut first, &mut second] {
                        let y = s.output("y").unwrap().to_f32();
                        assert!((0..5000).all(|k| y[k] == i as f32 * round as f32 + k as f32));
                    }
                }
            });
        }
    });
    assert_clean(&device);
}

#[test]
fn tensors_without_elements_pass() {
    let Some(device) = device() else { return };
    let mut b = PlanBuilder::new();
    b.input("past", ElemType::F32, &[1, 0, 8]);
    b.output("present", ElemType::F32, &[0]);
    let mut session = session(&device, &b.bundle());
    let out = session.run(&[("past", TensorRef::new(TensorData::F32(&[]), &[1, 0, 8]))]).unwrap();
    assert!(out["present"].bytes.is_empty());
    assert_clean(&device);
}

/// More weights than fit in the staging ring, and an image wider than its smallest half.
#[test]
fn large_weights_arrive_whole() {
    let Some(device) = device() else { return };
    let n = 5 << 20; // 20 MiB
    let w: Vec<f32> = (0..n).map(|i| (i % 65521) as f32).collect();
    let mut session = session(&device, &saxpy(n as u64, 0.0, &w));
    let x = vec![0f32; n];
    let y = session.run(&[("x", (&x).into())]).unwrap();
    assert!(y["y"].to_f32() == w);

    let (width, height) = (8192u32, 160u32); // 20 MiB of texels
    let mut b = PlanBuilder::new();
    let kind = ImageKind::Texture2d;
    let extent = [width, height, 1];
    let image = b.object(
        ObjectRole::Weights,
        ObjectKind::Image { kind, format: TexelFormat::Rgba32Float, extent },
    );
    let texels: Vec<u8> =
        w[..].iter().take((width * height) as usize * 4).flat_map(|v| v.to_le_bytes()).collect();
    b.upload(image, &texels);
    let y = b.output("y", ElemType::F32, &[u64::from(height), 4]);
    let p = b.pipeline(
        &format!(
            "@group(0) @binding(0) var image: texture_2d<f32>;
             @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
             @compute @workgroup_size({height}) fn main(@builtin(local_invocation_index) i: u32) {{
                 y[i] = textureLoad(image, vec2<u32>({width}u - 1u, i), 0);
             }}"
        ),
        height,
        &[BindingKind::SampledImage, WRITE],
    );
    let binds = [Bind::Image { object: image }, b.whole(y)];
    b.dispatch(p, [1, 1, 1], &binds, "last column");
    let mut session = common::session(&device, &b.bundle());
    let out = session.run(&[]).unwrap()["y"].to_f32();
    for row in 0..height as usize {
        let last = (row * width as usize + width as usize - 1) * 4;
        assert_eq!(out[row * 4..row * 4 + 4], w[last..last + 4], "row {row}");
    }
    assert_clean(&device);
}

/// Bytes of mapped files that are in memory (`RssFile`).
#[cfg(target_os = "linux")]
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Several threads upload in parts, and the file does not stay in memory.
#[cfg(target_os = "linux")]
#[test]
fn loading_keeps_no_copy_of_the_weights() {
    const EACH: u64 = 100 << 20;
    let Some(device) = device() else { return };
    if device.capabilities().limits.buffer_bytes < EACH {
        println!("skipped: the device's buffers are too small");
        return;
    }
    // Word i of the file's weights is i; the output gathers some from every object.
    let mut b = PlanBuilder::new();
    let offsets = [0u64, 4, 16 << 20, (32 << 20) - 4, 77_777_780, EACH - 4];
    let y = b.output("y", ElemType::U32, &[3 * offsets.len() as u64]);
    let mut expected = Vec::new();
    for n in 0..3 {
        let w = b.buffer(ObjectRole::Weights, EACH);
        b.plan.uploads.push(Upload {
            object: w,
            object_offset: 0,
            weights_offset: n * EACH,
            bytes: EACH,
        });
        for offset in offsets {
            let dst_offset = expected.len() as u64 * 4;
            b.step(Step::Copy { src: w, src_offset: offset, dst: y, dst_offset, bytes: 4 });
            expected.push(((n * EACH + offset) / 4) as i64);
        }
    }
    let requirements = b.requirements("test");
    let mut writer = BundleWriter::new(Meta::new("large", "test", "0"));
    writer.add_variant(requirements, b.plan, b.shaders);
    let path = std::env::temp_dir().join(format!("drift-large-{}.drift", std::process::id()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    writer
        .write(&mut file, 3 * EACH, |sink| {
            let words = 0..(3 * EACH / 4) as u32;
            let mut block = Vec::with_capacity(1 << 20);
            for word in words {
                block.extend(word.to_le_bytes());
                if block.len() == 1 << 20 {
                    sink.write_all(&block)?;
                    block.clear();
                }
            }
            sink.write_all(&block)
        })
        .unwrap();
    drop(file);
    let before = mapped_bytes();
    let bundle = Bundle::open(&path).unwrap();
    let mut session = session(&device, &bundle);
    let after = mapped_bytes();
    std::fs::remove_file(&path).unwrap();
    assert!(after < before + (64 << 20), "{before} bytes of mapped files before, {after} after");
    assert_eq!(session.run(&[]).unwrap()["y"].to_i64().unwrap(), expected);
    assert_clean(&device);
}

#[test]
fn equal_dispatches_share_shader_and_set() {
    let Some(device) = device() else { return };
    // The same dispatch thrice: y += 1 each time, over one shader blob and one descriptor set.
    let mut b = PlanBuilder::new();
    let state = b.buffer(ObjectRole::State, 4);
    b.plan.entry_points[0].outputs.push(Io {
        name: "y".into(),
        elem: ElemType::F32,
        device_elem: ElemType::F32,
        shape: vec![],
        object: state,
        offset: 0,
    });
    let wgsl = "@group(0) @binding(0) var<storage, read_write> y: array<f32>;
                @compute @workgroup_size(1) fn main() { y[0] += 1.0; }";
    let p = b.pipeline(wgsl, 1, &[WRITE]);
    for _ in 0..3 {
        let binds = [b.whole(state)];
        b.dispatch(p, [1, 1, 1], &binds, "step");
        b.barrier();
    }
    let mut again = ShaderSet::new();
    assert_eq!(again.add_words(&spirv(wgsl)), again.add_words(&spirv(wgsl)));
    let mut session = session(&device, &b.bundle());
    assert_eq!(session.run(&[]).unwrap()["y"].to_f32(), [3.0]);
    assert_clean(&device);
}
