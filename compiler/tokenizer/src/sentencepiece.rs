//! `tokenizer.model` of SentencePiece: a protobuf message with pieces and scores.
//!
//! Read by hand: five fields of three messages (sentencepiece_model.proto of
//! github.com/google/sentencepiece). Models of type BPE become byte-pair encoding with one rank per
//! piece, which gives the ids of SentencePiece itself: the pair whose result scores best is merged
//! first, and the leftmost among equals.

use crate::error::{Error, Result};
use crate::folder::Settings;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Space in pieces.
const SPACE: &str = "▁";

const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const BYTE: u64 = 6;

struct Piece {
    text: String,
    score: f32,
    kind: u64,
}

/// What of the file matters here.
struct Model {
    pieces: Vec<Piece>,
    /// 1 Unigram, 2 BPE, 3 words, 4 characters.
    kind: u64,
    byte_fallback: bool,
    bos: i64,
    eos: i64,
    dummy_prefix: bool,
    remove_extra_spaces: bool,
    char_map: bool,
}

/// Whether a file looks like SentencePiece: its first field is a piece, not a line of base64.
pub fn looks_like(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x0a) && Message(bytes).next().is_some_and(|f| f.is_ok())
}

/// The `tokenizer.json` of a SentencePiece model.
pub fn to_json(bytes: &[u8], settings: &Settings) -> Result<Vec<u8>> {
    let model = parse(bytes)?;
    if model.kind != 2 {
        let kind = ["Unigram", "BPE", "words", "characters"];
        let kind = kind.get((model.kind as usize).wrapping_sub(1)).unwrap_or(&"unknown");
        let what = format!("SentencePiece model of type {kind} is not supported (known is: BPE)");
        return Err(Error::unsupported("tokenizer.model", what));
    }
    if model.char_map {
        let what = "its normalizer has a character map; known are models that keep text as it is";
        return Err(Error::unsupported("tokenizer.model", what)
            .in_file("give the folder a tokenizer.json as well"));
    }
    let mut vocab = Map::new();
    let mut added = Vec::new();
    let mut unk = Value::Null;
    for (id, p) in model.pieces.iter().enumerate() {
        vocab.insert(p.text.clone(), json!(id));
        if p.kind == UNKNOWN {
            unk = json!(p.text);
        }
        if matches!(p.kind, UNKNOWN | CONTROL | USER_DEFINED) {
            // a user-defined symbol with ▁ is found where spaces have become ▁
            let normalized =
                p.kind == USER_DEFINED && p.text.contains(SPACE) && !model.dummy_prefix;
            added.push(json!({
                "id": id, "content": p.text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": normalized, "special": p.kind != USER_DEFINED,
            }));
        }
    }
    if vocab.len() != model.pieces.len() {
        return Err(Error::invalid("tokenizer.model", "a piece is there twice"));
    }
    let mut normalizers = Vec::new();
    if model.remove_extra_spaces {
        normalizers.push(json!({ "type": "Strip", "strip_left": true, "strip_right": true }));
        let pattern = json!({ "Regex": " {2,}" });
        normalizers.push(json!({ "type": "Replace", "pattern": pattern, "content": " " }));
    }
    if model.dummy_prefix {
        normalizers.push(json!({ "type": "Prepend", "prepend": SPACE }));
    }
    let space = json!({ "String": " " });
    normalizers.push(json!({ "type": "Replace", "pattern": space, "content": SPACE }));
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if model.dummy_prefix {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let token = |id: i64| {
        let piece = usize::try_from(id).ok().and_then(|id| model.pieces.get(id));
        piece.map(|p| (p.text.as_str(), id as u32))
    };
    let file = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": crate::folder::around(
            token(model.bos).filter(|_| settings.add_bos.unwrap_or(true)),
            token(model.eos).filter(|_| settings.add_eos.unwrap_or(false)),
        ),
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "unk_token": unk, "fuse_unk": true, "byte_fallback": model.byte_fallback,
            "drift_equal_ranks": true, "vocab": vocab, "merges": merges(&model.pieces),
        },
    });
    serde_json::to_vec(&file).map_err(|e| Error::invalid("tokenizer.model", e))
}

