//! Kernels written by hand: what the header gives, and that the engine finds mistakes.

use crate::compile::Compiler;
use crate::library::{Library, Slot};

/// The compiler, or a visible line.
fn compiler() -> Option<&'static Compiler> {
    match Compiler::get() {
        Ok(compiler) => Some(compiler),
        Err(e) => {
            assert!(e.contains("is installed"), "{e}");
            println!("skipped: {e}");
            None
        }
    }
}

/// A kernel over `x` and `y` of 64 floats each; `before` stands in front of it.
fn kernel(before: &str, body: &str) -> String {
    format!(
        "#include <metal_stdlib>\nusing metal::uint;\nstruct floats {{\n    float inner[64];\n}};\n\
         struct halves {{\n    half inner[64];\n}};\n{before}\n\
         kernel void kernel_main(\n  uint i [[thread_index_in_threadgroup]]\n\
         , uint lane [[thread_index_in_simdgroup]]\n\
         , device floats const& x [[buffer(0)]]\n, device floats& y [[buffer(1)]]\n) {{\n{body}\n}}\n"
    )
}

fn slot(data: &mut [f32]) -> Slot {
    let bytes = std::mem::size_of_val(data) as u64;
    Slot { at: data.as_mut_ptr().cast(), bytes, extent: [0; 3], is_half: 0 }
}

/// Runs a workgroup of 64 invocations, and another one in the opposite order.
fn run(text: &str, x: &mut [f32], y: &mut [f32]) -> Result<(), String> {
    let compiler = Compiler::get().expect("asked before");
    let library = Library::new(compiler, &[(text, "kernel_main")])?;
    let slots = [slot(x), slot(y)];
    // SAFETY: the slots are the two slices.
    unsafe { library.dispatch(0, [2, 1, 1], [64, 1, 1], &slots) }
}

/// Aligned as Metal's buffers are.
#[repr(align(16))]
struct Floats([f32; 64]);

/// `y` of x = 0, 1, 2 ... 63.
fn result(text: &str) -> Result<[f32; 64], String> {
    let mut x = Floats(std::array::from_fn(|i| i as f32));
    let mut y = Floats([f32::NAN; 64]);
    run(text, &mut x.0, &mut y.0).map(|()| y.0)
}

#[test]
fn invocations_meet_at_barriers() {
    if compiler().is_none() {
        return;
    }
    let body = "    threadgroup floats tile;\n    tile.inner[i] = x.inner[i];\n    \
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);\n    \
        y.inner[i] = tile.inner[63u - i];";
    let want: [f32; 64] = std::array::from_fn(|i| 63.0 - i as f32);
    assert_eq!(result(&kernel("", body)).unwrap(), want);
    // without the barrier, one of the two orders reads what nobody has written
    let without = body.replace("metal::threadgroup_barrier", "(void)");
    let got = result(&kernel("", &without)).unwrap();
    assert!(got.iter().zip(want).any(|(a, b)| *a != b), "{got:?}");
}

#[test]
fn lanes_hand_values_to_each_other() {
    if compiler().is_none() {
        return;
    }
    for (expression, value) in [
        ("metal::simd_sum(v)", (|i| if i < 32 { 496.0 } else { 1520.0 }) as fn(u32) -> f32),
        ("metal::simd_max(v)", |i| if i < 32 { 31.0 } else { 63.0 }),
        ("metal::simd_min(metal::float4(v)).w", |i| if i < 32 { 0.0 } else { 32.0 }),
        ("metal::simd_shuffle_xor(v, 5u)", |i| (i ^ 5) as f32),
        ("metal::simd_broadcast(v, 3u)", |i| (i / 32 * 32 + 3) as f32),
        ("metal::simd_shuffle(v, (lane + 1u) % 32u)", |i| (i / 32 * 32 + (i + 1) % 32) as f32),
    ] {
        // several in a row: what one lane posts next must not reach one that still reads
        let body = format!(
            "    float v = x.inner[i];\n    float first = {expression};\n    \
             float second = {expression};\n    y.inner[i] = first == second ? {expression} : -1.0;"
        );
        let want: [f32; 64] = std::array::from_fn(|i| value(i as u32));
        assert_eq!(result(&kernel("", &body)).unwrap(), want, "{expression}");
    }
}

#[test]
fn matrices_are_multiplied() {
    if compiler().is_none() {
        return;
    }
    let product = |load: &str, store: &str| {
        format!(
            "    metal::simdgroup_float8x8 c = metal::make_filled_simdgroup_matrix<float, 8, 8>(1.0);\n\
             \x20   threadgroup halves h;\n    h.inner[i] = static_cast<half>(x.inner[i] / 8.0);\n    \
             metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);\n    \
             metal::simdgroup_float8x8 a;\n    metal::simdgroup_half8x8 b;\n    \
             simdgroup_load(a, &x.inner[0], 8u{load});\n    simdgroup_load(b, &h.inner[0], 8u);\n    \
             metal::simdgroup_float8x8 d;\n    simdgroup_multiply_accumulate(d, a, b, c);\n    \
             simdgroup_store(d, &y.inner[0], 8u{store});"
        )
    };
    for (left, out) in [(false, false), (true, false), (false, true)] {
        let flag = |on| if on { ", 0, true" } else { "" };
        let at = |t: bool, r: usize, c: usize| if t { c * 8 + r } else { r * 8 + c };
        let mut want = [0f32; 64];
        for r in 0..8 {
            for c in 0..8 {
                let terms = (0..8).map(|k| at(left, r, k) as f32 * (at(false, k, c) as f32 / 8.0));
                want[at(out, r, c)] = 1.0 + terms.sum::<f32>();
            }
        }
        let text = kernel("", &product(flag(left), flag(out)));
        assert_eq!(result(&text).unwrap(), want, "{left} {out}");
    }
    let outside = kernel("", &product("", "").replace("&y.inner[0]", "&y.inner[1]"));
    assert!(result(&outside).unwrap_err().contains("a matrix lies outside"));
}

