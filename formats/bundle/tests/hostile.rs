//! Damaged and lying bundles: an error that names the place, no panic, no undue allocation.

mod common;
use common::*;
use drift_bundle::{caps::*, plan::*, *};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Notes the largest allocation of each thread.
struct Watching;

// SAFETY: forwards to the system allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|l| l.set(l.get().max(layout.size())));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System.alloc` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn largest_during<T>(f: impl FnOnce() -> T) -> (usize, T) {
    LARGEST.with(|l| l.set(0));
    let out = f();
    (LARGEST.with(Cell::get), out)
}

fn error_of(bytes: &[u8]) -> BundleError {
    Bundle::parse(bytes).expect_err("must be refused")
}

/// A file that carries `body` as its PLAN with correct checksums, whatever `body` says.
fn with_section(section: Section, body: &[u8]) -> Vec<u8> {
    let good = rich_bundle();
    let bundle = Bundle::parse(&good).unwrap();
    let mut file = vec![0; 36 + 40 * bundle.sections().len()];
    let mut table = Vec::new();
    for info in bundle.sections() {
        let old = &good[info.offset as usize..(info.offset + info.bytes) as usize];
        let contents = if info.section == section && info.variant != Some(1) { body } else { old };
        file.resize(file.len().next_multiple_of(info.align as usize), 0);
        let kind: u16 = match info.section {
            Section::Meta => 1,
            Section::Requirements => 2,
            Section::Plan => 3,
            Section::Shaders => 4,
            Section::Weights => 5,
            Section::Debug => 0x8001,
            Section::Assets => 0x8002,
            Section::Unknown(k) => k,
        };
        table.extend(kind.to_le_bytes());
        table.push(0);
        table.push(info.align.trailing_zeros() as u8);
        table.extend(info.variant.unwrap_or(u32::MAX).to_le_bytes());
        table.extend((file.len() as u64).to_le_bytes());
        table.extend((contents.len() as u64).to_le_bytes());
        table.extend((contents.len() as u64).to_le_bytes());
        table.extend(twox_hash::XxHash3_64::oneshot(contents).to_le_bytes());
        file.extend(contents);
    }
    seal(file, &good[..12], &table)
}

/// Puts a header with correct length and checksum in front.
fn seal(mut file: Vec<u8>, version: &[u8], table: &[u8]) -> Vec<u8> {
    let mut header = version.to_vec();
    header.extend((36 + table.len() as u32).to_le_bytes());
    header.extend((file.len() as u64).to_le_bytes());
    header.extend((table.len() as u32 / 40).to_le_bytes());
    let hash =
        twox_hash::XxHash3_64::oneshot_with_seed(twox_hash::XxHash3_64::oneshot(&header), table);
    header.extend(hash.to_le_bytes());
    header.extend(table);
    file[..header.len()].copy_from_slice(&header);
    file
}

fn reseal(mut file: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header_len = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize;
    change(&mut file);
    let (version, table) = (file[..12].to_vec(), file[36..header_len].to_vec());
    seal(file, &version, &table)
}

#[test]
fn every_flipped_byte_is_an_error_or_harmless() {
    let good = rich_bundle();
    let header_len = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
    let mut bad = good.clone();
    for at in 0..good.len() {
        for mask in [0x01, 0x80, 0xff] {
            bad[at] ^= mask;
            let parsed = Bundle::parse(&bad).and_then(|b| b.verify());
            // Minor versions do not matter by themselves, but the checksum covers them as well.
            assert!(
                parsed.is_err(),
                "byte {at} flipped by {mask:#x} went unnoticed (header {header_len})"
            );
            bad[at] = good[at];
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    let good = rich_bundle();
    for len in 0..good.len() {
        let e = error_of(&good[..len]);
        assert_eq!(e.kind, ErrorKind::Truncated, "{len}: {e}");
    }
    let mut longer = good;
    longer.push(0);
    assert!(error_of(&longer).to_string().contains("1 bytes follow the end"));
}

#[test]
fn mutated_sections_with_correct_checksums_never_panic() {
    let good = rich_bundle();
    let bundle = Bundle::parse(&good).unwrap();
    let sections =
        [Section::Meta, Section::Requirements, Section::Plan, Section::Shaders, Section::Assets];
    for section in sections {
        let info = bundle.sections().iter().find(|s| s.section == section).unwrap();
        let body = &good[info.offset as usize..(info.offset + info.bytes) as usize];
        for at in 0..body.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff, body[at].wrapping_add(1)] {
                let mut body = body.to_vec();
                body[at] = value;
                let file = with_section(section, &body);
                // Valid results are fine (a different label, say); what counts is to come back
                // without a panic and without reserving more than a small multiple of the file.
                let (largest, parsed) = largest_during(|| Bundle::parse(&file).map(|_| ()));
                assert!(
                    largest <= 4 * file.len(),
                    "{section} byte {at} = {value}: {largest} bytes reserved"
                );
                if let Err(e) = parsed {
                    assert!(!e.message.is_empty());
                }
            }
            let cut = with_section(section, &body[..at]);
            assert!(Bundle::parse(&cut).is_err(), "{section} cut at {at}");
        }
    }
}

