//! Kernels of attention: over a cache ([`cached`]) and without one ([`plain`]).

mod attend;
mod cache;
pub mod cached;
mod fused;
mod heads;
mod io;
mod matrix;
mod partials;
pub mod plain;
mod plan;
