//! Language models: a folder as on the Hugging Face hub (`config.json`, safetensors, tokenizer)
//! becomes a [`Module`] with one graph per entry point.
//!
//! `config.json` names an architecture; the file of its family turns the configuration into a
//! [`spec::Decoder`], which is plain data, and [`decoder`] builds the graphs from that. A family
//! that differs from Llama in known ways is a new file with a `decoder` function and a line of
//! [`FAMILIES`].

pub mod chat;
mod common;
mod config;
pub mod decoder;
mod options;
pub mod rope;
pub mod spec;
mod weights;

mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

pub use common::Source;
pub use config::Config;
pub use options::{KvCache, Options, Quantize, Resolved};

use crate::error::{ErrorKind, Result, StageError};
use crate::pipeline::Module;
use config::{invalid, unsupported};
use drift_weights::WeightStore;
use serde_json::json;
use spec::Decoder;
use std::path::{Path, PathBuf};

type Family = fn(&Source) -> Result<Decoder>;

/// `architectures` of `config.json` and what reads it.
pub const FAMILIES: [(&str, Family); 11] = [
    ("LlamaForCausalLM", llama::decoder),
    ("SmolLM3ForCausalLM", smollm3::decoder),
    ("GemmaForCausalLM", gemma::decoder),
    ("Gemma2ForCausalLM", gemma2::decoder),
    ("Gemma3ForCausalLM", gemma3::decoder),
    ("Gemma3ForConditionalGeneration", gemma3::with_images),
    ("Qwen2ForCausalLM", qwen2::decoder),
    ("Qwen3ForCausalLM", qwen3::decoder),
    ("Phi3ForCausalLM", phi3::decoder),
    ("MistralForCausalLM", mistral::decoder),
    ("GPT2LMHeadModel", gpt2::decoder),
];

/// A folder that was read: configuration understood, tensors mapped, names and shapes checked.
#[derive(Debug)]
pub struct Checkpoint {
    pub decoder: Decoder,
    pub store: WeightStore,
    pub config: Config,
    /// `generation_config.json`
    pub generation: Option<Config>,
    pub tokenizer: chat::TokenizerFacts,
    /// Files that the tokenizer needs, which travel in the bundle.
    pub tokenizer_files: Vec<PathBuf>,
    pub notes: Vec<String>,
}

/// Understands a configuration. `has` tells whether the checkpoint has a tensor of a name.
pub fn describe(config: &Config, has: &dyn Fn(&str) -> bool) -> Result<Decoder> {
    refuse_quantized(config)?;
    let names = config.opt_strs("architectures")?.unwrap_or_default();
    let supported = || {
        let list: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
        format!("supported architectures: {}", list.join(", "))
    };
    let Some(name) = names.first() else {
        return Err(config.error("architectures", "is missing").help(supported()));
    };
    match FAMILIES.iter().find(|(known, _)| known == name) {
        Some((_, family)) => family(&Source { cfg: config, has }),
        None => {
            Err(unsupported(format!("the architecture {name} is not supported")).help(supported()))
        }
    }
}

/// Checkpoints whose weights are in a quantized format of another program.
fn refuse_quantized(config: &Config) -> Result<()> {
    let Some(section) = config.section("quantization_config")? else { return Ok(()) };
    let method = match section.opt_str("quant_method")? {
        Some(method) => method.to_owned(),
        None if section.has("load_in_4bit") || section.has("load_in_8bit") => {
            "bitsandbytes".to_owned()
        }
        None => "an unnamed method".to_owned(),
    };
    Err(unsupported(format!("the checkpoint is quantized already, by {method}"))
        .help("give the original in f32, f16 or bf16; driftc quantizes itself (--quantize)"))
}

/// Opens a folder, or fails with what is wrong with it.
pub fn open(folder: &Path) -> Result<Checkpoint> {
    let path = folder.join("config.json");
    if !path.exists() {
        return Err(no_config(folder));
    }
    let config = Config::read(&path)?;
    // a model that cannot be read is refused before its weights are looked at
    describe(&config, &|_| true)?;
    let store = WeightStore::open(folder).map_err(|e| {
        let kind = if e.is_unsupported() { ErrorKind::Unsupported } else { ErrorKind::Invalid };
        StageError { help: e.help(), ..StageError::new(config::STAGE, kind, e.to_string()) }
    })?;
    let decoder = describe(&config, &|name| store.contains(name))?;
    let mut notes = Vec::new();
    let unread = weights::check(&decoder, &store)?;
    note_unread(&decoder, &unread, &mut notes)?;
    let generation = match folder.join("generation_config.json") {
        path if path.exists() => Some(Config::read(&path)?),
        _ => None,
    };
    Ok(Checkpoint {
        decoder,
        store,
        generation,
        tokenizer: chat::TokenizerFacts::read(folder)?,
        tokenizer_files: tokenizer_files(folder),
        config,
        notes,
    })
}

