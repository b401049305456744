//! Language models from folders: logits against references that are not ours, names and shapes of
//! real models, hostile folders, chat formats.

mod chat;
mod common;
mod hostile;
mod logits;
mod schemes;
mod shapes;