#[test]
fn hostile_counts_do_not_allocate() {
    // objects: a count of 2^62, then nothing.
    let mut body = vec![0xff; 8];
    body.push(0x3f);
    let file = with_section(Section::Plan, &body);
    let (largest, e) = largest_during(|| error_of(&file));
    assert!(e.to_string().contains("plan.objects: at byte 9: count"), "{e}");
    assert!(largest < 16 << 10, "{largest}");
    let shaders = with_section(Section::Shaders, &u32::MAX.to_le_bytes());
    let (largest, e) = largest_during(|| error_of(&shaders));
    assert!(e.to_string().contains("4294967295 shaders do not fit"), "{e}");
    assert!(largest < 64 << 10, "{largest}");
}

#[test]
fn assets_are_bounded_by_their_section() {
    let refused = |body: &[u8], expected: &str| {
        let (largest, e) = largest_during(|| error_of(&with_section(Section::Assets, body)));
        assert!(e.to_string().contains(expected), "{e}");
        assert!(largest < 64 << 10, "{largest}");
    };
    refused(&[1, 0, 0], "section ASSETS: shorter than the size of its index");
    refused(&[9, 0, 0, 0, 1], "an index of 9 bytes does not fit in 1");
    refused(&[5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], "index: at byte 5: count");
    // One asset "a" of five bytes where there are two, and of one byte where there are two.
    refused(&[4, 0, 0, 0, 1, 1, b'a', 5, 7, 7], "\"a\" has 5 bytes, 2 are left");
    refused(&[4, 0, 0, 0, 1, 1, b'a', 1, 7, 7], "1 bytes after the last asset");
    refused(&[7, 0, 0, 0, 2, 1, b'b', 0, 1, b'a', 0], "not ascending at \"a\"");
}

