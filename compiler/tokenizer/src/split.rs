//! Pre-tokenizers: how a text falls into the pieces that the model encodes one by one.

use crate::bytes;
use crate::error::{Error, Result};
use crate::json::At;
use crate::unicode::Regex;
use std::ops::Range;

/// A stretch of text on its way to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// Whether it stands at the very start of the text that was given.
    pub first: bool,
}

/// What separates pieces, or is replaced.
pub enum Pattern {
    Literal(String),
    Regex(Regex),
    Char(fn(char) -> bool),
}

impl Pattern {
    pub fn read(at: &At<'_>) -> Result<Pattern> {
        if let Some(text) = at.maybe("String") {
            return Ok(Pattern::Literal(text.str()?.to_owned()));
        }
        let regex = at.get("Regex")?;
        let compiled = Regex::new(regex.str()?).map_err(|e| regex.invalid(e))?;
        Ok(Pattern::Regex(compiled))
    }

    pub fn regex(text: &str) -> Result<Pattern> {
        let regex = Regex::new(text).map_err(|e| Error::invalid("built-in pattern", e))?;
        Ok(Pattern::Regex(regex))
    }

    /// Matches in order, not overlapping.
    pub fn find(&self, text: &str) -> Result<Vec<Range<usize>>> {
        Ok(match self {
            Pattern::Literal(s) if s.is_empty() => Vec::new(),
            Pattern::Literal(s) => text.match_indices(s).map(|(i, m)| i..i + m.len()).collect(),
            Pattern::Char(is) => {
                let chars = text.char_indices().filter(|(_, c)| is(*c));
                chars.map(|(i, c)| i..i + c.len_utf8()).collect()
            }
            Pattern::Regex(regex) => regex.find(text).map_err(|e| {
                Error::Text(format!("the tokenizer's pattern gives up on this text: {e}"))
            })?,
        })
    }
}

/// Matches and what lies between them, in order: (range, is a match).
pub fn gap_free(text: &str, matches: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    let (mut out, mut at) = (Vec::with_capacity(2 * matches.len() + 1), 0);
    for m in matches {
        if at < m.start {
            out.push((at..m.start, false));
        }
        out.push((m.clone(), true));
        at = m.end;
    }
    if at < text.len() {
        out.push((at..text.len(), false));
    }
    out
}

/// What becomes of the separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

impl Behavior {
    fn read(at: &At<'_>) -> Result<Behavior> {
        Ok(match at.str()? {
            "Removed" => Behavior::Removed,
            "Isolated" => Behavior::Isolated,
            "MergedWithPrevious" => Behavior::MergedWithPrevious,
            "MergedWithNext" => Behavior::MergedWithNext,
            "Contiguous" => Behavior::Contiguous,
            other => return Err(at.invalid(format!("`{other}` is no behavior"))),
        })
    }

    fn apply(self, parts: Vec<(Range<usize>, bool)>) -> Vec<Range<usize>> {
        match self {
            Behavior::Removed => parts.into_iter().filter(|p| !p.1).map(|p| p.0).collect(),
            Behavior::Isolated => parts.into_iter().map(|p| p.0).collect(),
            Behavior::Contiguous => join(parts, |previous, this| previous == this),
            Behavior::MergedWithPrevious => join(parts, |previous, this| this && !previous),
            Behavior::MergedWithNext => join(parts, |previous, this| previous && !this),
        }
    }
}

