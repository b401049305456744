//! A loaded bundle, on a GPU or on the interpreter, behind one face.

use crate::args::{Backend, Place};
use crate::array::Array;
use crate::error::{CliError, Result, Status};
use crate::reference::ReferenceSession;
use drift_bundle::plan::{Io, Plan};
use drift_runtime::{Bundle, Device, GpuTime, Outputs, Profile, Session, TensorRef, Ticket};

/// Something that runs the entry points of a bundle.
pub enum Runner {
    Gpu(Box<Session>),
    Reference(Box<ReferenceSession>),
}

impl Runner {
    /// Loads `bundle` where `place` says.
    pub fn load(bundle: &Bundle, place: &Place) -> Result<Runner> {
        match place.backend {
            Backend::Reference => {
                Ok(Runner::Reference(Box::new(ReferenceSession::open(bundle.bytes())?)))
            }
            Backend::Auto | Backend::Vulkan => {
                let device = match place.device {
                    Some(n) => Device::open(n)?,
                    None => Device::best(bundle)?,
                };
                Ok(Runner::Gpu(Box::new(Session::new(&device, bundle)?)))
            }
            other => Err(CliError::new(
                Status::Unsupported,
                format!("the back end {other:?} is not part of this build").to_lowercase(),
            )
            .help("available: vulkan, reference")),
        }
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

    /// Starts `n` runs of an entry point, with inputs and states as they are.
    pub fn submit(&mut self, entry: &str, n: u32) -> Result {
        match self {
            Runner::Gpu(s) => {
                s.set_entry(entry)?;
                Ok(s.submit_n(n)?)
            }
            Runner::Reference(s) => {
                let index = entry_index(s.plan(), entry)?;
                (0..n).try_for_each(|_| s.run_entry(index))
            }
        }
    }

    /// The same, and some bytes of a state as these runs leave it, for [`Runner::fetched`]. At most
    /// eight may be asked for and not yet taken.
    pub fn submit_fetch(
        &mut self,
        entry: &str,
        n: u32,
        state: &str,
        offset: u64,
        bytes: u64,
    ) -> Result<Fetch> {
        match self {
            Runner::Gpu(s) => {
                s.set_entry(entry)?;
                Ok(Fetch::Ticket(s.submit_fetch(n, state, offset, bytes)?))
            }
            Runner::Reference(_) => {
                self.submit(entry, n)?;
                let mut out = vec![0; bytes as usize];
                self.read_state(state, offset, &mut out)?;
                Ok(Fetch::Bytes(out))
            }
        }
    }

    /// Waits for what was asked for.
    pub fn fetched(&mut self, fetch: Fetch) -> Result<Vec<u8>> {
        match (self, fetch) {
            (Runner::Gpu(s), Fetch::Ticket(ticket)) => Ok(s.fetched(ticket)?.to_vec()),
            (_, Fetch::Bytes(bytes)) => Ok(bytes),
            (Runner::Reference(_), Fetch::Ticket(_)) => {
                Err(CliError::bad("a ticket of another session"))
            }
        }
    }

    /// Waits until all runs have finished.
    pub fn wait(&mut self) -> Result {
        match self {
            Runner::Gpu(s) => Ok(s.wait()?),
            Runner::Reference(_) => Ok(()),
        }
    }

    /// Bytes of a state, in multiples of 4, as the runs so far leave it.
    pub fn read_state(&mut self, name: &str, offset: u64, out: &mut [u8]) -> Result {
        match self {
            Runner::Gpu(s) => Ok(s.read_state(name, offset, out)?),
            Runner::Reference(s) => {
                let io = state(s.plan(), name, offset, out.len())?;
                out.copy_from_slice(&s.read_state(io, offset, out.len() as u64));
                Ok(())
            }
        }
    }

    /// Overwrites bytes of a state, in multiples of 4, for the runs from now on.
    pub fn write_state(&mut self, name: &str, offset: u64, data: &[u8]) -> Result {
        match self {
            Runner::Gpu(s) => Ok(s.write_state(name, offset, data)?),
            Runner::Reference(s) => {
                let io = state(s.plan(), name, offset, data.len())?;
                s.write_state(io, offset, data);
                Ok(())
            }
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

/// Bytes of a state on their way to the host.
pub enum Fetch {
    Ticket(Ticket),
    Bytes(Vec<u8>),
}

fn entry_index(plan: &Plan, name: &str) -> Result<usize> {
    plan.entry_points
        .iter()
        .position(|e| e.name == name)
        .ok_or_else(|| CliError::bad(format!("the bundle has no entry point `{name}`")))
}

/// A state that has this range.
fn state<'p>(plan: &'p Plan, name: &str, offset: u64, bytes: usize) -> Result<&'p Io> {
    let io = plan.states.iter().find(|io| io.name == name);
    let io = io.ok_or_else(|| CliError::bad(format!("the bundle has no state `{name}`")))?;
    match offset.checked_add(bytes as u64) {
        Some(end) if end <= io.device_bytes().unwrap_or(0) => Ok(io),
        _ => Err(CliError::bad(format!("state `{name}` has no {bytes} bytes at {offset}"))),
    }
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
