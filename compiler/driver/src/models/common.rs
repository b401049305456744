//! What the families share: the keys of a configuration and the names of a Llama-shaped
//! checkpoint. A family starts from [`llama_shaped`] and changes what is different.

use super::config::{Config, unsupported};
use super::rope::{Rope, RopeDefaults};
use super::spec::*;
use crate::error::Result;

/// Layers of the deepest model that is accepted.
const MAX_LAYERS: usize = 1024;
const MAX_HEADS: usize = 1024;
const MAX_HEAD_DIM: usize = 1024;

/// What a family's configuration class says where `config.json` is silent.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    pub vocab: usize,
    pub hidden: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    /// `None`: as many as `heads`.
    pub kv_heads: Option<usize>,
    /// `None`: hidden / heads.
    pub head_dim: Option<usize>,
    pub max_positions: usize,
    pub norm_eps: f64,
    pub theta: f64,
    /// The head is the embedding.
    pub tied: bool,
}

/// Sizes of a model, checked.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    pub vocab: usize,
    pub hidden: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub max_positions: usize,
}

impl Dims {
    pub fn read(cfg: &Config, d: &Defaults) -> Result<Dims> {
        let hidden = cfg.size_or("hidden_size", d.hidden)?;
        let heads = cfg.size_or("num_attention_heads", d.heads)?;
        let kv_heads = cfg.opt_size("num_key_value_heads")?.or(d.kv_heads.filter(|_| {
            // an explicit null means "as many as heads"
            !cfg.is_null("num_key_value_heads")
        }));
        let kv_heads = kv_heads.unwrap_or(heads);
        let head_dim = match cfg.opt_size("head_dim")?.or(d.head_dim) {
            Some(n) => n,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                let message = format!("({heads}) does not divide hidden_size ({hidden})");
                return Err(cfg.error("num_attention_heads", &message));
            }
        };
        let dims = Dims {
            vocab: cfg.size_or("vocab_size", d.vocab)?,
            hidden,
            inner: cfg.size_or("intermediate_size", d.inner)?,
            layers: cfg.size_or("num_hidden_layers", d.layers)?,
            heads,
            kv_heads,
            head_dim,
            max_positions: cfg.size_or("max_position_embeddings", d.max_positions)?,
        };
        dims.check(cfg, "num_hidden_layers", "num_attention_heads")?;
        Ok(dims)
    }

    /// What holds for every family; the arguments name the keys.
    pub fn check(&self, cfg: &Config, layers: &str, heads: &str) -> Result<()> {
        let most = |key: &str, value: usize, most: usize| {
            if value <= most {
                return Ok(());
            }
            Err(cfg.error(key, &format!("is {value}, more than {most}")))
        };
        most(layers, self.layers, MAX_LAYERS)?;
        most(heads, self.heads, MAX_HEADS)?;
        most("head_dim", self.head_dim, MAX_HEAD_DIM)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            let message = format!("({}) does not divide {heads} ({})", self.kv_heads, self.heads);
            return Err(cfg.error("num_key_value_heads", &message));
        }
        Ok(())
    }
}

/// What a family reads from: its configuration and the names in the checkpoint.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub cfg: &'a Config,
    /// Whether the checkpoint has a tensor.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl Source<'_> {
    /// The first prefix under which the checkpoint has `name`; the first one if none.
    pub fn prefix<'p>(&self, prefixes: &[&'p str], name: &str) -> &'p str {
        let found = prefixes.iter().find(|p| (self.has)(&format!("{p}{name}")));
        found.unwrap_or(&prefixes[0])
    }

    /// Whether the head is the embedding: as the configuration says; where it is silent and the
    /// family's default is a head of its own, by whether the checkpoint has one.
    pub fn tied(&self, default: bool, head: &str) -> Result<bool> {
        Ok(match self.cfg.opt_bool("tie_word_embeddings")? {
            Some(tied) => tied,
            None => default || !(self.has)(head),
        })
    }
}

