//! The tokenizer of a model folder, whatever its files are.

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::{pairs, sentencepiece, tiktoken};
use serde_json::{Value, json};
use std::path::Path;

/// What `tokenizer_config.json` and `special_tokens_map.json` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub bos: Option<String>,
    pub eos: Option<String>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
}

/// Longest file that is read: vocabularies of a million tokens have 40 MB.
const MAX_BYTES: u64 = 1 << 28;

/// A file of the folder; `None` where there is none.
fn file(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    let at = |e: std::io::Error| Error::File(format!("{}: {e}", path.display()));
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at(e)),
        Ok(m) if m.len() > MAX_BYTES => {
            let what = format!("{}: {} bytes are too many", path.display(), m.len());
            return Err(Error::File(what));
        }
        Ok(_) => {}
    }
    std::fs::read(&path).map(Some).map_err(at)
}

fn json_file(folder: &Path, name: &str) -> Result<Value> {
    match file(folder, name)? {
        None => Ok(Value::Null),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| Error::invalid(folder.join(name).display(), e)),
    }
}

/// A token as text: `"<s>"` or `{"content": "<s>", …}`.
fn token(v: &Value) -> Option<String> {
    v.as_str().or_else(|| v.get("content")?.as_str()).map(str::to_owned)
}

impl Settings {
    pub fn read(folder: &Path) -> Result<Settings> {
        let config = json_file(folder, "tokenizer_config.json")?;
        let map = json_file(folder, "special_tokens_map.json")?;
        let named = |key: &str| token(&config[key]).or_else(|| token(&map[key]));
        Ok(Settings {
            bos: named("bos_token"),
            eos: named("eos_token"),
            add_bos: config["add_bos_token"].as_bool(),
            add_eos: config["add_eos_token"].as_bool(),
        })
    }
}

/// The tokenizer of a folder; `None` if it has none.
///
/// In this order: `tokenizer.json`, `tokenizer.model` (SentencePiece or tiktoken, told apart by their
/// first bytes), `vocab.json` with `merges.txt`.
pub fn read(folder: &Path, settings: &Settings) -> Result<Option<Tokenizer>> {
    let at = folder.display();
    if let Some(json) = file(folder, "tokenizer.json")? {
        return Tokenizer::from_json(json).map(Some).map_err(|e| e.in_file(at));
    }
    if let Some(bytes) = file(folder, "tokenizer.model")? {
        let convert = match sentencepiece::looks_like(&bytes) {
            true => sentencepiece::to_json,
            false => tiktoken::to_json,
        };
        let json = convert(&bytes, settings).map_err(|e| e.in_file(&at))?;
        return Tokenizer::from_json(json).map(Some).map_err(|e| e.in_file(at));
    }
    if let (Some(vocab), Some(merges)) = (file(folder, "vocab.json")?, file(folder, "merges.txt")?)
    {
        let merges = String::from_utf8_lossy(&merges);
        let json = pairs::to_json(&vocab, &merges, settings).map_err(|e| e.in_file(&at))?;
        return Tokenizer::from_json(json).map(Some).map_err(|e| e.in_file(at));
    }
    Ok(None)
}

/// Post-processor that puts a token in front and one behind.
pub(crate) fn around(bos: Option<(&str, u32)>, eos: Option<(&str, u32)>) -> Value {
    let special = |t: &(&str, u32)| json!({ "SpecialToken": { "id": t.0, "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let single: Vec<Value> =
        bos.iter().map(special).chain([text]).chain(eos.iter().map(special)).collect();
    let tokens: serde_json::Map<String, Value> = bos
        .iter()
        .chain(&eos)
        .map(|(t, id)| ((*t).to_owned(), json!({ "id": t, "ids": [id], "tokens": [t] })))
        .collect();
    if tokens.is_empty() {
        return Value::Null;
    }
    json!({
        "type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": tokens,
    })
}

/// Name of the asset of a bundle that holds the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
