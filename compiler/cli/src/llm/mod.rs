//! Commands for language models.

pub mod assets;
pub mod bench;
pub mod chat;
pub mod generate;
pub mod logits;
mod memory;
pub mod model;
pub mod quality;
mod sampling;
pub mod text;
