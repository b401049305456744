//! The graph that the compiler works on: a typed SSA DAG of operators over values.
//!
//! * [`Graph`] owns [`Value`]s and [`Node`]s; ids are newtypes and stay valid until the graph dies.
//! * A [`Node`] reads [`Operand`]s: a value seen through a [`View`] (a zero-cost coordinate change).
//! * A node may carry an epilogue [`Body`]: the element-wise steps fused into its store.
//! * Shapes are static here: symbolic dims are bound before import (see the driver).
#![forbid(unsafe_code)]

pub mod attr;
pub mod body;
pub mod dot;
pub mod dtype;
pub mod graph;
pub mod lazy;
pub mod parse;
pub mod shape;
pub mod tensor;
pub mod text;
pub mod verify;
pub mod view;

pub use attr::{Attr, Attrs};
pub use body::{Arg, Body, PointwiseOp, Step};
pub use dot::dot;
pub use dtype::DType;
pub use graph::{Def, Graph, Node, NodeId, Operand, Value, ValueId};
pub use lazy::LazyTensor;
pub use parse::{ParseError, parse};
pub use shape::Shape;
pub use tensor::Tensor;
pub use text::print;
pub use verify::{VerifyError, verify, verify_with};
pub use view::{View, ViewStep};
