//! Phi-3, Phi-3.5 and Phi-4-mini: q, k, v in one stored matrix, gate and up in another.
//! Source: `models/phi3` of transformers.

use super::common::{Defaults, Dims, NAMES, Source, Style, activation, llama_shaped, set_windows};
use super::spec::{Activation, Decoder, Matrix, Part};
use crate::error::Result;

const DEFAULTS: Defaults = Defaults {
    vocab: 32064,
    hidden: 3072,
    inner: 8192,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    max_positions: 4096,
    norm_eps: 1e-5,
    theta: 1e4,
    tied: false,
};

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    let dims = Dims::read(cfg, &DEFAULTS)?;
    let style = Style {
        activation: activation(cfg, "hidden_act", Activation::Silu)?,
        phi3_rope: Some(4096),
        ..Style::new("Phi-3")
    };
    let mut decoder = llama_shaped(src, &dims, &DEFAULTS, &style, &NAMES)?;
    let (hidden, inner) = (dims.hidden, dims.inner);
    let rows = (dims.heads + 2 * dims.kv_heads) * dims.head_dim;
    for (i, layer) in decoder.layers.iter_mut().enumerate() {
        let at = |name: &str| format!("{}layers.{i}.{name}", NAMES.model);
        let fused = at("self_attn.qkv_proj.weight");
        layer.attention.qkv.weights = Matrix::of(Part::whole(fused, rows, hidden));
        let half = |first: usize| Part {
            first,
            rows: inner,
            ..Part::whole(at("mlp.gate_up_proj.weight"), 2 * inner, hidden)
        };
        layer.feed_forward.up.weights = Matrix::alternating(vec![half(0), half(inner)]);
    }
    set_windows(&mut decoder, cfg.opt_size("sliding_window")?, &vec![true; dims.layers]);
    Ok(decoder)
}
