//! One device file as flat, checked entries: `api.vulkan.limits.images` -> value, source, line.

use crate::device::Source;
use crate::error::TargetError;
use crate::schema::{self, HEAD, Kind, Place};
use crate::suggest::did_you_mean;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Longest text in a device file, in bytes.
const MAX_TEXT_BYTES: usize = 4096;
/// Longest list.
const MAX_LIST: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    Count(u64),
    Counts(Vec<u64>),
    Real(f64),
    Text(String),
    Texts(Vec<String>),
}

/// A value with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub value: Value,
    /// `None` for the keys about the file itself, such as `name`.
    pub source: Option<Source>,
    /// Id of the device whose file says so.
    pub device: String,
    pub line: u32,
}

/// One parsed file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub entries: BTreeMap<String, Entry>,
}

impl Document {
    /// Parses the file of device `id`; `place` names it in errors.
    pub(crate) fn parse(id: &str, place: &str, text: &str) -> Result<Self, TargetError> {
        let root = DeTable::parse(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            TargetError::new(format!("{place}:{line}"), format!("no valid TOML: {}", e.message()))
        })?;
        let mut reader = Reader { id, place, text, entries: BTreeMap::new() };
        reader.table(&mut Vec::new(), root.get_ref(), None)?;
        Ok(Document { entries: reader.entries })
    }
}

fn line_of(text: &str, at: usize) -> u32 {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|&&b| b == b'\n').count() as u32
}

struct Reader<'a> {
    id: &'a str,
    place: &'a str,
    text: &'a str,
    entries: BTreeMap<String, Entry>,
}

