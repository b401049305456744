//! A JSON value that knows where it is, so that errors can say so.

use crate::error::{Error, Result};
use serde_json::Value;

/// A value and its path in the file (`pre_tokenizer.pretokenizers[1]`).
#[derive(Clone, Debug)]
pub struct At<'a> {
    pub value: &'a Value,
    pub path: String,
}

impl<'a> At<'a> {
    pub fn new(value: &'a Value, path: impl Into<String>) -> At<'a> {
        At { value, path: path.into() }
    }

    pub fn invalid(&self, what: impl std::fmt::Display) -> Error {
        Error::invalid(&self.path, what)
    }

    /// A member; absent ones and nulls are `None`.
    pub fn maybe(&self, key: &str) -> Option<At<'a>> {
        let value = self.value.get(key).filter(|v| !v.is_null())?;
        Some(At { value, path: format!("{}.{key}", self.path) })
    }

    pub fn get(&self, key: &str) -> Result<At<'a>> {
        self.maybe(key).ok_or_else(|| self.invalid(format!("there is no `{key}`")))
    }

    pub fn str(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.invalid("expected a string"))
    }

    pub fn list(&self) -> Result<Vec<At<'a>>> {
        let list = self.value.as_array().ok_or_else(|| self.invalid("expected a list"))?;
        let at = |(i, value)| At { value, path: format!("{}[{i}]", self.path) };
        Ok(list.iter().enumerate().map(at).collect())
    }

    /// A flag; absent is `default`.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.maybe(key) {
            None => Ok(default),
            Some(v) => v.value.as_bool().ok_or_else(|| v.invalid("expected true or false")),
        }
    }

    /// A token id or a count; absent is `default`.
    pub fn number(&self, key: &str, default: Option<u32>) -> Result<u32> {
        match (self.maybe(key), default) {
            (None, Some(n)) => Ok(n),
            (None, None) => Err(self.invalid(format!("there is no `{key}`"))),
            (Some(v), _) => {
                let n = v.value.as_u64().and_then(|n| u32::try_from(n).ok());
                n.ok_or_else(|| v.invalid("expected a number from 0 to 4294967295"))
            }
        }
    }

    pub fn text(&self, key: &str) -> Result<&'a str> {
        self.get(key)?.str()
    }

    /// The `type` of a component.
    pub fn kind(&self) -> Result<&'a str> {
        self.text("type")
    }

    pub fn unsupported(&self, what: &str, known: &str) -> Error {
        Error::unsupported(&self.path, format!("{what} is not supported (known are: {known})"))
    }
}
