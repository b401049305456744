//! Metal in the default run: the emitted MSL on the CPU (see `drift-msl-cpu`), a part of every
//! operator's cases, some networks and a language model. Everything else runs by
//! `cargo xtask test --full`, which does `ops`, `models`, `llm` and `limits` with
//! `DRIFT_BACKEND=metal-cpu`. What clang has compiled once is kept in `target/msl-cpu`.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::suite::Cases;
use drift_conformance::{Precision, sample};
use drift_kernel::tensor::Elem;

const API: Api = Api::Metal;

#[test]
fn operators_in_buffers() {
    sample::buffers(API, Cases::All);
}

#[test]
fn operators_in_slices_of_f16() {
    sample::slices_of_f16(API, Cases::Some(4));
}

#[test]
fn operators_over_several_bindings() {
    sample::split(API, Cases::Some(1));
}

fn images(name: &'static str, kind: ImageKind, float: Elem) {
    sample::images(API, name, kind, float, Cases::Some(2));
}

#[test]
fn operators_in_textures() {
    images("2D textures, f16", ImageKind::Texture2d, Elem::F16);
}

#[test]
fn operators_in_texture_arrays() {
    images("texture arrays, f32", ImageKind::Texture2dArray, Elem::F32);
}

#[test]
fn operators_in_volumes() {
    images("3D textures, f32", ImageKind::Texture3d, Elem::F32);
}

#[test]
fn cls_mnist8() {
    sample::network(API, "cls_mnist8", Precision::F32);
}

/// By cooperative matrices.
#[test]
fn cls_resnet20_cifar10() {
    sample::network(API, "cls_resnet20_cifar10", Precision::Mixed);
}

#[test]
fn audio_dtln_1() {
    sample::network(API, "audio_dtln_1", Precision::F32);
}

#[test]
fn graph_tiny_bert() {
    sample::network(API, "graph_tiny_bert", Precision::Mixed);
}

#[test]
fn stories() {
    sample::stories(API);
}
