//! `config.json` as checked values: every size is a positive number of bounded size, every error
//! names the file and the key.

use crate::error::{ErrorKind, Result, StageError};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The stage that errors of this module name.
pub(super) const STAGE: &str = "import";
/// Larger JSON files are not configurations (tokenizers are not read here).
const MAX_BYTES: u64 = 16 << 20;
/// No size of a language model is larger: vocabulary, context, widths.
const MAX_SIZE: u64 = 1 << 24;

/// A JSON object with the name of its file, for messages.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    /// Where in the file the object is: `""` or `text_config.`.
    within: String,
    values: Map<String, Value>,
}

pub(super) fn unsupported(message: impl Into<String>) -> StageError {
    StageError::new(STAGE, ErrorKind::Unsupported, message)
}

pub(super) fn invalid(message: impl Into<String>) -> StageError {
    StageError::invalid(STAGE, message)
}

/// The text of a file of bounded size.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String> {
    let cannot = |e: std::io::Error| invalid(format!("cannot read {}: {e}", path.display()));
    let meta = std::fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() || meta.len() > max {
        let what = if meta.is_file() { "is too large" } else { "is not a regular file" };
        return Err(invalid(format!("{} {what}", path.display())));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

impl Config {
    pub fn read(path: &Path) -> Result<Config> {
        Config::parse(path, &read_text(path, MAX_BYTES)?)
    }

    /// `path` is for messages only.
    pub fn parse(path: &Path, text: &str) -> Result<Config> {
        let path = path.to_path_buf();
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => Ok(Config { path, within: String::new(), values }),
            Ok(_) => Err(invalid(format!("{}: a JSON object is expected", path.display()))),
            Err(e) => Err(invalid(format!("{}: not valid JSON: {e}", path.display()))),
        }
    }

    /// A value as it is in the file; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|v| !v.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether `key` is there and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(Value::is_null)
    }

    /// The object under `key`.
    pub fn section(&self, key: &str) -> Result<Option<Config>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Config {
                path: self.path.clone(),
                within: format!("{}{key}.", self.within),
                values: values.clone(),
            })),
            Some(v) => Err(self.wrong(key, v, "an object")),
        }
    }

    /// This object with what `other` has and it lacks.
    #[must_use]
    pub fn or(mut self, other: &Config) -> Config {
        for (key, value) in &other.values {
            self.values.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// An error about `key`.
    pub fn error(&self, key: &str, message: &str) -> StageError {
        invalid(format!("{}: `{}{key}` {message}", self.path.display(), self.within))
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> StageError {
        let mut text = value.to_string();
        if text.len() > 60 {
            text = format!("{}…", text.chars().take(60).collect::<String>());
        }
        self.error(key, &format!("is {text}, expected {expected}"))
    }

    fn missing(&self, key: &str) -> StageError {
        self.error(key, "is missing")
    }

    /// A size from 1 to 2^24; `None` when absent.
    pub fn opt_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        // 4096.0 is what some converters write
        let whole = value.as_u64().or_else(|| {
            let f = value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..1e12).contains(f))?;
            Some(f as u64)
        });
        match whole {
            Some(n) if (1..=MAX_SIZE).contains(&n) => Ok(Some(n as usize)),
            _ => Err(self.wrong(key, value, "a whole number from 1 to 2^24")),
        }
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.opt_size(key)?.unwrap_or(default))
    }

    /// A finite number; `None` when absent.
    pub fn opt_float(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_f64().filter(|f| f.is_finite()) {
            Some(f) => Ok(Some(f)),
            None => Err(self.wrong(key, value, "a number")),
        }
    }

    /// A finite number above 0; `None` when absent.
    pub fn opt_positive(&self, key: &str) -> Result<Option<f64>> {
        match self.opt_float(key)? {
            Some(f) if f <= 0.0 => Err(self.wrong(key, &self.values[key], "a number above 0")),
            f => Ok(f),
        }
    }

    pub fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.opt_positive(key)?.unwrap_or(default))
    }

    pub fn positive(&self, key: &str) -> Result<f64> {
        self.opt_positive(key)?.ok_or_else(|| self.missing(key))
    }

    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.opt_bool(key)?.unwrap_or(default))
    }

    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(v) => Err(self.wrong(key, v, "true or false")),
        }
    }

    pub fn opt_str(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(v) => Err(self.wrong(key, v, "a string")),
        }
    }

    /// A list of strings; `None` when absent.
    pub fn opt_strs(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.list(key, "a list of strings", Value::as_str)
    }

    /// A list of positive finite numbers; `None` when absent.
    pub fn opt_floats(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let positive = |v: &Value| v.as_f64().filter(|f| f.is_finite() && *f > 0.0);
        self.list(key, "a list of numbers above 0", positive)
    }

    /// A list of 0/1 or false/true; `None` when absent.
    pub fn opt_flags(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.list(key, "a list of 0 and 1", |v| match v.as_u64() {
            Some(n @ (0 | 1)) => Some(n == 1),
            _ => v.as_bool(),
        })
    }

    /// One token id or a list of them; empty when absent.
    pub fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let id = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                list.iter().map(|v| id(v).ok_or_else(|| self.wrong(key, v, "token ids"))).collect()
            }
            // -1 stands for "none" in some configurations
            Some(v) if v.as_i64() == Some(-1) => Ok(Vec::new()),
            Some(v) => Ok(vec![id(v).ok_or_else(|| self.wrong(key, v, "a token id"))?]),
        }
    }

    fn list<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        item: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        match self.get(key) {
            None => Ok(None),
            Some(v @ Value::Array(list)) => {
                let items: Option<Vec<T>> = list.iter().map(item).collect();
                items.map(Some).ok_or_else(|| self.wrong(key, v, expected))
            }
            Some(v) => Err(self.wrong(key, v, expected)),
        }
    }

    /// Refuses a value of a switch that would change the network: `key` must be absent or `value`.
    pub fn only(&self, key: &str, value: &Value) -> Result<()> {
        match self.get(key) {
            Some(v) if v != value => Err(unsupported(format!(
                "{}: `{}{key}` is {v}; only {value} is supported",
                self.path.display(),
                self.within
            ))),
            _ => Ok(()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
