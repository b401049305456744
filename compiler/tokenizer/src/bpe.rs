//! Byte-pair encoding: the symbols of a piece are merged pair by pair, the best pair first.

use crate::error::{Error, Result};
use crate::vocab::{BuildFast, Vocab};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;

/// `model` of a tokenizer.json, as in the file.
#[derive(Default, serde::Deserialize)]
pub struct BpeFile<'a> {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(default, borrow)]
    pub vocab: VocabFile<'a>,
    #[serde(default, borrow)]
    pub merges: Vec<Merge<'a>>,
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    pub dropout: Option<f64>,
    /// Ours: neighbouring merges with the same result have equal rank, and the leftmost pair goes
    /// first, which is how SentencePiece and tiktoken do it. Other readers do not know it, and
    /// differ in rare runs of equal characters.
    #[serde(default)]
    pub drift_equal_ranks: bool,
}

/// Token and id; other models than BPE write a list here.
#[derive(Default)]
pub enum VocabFile<'a> {
    #[default]
    Absent,
    Map(Vec<(Cow<'a, str>, u32)>),
    List,
}

/// A string of the file, without a copy where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Text<'a>, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(V)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for VocabFile<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<VocabFile<'a>, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = VocabFile<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from token to id")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabFile<'de>, A::Error> {
                let mut out = Vec::new();
                while let Some((token, id)) = map.next_entry::<Text<'de>, u32>()? {
                    out.push((token.0, id));
                }
                Ok(VocabFile::Map(out))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VocabFile<'de>, A::Error> {
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(VocabFile::List)
            }
        }
        d.deserialize_any(V)
    }
}

/// A pair of tokens, written as "a b" or ["a", "b"].
pub struct Merge<'a>(Cow<'a, str>, Cow<'a, str>);

/// The two tokens of "a b".
fn halves(text: &str) -> Option<(&str, &str)> {
    text.split_once(' ').filter(|(_, b)| !b.contains(' '))
}

impl<'de: 'a, 'a> Deserialize<'de> for Merge<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Merge<'a>, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Merge<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: \"a b\" or [\"a\", \"b\"]")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Merge<'de>, E> {
                let (a, b) = halves(text).ok_or_else(|| no_merge(text))?;
                Ok(Merge(a.into(), b.into()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Merge<'de>, E> {
                let (a, b) = halves(text).ok_or_else(|| no_merge(text))?;
                Ok(Merge(a.to_owned().into(), b.to_owned().into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge<'de>, A::Error> {
                let mut next = |i| {
                    let text = seq.next_element::<Text<'de>>()?;
                    text.map(|t| t.0).ok_or_else(|| de::Error::invalid_length(i, &self))
                };
                Ok(Merge(next(0)?, next(1)?))
            }
        }
        d.deserialize_any(V)
    }
}

fn no_merge<E: de::Error>(text: &str) -> E {
    E::custom(format!("`{text}` is no merge of two tokens"))
}

pub struct Bpe {
    vocab: Vocab,
    /// Pair of ids to (rank, id of the result); lower ranks first.
    merges: HashMap<(u32, u32), (u32, u32), BuildFast>,
    /// Ids of `<0x00>`..`<0xFF>`, where all exist.
    byte_ids: Option<Box<[u32; 256]>>,
    unk: Option<u32>,
    prefix: String,
    suffix: String,
    fuse_unk: bool,
    ignore_merges: bool,
}

impl Bpe {
    pub fn new(file: BpeFile<'_>) -> Result<Bpe> {
        let at = "model";
        if let Some(kind) = file.kind.as_deref().filter(|k| *k != "BPE") {
            let what = format!("model {kind} is not supported (known is: BPE)");
            return Err(Error::unsupported(at, what));
        }
        if file.dropout.is_some_and(|d| d != 0.0) {
            return Err(Error::unsupported(at, "dropout is for training"));
        }
        let vocab = match &file.vocab {
            VocabFile::Map(list) => Vocab::new(list.iter().map(|(t, id)| (t.as_ref(), *id)))?,
            VocabFile::Absent => return Err(Error::invalid(at, "there is no `vocab`")),
            VocabFile::List => {
                let what = "the vocabulary is a list, as of Unigram (known is: BPE)";
                return Err(Error::unsupported("model.vocab", what));
            }
        };
        let prefix = file.continuing_subword_prefix.unwrap_or_default();
        let mut merges = HashMap::with_capacity_and_hasher(file.merges.len(), BuildFast::default());
        let (mut rank, mut previous) = (0u32, None);
        let mut merged = String::new();
        for (i, Merge(a, b)) in file.merges.iter().enumerate() {
            merged.clear();
            merged += a;
            merged += b.strip_prefix(prefix.as_str()).unwrap_or(b);
            let id = |t: &str| {
                vocab.id(t).ok_or_else(|| {
                    let what = format!("`{t}` of the merge `{a} {b}` is not in the vocabulary");
                    Error::invalid(format!("model.merges[{i}]"), what)
                })
            };
            let result = id(&merged)?;
            let shared = file.drift_equal_ranks && previous == Some(result);
            rank += u32::from(i > 0 && !shared);
            previous = Some(result);
            merges.insert((id(a)?, id(b)?), (rank, result));
        }
        let mut byte_ids = None;
        if file.byte_fallback {
            let mut table = Box::new([0; 256]);
            let found = (0..256).filter(|&b| {
                let id = vocab.id(&format!("<0x{b:02X}>"));
                table[b] = id.unwrap_or(0);
                id.is_some()
            });
            if found.count() != 256 {
                let what = "byte_fallback needs all of <0x00> to <0xFF>";
                return Err(Error::invalid("model.vocab", what));
            }
            byte_ids = Some(table);
        }
        let unk = match &file.unk_token {
            None => None,
            Some(t) => Some(vocab.id(t).ok_or_else(|| {
                Error::invalid("model.unk_token", format!("`{t}` is not in the vocabulary"))
            })?),
        };
        Ok(Bpe {
            vocab,
            merges,
            byte_ids,
            unk,
            prefix,
            suffix: file.end_of_word_suffix.unwrap_or_default(),
            fuse_unk: file.fuse_unk,
            ignore_merges: file.ignore_merges,
        })
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocab.id(token)
    }

    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocab.token(id)
    }

