//! OpenCL in the default run: a part of every operator's cases, some networks and a language model.
//! Everything else runs there by `cargo xtask test --full`, which does `ops`, `models`, `llm` and
//! `limits` with `DRIFT_BACKEND=opencl`. PoCL takes half a second for each kernel that it has not
//! compiled before, and keeps what it has compiled.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::suite::Cases;
use drift_conformance::{Precision, sample};
use drift_kernel::tensor::Elem;

const API: Api = Api::OpenCl;

#[test]
fn operators_in_buffers() {
    sample::buffers(API, Cases::Some(3));
}

#[test]
fn operators_in_slices_of_f16() {
    sample::slices_of_f16(API, Cases::Some(1));
}

fn images(name: &'static str, kind: ImageKind, float: Elem) {
    sample::images(API, name, kind, float, Cases::Some(1));
}

#[test]
fn operators_in_texel_buffers() {
    images("texel buffers, f16", ImageKind::TexelBuffer, Elem::F16);
}

#[test]
fn operators_in_textures() {
    images("2D textures, f32", ImageKind::Texture2d, Elem::F32);
}

#[test]
fn operators_in_texture_arrays() {
    images("texture arrays, f16", ImageKind::Texture2dArray, Elem::F16);
}

#[test]
fn operators_in_volumes() {
    images("3D textures, f32", ImageKind::Texture3d, Elem::F32);
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
fn graph_tiny_bert() {
    sample::network(API, "graph_tiny_bert", Precision::F32);
}

#[test]
fn stories() {
    sample::stories(API);
}
