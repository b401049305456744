//! `vocab.json` and `merges.txt`: the older form of byte-level vocabularies (GPT-2, CLIP).

use crate::error::{Error, Result};
use crate::folder::{Settings, around};
use serde_json::{Map, Value, json};

/// How CLIP splits text: every digit on its own, no spaces.
const CLIP: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The `tokenizer.json` of a vocabulary and its merges.
pub fn to_json(vocab: &[u8], merges: &str, settings: &Settings) -> Result<Vec<u8>> {
    let vocab: Map<String, Value> =
        serde_json::from_slice(vocab).map_err(|e| Error::invalid("vocab.json", e))?;
    let mut pairs = Vec::new();
    for (n, line) in merges.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || (n == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split_once(' ') {
            Some((a, b)) if !b.contains(' ') => pairs.push([a, b]),
            _ => {
                let at = format!("merges.txt: line {}", n + 1);
                return Err(Error::invalid(at, "expected two tokens"));
            }
        }
    }
    let id = |token: &str| vocab.get(token).and_then(Value::as_u64);
    let special = |name: &Option<String>, other: &'static str| {
        let name = name.clone().unwrap_or_else(|| other.to_owned());
        id(&name).map(|id| (name, id as u32))
    };
    let clip = id("<|startoftext|>").is_some() && id("a</w>").is_some();
    let bos = special(&settings.bos, if clip { "<|startoftext|>" } else { "<|endoftext|>" });
    let eos = special(&settings.eos, "<|endoftext|>");
    let mut added: Vec<Value> = Vec::new();
    for (name, id) in bos.iter().chain(&eos) {
        if !added.iter().any(|t| t["id"] == json!(id)) {
            added.push(json!({
                "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": clip, "special": true,
            }));
        }
    }
    let pair = |token: &Option<(String, u32)>, default: bool, wanted: Option<bool>| {
        token.clone().filter(|_| wanted.unwrap_or(default))
    };
    let (before, after) = (pair(&bos, clip, settings.add_bos), pair(&eos, clip, settings.add_eos));
    let level = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let mut file = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": level(true),
        "post_processor": around(
            before.as_ref().map(|(t, id)| (t.as_str(), *id)),
            after.as_ref().map(|(t, id)| (t.as_str(), *id)),
        ),
        "decoder": level(true),
        "model": { "type": "BPE", "vocab": vocab, "merges": pairs },
    });
    if clip {
        let spaces = json!({ "Regex": r"\s+" });
        file["normalizer"] = json!({ "type": "Sequence", "normalizers": [
            // what transformers does where `ftfy` is not installed
            {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": false, "lowercase": true,
            },
            { "type": "NFC" },
            { "type": "Replace", "pattern": spaces, "content": " " },
        ] });
        let split = json!({
            "type": "Split", "pattern": { "Regex": CLIP }, "behavior": "Removed", "invert": true,
        });
        file["pre_tokenizer"] =
            json!({ "type": "Sequence", "pretokenizers": [split, level(false)] });
        file["decoder"] = json!({ "type": "Sequence", "decoders": [
            { "type": "ByteLevel" },
            { "type": "Replace", "pattern": { "String": "</w>" }, "content": " " },
            { "type": "Strip", "content": " ", "start": 0, "stop": 1 },
        ] });
        file["model"]["unk_token"] = json!(eos.map(|(t, _)| t));
        file["model"]["end_of_word_suffix"] = json!("</w>");
    }
    serde_json::to_vec(&file).map_err(|e| Error::invalid("vocab.json", e))
}
