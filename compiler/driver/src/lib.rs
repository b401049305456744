//! The compiler behind `driftc`: importers, passes, memory planner, packager.
//!
//! [`pipeline`] is the map: it calls every stage in order. Data flows one way; no stage calls back.
#![forbid(unsafe_code)]

pub mod calibrate;
mod chain;
pub mod dims;
pub mod error;
pub mod import;
pub mod layouts;
pub mod lowering;
pub mod memory;
pub mod models;
pub mod package;
pub mod pipeline;
pub mod plan;
pub mod quantize;
pub mod report;
pub mod rounding;
pub mod shaders;
pub mod stage;
pub mod target;
pub mod weights;

pub use error::{ErrorKind, StageError};
pub use pipeline::{Calibration, CompileOptions, Compiled, compile};
pub use stage::Stage;
