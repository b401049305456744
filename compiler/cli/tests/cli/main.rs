//! The command line as a user meets it: exit statuses, messages, files.
//!
//! Each test runs the built `driftc`. Whatever it is given, it must not panic, must not be ended by a
//! signal, and must say what is wrong and where.

// Hostile models and the small sound ones, as the reader's own tests have them.
#[path = "../../../../formats/onnx/tests/common/mod.rs"]
mod common;
#[path = "../../../../formats/onnx/tests/corpus/mod.rs"]
mod corpus;

mod bundles;
mod hostile_models;
mod language_models;
mod networks;
mod opencl;
mod outputs;
mod program;
mod usage;
