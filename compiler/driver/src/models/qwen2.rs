//! Qwen2 and Qwen2.5: Llama with biases on q, k and v. Source: `models/qwen2` of transformers.

use super::common::{
    Defaults, Dims, NAMES, Source, Style, activation, llama_shaped, set_windows, sliding_layers,
};
use super::config::Config;
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 151936,
    hidden: 4096,
    inner: 22016,
    layers: 32,
    heads: 32,
    kv_heads: Some(32),
    head_dim: None,
    max_positions: 32768,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: false,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let style = Style {
        qkv_bias: true,
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        ..Style::new("Qwen2")
    };
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    windows(cfg, &mut decoder)?;
    Ok(decoder)
}

/// Layers from `max_window_layers` on have the window, if it is used at all.
pub(super) fn windows(cfg: &Config, decoder: &mut Decoder) -> Result<()> {
    if !cfg.bool_or("use_sliding_window", false)? || cfg.is_null("sliding_window") {
        return Ok(());
    }
    let window = cfg.size_or("sliding_window", 4096)?;
    // 0 is a value here: all layers
    let first = match cfg.get("max_window_layers").map(serde_json::Value::as_u64) {
        Some(Some(0)) => 0,
        _ => cfg.size_or("max_window_layers", 28)?,
    };
    let sliding = sliding_layers(cfg, decoder.layers.len(), |i| i >= first)?;
    set_windows(decoder, Some(window), &sliding);
    Ok(())
}
