//! GPT-2: learned positions, layer norms, biases everywhere, matrices stored transposed (Conv1D).
//! Source: `models/gpt2` of transformers.

use super::common::{Dims, Source, activation};
use super::spec::*;
use crate::error::Result;
use serde_json::Value;

pub fn decoder(src: &Source) -> Result<Decoder> {
    let cfg = src.cfg;
    cfg.only("add_cross_attention", &Value::Bool(false))?;
    let hidden = cfg.size_or("n_embd", 768)?;
    let heads = cfg.size_or("n_head", 12)?;
    if !hidden.is_multiple_of(heads) {
        return Err(cfg.error("n_head", &format!("({heads}) does not divide n_embd ({hidden})")));
    }
    let dims = Dims {
        vocab: cfg.size_or("vocab_size", 50257)?,
        hidden,
        inner: cfg.size_or("n_inner", 4 * hidden)?,
        layers: cfg.size_or("n_layer", 12)?,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        max_positions: cfg.size_or("n_positions", 1024)?,
    };
    dims.check(cfg, "n_layer", "n_head")?;
    let activation = activation(cfg, "activation_function", Activation::GeluTanh)?;
    let scaled = cfg.bool_or("scale_attn_weights", true)?;
    let by_layer = cfg.bool_or("scale_attn_by_inverse_layer_idx", false)?;
    let base = if scaled { 1.0 / (dims.head_dim as f64).sqrt() } else { 1.0 };

    // the first checkpoints have the names of the model without a head
    let model = src.prefix(&["transformer.", ""], "wte.weight");
    let norm = |name: String| Norm {
        gamma: Vector::of(format!("{name}.weight"), hidden),
        beta: Some(Vector::of(format!("{name}.bias"), hidden)),
    };
    let linear = |name: String, n: usize, k: usize| Linear {
        weights: Matrix::of(Part::transposed(format!("{name}.weight"), n, k)),
        bias: Some(Vector::of(format!("{name}.bias"), n)),
    };
    let layers = (0..dims.layers).map(|i| {
        let at = |name: &str| format!("{model}h.{i}.{name}");
        Layer {
            attention_norm: norm(at("ln_1")),
            attention: Attention {
                qkv: linear(at("attn.c_attn"), 3 * hidden, hidden),
                out: linear(at("attn.c_proj"), hidden, hidden),
                q_norm: None,
                k_norm: None,
                window: None,
                rope: None,
                scale: if by_layer { base / (i as f64 + 1.0) } else { base },
                softcap: None,
            },
            attention_out_norm: None,
            feed_forward_norm: norm(at("ln_2")),
            feed_forward: FeedForward {
                up: linear(at("mlp.c_fc"), dims.inner, hidden),
                gated: false,
                activation,
                down: linear(at("mlp.c_proj"), hidden, dims.inner),
            },
            feed_forward_out_norm: None,
        }
    });
    let head = match src.tied(true, "lm_head.weight")? {
        true => None,
        false => Some(Matrix::of(Part::whole("lm_head.weight", dims.vocab, hidden))),
    };
    let table = |name: &str, rows| Matrix::of(Part::whole(format!("{model}{name}"), rows, hidden));
    Ok(Decoder {
        family: "GPT-2",
        vocab: dims.vocab,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: dims.head_dim,
        max_positions: dims.max_positions,
        norm: NormKind::Layer,
        norm_eps: cfg.positive_or("layer_norm_epsilon", 1e-5)?,
        embedding: Embedding {
            tokens: table("wte.weight", dims.vocab),
            scale: 1.0,
            positions: Some(table("wpe.weight", dims.max_positions)),
        },
        ropes: Vec::new(),
        layers: layers.collect(),
        final_norm: norm(format!("{model}ln_f")),
        head: Head { weights: head, softcap: None },
    })
}
