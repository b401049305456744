//! Reads ONNX models into a checked, normalized view.
//!
//! ```text
//! file ─map→ bytes ─scan→ wire-checked ─prost→ messages ─read→ Model ─link→ sorted, every name defined
//! ```
//!
//! - [`Model::open`] maps the file; tensors stored as raw data are views of the mapping and are never
//!   copied. [`Model::from_bytes`] takes bytes that are already in memory.
//! - Everything a consumer needs to trust is checked here: the wire format, names (each defined once,
//!   each used name defined, no cycle), tensor sizes, external data files, opset imports.
//!   What is *not* checked here: whether an operator exists and whether shapes fit it. That is the
//!   importer's work.
//! - The types of this crate know nothing of the compiler's graph, and consumers never see protobuf.
//!
//! **Invariant:** no input makes the reader panic, and memory stays within a small constant factor of
//! the file's size (limits in `wire.rs`), whatever sizes the file claims.
//!
//! Format reference: `onnx/onnx.proto` and `docs/IR.md` of the ONNX project, IR versions 3 to 14.

#![deny(unsafe_code)]

mod elem_type;
mod error;
mod external;
mod function;
mod link;
mod mmap;
mod model;
mod read;
mod sniff;
mod tensor;
mod tensor_read;
mod wire;

#[cfg(not(feature = "write"))]
mod pb;
/// The protobuf messages, for writers and for tests that build broken files.
#[cfg(feature = "write")]
pub mod pb;

#[cfg(feature = "write")]
pub mod builder;
#[cfg(feature = "write")]
pub mod write;

pub use elem_type::ElemType;
pub use error::OnnxError;
pub use model::{
    Attribute, AttributeRef, Dim, Function, Graph, Model, Node, QuantAnnotation, SparseTensor,
    ValueInfo, ValueKind,
};
pub use tensor::Tensor;
pub use tensor_read::tensor_from_pb;

/// Oldest IR version that is read: the first one with operator-set imports (November 2017).
pub const OLDEST_IR_VERSION: i64 = 3;
/// Newest IR version that is known; a newer one is read with a warning.
pub const NEWEST_IR_VERSION: i64 = 14;
