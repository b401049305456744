//! Tokens by id and ids by token.
//!
//! Vocabularies have up to a quarter of a million tokens, and a command that generates text should
//! not spend its first half second on one: all texts lie in one string, and the table from text to
//! id has no allocations of its own.

use crate::error::{Error, Result};
use std::hash::{BuildHasherDefault, Hasher};

/// Ids beyond this are refused: the table of tokens is as long as the largest.
const MAX_ID: u32 = 1 << 24;
/// No token.
const NONE: u32 = u32::MAX;

pub struct Vocab {
    text: String,
    /// Per id: start and end in `text`; `NONE` where the numbering has a gap.
    spans: Vec<(u32, u32)>,
    /// Ids by hash of the text, open addressing; `NONE` where nothing is.
    table: Vec<u32>,
}

impl Vocab {
    pub fn new<'a>(tokens: impl ExactSizeIterator<Item = (&'a str, u32)> + Clone) -> Result<Vocab> {
        let at = "model.vocab";
        let largest = tokens.clone().map(|t| t.1).max();
        if let Some(id) = largest.filter(|id| *id >= MAX_ID) {
            return Err(Error::invalid(at, format!("id {id} is beyond {}", MAX_ID - 1)));
        }
        let bytes: usize = tokens.clone().map(|t| t.0.len()).sum();
        if bytes >= NONE as usize {
            return Err(Error::invalid(at, "the tokens have 4 GiB or more of text"));
        }
        let slots = (2 * tokens.len()).next_power_of_two();
        let mut vocab = Vocab {
            text: String::with_capacity(bytes),
            spans: vec![(NONE, NONE); largest.map_or(0, |id| id as usize + 1)],
            table: vec![NONE; slots],
        };
        for (token, id) in tokens {
            if let Some(other) = vocab.token(id) {
                let what = format!("`{other}` and `{token}` have the same id {id}");
                return Err(Error::invalid(at, what));
            }
            let start = vocab.text.len();
            vocab.text.push_str(token);
            vocab.spans[id as usize] = (start as u32, vocab.text.len() as u32);
            let slot = vocab.slot(token);
            if vocab.table[slot] != NONE {
                return Err(Error::invalid(at, format!("`{token}` is there twice")));
            }
            vocab.table[slot] = id;
        }
        Ok(vocab)
    }

    pub fn token(&self, id: u32) -> Option<&str> {
        let (start, end) = *self.spans.get(id as usize)?;
        self.text.get(start as usize..end as usize)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        Some(self.table[self.slot(token)]).filter(|id| *id != NONE)
    }

    /// Largest id + 1.
    pub fn size(&self) -> usize {
        self.spans.len()
    }

    /// Where a token is, or would be. At most half of the table is taken, so there is an end.
    fn slot(&self, token: &str) -> usize {
        let mut hasher = Fast::default();
        hasher.write(token.as_bytes());
        let mask = self.table.len() - 1;
        let mut slot = hasher.finish() as usize & mask;
        while self.table[slot] != NONE && self.token(self.table[slot]) != Some(token) {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

/// A quick hash. Whoever wants collisions can have them: tokenizers are read once, of models that one
/// runs.
#[derive(Default)]
pub struct Fast(u64);

pub type BuildFast = BuildHasherDefault<Fast>;

impl Fast {
    fn add(&mut self, word: u64) {
        // 2^64 over the golden ratio; the product's high half goes back into the low one
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|w| self.add(u64::from_le_bytes(*w)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // the length tells "a" from "a\0", and nothing from zero
        self.add(u64::from_le_bytes(last) ^ (bytes.len() as u64 + 1) << 56);
    }

    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n) + 1);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in() {
        let words: Vec<String> =
            (0..1000).map(|i| "ab\0é".repeat(i % 7) + &i.to_string()).collect();
        // ids with gaps
        let list: Vec<(&str, u32)> =
            words.iter().enumerate().map(|(i, w)| (w.as_str(), 3 * i as u32)).collect();
        let vocab = Vocab::new(list.iter().copied()).unwrap();
        assert_eq!(vocab.size(), 2998);
        for (word, id) in &list {
            assert_eq!((vocab.id(word), vocab.token(*id)), (Some(*id), Some(*word)));
            assert_eq!(vocab.token(id + 1), None);
        }
        assert_eq!((vocab.id("ab"), vocab.id(""), vocab.token(9999)), (None, None, None));
        let empty = Vocab::new([].into_iter()).unwrap();
        assert_eq!((empty.size(), empty.id("a")), (0, None));
    }

    #[test]
    fn contradictions_are_named() {
        let why = |list: &[(&str, u32)]| match Vocab::new(list.iter().copied()) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        };
        assert!(why(&[("a", 1), ("b", 1)]).contains("`a` and `b` have the same id 1"));
        assert!(why(&[("a", 1), ("a", 2)]).contains("`a` is there twice"));
        assert!(why(&[("a", u32::MAX)]).contains("4294967295"));
    }
}
