//! What a person chooses when a language model is compiled.

use super::config::{invalid, unsupported};
use super::spec::{Decoder, Role};
use crate::error::Result;
use crate::target::Precision;
use drift_ops::quant::{Group, Scheme};

/// Context where none is given, if the model reaches as far.
const DEFAULT_CONTEXT: usize = 4096;
/// Longest context that is accepted.
const MAX_CONTEXT: usize = 1 << 22;

#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the KV cache in tokens; `None` is 4096, or what the model was made for if that is
    /// less.
    pub context: Option<usize>,
    /// Rows of the entry point `prefill`; at most the context.
    pub chunk: usize,
    pub quantize: Quantize,
    pub kv_cache: KvCache,
    /// Decides how weights that are not quantized are stored: f32 at `F32`, else f16.
    pub precision: Precision,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            context: None,
            chunk: 1024,
            quantize: Quantize::default(),
            kv_cache: KvCache::F16,
            precision: Precision::Mixed,
        }
    }
}

/// Element type of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvCache {
    F32,
    F16,
    /// 8 bits with one f32 scale per head and token.
    Int8,
}

impl KvCache {
    pub const NAMES: [&'static str; 3] = ["f32", "f16", "int8"];

    pub fn parse(name: &str) -> Option<KvCache> {
        Some(match name {
            "f32" => KvCache::F32,
            "f16" => KvCache::F16,
            "int8" => KvCache::Int8,
            _ => return None,
        })
    }
}

/// A scheme per role of a matrix; `None` is not quantized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantize {
    pub attention: Option<Scheme>,
    pub feed_forward: Option<Scheme>,
    pub embedding: Option<Scheme>,
}

impl Quantize {
    /// What `--quantize` takes.
    pub const NAMES: [&'static str; 13] = [
        "none", "f32", "f16", "q8", "q8g32", "q8g64", "q8g128", "q4", "q4g32", "q4g64", "q4g128",
        "q4c", "8/4/4",
    ];

    /// `q4` is 4 bits in groups of 32, `q4c` one scale per channel, `8/4/4` the paper's mixture:
    /// attention q8, feed-forward and embedding 4 bits, all per channel.
    pub fn parse(name: &str) -> Option<Quantize> {
        let all =
            |s: Scheme| Quantize { attention: Some(s), feed_forward: Some(s), embedding: Some(s) };
        Some(match name {
            "none" => Quantize::default(),
            "q4" => all(Scheme::Q4Groups(Group::G32)),
            "q4c" => all(Scheme::Q4),
            "8/4/4" => Quantize { attention: Some(Scheme::Q8), ..all(Scheme::Q4) },
            name => all(Scheme::parse(name)?),
        })
    }
}

/// The schemes in force.
#[derive(Clone, Copy, Debug)]
pub struct Schemes {
    pub unquantized: Scheme,
    quantize: Quantize,
}

impl Schemes {
    pub fn of(&self, role: Role) -> Scheme {
        let chosen = match role {
            Role::Attention => self.quantize.attention,
            Role::FeedForward => self.quantize.feed_forward,
            Role::Embedding => self.quantize.embedding,
        };
        chosen.unwrap_or(self.unquantized)
    }
}

/// Options of one model, checked.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub context: usize,
    pub chunk: usize,
    pub schemes: Schemes,
    pub kv_cache: KvCache,
}

impl Options {
    /// What these options mean for a model; notes go to `notes`.
    pub fn resolve(&self, decoder: &Decoder, notes: &mut Vec<String>) -> Result<Resolved> {
        let most = decoder.max_positions;
        let context = self.context.unwrap_or(DEFAULT_CONTEXT.min(most));
        if context == 0 || context > MAX_CONTEXT {
            return Err(invalid(format!("a context of {context} tokens is not within 1 to 2^22")));
        }
        if context > most && decoder.embedding.positions.is_some() {
            return Err(invalid(format!(
                "a context of {context} tokens is more than the {most} positions this model has \
                 learned"
            ))
            .help(format!("give --context {most} or less")));
        }
        if context > most {
            notes.push(format!(
                "the context of {context} tokens is longer than the {most} positions the model was \
                 made for: text beyond them may be poor"
            ));
        }
        if self.chunk == 0 {
            return Err(invalid("a prefill of 0 rows"));
        }
        if self.kv_cache == KvCache::Int8 && !decoder.head_dim.is_multiple_of(4) {
            return Err(unsupported(format!(
                "an int8 KV cache of heads of {} elements: they must be a multiple of 4",
                decoder.head_dim
            ))
            .help("choose an f16 KV cache"));
        }
        let unquantized = match self.precision {
            Precision::F32 => Scheme::F32,
            _ => Scheme::F16,
        };
        Ok(Resolved {
            context,
            chunk: self.chunk.min(context),
            schemes: Schemes { unquantized, quantize: self.quantize },
            kv_cache: self.kv_cache,
        })
    }
}

impl Resolved {
    /// The window in force: one as long as the context hides nothing.
    pub fn window(&self, window: Option<usize>) -> Option<usize> {
        window.filter(|w| *w < self.context)
    }

    /// Slots of a layer's cache: the context, or a ring that holds the window and a chunk.
    pub fn slots(&self, window: Option<usize>) -> usize {
        match self.window(window) {
            None => self.context,
            Some(w) => (w + self.chunk).next_multiple_of(64),
        }
    }
}