#[test]
fn first_bytes_get_friendly_errors() {
    for (bytes, expected) in [
        (&b""[..], "the file is empty"),
        (b"PK\x03\x04....", "ZIP archive"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"  <!DOCTYPE html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\"", "safetensors"),
        (b"\x89DRFT\x0a\x1a\x01\x00", "binary mode"),
        (b"\x09DRFT\x0d\x0a\x1a", "unknown first bytes"),
        (b"\x89DRFT\x0d\x0a\x1a\x01\x00", "ends inside the header"),
        (b"hello", "unknown first bytes"),
    ] {
        let e = error_of(bytes).to_string();
        assert!(e.contains(expected), "{:?}: {e}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn versions_and_sections_are_named() {
    let newer = reseal(rich_bundle(), |f| f[8] = 9);
    let e = error_of(&newer);
    assert_eq!(e.kind, ErrorKind::Unsupported);
    assert!(e.to_string().contains("bundle format 9.0, but this reader knows 2.x; update"), "{e}");
    Bundle::parse(&reseal(rich_bundle(), |f| f[10] = 7))
        .expect("newer minor versions are readable");

    // DEBUG becomes an optional kind that nobody knows: skipped. Without the optional bit: named.
    let debug_row =
        |f: &Vec<u8>| (36..).step_by(40).find(|at| f[*at..at + 2] == [1, 0x80]).unwrap();
    let optional = reseal(rich_bundle(), |f| {
        let at = debug_row(f);
        f[at] = 0x77;
    });
    assert_eq!(Bundle::parse(&optional).unwrap().debug(), None);
    let required = reseal(rich_bundle(), |f| {
        let at = debug_row(f);
        f[at..at + 2].copy_from_slice(&[0x77, 0]);
    });
    let e = error_of(&required).to_string();
    assert!(e.contains("section kind 0x0077: this reader does not know this section"), "{e}");
    let zstd = reseal(rich_bundle(), |f| f[36 + 2] = 1);
    assert!(error_of(&zstd).to_string().contains("section META: stored with codec 1"));
    let shifted = reseal(rich_bundle(), |f| f[36 + 8] ^= 16);
    assert!(error_of(&shifted).to_string().contains("section META: starts at"));
    let damaged_plan = {
        let mut f = rich_bundle();
        let info = *Bundle::parse(&f)
            .unwrap()
            .sections()
            .iter()
            .find(|s| s.section == Section::Plan)
            .unwrap();
        f[info.offset as usize + 3] ^= 1;
        f
    };
    let e = error_of(&damaged_plan).to_string();
    assert_eq!(
        e,
        "variant 0 (vulkan-generic): section PLAN: contents do not match their checksum; copy the file again"
    );
}

/// Writes a changed plan the way a careless compiler would, and expects this message.
fn refuses(change: impl FnOnce(&mut Plan), expected: &str) {
    let mut plan = rich_plan(0);
    change(&mut plan);
    let mut requirements = Requirements::new(Api::Vulkan, Dialect::SpirV, "vulkan-generic");
    requirements.cover_plan(&rich_plan(0));
    requirements.cover_plan(&plan);
    let e = check_variant(&requirements, &plan, &[&fake_spirv(0)], 1024)
        .expect_err(expected)
        .to_string();
    assert!(e.contains(expected), "expected {expected:?}, got {e:?}");
}

fn binds(plan: &mut Plan) -> &mut Vec<Bind> {
    match &mut plan.entry_points[0].steps[0] {
        Step::Dispatch { binds, .. } => binds,
        _ => unreachable!("the first step is a dispatch"),
    }
}

#[test]
fn cross_references_are_checked() {
    let step = "variant 0 (vulkan-generic): plan.entry_points[0].steps[0]";
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 2, offset: 4096, bytes: 64 },
        &format!("{step}.binds[1]: offset 4096 + 64 exceeds object 2 (4096 bytes)"),
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 2, offset: u64::MAX, bytes: 2 },
        "exceeds object 2",
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 2, offset: 128, bytes: 4 },
        "not a multiple of 256",
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 1, offset: 0, bytes: 4 },
        "writes object 1, which has role Weights",
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 0, offset: 0, bytes: 4 },
        "writes object 0, which has role Input",
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 99, offset: 0, bytes: 4 },
        "object 99, the plan has 9",
    );
    refuses(
        |p| binds(p)[1] = Bind::Buffer { object: 5, offset: 0, bytes: 4 },
        "object 5 is an image",
    );
    refuses(|p| binds(p)[2] = Bind::Image { object: 2 }, "object 2 is a buffer");
    refuses(
        |p| binds(p)[2] = Bind::Buffer { object: 2, offset: 0, bytes: 4 },
        "a buffer where the shader has SampledImage",
    );
    refuses(|p| binds(p)[3] = Bind::Image { object: 6 }, "writes object 6");
    refuses(|p| binds(p).truncate(3), "3 binds, pipeline 0 takes 4");
    refuses(|p| p.labels.truncate(1), "label 1, the plan has 1");
    refuses(|p| p.pipelines.clear(), "pipeline 0, the plan has 0");
    refuses(|p| p.pipelines[0].shader = 7, "plan.pipelines[0]: shader 7, the variant has 1");
    refuses(|p| p.pipelines[0].shader_entry = "a\0b".into(), "is not a name");
    refuses(|p| p.pipelines[0].workgroup_size = [0, 1, 1], "workgroup size 0x1x1");
    refuses(|p| p.pipelines[0].workgroup_size = [65536, 65536, 2], "workgroup size 65536");
    refuses(|p| p.pipelines[0].subgroup_size = 24, "not a power of two");
    refuses(
        |p| p.objects[2].kind = ObjectKind::Buffer { bytes: 0 },
        "plan.objects[2]: buffer of 0 bytes",
    );
    refuses(|p| p.objects[2].kind = ObjectKind::Buffer { bytes: 1 << 50 }, "larger than");
    refuses(|p| p.objects[5].role = ObjectRole::Input, "buffers, not images");
    refuses(
        |p| {
            p.objects[6].kind = ObjectKind::Image {
                kind: ImageKind::Texture3d,
                format: TexelFormat::Rgba32Float,
                extent: [u32::MAX; 3],
            }
        },
        "plan.objects[6]: larger than",
    );
    refuses(
        |p| p.uploads[0].weights_offset = 1000,
        "weights 1000 + 256 exceed WEIGHTS (1024 bytes)",
    );
    refuses(|p| p.uploads[0].object = 2, "plan.uploads[0]: object 2 has role Arena");
    refuses(|p| p.uploads[1].bytes = 60, "takes exactly 64 bytes");
    refuses(
        |p| p.entry_points[0].inputs[0].object = 3,
        "inputs[0] (\"x\"): object 3 has role Output",
    );
    refuses(|p| p.entry_points[0].inputs[0].shape = vec![1 << 40, 1 << 40], "overflows");
    refuses(|p| p.entry_points[0].inputs[0].shape = vec![17], "exceeds object 0");
    refuses(
        |p| p.states[1].object = 2,
        "plan.states[1] (\"params\"): object 2 has role Arena, not State",
    );
    refuses(|p| p.states[1].shape = vec![57], "offset 32 + 228 exceeds object 4 (256 bytes)");
    refuses(|p| p.states[1].offset = 28, "plan.states: \"k.0\" and \"params\" overlap");
    refuses(|p| p.states[1].offset = 34, "plan.states[1] (\"params\"): offset 34");
    refuses(|p| p.states[1].name = "k.0".into(), "plan.states[1] (\"k.0\"): the name is used");
    refuses(
        |p| {
            p.states =
                (0..4097).map(|i| Io { name: i.to_string(), ..p.states[0].clone() }).collect()
        },
        "plan.states: more than 4096",
    );
    refuses(
        |p| p.entry_points[0].outputs[0].device_elem = ElemType::I32,
        "F16 cannot travel as I32",
    );
    refuses(|p| p.entry_points.push(p.entry_points[0].clone()), "is used twice");
    refuses(|p| p.entry_points.clear(), "no entry point");
    refuses(
        |p| {
            p.entry_points[0].steps[2] =
                Step::Copy { src: 2, src_offset: 0, dst: 2, dst_offset: 32, bytes: 64 }
        },
        "steps[2]: source and destination overlap in object 2",
    );
    refuses(
        |p| {
            p.entry_points[0].steps[2] =
                Step::Copy { src: 2, src_offset: 0, dst: 1, dst_offset: 0, bytes: 64 }
        },
        "a copy cannot write it",
    );
}

#[test]
fn requirements_must_admit_to_what_the_plan_uses() {
    let plan = rich_plan(0);
    let mut requirements = Requirements::new(Api::Vulkan, Dialect::SpirV, "t");
    requirements.cover_plan(&plan);
    requirements.limits.buffer_bytes = 100;
    let e = check_variant(&requirements, &plan, &[&fake_spirv(0)], 1024).unwrap_err().to_string();
    assert_eq!(
        e,
        "variant 0 (t): requirements.limits.buffer_bytes: 100 stated, the plan uses 4096"
    );
    requirements.cover_plan(&plan);
    requirements.features = requirements.features.difference(Features::TEXTURE_3D);
    let e = check_variant(&requirements, &plan, &[&fake_spirv(0)], 1024).unwrap_err().to_string();
    assert!(e.contains("the plan uses texture-3d"), "{e}");
    requirements.cover_plan(&plan);
    let e = check_variant(&requirements, &plan, &[b"#version 450"], 1024).unwrap_err().to_string();
    assert!(e.contains("section SHADERS: shaders[0]: not whole SPIR-V words"), "{e}");
}