/// Joins neighbours for which `with(previous is a match, this is a match)` holds.
fn join(parts: Vec<(Range<usize>, bool)>, with: fn(bool, bool) -> bool) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut previous = None;
    for (range, matched) in parts {
        match (out.last_mut(), previous) {
            (Some(last), Some(p)) if with(p, matched) => last.end = range.end,
            _ => out.push(range),
        }
        previous = Some(matched);
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepend {
    Always,
    First,
    Never,
}

pub enum PreTokenizer {
    Sequence(Vec<PreTokenizer>),
    Split {
        pattern: Pattern,
        behavior: Behavior,
        invert: bool,
    },
    /// Bytes become characters; `pattern` splits first (GPT-2's).
    ByteLevel {
        add_prefix_space: bool,
        pattern: Option<Pattern>,
    },
    /// Spaces become `replacement`, one of which is put in front.
    Metaspace {
        replacement: String,
        prepend: Prepend,
        split: bool,
    },
}

const KNOWN: &str = "Sequence, Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation, CharDelimiterSplit";

/// Pattern of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

impl PreTokenizer {
    pub fn read(at: &At<'_>) -> Result<PreTokenizer> {
        let split = |pattern, behavior, invert| PreTokenizer::Split { pattern, behavior, invert };
        Ok(match at.kind()? {
            "Sequence" => {
                let list = at.get("pretokenizers")?.list()?;
                PreTokenizer::Sequence(list.iter().map(PreTokenizer::read).collect::<Result<_>>()?)
            }
            "Split" => split(
                Pattern::read(&at.get("pattern")?)?,
                Behavior::read(&at.get("behavior")?)?,
                at.flag("invert", false)?,
            ),
            "ByteLevel" => PreTokenizer::ByteLevel {
                add_prefix_space: at.flag("add_prefix_space", true)?,
                pattern: match at.flag("use_regex", true)? {
                    true => Some(Pattern::regex(GPT2)?),
                    false => None,
                },
            },
            "Metaspace" => metaspace(at)?,
            "Digits" => {
                let one = at.flag("individual_digits", false)?;
                let behavior = if one { Behavior::Isolated } else { Behavior::Contiguous };
                split(Pattern::Char(char::is_numeric), behavior, false)
            }
            "Whitespace" => split(Pattern::regex(r"\w+|[^\w\s]+")?, Behavior::Removed, true),
            "WhitespaceSplit" => {
                split(Pattern::Char(char::is_whitespace), Behavior::Removed, false)
            }
            "Punctuation" => {
                let behavior = at.maybe("behavior").map(|b| Behavior::read(&b)).transpose()?;
                let pattern = Pattern::regex(r"[\p{P}$+<=>^`|~]")?;
                split(pattern, behavior.unwrap_or(Behavior::Isolated), false)
            }
            "CharDelimiterSplit" => {
                let literal = Pattern::Literal(at.text("delimiter")?.to_owned());
                split(literal, Behavior::Removed, false)
            }
            other => return Err(at.unsupported(&format!("pre-tokenizer {other}"), KNOWN)),
        })
    }

    pub fn apply(&self, pieces: Vec<Piece>) -> Result<Vec<Piece>> {
        let mut out = Vec::new();
        match self {
            PreTokenizer::Sequence(list) => {
                let mut pieces = pieces;
                for p in list {
                    pieces = p.apply(pieces)?;
                }
                return Ok(pieces);
            }
            PreTokenizer::Split { pattern, behavior, invert } => {
                for p in &pieces {
                    let mut parts = gap_free(&p.text, &pattern.find(&p.text)?);
                    parts.iter_mut().for_each(|part| part.1 ^= invert);
                    cut(p, behavior.apply(parts), &mut out);
                }
            }
            PreTokenizer::ByteLevel { add_prefix_space, pattern } => {
                let start = out.len();
                for mut p in pieces {
                    if *add_prefix_space && !p.text.starts_with(' ') {
                        p.text.insert(0, ' ');
                    }
                    match pattern {
                        None => out.push(p),
                        Some(pattern) => {
                            let parts = gap_free(&p.text, &pattern.find(&p.text)?);
                            cut(&p, Behavior::Isolated.apply(parts), &mut out);
                        }
                    }
                }
                for p in &mut out[start..] {
                    p.text = bytes::to_text(p.text.as_bytes());
                }
            }
            PreTokenizer::Metaspace { replacement, prepend, split } => {
                for p in pieces {
                    let mut text = p.text.replace(' ', replacement);
                    let wanted = match prepend {
                        Prepend::Always => true,
                        Prepend::First => p.first,
                        Prepend::Never => false,
                    };
                    if wanted && !text.starts_with(replacement.as_str()) {
                        text.insert_str(0, replacement);
                    }
                    let p = Piece { text, ..p };
                    if *split {
                        let found = Pattern::Literal(replacement.clone()).find(&p.text)?;
                        let parts = Behavior::MergedWithNext.apply(gap_free(&p.text, &found));
                        cut(&p, parts, &mut out);
                    } else {
                        out.push(p);
                    }
                }
            }
        }
        out.retain(|p| !p.text.is_empty());
        Ok(out)
    }
}

fn metaspace(at: &At<'_>) -> Result<PreTokenizer> {
    let old = at.flag("add_prefix_space", true)?;
    let prepend = match at.maybe("prepend_scheme") {
        None if old => Prepend::Always,
        None => Prepend::Never,
        Some(scheme) => match scheme.str()? {
            "always" => Prepend::Always,
            "first" => Prepend::First,
            "never" => Prepend::Never,
            other => return Err(scheme.invalid(format!("`{other}` is no prepend scheme"))),
        },
    };
    let replacement = at.text("replacement")?.to_owned();
    Ok(PreTokenizer::Metaspace { replacement, prepend, split: at.flag("split", true)? })
}

fn cut(piece: &Piece, parts: Vec<Range<usize>>, out: &mut Vec<Piece>) {
    out.extend(
        parts
            .into_iter()
            .map(|r| Piece { first: piece.first && r.start == 0, text: piece.text[r].to_owned() }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(behavior: Behavior, invert: bool, text: &str) -> Vec<String> {
        let pattern = Pattern::Literal("-".into());
        let pre = PreTokenizer::Split { pattern, behavior, invert };
        let pieces = vec![Piece { text: text.into(), first: true }];
        pre.apply(pieces).unwrap().into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn separators_go_where_the_behavior_says() {
        let text = "the-final--countdown";
        let by = |b, invert| split(b, invert, text).join(" ");
        assert_eq!(by(Behavior::Removed, false), "the final countdown");
        assert_eq!(by(Behavior::Isolated, false), "the - final - - countdown");
        assert_eq!(by(Behavior::MergedWithPrevious, false), "the- final- - countdown");
        assert_eq!(by(Behavior::MergedWithNext, false), "the -final - -countdown");
        assert_eq!(by(Behavior::Contiguous, false), "the - final -- countdown");
        assert_eq!(by(Behavior::Removed, true), "- - -");
    }
}