/// Each with a part of the message.
#[test]
fn mistakes_are_found() {
    if compiler().is_none() {
        return;
    }
    let barrier = "metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);";
    for (before, body, message) in [
        ("", "    y.inner[i + 1u] = x.inner[i];".to_owned(), "line 16: element 64 of"),
        ("", "    float a[4] = {};\n    y.inner[i] = a[i];".to_owned(), "element 4 of 'float[4]'"),
        ("", "    metal::float4 v = {};\n    y.inner[i] = v[i];".to_owned(), "of a vector of 4"),
        ("", "    y.inner[i] = float(7u / uint(x.inner[i]));".to_owned(), "division by zero"),
        ("", format!("    if (i < 40u) {{ {barrier} }}"), "24 of 64 invocations do not reach"),
        (
            "",
            format!("    if (i < 40u) {{\n{barrier}\n}} else {{\n{barrier}\n}}"),
            "others at line",
        ),
        (
            "",
            "    if (i != 5u) {\n y.inner[i] = metal::simd_shuffle(x.inner[i], 5u);\n }".to_owned(),
            "lane 5 of the simdgroup does not take part",
        ),
        (
            "",
            "    y.inner[i] = i < 9u ?\n metal::simd_sum(x.inner[i]) :\n metal::simd_max(x.inner[i]);"
                .to_owned(),
            "lanes of a simdgroup are apart",
        ),
        ("", "    no_such_function(i);".to_owned(), "no_such_function"),
        ("metal::simdgroup_matrix<float, 16, 16> m;", String::new(), "8x8 only"),
        // Metal converts no vector by itself
        ("metal::float2 f(metal::half2 v) { return v; }", String::new(), "no viable conversion"),
    ] {
        let error = result(&kernel(before, &body)).unwrap_err();
        assert!(error.contains(message), "{before}{body}\n{error}\nshould say: {message}");
    }
    let (mut x, mut y) = (Floats([0.0; 64]), Floats([0.0; 64]));
    let text = kernel("", "    y.inner[i] = x.inner[i];");
    let error = run(&text, &mut x.0[..32], &mut y.0).unwrap_err();
    assert!(error.contains("declared with 256 bytes, its object has 128"), "{error}");
    let error = run(&text, &mut x.0, &mut y.0[1..]).unwrap_err();
    assert!(error.contains("has 252"), "{error}");
    // and after all of that, kernels still run
    assert_eq!(result(&text).unwrap()[63], 63.0);
}

#[test]
fn texels_are_floats_and_inside() {
    if compiler().is_none() {
        return;
    }
    let text = "#include <metal_stdlib>\nkernel void kernel_main(\n  \
        metal::uint3 p [[thread_position_in_grid]]\n\
        , metal::texture2d_array<float, metal::access::sample> x [[texture(0)]]\n\
        , metal::texture3d<float, metal::access::write> y [[texture(1)]]\n) {\n    \
        metal::float4 v = x.read(metal::uint2(p.x, p.y), p.z, 0);\n    \
        y.write(v * metal::float4(2.0), metal::uint3(p.x, p.y, p.z));\n}\n";
    let library = Library::new(Compiler::get().unwrap(), &[(text, "kernel_main")]).unwrap();
    // halves of 0 to 23 (3x2x1 texels), and room for as many floats
    let mut x: Vec<u64> = (0..6).map(half4).collect();
    let mut y = vec![[0f32; 4]; 6];
    let image =
        |at: *mut std::ffi::c_void, bytes, is_half| Slot { at, bytes, extent: [3, 2, 1], is_half };
    let slots = [image(x.as_mut_ptr().cast(), 48, 1), image(y.as_mut_ptr().cast(), 96, 0)];
    // SAFETY: the slots are the two vectors.
    unsafe { library.dispatch(0, [1, 1, 1], [3, 2, 1], &slots) }.unwrap();
    assert_eq!(y.as_flattened(), (0..24).map(|v| v as f32 * 2.0).collect::<Vec<_>>());
    // SAFETY: as above.
    let error = unsafe { library.dispatch(0, [1, 1, 1], [4, 2, 1], &slots) }.unwrap_err();
    assert!(error.contains("texel (3, 0, 0) of an image of (3, 2, 1)"), "{error}");
}

/// The four halves 4n to 4n + 3, whose bits of small whole numbers are these.
fn half4(n: u64) -> u64 {
    let half = |v: u64| match v {
        0 => 0,
        v => {
            let exponent = 63 - u64::from(v.leading_zeros());
            (exponent + 15) << 10 | (v << (10 - exponent) & 0x3ff)
        }
    };
    (0..4).fold(0, |word, k| word | half(4 * n + k) << (16 * k))
}
