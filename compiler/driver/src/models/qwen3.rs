//! Qwen3: norms on q and k, no biases. Source: `models/qwen3` of transformers.

use super::common::{Defaults, Dims, NAMES, Source, Style, activation, llama_shaped};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 151936,
    hidden: 4096,
    inner: 22016,
    layers: 32,
    heads: 32,
    kv_heads: Some(32),
    head_dim: Some(128),
    max_positions: 32768,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: false,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let bias = cfg.bool_or("attention_bias", false)?;
    let style = Style {
        qkv_bias: bias,
        out_bias: bias,
        qk_norm: true,
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        ..Style::new("Qwen3")
    };
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    super::qwen2::windows(cfg, &mut decoder)?;
    Ok(decoder)
}
