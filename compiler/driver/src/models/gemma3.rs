//! Gemma 3, the text model: norms on q and k, five layers with a window for each without, two
//! rotations. Source: `models/gemma3` of transformers.
//!
//! Of a model that also sees images (`Gemma3ForConditionalGeneration`) the language model is read;
//! text alone passes through it unchanged.

use super::common::{
    Defaults, Dims, NAMES, Names, Source, Style, activation, llama_shaped, set_windows,
    sliding_layers,
};
use super::gemma::{causal, style};
use super::gemma2::softcaps;
use super::rope::{Rope, RopeDefaults, Scaling};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 262_208,
    hidden: 2304,
    inner: 9216,
    layers: 26,
    heads: 8,
    kv_heads: Some(4),
    head_dim: Some(256),
    max_positions: 131_072,
    norm_eps: 1e-6,
    theta: 1e6,
    tied: true,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    read(src, &NAMES)
}

/// The language model inside a model for text and images.
pub fn with_images(src: &Source) -> Result<Decoder> {
    let text = src.cfg.section("text_config")?.ok_or_else(|| {
        src.cfg.error("text_config", "is missing: it describes the language model")
    })?;
    let model = src.prefix(
        &["model.language_model.", "language_model.model.", "model."],
        "embed_tokens.weight",
    );
    let head = src.prefix(&["", "language_model."], NAMES.head);
    let head = format!("{head}{}", NAMES.head);
    read(&Source { cfg: &text, has: src.has }, &Names { model, head: &head })
}

fn read(src: &Source, names: &Names) -> Result<Decoder> {
    let cfg = src.cfg;
    causal(cfg)?;
    let activation = activation(cfg, "hidden_activation", Activation::GeluTanh)?;
    let style = Style { sandwich: true, qk_norm: true, ..style("Gemma 3", cfg, activation)? };
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, names)?;
    decoder.embedding.scale = (dims.hidden as f64).sqrt();
    softcaps(cfg, &mut decoder, None, None)?;
    // a configuration may name the scores' softcap, but the model has none (its q/k norms serve
    // instead) and transformers ignores the key
    for layer in &mut decoder.layers {
        layer.attention.softcap = None;
    }
    let pattern = match cfg.opt_size("sliding_window_pattern")? {
        Some(n) => n,
        None => cfg.size_or("_sliding_window_pattern", 6)?,
    };
    let sliding = sliding_layers(cfg, dims.layers, |i| !(i + 1).is_multiple_of(pattern))?;
    let window = match cfg.is_null("sliding_window") {
        true => None,
        false => Some(cfg.size_or("sliding_window", 4096)?),
    };
    set_windows(&mut decoder, window, &sliding);

    // layers with a window turn faster, and without scaling
    let local = match cfg.section("rope_parameters")? {
        Some(kinds) => kinds.section("sliding_attention")?,
        None => None,
    };
    let defaults = RopeDefaults {
        layer_type: "sliding_attention",
        theta: cfg.positive_or("rope_local_base_freq", 1e4)?,
        head_dim: dims.head_dim,
        max_positions: dims.max_positions,
        original: dims.max_positions,
        old_names: false,
    };
    let local = match local {
        Some(parameters) => Rope::scaled(cfg, &parameters, &defaults)?,
        None => Rope { theta: defaults.theta, scaling: Scaling::None, ..decoder.ropes[0].clone() },
    };
    decoder.ropes.push(local);
    for (layer, sliding) in decoder.layers.iter_mut().zip(&sliding) {
        layer.attention.rope = Some(usize::from(*sliding));
    }
    Ok(decoder)
}
