//! Every case of every operator on the GPU against its f64 reference, in several storages.
//! `DRIFT_BACKEND=opencl` does it through another API.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::op_case::Setup;
use drift_conformance::suite::{self, Bench, Cases, in_images};
use drift_kernel::tensor::Elem;

/// All cases in the setup that `change` makes of plain f32 buffers.
fn check(name: &'static str, change: impl FnOnce(Setup) -> Setup) {
    let Some(bench) = Bench::new() else { return };
    bench.check(&change(bench.setup(name)), Cases::All, |_| true);
}

#[test]
fn buffers_f32() {
    check("buffers, f32", |s| s);
}

#[test]
fn constants_f32() {
    check("constants, f32", |s| Setup { constants: true, ..s });
}

#[test]
fn slices_f32() {
    check("slices, f32", |s| Setup { slices: true, constants: true, ..s });
}

#[test]
fn buffers_f16() {
    check("buffers, f16", |s| Setup { float: Elem::F16, ..s });
}

#[test]
fn slices_f16() {
    check("slices, f16", |s| Setup { float: Elem::F16, slices: true, constants: true, ..s });
}

/// f16 in pairs inside 32-bit words, for devices without 16-bit storage.
#[test]
fn packed_f16() {
    let Some(bench) = Bench::new() else { return };
    let base = suite::setup("slices, packed f16", bench.baseline);
    let setup = Setup { float: Elem::F16Packed, slices: true, constants: true, ..base };
    bench.check(&setup, Cases::All, |_| true);
}

/// Tensors over 512 bytes are several bindings.
#[test]
fn split_f32() {
    check("split, f32", |s| Setup { max_object_bytes: 512, ..s });
}

#[test]
fn split_slices_f16() {
    check("split slices, f16", |s| {
        let (max_object_bytes, float) = (256, Elem::F16);
        Setup { max_object_bytes, float, slices: true, constants: true, ..s }
    });
}

fn images(name: &'static str, kind: ImageKind, float: Elem) {
    let Some(bench) = Bench::new() else { return };
    bench.check(&bench.images(name, kind, float), Cases::All, in_images);
}

#[test]
fn texture_2d_f32() {
    images("2D textures, f32", ImageKind::Texture2d, Elem::F32);
}

#[test]
fn texture_2d_f16() {
    images("2D textures, f16", ImageKind::Texture2d, Elem::F16);
}

#[test]
fn texture_array_f32() {
    images("texture arrays, f32", ImageKind::Texture2dArray, Elem::F32);
}

#[test]
fn texture_3d_f32() {
    images("3D textures, f32", ImageKind::Texture3d, Elem::F32);
}

/// OpenCL alone has them (`image1d_buffer_t`).
#[test]
fn texel_buffers_f16() {
    if drift_conformance::gpu::api() == Api::OpenCl {
        images("texel buffers, f16", ImageKind::TexelBuffer, Elem::F16);
    }
}
