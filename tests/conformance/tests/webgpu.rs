//! WebGPU (wgpu) in the default run: a part of every operator's cases, some networks and a language
//! model. Everything else runs there by `cargo xtask test --full`, which does `ops`, `models`, `llm`
//! and `limits` with `DRIFT_BACKEND=webgpu`, with subgroups and f16 where the device has them, and
//! with `DRIFT_BACKEND=webgpu-core`, without.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::suite::Cases;
use drift_conformance::{Precision, sample};
use drift_kernel::tensor::Elem;

const API: Api = Api::WebGpu;

#[test]
fn operators_in_buffers() {
    sample::buffers(API, Cases::Some(4));
}

#[test]
fn operators_in_slices_of_f16() {
    sample::slices_of_f16(API, Cases::Some(2));
}

#[test]
fn operators_over_several_bindings() {
    sample::split(API, Cases::Some(1));
}

#[test]
fn operators_in_textures() {
    sample::images(API, "2D textures, f16", ImageKind::Texture2d, Elem::F16, Cases::Some(1));
}

#[test]
fn operators_in_volumes() {
    sample::images(API, "3D textures, f32", ImageKind::Texture3d, Elem::F32, Cases::Some(1));
}

#[test]
fn cls_mnist8() {
    sample::network(API, "cls_mnist8", Precision::F32);
}

#[test]
fn mlperf_tiny_vww() {
    sample::network(API, "mlperf_tiny_vww", Precision::Mixed);
}

#[test]
fn audio_dtln_1() {
    sample::network(API, "audio_dtln_1", Precision::F32);
}

#[test]
fn stories() {
    sample::stories(API);
}
