//! Text and token ids of a bundle: its assets.

use crate::error::{CliError, Result};
use drift_runtime::Bundle;
use drift_tokenizer::{Error, Tokenizer, folder};
use serde_json::Value;
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

impl Message {
    pub fn new(role: &str, content: impl Into<String>) -> Message {
        Message { role: role.to_owned(), content: content.into() }
    }
}

/// What a bundle knows about text.
pub struct Text {
    /// Read by a thread of its own, while the model is loaded: large vocabularies take their time.
    reading: Mutex<Option<JoinHandle<Result<Tokenizer, Error>>>>,
    tokenizer: OnceLock<Result<Tokenizer, Error>>,
    /// The asset `chat.json`, or null.
    facts: Value,
}

impl Text {
    pub fn open(bundle: &Bundle) -> Result<Text> {
        let facts = match bundle.asset("chat.json") {
            None => Value::Null,
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| CliError::bad(format!("chat.json in the bundle: {e}")))?,
        };
        let reading = bundle.asset(folder::TOKENIZER).map(|_| {
            let bundle = bundle.clone();
            let asset = move || bundle.asset(folder::TOKENIZER).unwrap_or_default().to_vec();
            std::thread::spawn(move || Tokenizer::from_json(asset()))
        });
        Ok(Text { reading: Mutex::new(reading), tokenizer: OnceLock::new(), facts })
    }

    /// The tokenizer; an error if there is none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        let none = "the bundle has no tokenizer: it takes token ids, not text";
        let read = self.tokenizer.get_or_init(|| {
            let thread = self.reading.lock().ok().and_then(|mut t| t.take());
            match thread.map(JoinHandle::join) {
                Some(Ok(result)) => result,
                Some(Err(_)) => Err(Error::Text("the tokenizer's thread panicked".to_owned())),
                None => Err(Error::Text(none.to_owned())),
            }
        });
        read.as_ref().map_err(|e| {
            let error = CliError::from(e.clone());
            match error.message == none {
                true => error.help(
                    "compile the folder with its tokenizer.json (or tokenizer.model) in it, or give --ids",
                ),
                false => error,
            }
        })
    }

    /// The tokenizer, if there is one: ids are shown as text then.
    pub fn maybe_tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer().ok()
    }

    /// Ids of a text to go on from. A model without a token to begin with cannot start from nothing.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer()?.encode(text, true)?;
        if ids.is_empty() {
            ids.extend(self.bos());
        }
        if ids.is_empty() {
            return Err(CliError::bad(
                "the prompt is empty, and the model has no token to begin with",
            )
            .help("give --prompt some text"));
        }
        Ok(ids)
    }

    fn bos(&self) -> Option<u32> {
        self.facts["tokens"]["bos"].as_u64().and_then(|id| u32::try_from(id).ok())
    }

    /// Ids that end a text.
    pub fn stop(&self) -> Vec<u32> {
        let list = self.facts["tokens"]["stop"].as_array();
        list.into_iter().flatten().filter_map(|v| v.as_u64()?.try_into().ok()).collect()
    }

    /// How the model's authors sample.
    pub fn generation(&self) -> &Value {
        &self.facts["generation"]
    }

    /// Text longer than this needs another set of angles than shorter text (longrope).
    pub fn rope_switch(&self) -> Option<usize> {
        self.facts["model"]["rope_switch"].as_u64().map(|n| n as usize)
    }

    /// Whether the model has a chat format that is known.
    pub fn chats(&self) -> bool {
        !self.facts["chat"].is_null()
    }

    /// Ids of a conversation, with the opening of the next answer.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let tokenizer = self.tokenizer()?;
        let text = self.format(messages)?;
        // formats spell special tokens out, all but the one that every text begins with
        let mut ids = tokenizer.encode(&text, false)?;
        let tell = self.facts["tokens"]["add_bos"] == true;
        let begin = match tokenizer.prefix() {
            [] => self.bos().filter(|_| tell).into_iter().collect(),
            prefix => prefix.to_vec(),
        };
        if !ids.starts_with(&begin) {
            ids.splice(0..0, begin);
        }
        Ok(ids)
    }

    /// The conversation as text, by what `chat.json` puts around turns.
    fn format(&self, messages: &[Message]) -> Result<String> {
        let format = &self.facts["chat"];
        if format.is_null() {
            return Err(CliError::bad("the model has no chat format")
                .help("give --raw: it goes on from plain text"));
        }
        let turn = |role: &str, text: &str| {
            let side = |key: &str| format[role][key].as_str().unwrap_or_default();
            format!("{}{text}{}", side("prefix"), side("suffix"))
        };
        let given = messages.iter().find(|m| m.role == "system").map(|m| m.content.as_str());
        let default = format["default_system"].as_str().filter(|s| !s.is_empty());
        let system = given.or(default).filter(|_| !format["system"].is_null());
        let inside = format["system_in_user"].as_bool().unwrap_or(false);
        let mut out = String::new();
        let mut pending = system.map(|s| turn("system", s));
        if !inside {
            out.extend(pending.take());
        }
        for m in messages.iter().filter(|m| m.role != "system") {
            let system = pending.take().filter(|_| m.role == "user").unwrap_or_default();
            out += &turn(&m.role, &format!("{system}{}", m.content));
        }
        out += format["assistant"]["prefix"].as_str().unwrap_or_default();
        Ok(out)
    }
}
