//! SmolLM3: Llama with layers that do not rotate (NoPE). Source: `models/smollm3` of transformers.

use super::common::{
    Defaults, Dims, NAMES, Source, Style, activation, llama_shaped, set_windows, sliding_layers,
};
use super::spec::{Activation, Decoder};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 128256,
    hidden: 2048,
    inner: 11008,
    layers: 36,
    heads: 16,
    kv_heads: Some(4),
    head_dim: None,
    max_positions: 32768,
    norm_eps: 1e-6,
    theta: 2e6,
    tied: true,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let bias = cfg.bool_or("attention_bias", false)?;
    let style = Style {
        qkv_bias: bias,
        out_bias: bias,
        feed_forward_bias: cfg.bool_or("mlp_bias", false)?,
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        ..Style::new("SmolLM3")
    };
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    let rotates = match cfg.opt_flags("no_rope_layers")? {
        // the key's name is the opposite of its meaning: 1 is a layer that rotates
        Some(flags) if flags.len() >= dims.layers => flags,
        Some(flags) => {
            let message = format!("names {} layers of {}", flags.len(), dims.layers);
            return Err(cfg.error("no_rope_layers", &message));
        }
        None => {
            let interval = cfg.size_or("no_rope_layer_interval", 4)?;
            (1..=dims.layers).map(|i| !i.is_multiple_of(interval)).collect()
        }
    };
    for (layer, rotates) in decoder.layers.iter_mut().zip(&rotates) {
        layer.attention.rope = layer.attention.rope.filter(|_| *rotates);
    }
    if cfg.bool_or("use_sliding_window", false)?
        && let Some(window) = cfg.opt_size("sliding_window")?
    {
        let sliding = sliding_layers(cfg, dims.layers, |i| !rotates[i])?;
        set_windows(&mut decoder, Some(window), &sliding);
    }
    Ok(decoder)
}
