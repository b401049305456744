//! Runs `.drift` bundles: map, check, upload, record once, replay.
//!
//! ```no_run
//! use drift_runtime::{Bundle, Device, Session};
//! # fn main() -> drift_runtime::Result<()> {
//! let bundle = Bundle::open("digits.drift")?;
//! let device = Device::best(&bundle)?;
//! let mut session = Session::new(&device, &bundle)?;
//! let pixels = [0f32; 784];
//! let outputs = session.run(&[("image", pixels[..].into())])?;
//! println!("{:?}", outputs["logits"].to_f32());
//! # Ok(()) }
//! ```
//!
//! - **Invariant:** there is no graph, no shape inference and no shader compiler in here; all that
//!   is decided was decided by `driftc`.
//! - **Invariant:** a parsed plan is consistent ([`drift_bundle::check_variant`]), so replaying it
//!   checks no index again.
//! - **Invariant:** `unsafe` lives in `hal` and in the memory map only.
//!
//! **Trust.** Reading a bundle is safe whatever it contains: structure, checksums and all ranges are
//! checked first. Its shaders then run on the device as they are, as the code of any program does;
//! GPU drivers do not promise to contain a hostile shader. Run bundles that you compiled, or that
//! come from someone whose programs you would run.
#![deny(unsafe_code)]
// Without a back end, nobody calls what is for them: the browser's runtime takes the rest.
#![cfg_attr(
    not(any(feature = "vulkan", feature = "opencl", feature = "webgpu", feature = "metal")),
    allow(dead_code, unreachable_code, unused_variables)
)]

mod bundle;
mod convert;
mod device;
mod error;
mod explain;
pub mod generate;
mod hal;
#[cfg(feature = "mmap")]
mod map;
mod session;
mod tensor;

pub use bundle::Bundle;
pub use convert::{read_output, write_input};
pub use device::{Device, DeviceInfo, DeviceKind};
pub use drift_bundle::{BundleError, Unmet, caps, plan};
pub use error::{Result, RuntimeError, RuntimeErrorKind, UnmetVariant};
pub use explain::{Choice, Verdict};
#[cfg(feature = "external")]
#[doc(hidden)]
pub use hal::external;
pub use session::{DriverCache, GpuTime, Profile, ProfileRow, Session, SessionOptions, Ticket};
pub use tensor::{OutputTensor, Outputs, TensorData, TensorRef};
