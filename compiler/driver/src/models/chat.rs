//! What surrounds a conversation: the text around each turn, the tokens that begin and end a text,
//! and the settings of generation. Stored in the bundle as the asset `chat.json`.
//!
//! Chat templates are programs (Jinja); none is run here. A template is recognized by the markers
//! it writes, and the format it belongs to is data. Text of a format holds special tokens by name:
//! it must be tokenized with special tokens recognized.

use super::config::{Config, invalid, read_text};
use crate::error::Result;
use serde_json::{Value, json};
use std::path::Path;

/// Chat templates and token lists; some tokenizers list a quarter of a million entries.
const MAX_BYTES: u64 = 256 << 20;

/// Text around the turns of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatFormat {
    pub name: &'static str,
    /// `None`: the model was not trained with such turns.
    pub system: Option<Turn>,
    /// The system text lies inside the first user turn, before its text.
    pub system_in_user: bool,
    pub user: Turn,
    /// `prefix` is what generation starts after; `suffix` ends the model's answer.
    pub assistant: Turn,
    /// System text when the person gives none.
    pub default_system: String,
    /// Tokens that end the model's turn, by name.
    pub stop: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub prefix: String,
    pub suffix: String,
}

fn turn(prefix: &str, suffix: &str) -> Turn {
    Turn { prefix: prefix.to_owned(), suffix: suffix.to_owned() }
}

/// The format that a template writes; `None` when no known marker is in it.
pub fn recognize(template: &str, bos: &str, eos: &str) -> Option<ChatFormat> {
    let has = |text: &str| template.contains(text);
    let format = |name, system: Option<Turn>, user: Turn, assistant: Turn, stop: &[&str]| {
        let stop = stop.iter().map(|s| (*s).to_owned()).collect();
        let default_system = String::new();
        ChatFormat { name, system, system_in_user: false, user, assistant, default_system, stop }
    };
    if has("<|start_header_id|>") {
        let head = |role: &str| format!("<|start_header_id|>{role}<|end_header_id|>\n\n");
        let end = "<|eot_id|>";
        let mut llama3 = format(
            "llama3",
            Some(turn(&head("system"), end)),
            turn(&head("user"), end),
            turn(&head("assistant"), end),
            &[end, "<|eom_id|>"],
        );
        if has("Cutting Knowledge Date") {
            // 3.1 and later always have a system turn, with two dates before its text
            let dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
            llama3.system = Some(turn(&format!("{}{dates}", head("system")), end));
        }
        return Some(llama3);
    }
    if has("<|im_start|>") {
        let around = |role: &str| turn(&format!("<|im_start|>{role}\n"), "<|im_end|>\n");
        let mut chatml = format(
            "chatml",
            Some(around("system")),
            around("user"),
            around("assistant"),
            &["<|im_end|>"],
        );
        chatml.default_system = literal_after(template, "<|im_start|>system\\n", "<|im_end|>");
        return Some(chatml);
    }
    if has("<start_of_turn>") {
        let around = |role: &str| turn(&format!("<start_of_turn>{role}\n"), "<end_of_turn>\n");
        let mut gemma = format(
            "gemma",
            Some(turn("", "\n\n")),
            around("user"),
            around("model"),
            &["<end_of_turn>"],
        );
        gemma.system_in_user = true;
        return Some(gemma);
    }
    if has("<|user|>") && has("<|end|>") {
        // Phi-3 puts line breaks around texts, Phi-4-mini does not
        let breaks = has("<|user|>\\n") || has("<|user|>' + '\\n") || has("<|end|>\\n");
        let line = if breaks { "\n" } else { "" };
        let around = |role: &str| turn(&format!("<|{role}|>{line}"), &format!("<|end|>{line}"));
        let roles = (around("system"), around("user"), around("assistant"));
        return Some(format("phi3", Some(roles.0), roles.1, roles.2, &["<|end|>"]));
    }
    if has("<|user|>") && has("<|assistant|>") {
        let around = |role: &str| turn(&format!("<|{role}|>\n"), &format!("{eos}\n"));
        let roles = (around("system"), around("user"), around("assistant"));
        return Some(format("zephyr", Some(roles.0), roles.1, roles.2, &[eos]));
    }
    if has("[INST]") && has("<<SYS>>") {
        let mut llama2 = format(
            "llama2",
            Some(turn("<<SYS>>\n", "\n<</SYS>>\n\n")),
            turn("[INST] ", " [/INST]"),
            turn(" ", &format!(" {eos}{bos}")),
            &[eos],
        );
        llama2.system_in_user = true;
        return Some(llama2);
    }
    if has("[INST]") {
        let space = if has("[INST] ") { " " } else { "" };
        let after = if has(" [/INST]") { " " } else { "" };
        let mut mistral = format(
            "mistral",
            Some(turn("", "\n\n")),
            turn(&format!("[INST]{space}"), &format!("{after}[/INST]")),
            turn(space, eos),
            &[eos],
        );
        mistral.system_in_user = true;
        if has("[SYSTEM_PROMPT]") {
            mistral.system = Some(turn("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"));
            mistral.system_in_user = false;
        }
        return Some(mistral);
    }
    None
}

/// Text of a string literal between two markers; empty when it is not plain text.
fn literal_after(template: &str, start: &str, end: &str) -> String {
    for (at, _) in template.match_indices(start) {
        let rest = &template[at + start.len()..];
        if let Some(text) = rest.find(end).map(|n| &rest[..n])
            && !text.is_empty()
            && text.len() < 1000
            && !text.contains(['{', '}', '\'', '"', '+'])
        {
            return text.replace("\\n", "\n");
        }
    }
    String::new()
}

