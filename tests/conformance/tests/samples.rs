//! OpenCL, WebGPU (wgpu) and Metal (the emitted MSL on the CPU, see `drift-msl-cpu`) in the default run:
//! a part of every operator's cases, some networks and a language model. Everything else runs there by
//! `cargo xtask test --full`, which does `ops`, `models`, `llm` and `limits` with
//! `DRIFT_BACKEND=opencl`, `webgpu` (with subgroups and f16 where the device has them), `webgpu-core`
//! (without) and `metal-cpu`.
//!
//! How much is a matter of time: PoCL takes half a second for each kernel that it has not compiled before,
//! and keeps what it has; what clang has compiled of MSL is kept in `target/msl-cpu`.

use drift_bundle::caps::{Api, ImageKind};
use drift_conformance::suite::Cases;
use drift_conformance::{Precision, sample};
use drift_kernel::tensor::Elem;

/// Tests `NAME::BACK_END`, a module per line: what runs, and how many cases of every operator on which
/// back end.
macro_rules! samples {
    ($($(#[$doc:meta])* $name:ident: $run:expr, $($back_end:ident $cases:expr),+;)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;
            $(#[test]
            fn $back_end() {
                let run: &dyn Fn(Api, Cases) = &$run;
                run(super::api(stringify!($back_end)), $cases);
            })+
        }
    )*};
}

fn api(back_end: &str) -> Api {
    match back_end {
        "opencl" => Api::OpenCl,
        "webgpu" => Api::WebGpu,
        "metal" => Api::Metal,
        other => panic!("{other} is no back end of these tests"),
    }
}

const ALL: Cases = Cases::All;
const ONE: Cases = Cases::Some(1);
const TWO: Cases = Cases::Some(2);

/// Operators in images of a kind.
fn images(name: &'static str, kind: ImageKind, float: Elem) -> impl Fn(Api, Cases) {
    move |api, cases| sample::images(api, name, kind, float, cases)
}

/// The first case of a network.
fn network(name: &'static str, precision: Precision) -> impl Fn(Api, Cases) {
    move |api, _| sample::network(api, name, precision)
}

samples! {
    buffers: sample::buffers, opencl Cases::Some(3), webgpu Cases::Some(4), metal ALL;
    slices_of_f16: sample::slices_of_f16, opencl ONE, webgpu TWO, metal Cases::Some(4);
    several_bindings: sample::split, webgpu ONE, metal ONE;
    texel_buffers: images("texel buffers, f16", ImageKind::TexelBuffer, Elem::F16), opencl ONE;
    textures_of_f32: images("2D textures, f32", ImageKind::Texture2d, Elem::F32), opencl ONE;
    textures_of_f16: images("2D textures, f16", ImageKind::Texture2d, Elem::F16), webgpu ONE, metal TWO;
    arrays_of_f16: images("texture arrays, f16", ImageKind::Texture2dArray, Elem::F16), opencl ONE;
    arrays_of_f32: images("texture arrays, f32", ImageKind::Texture2dArray, Elem::F32), metal TWO;
    volumes: images("3D textures, f32", ImageKind::Texture3d, Elem::F32), opencl ONE, webgpu ONE, metal TWO;

    cls_mnist8: network("cls_mnist8", Precision::F32), opencl ONE, webgpu ONE, metal ONE;
    mlperf_tiny_vww: network("mlperf_tiny_vww", Precision::Mixed), opencl ONE, webgpu ONE;
    /// On Metal by cooperative matrices.
    cls_resnet20_cifar10: network("cls_resnet20_cifar10", Precision::Mixed), metal ONE;
    audio_dtln_1: network("audio_dtln_1", Precision::F32), opencl ONE, webgpu ONE, metal ONE;
    graph_tiny_bert: network("graph_tiny_bert", Precision::F32), opencl ONE;
    graph_tiny_bert_mixed: network("graph_tiny_bert", Precision::Mixed), metal ONE;
    stories: |api, _| sample::stories(api), opencl ONE, webgpu ONE, metal ONE;
}
