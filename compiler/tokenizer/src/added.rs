//! Added tokens: strings that are cut out of a text before anything else sees them.

use crate::error::Result;
use crate::json::At;
use crate::split::Pattern;
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    pub id: u32,
    pub content: String,
    /// Only as a whole word.
    pub single_word: bool,
    /// Swallows white space in front of it.
    pub lstrip: bool,
    /// Swallows white space behind it.
    pub rstrip: bool,
    /// Looked for in the normalized text instead of the given one.
    pub normalized: bool,
    /// Left out when decoding for people.
    pub special: bool,
}

impl AddedToken {
    pub fn read(at: &At<'_>) -> Result<AddedToken> {
        let special = at.flag("special", false)?;
        Ok(AddedToken {
            id: at.number("id", None)?,
            content: at.text("content")?.to_owned(),
            single_word: at.flag("single_word", false)?,
            lstrip: at.flag("lstrip", false)?,
            rstrip: at.flag("rstrip", false)?,
            normalized: at.flag("normalized", !special)?,
            special,
        })
    }
}

/// A part of a text: an added token, or what is between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Token(u32),
    Text { text: &'a str, offset: usize },
}

/// Finds tokens in a text: leftmost first, the longest of those that start there.
#[derive(Default)]
pub struct Finder {
    tokens: Vec<(String, AddedToken)>,
    /// Per first byte: tokens, longest first.
    by_byte: HashMap<u8, Vec<usize>>,
    /// What belongs to a word, for tokens that must be whole ones.
    word: Option<Pattern>,
}

impl Finder {
    /// `tokens` with the string to look for.
    pub fn new(tokens: Vec<(String, AddedToken)>) -> Result<Finder> {
        let mut by_byte: HashMap<u8, Vec<usize>> = HashMap::new();
        for (i, (text, _)) in tokens.iter().enumerate() {
            if let Some(byte) = text.bytes().next() {
                by_byte.entry(byte).or_default().push(i);
            }
        }
        for list in by_byte.values_mut() {
            list.sort_by_key(|i| std::cmp::Reverse(tokens[*i].0.len()));
        }
        let words = tokens.iter().any(|t| t.1.single_word);
        let word = words.then(|| Pattern::regex(r"\w")).transpose()?;
        Ok(Finder { tokens, by_byte, word })
    }

    fn at(&self, text: &str, i: usize) -> Option<&(String, AddedToken)> {
        let bytes = &text.as_bytes()[i..];
        let list = self.by_byte.get(bytes.first()?)?;
        list.iter().map(|t| &self.tokens[*t]).find(|t| bytes.starts_with(t.0.as_bytes()))
    }

    /// Whether no word goes on from the end of `before` or into `after`.
    fn alone(&self, before: &str, after: &str) -> bool {
        let word = |c: Option<char>| match (c, &self.word) {
            (Some(c), Some(word)) => {
                word.find(c.encode_utf8(&mut [0; 4])).is_ok_and(|m| !m.is_empty())
            }
            _ => false,
        };
        !word(before.chars().next_back()) && !word(after.chars().next())
    }

    /// Cuts `text` into tokens and the rest.
    pub fn parts<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let (mut out, mut done, mut i) = (Vec::new(), 0, 0);
        let rest = |from: usize, to: usize| Part::Text { text: &text[from..to], offset: from };
        while i < text.len() && !self.by_byte.is_empty() {
            let Some((found, token)) = self.at(text, i) else {
                i += 1;
                continue;
            };
            let (mut start, mut stop) = (i, i + found.len());
            i = stop;
            if token.single_word && !self.alone(&text[..start], &text[stop..]) {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end().len();
            }
            // spaces that the token before swallowed stay with it
            start = start.max(done);
            if token.rstrip {
                stop = text.len() - text[stop..].trim_start().len();
            }
            if done < start {
                out.push(rest(done, start));
            }
            out.push(Part::Token(token.id));
            done = stop;
            i = i.max(stop);
        }
        if done < text.len() {
            out.push(rest(done, text.len()));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str) -> AddedToken {
        AddedToken {
            id,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }

    fn finder(tokens: Vec<AddedToken>) -> Finder {
        Finder::new(tokens.into_iter().map(|t| (t.content.clone(), t)).collect()).unwrap()
    }

    fn shown(f: &Finder, text: &str) -> String {
        let show = |p: &Part<'_>| match p {
            Part::Token(id) => format!("#{id}"),
            Part::Text { text, .. } => format!("[{text}]"),
        };
        f.parts(text).iter().map(show).collect()
    }

    #[test]
    fn the_longest_of_the_leftmost_wins() {
        let f = finder(vec![token(1, "<a>"), token(2, "<a><b>"), token(3, "é")]);
        assert_eq!(shown(&f, "x<a><b>y<a>é"), "[x]#2[y]#1#3");
        assert_eq!(shown(&f, ""), "");
        assert_eq!(shown(&f, "<a"), "[<a]");
    }

    #[test]
    fn strips_and_words() {
        let mask = AddedToken { lstrip: true, rstrip: true, ..token(1, "<m>") };
        let word = AddedToken { single_word: true, ..token(2, "cat") };
        let f = finder(vec![mask, word]);
        assert_eq!(shown(&f, "a  <m> \n<m>b"), "[a]#1#1[b]");
        assert_eq!(shown(&f, "concat cat, cats"), "[concat ]#2[, cats]");
        // a joiner belongs to the word, a circled digit does not
        assert_eq!(shown(&f, "\u{200d}cat ①cat"), "[\u{200d}cat ①]#2");
    }
}
