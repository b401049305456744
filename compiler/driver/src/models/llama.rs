//! Llama 1, 2, 3, 3.1, 3.2 and what shares its architecture (SmolLM2, TinyLlama, …).
//! Source: `models/llama` of transformers.

use super::common::{Defaults, Dims, NAMES, Source, Style, activation, llama_shaped};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 32000,
    hidden: 4096,
    inner: 11008,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    max_positions: 2048,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: false,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let bias = cfg.bool_or("attention_bias", false)?;
    let style = Style {
        qkv_bias: bias,
        out_bias: bias,
        feed_forward_bias: cfg.bool_or("mlp_bias", false)?,
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        ..Style::new("Llama")
    };
    llama_shaped(src, &Dims::read(cfg, &DEFAULTS)?, &DEFAULTS, &style, &NAMES)
}
