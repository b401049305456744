//! Mistral: Llama with a sliding window in every layer. Source: `models/mistral` of transformers.

use super::common::{Defaults, Dims, NAMES, Source, Style, activation, llama_shaped, set_windows};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 32000,
    hidden: 4096,
    inner: 14336,
    layers: 32,
    heads: 32,
    kv_heads: Some(8),
    head_dim: None,
    max_positions: 131072,
    norm_eps: 1e-6,
    theta: 1e4,
    tied: false,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let style = Style {
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        ..Style::new("Mistral")
    };
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    // absent is the class's default, null is no window
    let window = match cfg.opt_size("sliding_window")? {
        None if !cfg.is_null("sliding_window") => Some(4096),
        window => window,
    };
    set_windows(&mut decoder, window, &vec![true; dims.layers]);
    Ok(decoder)
}
