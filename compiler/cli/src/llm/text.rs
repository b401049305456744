//! Text and token ids of a bundle: its assets.

use crate::error::{CliError, Result};
use drift_runtime::Bundle;
use drift_tokenizer::chat::{Chat, Message};
use drift_tokenizer::{Tokenizer, folder};
use serde_json::Value;

/// What a bundle knows about text.
pub struct Text {
    tokenizer: Option<Tokenizer>,
    template: Option<Chat>,
    /// The asset `chat.json`, or null.
    facts: Value,
}

impl Text {
    pub fn open(bundle: &Bundle) -> Result<Text> {
        let tokenizer = bundle.asset(folder::TOKENIZER).map(Tokenizer::from_json).transpose()?;
        let template = bundle.asset(folder::CHAT).map(Chat::from_json).transpose()?;
        let facts = match bundle.asset("chat.json") {
            None => Value::Null,
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| CliError::bad(format!("chat.json in the bundle: {e}")))?,
        };
        Ok(Text { tokenizer, template, facts })
    }

    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            CliError::bad("the bundle has no tokenizer: it takes token ids, not text")
                .help("compile the folder with its tokenizer.json (or tokenizer.model) in it, or give --ids")
        })
    }

    /// The tokenizer, if there is one: ids are shown as text then.
    pub fn maybe_tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
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

    /// Slots beyond its window of the smallest ring cache, if any: a text can be cut that far back.
    pub fn ring(&self) -> Option<usize> {
        self.facts["model"]["ring"].as_u64().map(|n| n as usize)
    }

    /// Whether the model has a chat format.
    pub fn chats(&self) -> bool {
        self.template.is_some() || !self.facts["chat"].is_null()
    }

    /// Ids of a conversation, with the opening of the next answer.
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let text = match &self.template {
            Some(template) => template.render(messages, true)?,
            None => self.plain_format(messages)?,
        };
        let tokenizer = self.tokenizer()?;
        // templates spell special tokens out, the first one, too
        let mut ids = tokenizer.encode(&text, false)?;
        if self.template.is_none() && !ids.starts_with(tokenizer.prefix()) {
            ids.splice(0..0, tokenizer.prefix().iter().copied());
        }
        Ok(ids)
    }

    /// By the text around turns in `chat.json`.
    fn plain_format(&self, messages: &[Message]) -> Result<String> {
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
