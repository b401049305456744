//! The operators: one file per operator in [`ops`], listed in one explicit table ([`table::OPS`]).
//!
//! An operator says four things about itself ([`OpDef`]):
//! * how its ONNX forms (all opsets) become nodes of the graph ([`import_node`]). Import
//!   *normalizes*: optional inputs become attributes, `auto_pad` becomes explicit pads, opset
//!   differences disappear, and whatever depends on constants only is computed at once, so the
//!   int64 shape arithmetic of exported graphs never reaches a later pass;
//! * which results its operands give ([`InferCtx`] -> dtype and shape);
//! * what it computes, in f64 or exact integers ([`eval_node`], the oracle of every back end);
//! * how exact a back end has to be ([`Accuracy`]) and on which operands that is tried ([`Case`]).
//!
//! Many ONNX operators are spelled with few IR operators: element-wise ones are `pointwise` with
//! the formula in the node's body, and everything that only moves coordinates is one of the views
//! `reshape`, `transpose`, `slice`, `expand`.
#![forbid(unsafe_code)]

pub mod data;
pub mod def;
pub mod error;
pub mod eval;
pub mod fuse;
pub mod import;
pub mod lower;
pub mod ops;
pub mod pointwise_eval;
pub mod quant;
pub mod recurrent;
pub mod state;
pub mod table;
pub mod window;

pub use def::{Accuracy, Case, InferCtx, OnnxName, OpDef, RefCtx};
pub use error::{ErrorKind, OpError};
pub use eval::{eval_graph, eval_node, infer_node};
pub use import::{ImportCtx, import_node};
pub use state::updates;
pub use table::{OPS, find_onnx, find_op};

pub type Result<T, E = OpError> = std::result::Result<T, E>;
