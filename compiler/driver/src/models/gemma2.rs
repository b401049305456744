//! Gemma 2: softcaps, a window in every other layer, norms before and after. Source:
//! `models/gemma2` of transformers.

use super::common::{
    Defaults, Dims, NAMES, Source, Style, activation, llama_shaped, set_windows, sliding_layers,
};
use super::config::Config;
use super::gemma::{causal, style};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 256_000,
    hidden: 2304,
    inner: 9216,
    layers: 26,
    heads: 8,
    kv_heads: Some(4),
    head_dim: Some(256),
    max_positions: 8192,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: true,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    causal(cfg)?;
    let activation = activation(cfg, "hidden_activation", Activation::GeluTanh)?;
    let style = Style { sandwich: true, ..style("Gemma 2", cfg, activation)? };
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    decoder.embedding.scale = (dims.hidden as f64).sqrt();
    softcaps(cfg, &mut decoder, Some(50.0), Some(30.0))?;
    let window = match cfg.is_null("sliding_window") {
        true => None,
        false => Some(cfg.size_or("sliding_window", 4096)?),
    };
    let sliding = sliding_layers(cfg, dims.layers, |i| i % 2 == 0)?;
    set_windows(&mut decoder, window, &sliding);
    Ok(decoder)
}

/// Reads the scale of scores and the softcaps of scores and logits; null is none.
pub(super) fn softcaps(
    cfg: &Config,
    decoder: &mut Decoder,
    scores: Option<f64>,
    logits: Option<f64>,
) -> Result<()> {
    let cap = |key: &str, default: Option<f64>| {
        Ok(cfg.opt_positive(key)?.or(default.filter(|_| !cfg.is_null(key))))
    };
    let scale = cfg.positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    let softcap = cap("attn_logit_softcapping", scores)?;
    for layer in &mut decoder.layers {
        (layer.attention.scale, layer.attention.softcap) = (scale, softcap);
    }
    decoder.head.softcap = cap("final_logit_softcapping", logits)?;
    Ok(())
}
