//! Decoders: tokens back to text.

use crate::bytes;
use crate::error::Result;
use crate::json::At;
use crate::split::{Pattern, gap_free};

pub enum Decoder {
    Sequence(Vec<Decoder>),
    ByteLevel,
    /// `<0x41>` becomes a byte.
    ByteFallback,
    /// Joins all tokens.
    Fuse,
    Replace {
        pattern: Pattern,
        content: String,
    },
    /// Takes up to `start` and `stop` of `content` off the ends of every token.
    Strip {
        content: String,
        start: u32,
        stop: u32,
    },
    Metaspace {
        replacement: String,
        prepended: bool,
    },
    /// The suffix of word ends becomes a space.
    Bpe {
        suffix: String,
    },
}

const KNOWN: &str =
    "Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder";

impl Decoder {
    pub fn read(at: &At<'_>) -> Result<Decoder> {
        Ok(match at.kind()? {
            "Sequence" => {
                let list = at.get("decoders")?.list()?;
                Decoder::Sequence(list.iter().map(Decoder::read).collect::<Result<_>>()?)
            }
            "ByteLevel" => Decoder::ByteLevel,
            "ByteFallback" => Decoder::ByteFallback,
            "Fuse" => Decoder::Fuse,
            "Replace" => Decoder::Replace {
                pattern: Pattern::read(&at.get("pattern")?)?,
                content: at.text("content")?.to_owned(),
            },
            "Strip" => Decoder::Strip {
                content: at.text("content")?.to_owned(),
                start: at.number("start", Some(0))?,
                stop: at.number("stop", Some(0))?,
            },
            "Metaspace" => Decoder::Metaspace {
                replacement: at.text("replacement")?.to_owned(),
                prepended: match at.maybe("prepend_scheme") {
                    Some(scheme) => scheme.str()? != "never",
                    None => at.flag("add_prefix_space", true)?,
                },
            },
            "BPEDecoder" => Decoder::Bpe { suffix: at.text("suffix")?.to_owned() },
            other => return Err(at.unsupported(&format!("decoder {other}"), KNOWN)),
        })
    }

    /// Text of tokens, in parts to be joined.
    pub fn apply(&self, tokens: Vec<String>) -> Result<Vec<String>> {
        Ok(match self {
            Decoder::Sequence(list) => {
                let mut tokens = tokens;
                for d in list {
                    tokens = d.apply(tokens)?;
                }
                tokens
            }
            Decoder::ByteLevel => {
                let mut out = Vec::new();
                for t in &tokens {
                    // a token with a character that is no byte is text (an added one)
                    let bytes: Option<Vec<u8>> = t.chars().map(bytes::byte_of).collect();
                    out.extend(bytes.unwrap_or_else(|| t.as_bytes().to_vec()));
                }
                vec![String::from_utf8_lossy(&out).into_owned()]
            }
            Decoder::ByteFallback => byte_fallback(tokens),
            Decoder::Fuse => vec![tokens.concat()],
            Decoder::Replace { pattern, content } => {
                let replace = |t: String| -> Result<String> {
                    let parts = gap_free(&t, &pattern.find(&t)?);
                    Ok(parts
                        .into_iter()
                        .map(|(r, found)| if found { content.as_str() } else { &t[r] })
                        .collect())
                };
                tokens.into_iter().map(replace).collect::<Result<_>>()?
            }
            Decoder::Strip { content, start, stop } => {
                let strip = |t: String| {
                    let mut rest = t.as_str();
                    // counts in files may be absurd: what is not there ends it
                    let mut left = if content.is_empty() { 0 } else { *start };
                    while let Some(shorter) =
                        rest.strip_prefix(content.as_str()).filter(|_| left > 0)
                    {
                        (rest, left) = (shorter, left - 1);
                    }
                    let mut left = if content.is_empty() { 0 } else { *stop };
                    while let Some(shorter) =
                        rest.strip_suffix(content.as_str()).filter(|_| left > 0)
                    {
                        (rest, left) = (shorter, left - 1);
                    }
                    rest.to_owned()
                };
                tokens.into_iter().map(strip).collect()
            }
            Decoder::Metaspace { replacement, prepended } => {
                let text = |(i, t): (usize, String)| {
                    let rest = t.strip_prefix(replacement.as_str());
                    let rest = rest.filter(|_| i == 0 && *prepended).unwrap_or(&t);
                    rest.replace(replacement.as_str(), " ")
                };
                tokens.into_iter().enumerate().map(text).collect()
            }
            Decoder::Bpe { suffix } => {
                let last = tokens.len().saturating_sub(1);
                let text = |(i, t): (usize, String)| {
                    t.replace(suffix.as_str(), if i == last { "" } else { " " })
                };
                tokens.into_iter().enumerate().map(text).collect()
            }
        })
    }
}

/// Runs of byte tokens become text; a run that is no UTF-8 becomes one U+FFFD per byte.
fn byte_fallback(tokens: Vec<String>) -> Vec<String> {
    let (mut out, mut run) = (Vec::with_capacity(tokens.len()), Vec::new());
    let flush = |run: &mut Vec<u8>, out: &mut Vec<String>| {
        if !run.is_empty() {
            let count = run.len();
            let text = String::from_utf8(std::mem::take(run));
            out.push(text.unwrap_or_else(|_| "\u{fffd}".repeat(count)));
        }
    };
    for t in tokens {
        match byte_token(&t) {
            Some(b) => run.push(b),
            None => {
                flush(&mut run, &mut out);
                out.push(t);
            }
        }
    }
    flush(&mut run, &mut out);
    out
}

fn byte_token(t: &str) -> Option<u8> {
    let hex = t.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}
