//! safetensors checkpoints as one store of mapped tensors.
//!
//! [`WeightStore::open`] takes a `.safetensors` file, a `*.safetensors.index.json` of a checkpoint in
//! shards, or a folder in the layout of the Hugging Face hub. Files are mapped; a tensor is a view
//! of its file and is never copied or converted here.
//!
//! ```no_run
//! let store = drift_weights::WeightStore::open("llama/")?;
//! let view = store.get("model.embed_tokens.weight")?;
//! println!("{} {:?}, {} bytes", view.dtype, view.shape, view.data.len());
//! # Ok::<(), drift_weights::WeightError>(())
//! ```
//!
//! **Invariant:** a store that opened has, for every tensor, exactly the bytes that its shape and
//! dtype say; no input makes it panic or allocate more than a small multiple of the headers' size.
//!
//! Format reference: <https://github.com/huggingface/safetensors#format>.

#![deny(unsafe_code)]

mod dtype;
mod error;
mod header;
mod mmap;
mod shards;
mod store;

pub use dtype::DType;
pub use error::WeightError;
pub use store::{Pages, TensorView, WeightStore};
