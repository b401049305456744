//! Normalizers: what happens to a text before it is split.

use crate::bytes;
use crate::error::Result;
use crate::json::At;
use crate::split::{Pattern, gap_free};
use crate::unicode::{Form, can_normalize, normal_form};

pub enum Normalizer {
    Sequence(Vec<Normalizer>),
    Form(Form),
    Lowercase,
    /// Removes what the pattern finds.
    StripAccents(Pattern),
    ByteLevel,
    Strip {
        left: bool,
        right: bool,
    },
    Prepend(String),
    Replace {
        pattern: Pattern,
        content: String,
    },
    Bert(Bert),
}

/// BERT's basic cleaning, which CLIP's tokenizer uses, too.
pub struct Bert {
    /// Control characters, where they are to be removed.
    control: Option<Pattern>,
    chinese: bool,
    /// Marks, where they are to be removed.
    accents: Option<Pattern>,
    lowercase: bool,
}

/// Combining marks: of general category M.
const MARKS: &str = r"\p{M}";

const KNOWN: &str = "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, ByteLevel, BertNormalizer";

impl Normalizer {
    pub fn read(at: &At<'_>) -> Result<Normalizer> {
        Ok(match at.kind()? {
            "Sequence" => {
                let list = at.get("normalizers")?.list()?;
                Normalizer::Sequence(list.iter().map(Normalizer::read).collect::<Result<_>>()?)
            }
            "NFC" => form(at, Form::Nfc)?,
            "NFD" => form(at, Form::Nfd)?,
            "NFKC" => form(at, Form::Nfkc)?,
            "NFKD" => form(at, Form::Nfkd)?,
            "Lowercase" => Normalizer::Lowercase,
            "StripAccents" => Normalizer::StripAccents(Pattern::regex(MARKS)?),
            "ByteLevel" => Normalizer::ByteLevel,
            "Strip" => Normalizer::Strip {
                left: at.flag("strip_left", true)?,
                right: at.flag("strip_right", true)?,
            },
            "Prepend" => Normalizer::Prepend(at.text("prepend")?.to_owned()),
            "Replace" => Normalizer::Replace {
                pattern: Pattern::read(&at.get("pattern")?)?,
                content: at.text("content")?.to_owned(),
            },
            "BertNormalizer" => {
                let lowercase = at.flag("lowercase", true)?;
                let clean = at.flag("clean_text", true)?;
                Normalizer::Bert(Bert {
                    control: clean
                        .then(|| Pattern::regex(r"[\p{C}\x{fffd}&&[^\t\n\r]]"))
                        .transpose()?,
                    chinese: at.flag("handle_chinese_chars", true)?,
                    accents: match at.flag("strip_accents", lowercase)? {
                        true => {
                            form(at, Form::Nfd)?;
                            Some(Pattern::regex(MARKS)?)
                        }
                        false => None,
                    },
                    lowercase,
                })
            }
            other => return Err(at.unsupported(&format!("normalizer {other}"), KNOWN)),
        })
    }

    pub fn apply(&self, text: &str) -> Result<String> {
        Ok(match self {
            Normalizer::Sequence(list) => {
                let mut text = text.to_owned();
                for n in list {
                    text = n.apply(&text)?;
                }
                text
            }
            Normalizer::Form(form) => normal_form(*form, text),
            // character by character: no rule of str::to_lowercase that looks at neighbours (Σ)
            Normalizer::Lowercase => text.chars().flat_map(char::to_lowercase).collect(),
            Normalizer::StripAccents(marks) => replace(text, marks, "")?,
            Normalizer::ByteLevel => bytes::to_text(text.as_bytes()),
            Normalizer::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { text };
                (if *right { text.trim_end() } else { text }).to_owned()
            }
            Normalizer::Prepend(_) if text.is_empty() => String::new(),
            Normalizer::Prepend(prefix) => format!("{prefix}{text}"),
            Normalizer::Replace { pattern, content } => replace(text, pattern, content)?,
            Normalizer::Bert(bert) => bert.apply(text)?,
        })
    }
}

impl Bert {
    fn apply(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        if let Some(control) = &self.control {
            text = replace(&text, control, "")?;
            text = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        }
        if self.chinese {
            let mut out = String::with_capacity(text.len());
            for c in text.chars() {
                match is_chinese(c) {
                    true => out.extend([' ', c, ' ']),
                    false => out.push(c),
                }
            }
            text = out;
        }
        if let Some(accents) = &self.accents {
            text = replace(&normal_form(Form::Nfd, &text), accents, "")?;
        }
        if self.lowercase {
            text = text.chars().flat_map(char::to_lowercase).collect();
        }
        Ok(text)
    }
}

fn replace(text: &str, pattern: &Pattern, content: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for (range, matched) in gap_free(text, &pattern.find(text)?) {
        out.push_str(if matched { content } else { &text[range] });
    }
    Ok(out)
}

fn form(at: &At<'_>, form: Form) -> Result<Normalizer> {
    match can_normalize() {
        true => Ok(Normalizer::Form(form)),
        false => Err(at.unsupported("a normal form in a build without them", KNOWN)),
    }
}

/// The CJK ideographs that BERT puts spaces around (its `_is_chinese_char`).
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x20000..=0x2a6df
            | 0x2a700..=0x2b73f
            | 0x2b740..=0x2b81f
            | 0x2b820..=0x2ceaf
            | 0xf900..=0xfaff
            | 0x2f800..=0x2fa1f
    )
}