    /// Largest id + 1.
    pub fn size(&self) -> usize {
        self.vocab.size()
    }

    /// Encodes one piece.
    pub fn encode(&self, piece: &str, out: &mut Vec<u32>) {
        if self.ignore_merges
            && let Some(id) = self.id(piece)
        {
            out.push(id);
            return;
        }
        let mut symbols = self.symbols(piece);
        self.merge(&mut symbols);
        out.extend(symbols.iter().filter(|s| s.alive).map(|s| s.id));
    }

    /// The symbols that merging starts from: characters, bytes of unknown ones, or `unk_token`.
    fn symbols(&self, piece: &str) -> Vec<Symbol> {
        let mut out: Vec<Symbol> = Vec::with_capacity(piece.len());
        let mut unknown_before = false;
        let mut buffer = String::new();
        for (i, c) in piece.char_indices() {
            buffer.clear();
            if i > 0 {
                buffer.push_str(&self.prefix);
            }
            buffer.push(c);
            if i + c.len_utf8() == piece.len() {
                buffer.push_str(&self.suffix);
            }
            if let Some(id) = self.id(&buffer) {
                out.push(Symbol::new(id));
                unknown_before = false;
            } else if let Some(table) = &self.byte_ids {
                out.extend(buffer.bytes().map(|b| Symbol::new(table[usize::from(b)])));
                unknown_before = false;
            } else if let Some(unk) = self.unk {
                if !(unknown_before && self.fuse_unk) {
                    out.push(Symbol::new(unk));
                }
                unknown_before = true;
            }
        }
        let n = out.len();
        for (i, s) in out.iter_mut().enumerate() {
            s.previous = i.wrapping_sub(1);
            s.next = i + 1;
        }
        if n > 0 {
            out[n - 1].next = usize::MAX;
        }
        out
    }

    /// Merges until no pair of neighbours is in the table; O(n log n).
    fn merge(&self, symbols: &mut [Symbol]) {
        let candidate = |symbols: &[Symbol], left: usize| -> Option<Reverse<Candidate>> {
            let right = symbols.get(symbols.get(left)?.next)?;
            let pair = (symbols[left].id, right.id);
            let &(rank, result) = self.merges.get(&pair)?;
            Some(Reverse(Candidate { rank, left, pair, result }))
        };
        let mut heap: BinaryHeap<_> =
            (0..symbols.len()).filter_map(|i| candidate(symbols, i)).collect();
        while let Some(Reverse(c)) = heap.pop() {
            let left = symbols[c.left];
            let right = symbols.get(left.next).copied();
            // stale: one of the two has been merged with another since
            let Some(right) = right.filter(|r| left.alive && (left.id, r.id) == c.pair) else {
                continue;
            };
            symbols[left.next].alive = false;
            symbols[c.left].id = c.result;
            symbols[c.left].next = right.next;
            if let Some(after) = symbols.get_mut(right.next) {
                after.previous = c.left;
            }
            heap.extend(candidate(symbols, left.previous));
            heap.extend(candidate(symbols, c.left));
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Symbol {
    id: u32,
    alive: bool,
    /// Index of the neighbour; out of range at the ends.
    previous: usize,
    next: usize,
}

impl Symbol {
    fn new(id: u32) -> Symbol {
        Symbol { id, alive: true, previous: usize::MAX, next: usize::MAX }
    }
}

/// Best first: the lowest rank, then the leftmost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    pair: (u32, u32),
    result: u32,
}
