//! Gemma: scaled embeddings, norms that store gamma - 1, gelu. Source: `models/gemma` of
//! transformers.

use super::common::{Defaults, Dims, NAMES, Source, Style, activation, llama_shaped};
use super::config::Config;
use super::spec::{Activation, Decoder};
use crate::error::Result;
use serde_json::Value;

const DEFAULTS: Defaults = Defaults {
    vocab: 256_000,
    hidden: 3072,
    inner: 24576,
    layers: 28,
    heads: 16,
    kv_heads: Some(16),
    head_dim: Some(256),
    max_positions: 8192,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: true,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    causal(cfg)?;
    let activation = match cfg.has("hidden_activation") {
        true => activation(cfg, "hidden_activation", Activation::GeluTanh)?,
        // "gelu" in the first releases meant the approximation
        false => match activation(cfg, "hidden_act", Activation::GeluTanh)? {
            Activation::Gelu => Activation::GeluTanh,
            other => other,
        },
    };
    let style = style("Gemma", cfg, activation)?;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    decoder.embedding.scale = (dims.hidden as f64).sqrt();
    Ok(decoder)
}

/// What all Gemmas have in common.
pub(super) fn style(family: &'static str, cfg: &Config, activation: Activation) -> Result<Style> {
    let bias = cfg.bool_or("attention_bias", false)?;
    let style = Style::new(family);
    Ok(Style { qkv_bias: bias, out_bias: bias, norm_offset: 1.0, activation, ..style })
}

/// Embedding models of the family see the whole text.
pub(super) fn causal(cfg: &Config) -> Result<()> {
    cfg.only("use_bidirectional_attention", &Value::Bool(false))
}
