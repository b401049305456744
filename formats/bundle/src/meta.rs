//! Facts about a bundle for people and tools; the runtime never decides by them.

use alloc::{string::String, vec::Vec};

/// A small list of text facts with unique, sorted keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pairs: Vec<(String, String)>,
}

impl Meta {
    /// Name of the model.
    pub const MODEL: &'static str = "model";
    /// Program that wrote the bundle.
    pub const PRODUCER: &'static str = "producer";
    pub const PRODUCER_VERSION: &'static str = "producer-version";
    /// `f32`, `f16` or `mixed`.
    pub const PRECISION: &'static str = "precision";
    /// Prefix of the recorded compiler options: `option.NAME`.
    pub const OPTION_PREFIX: &'static str = "option.";

    pub fn new(model: &str, producer: &str, version: &str) -> Meta {
        let mut meta = Meta::default();
        meta.set(Meta::MODEL, model);
        meta.set(Meta::PRODUCER, producer);
        meta.set(Meta::PRODUCER_VERSION, version);
        meta
    }

    /// Sets or replaces one fact.
    pub fn set(&mut self, key: &str, value: &str) {
        match self.pairs.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(i) => self.pairs[i].1 = value.into(),
            Err(i) => self.pairs.insert(i, (key.into(), value.into())),
        }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let i = self.pairs.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.pairs[i].1)
    }

    /// The model's name; empty when not recorded.
    pub fn model(&self) -> &str {
        self.get(Meta::MODEL).unwrap_or("")
    }

    /// All facts in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// `None` unless the keys are strictly increasing.
    pub(crate) fn from_pairs(pairs: Vec<(String, String)>) -> Option<Meta> {
        pairs.windows(2).all(|w| w[0].0 < w[1].0).then_some(Meta { pairs })
    }
}