fn no_config(folder: &Path) -> StageError {
    let error = invalid(format!("{}: no config.json is here", folder.display()));
    let adapter = folder.join("adapter_config.json").exists();
    error.help(if adapter {
        "this is an adapter: merge it into its model (peft: merge_and_unload), then save that"
    } else {
        "give the folder of a model as downloaded: config.json, *.safetensors, tokenizer.json"
    })
}

/// Tensors that nothing reads: buffers that old versions saved are ignored, other parts of a larger
/// model are noted, and what is unknown inside a layer means that the model is not what it says.
fn note_unread(decoder: &Decoder, unread: &[&str], notes: &mut Vec<String>) -> Result<()> {
    let buffer = |name: &str| {
        ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".embed_positions.weights"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    // "model.layers.0.": what is common to the tensors of a layer
    let first = &decoder.layers[0].attention_norm.gamma.parts[0].0;
    let stem = first.find(".0.").map_or("", |at| &first[..at + 1]);
    let in_layer = |name: &str| {
        let number = name.strip_prefix(stem).and_then(|rest| rest.split('.').next());
        number.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n < decoder.layers.len())
    };
    let others: Vec<&&str> = unread.iter().filter(|name| !buffer(name)).collect();
    if let Some(name) = others.iter().find(|name| !stem.is_empty() && in_layer(name)) {
        return Err(unsupported(format!(
            "the checkpoint has a tensor `{name}`, which a {} model of this configuration does not",
            decoder.family
        ))
        .help(
            "config.json and the checkpoint must be of the same model; adapters must be merged",
        ));
    }
    let tied = |name: &str| name.ends_with("lm_head.weight") && decoder.head.weights.is_none();
    let others: Vec<&&&str> = others.iter().filter(|name| !tied(name)).collect();
    if let Some(first) = others.first() {
        let count = others.len();
        notes.push(format!("{count} tensors of the checkpoint are not used, the first is {first}"));
    }
    Ok(())
}

/// `tokenizer.json` has all there is to know; without it, the files of older tokenizers.
fn tokenizer_files(folder: &Path) -> Vec<PathBuf> {
    let whole = ["tokenizer.json", "tokenizer_config.json"];
    let parts = [
        "tokenizer_config.json",
        "tokenizer.model",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "special_tokens_map.json",
    ];
    let names: &[&str] = if folder.join(whole[0]).exists() { &whole } else { &parts };
    names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
}

/// Reads a folder and builds its graphs.
pub fn module(folder: &Path, options: &Options) -> Result<Module> {
    open(folder)?.module(options)
}

impl Checkpoint {
    /// The graphs of all entry points, and the assets of the bundle.
    pub fn module(&self, options: &Options) -> Result<Module> {
        let mut notes = self.notes.clone();
        let resolved = options.resolve(&self.decoder, &mut notes)?;
        let network = decoder::Network::new(&self.decoder, &self.store, &resolved)?;
        let entries = network.entries()?;
        let mut assets = Vec::new();
        for path in &self.tokenizer_files {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let bytes = std::fs::read(path)
                .map_err(|e| invalid(format!("cannot read {}: {e}", path.display())))?;
            assets.extend(name.map(|name| (name, bytes)));
        }
        if self.tokenizer_files.is_empty() {
            notes.push(
                "the folder has no tokenizer: the bundle takes token ids, not text".to_owned(),
            );
        }
        let model = json!({
            "family": self.decoder.family,
            "vocab": self.decoder.vocab,
            "context": resolved.context,
            "chunk": resolved.chunk,
            "max_positions": self.decoder.max_positions,
            // the smallest ring: how far back a text can be cut without reading it again
            "ring": self.ring(&resolved),
            // a conversation that grows past it must be read again from its first token
            "rope_switch": self.decoder.ropes.iter().find_map(|r| r.switch(resolved.context)),
        });
        let chat = chat::asset(
            &self.tokenizer,
            &self.config,
            self.generation.as_ref(),
            model,
            &mut notes,
        )?;
        assets.push(("chat.json".to_owned(), chat));
        let model_nodes = entries.first().map_or(0, |(_, graph)| graph.node_count());
        Ok(Module { model_nodes, entries, notes, assets })
    }

    /// Slots beyond its window of the smallest ring cache; `None` when every layer keeps all.
    fn ring(&self, resolved: &Resolved) -> Option<usize> {
        let windows = self.decoder.layers.iter().filter_map(|l| l.attention.window);
        let rings = windows.filter_map(|w| {
            let slots = resolved.slots(Some(w));
            (slots < resolved.context).then(|| slots - w)
        });
        rings.min()
    }
}