/// What differs between Llama-shaped families all over the network.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub family: &'static str,
    pub qkv_bias: bool,
    pub out_bias: bool,
    pub feed_forward_bias: bool,
    /// Gammas of q and k per head.
    pub qk_norm: bool,
    /// Norms after attention and feed-forward too, with Gemma 2's names.
    pub sandwich: bool,
    /// Added to stored gammas.
    pub norm_offset: f64,
    pub activation: Activation,
    /// Phi-3 has its own names of rope kinds, and this default of the positions it was first
    /// trained for.
    pub phi3_rope: Option<usize>,
}

impl Style {
    pub fn new(family: &'static str) -> Style {
        Style {
            family,
            qkv_bias: false,
            out_bias: false,
            feed_forward_bias: false,
            qk_norm: false,
            sandwich: false,
            norm_offset: 0.0,
            activation: Activation::Silu,
            phi3_rope: None,
        }
    }
}

/// Where a Llama-shaped checkpoint keeps its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Before `embed_tokens`, `layers` and `norm`.
    pub model: &'a str,
    pub head: &'a str,
}

pub const NAMES: Names<'static> = Names { model: "model.", head: "lm_head.weight" };

/// A decoder with the names and the structure of Llama: RMS norms, q, k, v, o, gate, up, down, one
/// rotation for all layers, no windows.
pub fn llama_shaped(
    src: &Source,
    dims: &Dims,
    d: &Defaults,
    style: &Style,
    names: &Names,
) -> Result<Decoder> {
    let cfg = src.cfg;
    let Dims { hidden, inner, heads, kv_heads, head_dim, .. } = *dims;
    let model = names.model;
    let gamma = |name: String, len: usize| Vector::of(name, len).plus(style.norm_offset);
    let norm = |name: String| Norm { gamma: gamma(name, hidden), beta: None };
    let bias = |on: bool, names: Vec<(String, usize)>| on.then(|| Vector::stacked(names));
    let layers = (0..dims.layers).map(|i| {
        let at = |name: &str| format!("{model}layers.{i}.{name}");
        let qkv = [
            ("self_attn.q_proj", heads * head_dim),
            ("self_attn.k_proj", kv_heads * head_dim),
            ("self_attn.v_proj", kv_heads * head_dim),
        ];
        let gate_up = ["mlp.gate_proj", "mlp.up_proj"];
        let weight =
            |name: &str, rows: usize, k: usize| Part::whole(at(&format!("{name}.weight")), rows, k);
        let biases = |names: &[(&str, usize)]| -> Vec<(String, usize)> {
            names.iter().map(|(name, n)| (at(&format!("{name}.bias")), *n)).collect()
        };
        let (before_ff, after) = if style.sandwich {
            ("pre_feedforward_layernorm.weight", true)
        } else {
            ("post_attention_layernorm.weight", false)
        };
        Layer {
            attention_norm: norm(at("input_layernorm.weight")),
            attention: Attention {
                qkv: Linear {
                    weights: Matrix::stacked(
                        qkv.iter().map(|(name, n)| weight(name, *n, hidden)).collect(),
                    ),
                    bias: bias(style.qkv_bias, biases(&qkv)),
                },
                out: Linear {
                    weights: Matrix::of(weight("self_attn.o_proj", hidden, heads * head_dim)),
                    bias: bias(style.out_bias, biases(&[("self_attn.o_proj", hidden)])),
                },
                q_norm: style.qk_norm.then(|| gamma(at("self_attn.q_norm.weight"), head_dim)),
                k_norm: style.qk_norm.then(|| gamma(at("self_attn.k_norm.weight"), head_dim)),
                window: None,
                rope: Some(0),
                scale: 1.0 / (head_dim as f64).sqrt(),
                softcap: None,
            },
            attention_out_norm: after.then(|| norm(at("post_attention_layernorm.weight"))),
            feed_forward_norm: norm(at(before_ff)),
            feed_forward: FeedForward {
                up: Linear {
                    weights: Matrix::alternating(
                        gate_up.iter().map(|name| weight(name, inner, hidden)).collect(),
                    ),
                    bias: style
                        .feed_forward_bias
                        .then(|| Vector::alternating(biases(&gate_up.map(|name| (name, inner))))),
                },
                gated: true,
                activation: style.activation,
                down: Linear {
                    weights: Matrix::of(weight("mlp.down_proj", hidden, inner)),
                    bias: bias(style.feed_forward_bias, biases(&[("mlp.down_proj", hidden)])),
                },
            },
            feed_forward_out_norm: after.then(|| norm(at("post_feedforward_layernorm.weight"))),
        }
    });
    let rope = Rope::read(
        cfg,
        &RopeDefaults {
            layer_type: "full_attention",
            theta: d.theta,
            head_dim,
            max_positions: dims.max_positions,
            original: style.phi3_rope.unwrap_or(dims.max_positions),
            old_names: style.phi3_rope.is_some(),
        },
    )?;
    let head = match src.tied(d.tied, names.head)? {
        true => None,
        false => Some(Matrix::of(Part::whole(names.head, dims.vocab, hidden))),
    };
    let embedding = Part::whole(format!("{model}embed_tokens.weight"), dims.vocab, hidden);
    Ok(Decoder {
        family: style.family,
        vocab: dims.vocab,
        hidden,
        heads,
        kv_heads,
        head_dim,
        max_positions: dims.max_positions,
        norm: NormKind::Rms,
        norm_eps: cfg.positive_or("rms_norm_eps", d.norm_eps)?,
        embedding: Embedding { tokens: Matrix::of(embedding), scale: 1.0, positions: None },
        ropes: vec![rope],
        layers: layers.collect(),
        final_norm: norm(format!("{model}norm.weight")),
        head: Head { weights: head, softcap: None },
    })
}