/// Longer pieces are not made by merging: trying all ways to cut them would take forever.
const LONGEST: usize = 1024;

/// All pairs of pieces that make a piece, best result first; pairs with the same result are
/// neighbours.
fn merges(pieces: &[Piece]) -> Vec<[&str; 2]> {
    let usable = |p: &&Piece| matches!(p.kind, NORMAL | USER_DEFINED | BYTE);
    let scores: HashMap<&str, f32> =
        pieces.iter().filter(usable).map(|p| (p.text.as_str(), p.score)).collect();
    let mut order: Vec<usize> = (0..pieces.len()).filter(|i| pieces[*i].kind == NORMAL).collect();
    order.sort_by(|a, b| pieces[*b].score.total_cmp(&pieces[*a].score).then(a.cmp(b)));
    let mut out = Vec::new();
    for i in order {
        let text = pieces[i].text.as_str();
        if text.len() > LONGEST {
            continue;
        }
        for (at, _) in text.char_indices().skip(1) {
            let (a, b) = text.split_at(at);
            if scores.contains_key(a) && scores.contains_key(b) {
                out.push([a, b]);
            }
        }
    }
    out
}

fn parse(bytes: &[u8]) -> Result<Model> {
    let mut m = Model {
        pieces: Vec::new(),
        kind: 1,
        byte_fallback: false,
        bos: 1,
        eos: 2,
        dummy_prefix: true,
        remove_extra_spaces: true,
        char_map: false,
    };
    for field in Message(bytes) {
        match field? {
            (1, Field::Bytes(piece)) => m.pieces.push(parse_piece(piece)?),
            (2, Field::Bytes(trainer)) => {
                for field in Message(trainer) {
                    match field? {
                        (3, Field::Number(n)) => m.kind = n,
                        (35, Field::Number(n)) => m.byte_fallback = n != 0,
                        (41, Field::Number(n)) => m.bos = n as i64,
                        (42, Field::Number(n)) => m.eos = n as i64,
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(normalizer)) => {
                for field in Message(normalizer) {
                    match field? {
                        (2, Field::Bytes(map)) => m.char_map = !map.is_empty(),
                        (3, Field::Number(n)) => m.dummy_prefix = n != 0,
                        (4, Field::Number(n)) => m.remove_extra_spaces = n != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if m.pieces.is_empty() {
        return Err(Error::invalid("tokenizer.model", "there are no pieces"));
    }
    Ok(m)
}

fn parse_piece(bytes: &[u8]) -> Result<Piece> {
    let mut p = Piece { text: String::new(), score: 0.0, kind: NORMAL };
    for field in Message(bytes) {
        match field? {
            (1, Field::Bytes(text)) => {
                p.text = String::from_utf8(text.to_vec())
                    .map_err(|_| Error::invalid("tokenizer.model", "a piece is no UTF-8"))?;
            }
            (2, Field::Fixed(bits)) => p.score = f32::from_bits(bits),
            (3, Field::Number(kind)) => p.kind = kind,
            _ => {}
        }
    }
    Ok(p)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed(u32),
}

/// Fields of a protobuf message, in order.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = self.0.split_first()?;
            self.0 = rest;
            out |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(usize::try_from(n).ok()?)?;
        self.0 = rest;
        Some(head)
    }

    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Bytes(&[])
            }
            2 => {
                let n = self.varint()?;
                Field::Bytes(self.take(n)?)
            }
            5 => Field::Fixed(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, field))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| {
            Error::invalid("tokenizer.model", "neither a SentencePiece model nor tiktoken ranks")
        }))
    }
}
