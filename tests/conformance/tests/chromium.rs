//! A page of headless Chromium in the default run: one case of every operator in each of a few setups.
//! `cargo xtask test` runs them after it has built the page's runtime (`DRIFT_BACKEND=chromium`
//! and `chromium-f16`, `DRIFT_WEB`); with `--full`, `ops`, `models`, `llm` and `limits` run there, too.

use drift_bundle::caps::{Api, ImageKind};
use drift_chromium::Adapter;
use drift_conformance::suite::Cases;
use drift_conformance::{chromium, gpu, sample};
use drift_kernel::tensor::Elem;

const API: Api = Api::WebGpu;

/// Whether this is the run for Chromium.
fn asked() -> bool {
    let asked = gpu::in_chromium().is_some();
    if !asked {
        println!("skipped: not with DRIFT_BACKEND=chromium");
    }
    asked
}

#[test]
fn operators_in_buffers() {
    if asked() {
        sample::buffers(API, Cases::Some(1));
    }
}

#[test]
fn operators_in_slices_of_packed_f16() {
    if asked() {
        sample::slices_of_packed_f16(API, Cases::Some(1));
    }
}

/// On a driver with f16.
#[test]
fn operators_in_slices_of_f16() {
    if asked() && gpu::in_chromium() == Some(Adapter::Lavapipe) {
        sample::slices_of_f16(API, Cases::Some(2));
    }
}

#[test]
fn operators_over_several_bindings() {
    if asked() {
        sample::split(API, Cases::Some(1));
    }
}

#[test]
fn operators_in_textures() {
    if asked() {
        sample::images(API, "2D textures, f32", ImageKind::Texture2d, Elem::F32, Cases::Some(1));
    }
}

/// Its kernels talk inside of subgroups, behind branches.
#[test]
fn a_quantized_language_model() {
    if asked() {
        sample::quantized(API);
    }
}

/// What a page refuses is an error that says so, as on every other device.
#[test]
fn an_error_of_the_page_is_an_error_here() {
    let Some(adapter) = gpu::in_chromium() else { return };
    let refusal = chromium::refusal(adapter).unwrap_or_else(|e| panic!("{e}"));
    let error = refusal.expect("the page takes nonsense for a bundle");
    assert!(error.contains("not-a-bundle"), "{error}");
}