/// What `chat.json` is made from, besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct TokenizerFacts {
    pub template: Option<String>,
    pub bos: Option<String>,
    pub eos: Option<String>,
    /// What `tokenizer_config.json` says, if it does.
    pub add_bos: Option<bool>,
    /// Ids of special tokens by name.
    special: Vec<(String, u32)>,
}

impl TokenizerFacts {
    /// Reads `tokenizer_config.json`, `chat_template.jinja`, and the special tokens of
    /// `tokenizer.json`, as far as they are there.
    pub fn read(folder: &Path) -> Result<TokenizerFacts> {
        let mut facts = TokenizerFacts::default();
        let path = folder.join("tokenizer_config.json");
        if path.exists() {
            let cfg = Config::parse(&path, &read_text(&path, MAX_BYTES)?)?;
            facts.template = template(cfg.get("chat_template"));
            facts.bos = token(cfg.get("bos_token"));
            facts.eos = token(cfg.get("eos_token"));
            facts.add_bos = cfg.opt_bool("add_bos_token")?;
            if let Some(Value::Object(tokens)) = cfg.get("added_tokens_decoder") {
                for (id, token) in tokens {
                    facts.add_special(id.parse().ok(), token.get("content"));
                }
            }
        }
        let path = folder.join("chat_template.jinja");
        if path.exists() {
            facts.template = Some(read_text(&path, 1 << 20)?);
        }
        let path = folder.join("tokenizer.json");
        if path.exists() {
            let text = read_text(&path, MAX_BYTES)?;
            let file: TokenizerFile = serde_json::from_str(&text)
                .map_err(|e| invalid(format!("{}: not a tokenizer: {e}", path.display())))?;
            for token in file.added_tokens {
                facts.special.push((token.content, token.id));
            }
            facts.add_bos = facts.add_bos.or_else(|| {
                let bos = Value::from(facts.bos.as_deref()?).to_string();
                Some(file.post_processor?.to_string().contains(&bos))
            });
        }
        Ok(facts)
    }

    fn add_special(&mut self, id: Option<u32>, content: Option<&Value>) {
        if let (Some(id), Some(name)) = (id, content.and_then(Value::as_str)) {
            self.special.push((name.to_owned(), id));
        }
    }

    fn id(&self, name: &str) -> Option<u32> {
        self.special.iter().find(|(n, _)| n == name).map(|(_, id)| *id)
    }
}

/// What is read of `tokenizer.json`; its vocabulary is skipped.
#[derive(serde::Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    post_processor: Option<Value>,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// A token is a string or an object with the string as `content`.
fn token(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// A template is a string or a list of named ones.
fn template(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let named = |t: &&Value| t.get("name").and_then(Value::as_str) == Some("default");
            let chosen = list.iter().find(named).or(list.first())?;
            Some(chosen.get("template")?.as_str()?.to_owned())
        }
        _ => None,
    }
}

/// The asset `chat.json`. `generation` is `generation_config.json`, `model` what the model is.
pub fn asset(
    facts: &TokenizerFacts,
    cfg: &Config,
    generation: Option<&Config>,
    model: Value,
    notes: &mut Vec<String>,
) -> Result<Vec<u8>> {
    let ids = |key: &str| -> Result<Vec<u32>> {
        let ids = generation.map(|g| g.ids(key)).transpose()?.unwrap_or_default();
        if ids.is_empty() { cfg.ids(key) } else { Ok(ids) }
    };
    let bos = ids("bos_token_id")?.first().copied();
    let mut stop = ids("eos_token_id")?;
    let eos_text = facts.eos.clone().unwrap_or_default();
    let bos_text = facts.bos.clone().unwrap_or_default();
    let format = match &facts.template {
        None => None,
        Some(template) => {
            let format = recognize(template, &bos_text, &eos_text);
            if format.is_none() {
                notes.push(
                    "the chat template is of no known format: `driftc chat` will continue plain \
                     text"
                        .to_owned(),
                );
            }
            format
        }
    };
    let ends = format.iter().flat_map(|f| &f.stop).filter_map(|name| facts.id(name));
    stop.extend(ends.chain(facts.eos.as_deref().and_then(|eos| facts.id(eos))));
    stop.sort_unstable();
    stop.dedup();

    let number = |key: &str, off: f64| -> Result<f64> {
        Ok(generation.map(|g| g.opt_float(key)).transpose()?.flatten().unwrap_or(off))
    };
    let sampled = generation.map(|g| g.bool_or("do_sample", false)).transpose()?.unwrap_or(false);
    let chat = format.map(|f| {
        let turn = |t: &Turn| json!({ "prefix": t.prefix, "suffix": t.suffix });
        json!({
            "format": f.name,
            "system": f.system.as_ref().map(turn),
            "system_in_user": f.system_in_user,
            "default_system": f.default_system,
            "user": turn(&f.user),
            "assistant": turn(&f.assistant),
        })
    });
    let asset = json!({
        "version": 1,
        "model": model,
        "tokens": {
            "bos": bos,
            "add_bos": facts.add_bos.unwrap_or(bos.is_some() && facts.template.is_some()),
            "stop": stop,
        },
        "generation": {
            "temperature": if sampled { number("temperature", 1.0)? } else { 0.0 },
            "top_k": number("top_k", 0.0)?,
            "top_p": number("top_p", 1.0)?,
            "min_p": number("min_p", 0.0)?,
            "repetition_penalty": number("repetition_penalty", 1.0)?,
        },
        "chat": chat,
    });
    // pretty: people look into bundles
    Ok(format!("{asset:#}\n").into_bytes())
}
