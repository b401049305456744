//! `tokenizer.model` of Llama 3: tiktoken's lines of base64 and rank.

use crate::bytes;
use crate::error::{Error, Result};
use crate::folder::{Settings, around};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How Llama 3 splits text (llama-models, models/llama3/tokenizer.py); the file does not say it.
pub const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Special tokens of Llama 3, in the order of ids behind the ranks; the rest up to 256 is reserved.
const SPECIAL: [&str; 11] = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
];
const SPECIAL_COUNT: usize = 256;

/// The `tokenizer.json` of a file of ranks.
pub fn to_json(text: &[u8], settings: &Settings) -> Result<Vec<u8>> {
    let ranks = parse(text)?;
    let rank_of: HashMap<&[u8], usize> =
        ranks.iter().enumerate().map(|(r, t)| (t.as_slice(), r)).collect();
    if rank_of.len() != ranks.len() {
        return Err(Error::invalid("tokenizer.model", "a token is there twice"));
    }
    let mut vocab = Map::new();
    let mut merges = Vec::new();
    for (rank, token) in ranks.iter().enumerate() {
        vocab.insert(bytes::to_text(token), json!(rank));
        // all ways to cut a longer one would take forever, and those there are have 128 bytes
        for at in 1..token.len().min(1024) {
            let (a, b) = token.split_at(at);
            if rank_of.contains_key(a) && rank_of.contains_key(b) {
                merges.push([bytes::to_text(a), bytes::to_text(b)]);
            }
        }
    }
    let reserved = (2..).map(|n| format!("<|reserved_special_token_{}|>", n + 1));
    let names = SPECIAL.iter().map(|s| (*s).to_owned()).chain(reserved).take(SPECIAL_COUNT);
    let added: Vec<Value> = names
        .enumerate()
        .map(|(i, name)| {
            json!({
                "id": ranks.len() + i, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let special = |i: usize| (SPECIAL[i], (ranks.len() + i) as u32);
    let split = json!({
        "type": "Split", "pattern": { "Regex": LLAMA3 }, "behavior": "Isolated", "invert": false,
    });
    let level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    });
    let file = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [split, level] },
        "post_processor": around(
            Some(special(0)).filter(|_| settings.add_bos.unwrap_or(true)),
            Some(special(1)).filter(|_| settings.add_eos.unwrap_or(false)),
        ),
        "decoder": level,
        "model": {
            "type": "BPE", "ignore_merges": true, "drift_equal_ranks": true,
            "vocab": vocab, "merges": merges,
        },
    });
    serde_json::to_vec(&file).map_err(|e| Error::invalid("tokenizer.model", e))
}

/// Bytes of the tokens, by rank.
fn parse(text: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    for (n, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let bad = |what: &str| Error::invalid(format!("tokenizer.model: line {}", n + 1), what);
        let mut words = line.split(|b| *b == b' ');
        let token = words.next().and_then(base64).filter(|t| !t.is_empty());
        let token = token.ok_or_else(|| bad("expected a token in base64 and its rank"))?;
        let rank = words.next().and_then(|w| std::str::from_utf8(w).ok()?.parse::<usize>().ok());
        // ranks are ids: a gap would need ids that no token has
        if rank != Some(out.len()) || words.next().is_some() {
            return Err(bad(&format!("expected rank {}", out.len())));
        }
        out.push(token);
    }
    match out.is_empty() {
        true => Err(Error::invalid("tokenizer.model", "there are no tokens")),
        false => Ok(out),
    }
}

/// RFC 4648 with padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for (i, c) in group.iter().enumerate() {
            let digit = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits |= u32::from(digit) << (18 - 6 * i);
        }
        let n = group.len() * 6 / 8;
        out.extend(&bits.to_be_bytes()[1..1 + n]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (text, want) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo")] {
            assert_eq!(base64(text.as_bytes()), Some(want.as_bytes().to_vec()));
        }
        assert_eq!(base64(b"IQ"), None);
        assert_eq!(base64(b"I!=="), None);
        assert_eq!(base64(b"/+8="), Some(vec![0xff, 0xef]));
    }

    #[test]
    fn lines_that_are_no_ranks_are_named() {
        let e = parse(b"IQ== 0\nIg== 2\n").unwrap_err();
        assert_eq!(e.to_string(), "tokenizer.model: line 2: expected rank 1");
        assert!(parse(b"").is_err() && parse(b"hello world\n").is_err());
    }
}
