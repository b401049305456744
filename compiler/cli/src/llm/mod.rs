//! Commands for language models.

pub mod assets;
pub mod bench;
pub mod chat;
pub mod generate;
pub mod logits;
mod memory;
mod model;
pub mod quality;
mod sampling;
mod text;
