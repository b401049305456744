//! The tokenizer itself: added tokens, normalizer, pre-tokenizer, model, post-processor, decoder.

use crate::added::{AddedToken, Finder, Part};
use crate::bpe::{Bpe, BpeFile};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::json::At;
use crate::normalize::Normalizer;
use crate::post::Around;
use crate::split::{Piece, PreTokenizer};
use crate::stream::Stream;
use serde_json::Value;
use std::collections::HashMap;

/// Text to token ids and back.
pub struct Tokenizer {
    json: Vec<u8>,
    added: HashMap<u32, AddedToken>,
    /// Ids of added tokens by content.
    added_ids: HashMap<String, u32>,
    /// Tokens looked for in the text as given, and in what the normalizer made of it.
    given: Finder,
    normalized: Finder,
    normalizer: Option<Normalizer>,
    pre: Option<PreTokenizer>,
    model: Bpe,
    around: Around,
    decoder: Option<Decoder>,
}

#[derive(serde::Deserialize)]
struct File<'a> {
    #[serde(default)]
    added_tokens: Value,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(borrow)]
    model: BpeFile<'a>,
}

fn component<T>(value: &Value, name: &str, read: fn(&At<'_>) -> Result<T>) -> Result<Option<T>> {
    (!value.is_null()).then(|| read(&At::new(value, name))).transpose()
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Its `truncation` and `padding` are not applied: they are of
    /// batches for training.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Result<Tokenizer> {
        let json = json.into();
        let file: File<'_> = serde_json::from_slice(&json)
            .map_err(|e| Error::invalid("tokenizer.json", format!("not a tokenizer: {e}")))?;
        let model = Bpe::new(file.model)?;
        let normalizer = component(&file.normalizer, "normalizer", Normalizer::read)?;
        let pre = component(&file.pre_tokenizer, "pre_tokenizer", PreTokenizer::read)?;
        let around = component(&file.post_processor, "post_processor", Around::read)?;
        let decoder = component(&file.decoder, "decoder", Decoder::read)?;
        let mut tokens = Vec::new();
        if !file.added_tokens.is_null() {
            for at in At::new(&file.added_tokens, "added_tokens").list()? {
                tokens.push(AddedToken::read(&at)?);
            }
        }
        let (mut given, mut normalized) = (Vec::new(), Vec::new());
        for t in &tokens {
            if !t.normalized {
                given.push((t.content.clone(), t.clone()));
                continue;
            }
            let content = match &normalizer {
                Some(n) => n.apply(&t.content)?,
                None => t.content.clone(),
            };
            normalized.push((content, t.clone()));
        }
        Ok(Tokenizer {
            json,
            added_ids: tokens.iter().map(|t| (t.content.clone(), t.id)).collect(),
            added: tokens.into_iter().map(|t| (t.id, t)).collect(),
            given: Finder::new(given)?,
            normalized: Finder::new(normalized)?,
            normalizer,
            pre,
            model,
            around: around.unwrap_or_default(),
            decoder,
        })
    }

    /// The `tokenizer.json` that [`Tokenizer::from_json`] reads again.
    pub fn to_json(&self) -> &[u8] {
        &self.json
    }

    /// Ids of a text. `special`: with what the post-processor puts around it (such as `<s>`).
    /// Special tokens that are spelled out in the text become themselves either way.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let mut out = Vec::new();
        if special {
            out.extend(&self.around.before);
        }
        for part in self.given.parts(text) {
            match part {
                Part::Token(id) => out.push(id),
                Part::Text { text, offset } => self.encode_part(text, offset == 0, &mut out)?,
            }
        }
        if special {
            out.extend(&self.around.after);
        }
        Ok(out)
    }

    fn encode_part(&self, text: &str, first: bool, out: &mut Vec<u32>) -> Result<()> {
        let text = match &self.normalizer {
            Some(n) => n.apply(text)?,
            None => text.to_owned(),
        };
        for part in self.normalized.parts(&text) {
            match part {
                Part::Token(id) => out.push(id),
                Part::Text { text, offset } => {
                    let piece = Piece { text: text.to_owned(), first: first && offset == 0 };
                    let pieces = match &self.pre {
                        Some(pre) => pre.apply(vec![piece])?,
                        None => vec![piece],
                    };
                    pieces.iter().for_each(|p| self.model.encode(&p.text, out));
                }
            }
        }
        Ok(())
    }

    /// Text of ids; `special`: with special tokens spelled out. Ids without a token are nothing.
    pub fn decode(&self, ids: &[u32], special: bool) -> String {
        let shown = |id: &u32| special || !self.is_special(*id);
        let tokens: Vec<String> = ids
            .iter()
            .filter(|id| shown(id))
            .filter_map(|id| self.token(*id).map(str::to_owned))
            .collect();
        match &self.decoder {
            None => tokens.join(" "),
            // the one way to fail is a pattern that gives up on tokens of a few characters
            Some(d) => d.apply(tokens).map(|parts| parts.concat()).unwrap_or_default(),
        }
    }

    /// Decodes tokens one by one, behind those of `prompt` (which are not repeated).
    pub fn stream(&self, prompt: &[u32]) -> Stream<'_> {
        Stream::new(self, prompt)
    }

    /// The token of an id, as in the vocabulary.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.added.get(&id).map(|t| t.content.as_str()).or_else(|| self.model.token(id))
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.added_ids.get(token).copied().or_else(|| self.model.id(token))
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.added.get(&id).is_some_and(|t| t.special)
    }

    /// Largest id + 1.
    pub fn size(&self) -> usize {
        let added = self.added.keys().max().map_or(0, |id| *id as usize + 1);
        self.model.size().max(added)
    }

    /// Ids that [`Tokenizer::encode`] puts in front of every text, such as that of `<s>`.
    pub fn prefix(&self) -> &[u32] {
        &self.around.before
    }
}