/// The activation named by `key`.
pub fn activation(cfg: &Config, key: &str, default: Activation) -> Result<Activation> {
    Ok(match cfg.opt_str(key)? {
        None => default,
        Some("silu" | "swish") => Activation::Silu,
        Some("gelu" | "gelu_python") => Activation::Gelu,
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" | "gelu_python_tanh") => {
            Activation::GeluTanh
        }
        Some("relu") => Activation::Relu,
        Some("quick_gelu") => Activation::QuickGelu,
        Some(other) => {
            return Err(unsupported(format!(
                "{}: the activation `{other}` ({key}) is not supported",
                cfg.path().display()
            ))
            .help("supported: silu, gelu, gelu_pytorch_tanh (gelu_new), relu, quick_gelu"));
        }
    })
}

/// Which layers have a window: by `layer_types` where the configuration has it, else by `default`.
pub fn sliding_layers(
    cfg: &Config,
    layers: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = cfg.opt_strs("layer_types")? else {
        return Ok((0..layers).map(default).collect());
    };
    if types.len() < layers {
        let message = format!("names {} layers of {layers}", types.len());
        return Err(cfg.error("layer_types", &message));
    }
    types[..layers]
        .iter()
        .map(|t| match *t {
            "sliding_attention" => Ok(true),
            "full_attention" => Ok(false),
            other => Err(unsupported(format!(
                "{}: a layer of type `{other}` is not supported",
                cfg.path().display()
            ))
            .help("supported: full_attention, sliding_attention")),
        })
        .collect()
}

/// Gives `window` to the layers that `sliding` marks.
pub fn set_windows(decoder: &mut Decoder, window: Option<usize>, sliding: &[bool]) {
    for (layer, sliding) in decoder.layers.iter_mut().zip(sliding) {
        layer.attention.window = window.filter(|_| *sliding);
    }
}
