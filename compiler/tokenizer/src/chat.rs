//! Chat templates: a conversation as the text that a model was trained on.
//!
//! Models carry them as Jinja, written for the engine that transformers configures: blocks swallow
//! the line break behind them, `raise_exception` and `strftime_now` exist, strings have Python's
//! methods.

use crate::error::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// A model's chat format.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Chat {
    pub template: String,
    #[serde(default)]
    pub bos_token: String,
    #[serde(default)]
    pub eos_token: String,
}

/// Instructions of a template: thousands of messages, and no endless loop.
const FUEL: u64 = 20_000_000;

impl Chat {
    /// Reads the asset of a bundle.
    pub fn from_json(bytes: &[u8]) -> Result<Chat> {
        serde_json::from_slice(bytes).map_err(|e| Error::invalid(crate::folder::CHAT, e))
    }

    /// The text of a conversation. `answer`: with the opening of the assistant's next message.
    /// Special tokens are spelled out: encode it without adding any.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String> {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(|e| Error::invalid(crate::folder::CHAT, e))?);
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_function("raise_exception", |what: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, what))
        });
        // the same conversation must give the same tokens on every day
        env.add_function("strftime_now", |format: String| strftime(&format));
        let refused = |e: minijinja::Error| {
            let why = e.detail().map_or_else(|| e.to_string(), str::to_owned);
            Error::Text(format!("the model's chat template refuses this conversation: {why}"))
        };
        env.add_template("chat", &self.template)
            .map_err(|e| Error::invalid(crate::folder::CHAT, e))?;
        let template = env.get_template("chat").map_err(refused)?;
        let list: Vec<Value> = messages
            .iter()
            .map(|m| context! { role => m.role.as_str(), content => m.content.as_str() })
            .collect();
        template
            .render(context! {
                messages => list,
                add_generation_prompt => answer,
                bos_token => self.bos_token.as_str(),
                eos_token => self.eos_token.as_str(),
            })
            .map_err(refused)
    }
}

/// A fixed day (that Llama 3.2's template has for the case that no date is known) in the formats
/// that templates ask for.
fn strftime(format: &str) -> String {
    let parts =
        [("%d", "26"), ("%b", "Jul"), ("%B", "July"), ("%m", "07"), ("%Y", "2024"), ("%y", "24")];
    let mut out = format.to_owned();
    for (code, text) in parts {
        out = out.replace(code, text);
    }
    out
}
