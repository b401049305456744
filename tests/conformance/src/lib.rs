//! What the conformance tests share: the networks outside the repository, arrays, the device.
//!
//! - `tests/models.rs` compiles real networks, runs them on the GPU and compares their outputs;
//! - `tests/budgets.rs` holds their dispatch counts and arena sizes to committed figures;
//! - `tests/llm.rs` does the same with language models: logits at every position, greedy tokens;
//! - `tests/ops.rs` does every case of every operator, in buffers, in images and split over objects;
//! - `tests/opencl_ptx.rs` gives kernels for NVIDIA's OpenCL to a clang;
//! - `tests/backends.rs` holds docs/backends.md to the results of these suites.

pub mod array;
pub mod chromium;
pub mod compare;
pub mod gpu;
pub mod language;
pub mod meaning;
pub mod network;
pub mod op_case;
pub mod results;
pub mod sample;
pub mod shared;
pub mod suite;

pub use array::Array;
pub use compare::{Tolerance, worst};
pub use network::{Loaded, Precision};
pub use shared::{Case, Network, networks};
