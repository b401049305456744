//! What Drift knows about GPUs: one TOML file per device, with a source for every fact.
//!
//! A device file says, per API, which features and limits a driver offers ([`Capabilities`], the
//! same words that the runtime asks the live driver in), and which kernels the device likes
//! ([`Preferences`]). The compiler specializes against these; whether the bundle then runs is decided
//! on the device, by the driver's own answers.
//!
//! ```toml
//! name = "Example GPU"
//! rank = 100
//! inherits = ["vulkan-modern"]          # later ones win, this file wins over all
//!
//! [api.vulkan.limits]
//! source = "vendor's data sheet, table 3"             # for the whole table
//! workgroup-memory-bytes = 49152
//! storage-range-bytes = { value = 4294967295, source = "unverified" }   # for one value
//! ```
//!
//! - **Invariant:** every number and feature has a source, or says `unverified`; the reader refuses
//!   files in which one has neither.
//! - **Invariant:** a new device is one new file in `devices/` and no other change.
//! - **Invariant:** the runtime does not depend on this crate.
#![forbid(unsafe_code)]

mod assemble;
mod device;
mod document;
mod error;
mod lookup;
mod probe;
mod schema;
mod suggest;

pub use device::{
    ApiProfile, Device, FactLine, HardwareFacts, Layout, Precision, Preferences, Quirk, Source,
    Storage,
};
pub use drift_bundle::caps::{Api, Capabilities};
pub use error::TargetError;
pub use lookup::{all, best_match, find, ids, load, parse, resolve};
pub use probe::to_toml;

/// The name of an API in device files and on the command line.
pub const fn api_name(api: Api) -> &'static str {
    match api {
        Api::Vulkan => "vulkan",
        Api::Metal => "metal",
        Api::OpenCl => "opencl",
        Api::WebGpu => "webgpu",
        Api::Reference => "reference",
    }
}

/// All APIs, in the order in which listings show them.
pub const APIS: [Api; 5] = [Api::Vulkan, Api::Metal, Api::OpenCl, Api::WebGpu, Api::Reference];
