//! Tokenizers of language models: text to token ids and back.
//!
//! Every kind of tokenizer file becomes one [`Tokenizer`], and every tokenizer has one form in which
//! it is kept ([`Tokenizer::to_json`]): the `tokenizer.json` of Hugging Face, readable by others.
//!
//! | file | reader |
//! |---|---|
//! | `tokenizer.json` (model BPE) | [`Tokenizer::from_json`] |
//! | `tokenizer.model`, SentencePiece (model BPE) | [`sentencepiece`] |
//! | `tokenizer.model`, base64 ranks of tiktoken | [`tiktoken`] |
//! | `vocab.json` and `merges.txt` (GPT-2, CLIP) | [`pairs`] |
//!
//! What Unicode is ([`unicode`]) may come from the program around. [`folder::read`] chooses among them. [`stream::Stream`] turns tokens into text one by one.
#![forbid(unsafe_code)]

mod added;
mod bpe;
mod bytes;
mod decode;
mod error;
pub mod folder;
mod json;
mod normalize;
pub mod pairs;
mod post;
pub mod sentencepiece;
mod split;
pub mod stream;
pub mod tiktoken;
mod tokenizer;
pub mod unicode;
mod vocab;

pub use error::{Error, Result};
pub use stream::Stream;
pub use tokenizer::Tokenizer;