impl Reader<'_> {
    fn error(&self, at: usize, what: impl Into<String>) -> TargetError {
        TargetError::new(format!("{}:{}", self.place, line_of(self.text, at)), what)
    }

    /// Reads a table; `source` is that of the tables around it.
    fn table<'t>(
        &mut self,
        path: &mut Vec<&'t str>,
        table: &'t DeTable<'_>,
        source: Option<&Source>,
    ) -> Result<(), TargetError> {
        let own = table.iter().find(|(key, _)| key.get_ref() == "source");
        let own = own.map(|(_, value)| self.source(value)).transpose()?;
        let source = own.as_ref().or(source);
        for (key, value) in table {
            let name: &'t str = key.get_ref();
            if name == "source" {
                continue;
            }
            path.push(name);
            let place = schema::place(path);
            match (&place, value.get_ref()) {
                (Place::Table(_) | Place::AnyName, DeValue::Table(inner)) => {
                    self.table(path, inner, source)?;
                }
                (Place::Leaf(kind), value_read) => {
                    self.leaf(path, *kind, value.span().start, value_read, source)?;
                }
                (Place::Unknown, _) => {
                    let known = match schema::place(&path[..path.len() - 1]) {
                        Place::Table(names) => names,
                        _ => Vec::new(),
                    };
                    let mut help = did_you_mean(name, known.iter().copied());
                    if help.is_empty() {
                        help = format!("known here: {}", known.join(", "));
                    }
                    let what = format!("unknown key `{}`", path.join("."));
                    return Err(self.error(key.span().start, what).with_help(help));
                }
                (_, other) => {
                    let what = format!("`{}` is a {}", path.join("."), other.type_str());
                    return Err(self
                        .error(value.span().start, what)
                        .with_help(format!("it is a table: write [{}]", path.join("."))));
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn source(&self, value: &Spanned<DeValue<'_>>) -> Result<Source, TargetError> {
        let wrong = || {
            self.error(value.span().start, "`source` says nothing that could be looked up")
                .with_help(
                    "name the document, table or measurement, or write `source = \"unverified\"`",
                )
        };
        let text = value.get_ref().as_str().ok_or_else(wrong)?.trim();
        match text {
            "unverified" => Ok(Source::Unverified),
            cited if (8..=MAX_TEXT_BYTES).contains(&cited.len()) => {
                Ok(Source::Cited(cited.to_owned()))
            }
            _ => Err(wrong()),
        }
    }

    /// Reads `key = value` or `key = { value = .., source = ".." }`.
    fn leaf(
        &mut self,
        path: &[&str],
        kind: Kind,
        at: usize,
        value: &DeValue<'_>,
        source: Option<&Source>,
    ) -> Result<(), TargetError> {
        let dotted = path.join(".");
        let (value, own) = match value {
            DeValue::Table(fact) => {
                if let Some((key, _)) =
                    fact.iter().find(|(k, _)| !["value", "source"].contains(&k.get_ref().as_ref()))
                {
                    let what =
                        format!("`{dotted}` has `value` and `source`, no `{}`", key.get_ref());
                    return Err(self.error(key.span().start, what));
                }
                let find = |name: &str| fact.iter().find(|(k, _)| k.get_ref() == name);
                let Some((_, value)) = find("value") else {
                    return Err(self.error(at, format!("`{dotted}` has no `value`")));
                };
                (value.get_ref(), find("source").map(|(_, s)| self.source(s)).transpose()?)
            }
            plain => (plain, None),
        };
        let about_the_file = path.len() == 1 && HEAD.iter().any(|(key, _)| *key == dotted);
        let source = if about_the_file { None } else { own.or_else(|| source.cloned()) };
        if source.is_none() && !about_the_file {
            return Err(self.error(at, format!("`{dotted}` has no source")).with_help(format!(
                "write `{} = {{ value = .., source = \"..\" }}`, or give its table a `source`; \
                 `source = \"unverified\"` if you cannot say",
                path.last().copied().unwrap_or_default()
            )));
        }
        let value = self.value(&dotted, kind, at, value)?;
        let line = line_of(self.text, at);
        let device = self.id.to_owned();
        self.entries.insert(dotted, Entry { value, source, device, line });
        Ok(())
    }

    fn value(
        &self,
        path: &str,
        kind: Kind,
        at: usize,
        value: &DeValue<'_>,
    ) -> Result<Value, TargetError> {
        let wanted = |what: &str| {
            self.error(at, format!("`{path}` is a {}; it must be {what}", value.type_str()))
        };
        match kind {
            Kind::Flag => value.as_bool().map(Value::Flag).ok_or_else(|| wanted("true or false")),
            Kind::Count => count(value)
                .map(Value::Count)
                .ok_or_else(|| wanted("an integer from 0 to 2^64 - 1")),
            Kind::Counts(n) => {
                let list: Option<Vec<u64>> = value.as_array().and_then(|a| {
                    (a.len() == n).then(|| a.iter().map(|v| count(v.get_ref())).collect())?
                });
                list.map(Value::Counts)
                    .ok_or_else(|| wanted(&format!("a list of {n} integers of at least 0")))
            }
            Kind::Real => {
                let real = count(value)
                    .map(|c| c as f64)
                    .or_else(|| value.as_float()?.as_str().replace('_', "").parse::<f64>().ok());
                real.filter(|r| r.is_finite() && *r >= 0.0)
                    .map(Value::Real)
                    .ok_or_else(|| wanted("a number of at least 0"))
            }
            Kind::Word(words) => match value.as_str() {
                Some(word) if words.contains(&word) => Ok(Value::Text(word.to_owned())),
                Some(word) => Err(self
                    .error(at, format!("`{path}` cannot be `{word}`"))
                    .with_help(format!("one of: {}", words.join(", ")))),
                None => Err(wanted(&format!("one of: {}", words.join(", ")))),
            },
            Kind::Text => text(value).map(Value::Text).ok_or_else(|| wanted("a short text")),
            Kind::Texts => {
                let list = value.as_array().and_then(|a: &DeArray<'_>| {
                    (a.len() <= MAX_LIST).then(|| a.iter().map(|v| text(v.get_ref())).collect())?
                });
                list.map(Value::Texts).ok_or_else(|| wanted("a short list of short texts"))
            }
        }
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().filter(|t| t.len() <= MAX_TEXT_BYTES).map(str::to_owned)
}

/// An integer as u64. TOML promises 63 bits only, but drivers do report 2^64 - 1.
fn count(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    let digits = integer.as_str().replace('_', "");
    let digits = digits.trim_start_matches('+');
    let digits = match integer.radix() {
        16 => digits.trim_start_matches("0x"),
        8 => digits.trim_start_matches("0o"),
        2 => digits.trim_start_matches("0b"),
        _ => digits,
    };
    u64::from_str_radix(digits, integer.radix()).ok()
}
