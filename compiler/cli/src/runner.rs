//! A loaded bundle, on a GPU or on the interpreter, behind one face.

use crate::args::{Backend, Place};
use crate::array::Array;
use crate::error::{CliError, Result, Status};
use crate::reference::ReferenceSession;
use drift_bundle::caps::Api;
use drift_bundle::plan::{Io, Plan};
use drift_runtime::{
    Bundle, Device, GpuTime, Outputs, Profile, RuntimeError, Session, TensorRef, Ticket,
};
use std::path::Path;

/// Opens a bundle whose results are only timed or not wanted; errors name the file.
pub fn open(path: &Path) -> Result<Bundle> {
    Bundle::open(path).map_err(|e| named(path, e))
}

/// Opens a bundle and reads its weights once for their checksum: no answer comes from a damaged file.
pub fn open_verified(path: &Path) -> Result<Bundle> {
    let bundle = open(path)?;
    bundle.verify().map_err(|e| named(path, e))?;
    Ok(bundle)
}

fn named(path: &Path, e: RuntimeError) -> CliError {
    let e = CliError::from(e);
    // a file that cannot be opened is already named
    let file = path.display().to_string();
    match e.message.contains(&file) {
        true => e,
        false => CliError { message: format!("{file}: {}", e.message), ..e },
    }
}

/// Opens the device that was asked for by number, or the best one for `bundle` (of an API).
pub fn open_device(bundle: &Bundle, place: &Place) -> Result<Device> {
    let api = match place.backend {
        Backend::Auto => None,
        Backend::Vulkan => Some(Api::Vulkan),
        Backend::Opencl => Some(Api::OpenCl),
        Backend::Webgpu if cfg!(feature = "webgpu") => Some(Api::WebGpu),
        Backend::Webgpu => {
            let message = "the back end webgpu is not part of this build";
            return Err(CliError::new(Status::Unsupported, message)
                .help("build driftc with `--features webgpu`"));
        }
        Backend::Metal if cfg!(target_os = "macos") => Some(Api::Metal),
        other => {
            return Err(CliError::new(
                Status::Unsupported,
                format!("the back end {other:?} is not part of this build").to_lowercase(),
            )
            .help("available: vulkan, opencl, reference, and metal on macOS"));
        }
    };
    let device = match (place.device, api) {
        (Some(n), _) => Device::open(n)?,
        (None, Some(api)) => Device::best_of(api, bundle)?,
        (None, None) => Device::best(bundle)?,
    };
    let found = device.capabilities().api;
    if let (Some(n), Some(api)) = (place.device, api.filter(|api| *api != found)) {
        return Err(CliError::bad(format!("device {n} is one of {found}, not of {api}"))
            .help("`driftc devices` lists the devices with their API"));
    }
    Ok(device)
}

/// Something that runs the entry points of a bundle.
pub enum Runner {
    Gpu(Box<Session>),
    Reference(Box<ReferenceSession>),
}

impl Runner {
    /// Loads `bundle` where `place` says.
    pub fn load(bundle: &Bundle, place: &Place) -> Result<Runner> {
        if place.backend == Backend::Reference {
            return Ok(Runner::Reference(Box::new(ReferenceSession::open(bundle.bytes())?)));
        }
        let device = open_device(bundle, place)?;
        Ok(Runner::Gpu(Box::new(Session::new(&device, bundle)?)))
    }

    /// Device and variant, for people.
    pub fn place(&self) -> String {
        match self {
            Runner::Gpu(s) => {
                let device = &s.device().capabilities().device_name;
                format!("{device} (variant {})", s.requirements().target)
            }
            Runner::Reference(_) => "reference interpreter on the CPU".to_owned(),
        }
    }

    pub fn inputs(&self) -> &[Io] {
        match self {
            Runner::Gpu(s) => s.inputs(),
            Runner::Reference(s) => s.inputs(),
        }
    }

    pub fn run(&mut self, inputs: &[(String, Array)]) -> Result<Outputs> {
        check_names(self.inputs(), inputs)?;
        let refs: Vec<(&str, TensorRef<'_>)> = inputs
            .iter()
            .map(|(n, a)| (n.as_str(), TensorRef::from_bytes(a.elem, &a.bytes, &a.shape)))
            .collect();
        match self {
            Runner::Gpu(s) => Ok(s.run(&refs)?),
            Runner::Reference(s) => Ok(s.run(&refs)?),
        }
    }

    pub fn plan(&self) -> &Plan {
        match self {
            Runner::Gpu(s) => s.plan(),
            Runner::Reference(s) => s.plan(),
        }
    }

    /// GPU time of `n` replays; the interpreter has none.
    pub fn bench(&mut self, n: u32) -> Result<Option<(GpuTime, Profile)>> {
        match self {
            Runner::Gpu(s) => {
                s.bench(n.min(5))?;
                Ok(Some((s.bench(n)?, s.run_profiled()?)))
            }
            Runner::Reference(_) => Ok(None),
        }
    }
}

/// Bytes of a state on their way to the host, or there.
pub enum Fetch {
    Ticket(Ticket),
    Bytes(Vec<u8>),
}

fn check_names(wanted: &[Io], given: &[(String, Array)]) -> Result {
    let missing: Vec<&str> = wanted
        .iter()
        .map(|w| w.name.as_str())
        .filter(|w| !given.iter().any(|(n, _)| n == w))
        .collect();
    let extra = given.iter().find(|(n, _)| !wanted.iter().any(|w| w.name == *n));
    if !missing.is_empty() || extra.is_some() {
        let list: Vec<String> =
            wanted.iter().map(|w| format!("{} {:?} {:?}", w.name, w.elem, w.shape)).collect();
        let what = match extra {
            Some((name, _)) => format!("the model has no input `{name}`"),
            None => format!("no array for input {}", missing.join(", ")),
        };
        return Err(CliError::bad(what)
            .help(format!("give --input NAME=FILE for each of: {}", list.join("; "))));
    }
    Ok(())
}
