//! One loaded variant of a bundle on one device.

use crate::{
    bundle::Bundle,
    convert::{read_output, write_input},
    device::Device,
    error::{Result, RuntimeError},
    explain::choose_variant,
    hal::{AnyProgram, FETCH_BYTES, Fetch, LoadRequest, Program, SubmitNumber},
    tensor::{OutputTensor, Outputs, TensorRef},
};
use drift_bundle::{
    caps::Requirements,
    plan::{EntryPoint, Io, Plan},
};
use std::{path::PathBuf, time::Duration};

/// Where compiled pipelines are kept between runs. Never inside the bundle; losing it costs time
/// only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DriverCache {
    /// `$DRIFT_CACHE_DIR`, else the user's cache directory (`$XDG_CACHE_HOME/drift`,
    /// `~/.cache/drift`, `%LOCALAPPDATA%\drift`).
    #[default]
    UserDir,
    Dir(PathBuf),
    Off,
}

/// How a session is made.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub cache: DriverCache,
    /// Target id of the variant to run; the best one by default.
    pub variant: Option<String>,
}

/// A bundle's variant, loaded and recorded. Sessions are independent of each other and may live on
/// different threads.
pub struct Session {
    program: AnyProgram,
    bundle: Bundle,
    variant: usize,
    entry: usize,
    device: Device,
}

/// Times of one replay, by dispatch.
#[derive(Clone, Debug)]
pub struct Profile {
    pub rows: Vec<ProfileRow>,
}

#[derive(Clone, Debug)]
pub struct ProfileRow {
    /// The plan's label: the node this dispatch came from.
    pub label: String,
    pub nanos: u64,
}

impl Profile {
    /// Sum over all dispatches.
    pub fn total_nanos(&self) -> u64 {
        self.rows.iter().map(|r| r.nanos).sum()
    }
}

/// GPU time of each of several replays that ran back to back.
#[derive(Clone, Debug)]
pub struct GpuTime {
    /// One per replay, in order.
    pub nanos: Vec<u64>,
    /// Wall-clock time of all of them together, with submission and waiting.
    pub wall: Duration,
}

impl GpuTime {
    pub fn median_nanos(&self) -> u64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }
    pub fn min_nanos(&self) -> u64 {
        self.nanos.iter().copied().min().unwrap_or(0)
    }
}

/// A submit whose state was asked for ([`Session::submit_fetch`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(SubmitNumber);

impl Ticket {
    /// Most bytes that can travel with a submit.
    pub const MOST_BYTES: u64 = FETCH_BYTES;
}

impl Session {
    /// Loads the best variant that the device satisfies: creates objects, uploads weights, creates
    /// pipelines, records every entry point. The bundle's shaders run as they are: see *Trust* in
    /// the crate's documentation.
    pub fn new(device: &Device, bundle: &Bundle) -> Result<Session> {
        Session::with_options(device, bundle, &SessionOptions::default())
    }

    pub fn with_options(
        device: &Device,
        bundle: &Bundle,
        options: &SessionOptions,
    ) -> Result<Session> {
        let variant = match &options.variant {
            Some(target) => named_variant(device, bundle, target)?,
            None => choose_variant(bundle, device.capabilities())
                .map_err(|variants| RuntimeError::Unmet { variants })?,
        };
        let request = LoadRequest { bundle, variant, cache: &options.cache };
        let program = device.hal.load(&request)?;
        Ok(Session { program, bundle: bundle.clone(), variant, entry: 0, device: device.clone() })
    }

    /// The device this session runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The bundle that was loaded.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Requirements of the variant that was chosen.
    pub fn requirements(&self) -> &Requirements {
        &self.bundle.variant(self.variant).requirements
    }

    pub fn plan(&self) -> &Plan {
        &self.bundle.variant(self.variant).plan
    }

    /// Chooses the entry point that the other methods mean; the first one at the start.
    pub fn set_entry(&mut self, name: &str) -> Result<()> {
        match self.plan().entry_points.iter().position(|e| e.name == name) {
            Some(entry) => {
                self.entry = entry;
                Ok(())
            }
            None => {
                let names: Vec<&str> =
                    self.plan().entry_points.iter().map(|e| e.name.as_str()).collect();
                let message = format!("no such entry point; there are: {}", names.join(", "));
                Err(RuntimeError::Input { what: format!("entry point {name:?}"), message })
            }
        }
    }

    fn entry(&self) -> &EntryPoint {
        &self.plan().entry_points[self.entry]
    }

    /// Inputs of the current entry point.
    pub fn inputs(&self) -> &[Io] {
        &self.entry().inputs
    }

    /// Outputs of the current entry point.
    pub fn outputs(&self) -> &[Io] {
        &self.entry().outputs
    }

    /// Sets the inputs (all of them, in any order), runs once and gives all outputs.
    pub fn run(&mut self, inputs: &[(&str, TensorRef<'_>)]) -> Result<Outputs> {
        self.set_inputs(inputs)?;
        self.submit()?;
        self.wait()?;
        self.read_outputs()
    }

    /// Sets all inputs; one that is missing, unknown or given twice is an error.
    pub fn set_inputs(&mut self, inputs: &[(&str, TensorRef<'_>)]) -> Result<()> {
        for io in self.inputs() {
            let given = inputs.iter().filter(|(name, _)| *name == io.name).count();
            if given != 1 {
                let message = if given == 0 { "not given" } else { "given more than once" };
                return Err(RuntimeError::Input {
                    what: format!("input {:?}", io.name),
                    message: message.into(),
                });
            }
        }
        inputs.iter().try_for_each(|(name, tensor)| self.set_input(name, *tensor))
    }

    /// Sets one input; it keeps its contents over later runs. Waits for a run in flight.
    pub fn set_input<'a>(&mut self, name: &str, tensor: impl Into<TensorRef<'a>>) -> Result<()> {
        let io = find(
            &self.bundle.variant(self.variant).plan.entry_points[self.entry].inputs,
            "input",
            name,
        )?;
        let tensor = tensor.into();
        let bytes = device_bytes(io);
        if bytes == 0 {
            return write_input(io, &tensor, &mut []);
        }
        self.program.write(io.object, io.offset, bytes, &mut |dst| write_input(io, &tensor, dst))
    }

    /// Starts a run with the inputs as they are; returns at once. Runs may be started without
    /// waiting for those before: they run one after the other and hand on their state.
    pub fn submit(&mut self) -> Result<()> {
        self.submit_n(1)
    }

    /// Starts `n` runs of the current entry point, queued back to back with one call to the driver.
    pub fn submit_n(&mut self, n: u32) -> Result<()> {
        self.program.submit(self.entry, n, None).map(|_| ())
    }

    /// Waits until all runs in flight have finished.
    pub fn wait(&mut self) -> Result<()> {
        self.program.wait()
    }

    /// One output of the last run that was waited for.
    pub fn output(&mut self, name: &str) -> Result<OutputTensor> {
        self.wait()?;
        let io = find(self.outputs(), "output", name)?;
        let index = self.outputs().iter().position(|o| std::ptr::eq(o, io)).unwrap_or(0);
        Ok(self.read_output(index))
    }

    fn read_outputs(&self) -> Result<Outputs> {
        let tensors = (0..self.outputs().len()).map(|i| self.read_output(i)).collect();
        Ok(Outputs { tensors })
    }

    fn read_output(&self, index: usize) -> OutputTensor {
        let io = &self.outputs()[index];
        OutputTensor {
            name: io.name.clone(),
            elem: io.elem,
            shape: io.shape.clone(),
            bytes: read_output(io, self.program.output(self.entry, index)),
        }
    }

    /// Starts `n` runs and then brings `bytes` bytes of a state to the host, for [`Session::fetched`]:
    /// later runs may be started meanwhile.
    pub fn submit_fetch(
        &mut self,
        n: u32,
        state: &str,
        byte_offset: u64,
        bytes: u64,
    ) -> Result<Ticket> {
        let at = self.state_place(state, byte_offset, bytes)?;
        if bytes > Ticket::MOST_BYTES {
            let message = format!(
                "{bytes} bytes cannot travel with a run, at most {}; use read_state",
                Ticket::MOST_BYTES
            );
            return Err(RuntimeError::Input { what: format!("state {state:?}"), message });
        }
        let fetch = (bytes > 0).then_some(Fetch { object: at.0, offset: at.1, bytes });
        Ok(Ticket(self.program.submit(self.entry, n, fetch)?))
    }

    /// Waits for this submit (not for later ones) and gives what it fetched. Bytes are kept until
    /// eight more submits were made; each read of a state counts as one for every 64 KiB.
    pub fn fetched(&mut self, ticket: Ticket) -> Result<&[u8]> {
        self.program.wait_for(ticket.0)?;
        self.program.fetched(ticket.0).ok_or_else(|| {
            RuntimeError::input("fetched state", "given up: too many submits and reads since")
        })
    }

    /// The tensors that persist between runs, shared by all entry points.
    pub fn state_info(&self) -> &[Io] {
        &self.plan().states
    }

    /// Bytes of a state as the runs submitted so far leave it, in the device's types and row-major
    /// order ([`Session::state_info`]). Waits for these runs.
    pub fn read_state(&mut self, name: &str, byte_offset: u64, out: &mut [u8]) -> Result<()> {
        let (object, offset) = self.state_place(name, byte_offset, out.len() as u64)?;
        self.program.read(object, offset, out)
    }

    /// Overwrites bytes of a state for the runs submitted from now on.
    pub fn write_state(&mut self, name: &str, byte_offset: u64, data: &[u8]) -> Result<()> {
        let bytes = data.len() as u64;
        let (object, offset) = self.state_place(name, byte_offset, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        self.program.write(object, offset, bytes, &mut |dst| {
            dst.copy_from_slice(data);
            Ok(())
        })
    }

    /// Object and offset of a byte range of a state.
    fn state_place(&self, name: &str, byte_offset: u64, bytes: u64) -> Result<(u32, u64)> {
        let io = find(self.state_info(), "state", name)?;
        let have = device_bytes(io);
        match byte_offset.checked_add(bytes) {
            Some(end) if end <= have => Ok((io.object, io.offset + byte_offset)),
            _ => Err(RuntimeError::Input {
                what: format!("state {name:?}"),
                message: format!("offset {byte_offset} + {bytes} bytes, the state has {have}"),
            }),
        }
    }

    /// Zero-fills the state (KV cache, recurrent state), as at the start of the session.
    pub fn reset_state(&mut self) -> Result<()> {
        self.program.reset_state()
    }

    /// One run with the inputs as they are and a time stamp around each dispatch. Dispatches are
    /// kept apart from each other for this, so the sum exceeds the time of a normal run.
    pub fn run_profiled(&mut self) -> Result<Profile> {
        let rows = self.program.profile(self.entry)?;
        let labels = &self.plan().labels;
        let row = |(label, nanos): (u32, u64)| ProfileRow {
            label: labels[label as usize].clone(),
            nanos,
        };
        Ok(Profile { rows: rows.into_iter().map(row).collect() })
    }

    /// `n` runs back to back with the inputs as they are, and the GPU time of each (without the
    /// copies to and from the host).
    pub fn bench(&mut self, n: u32) -> Result<GpuTime> {
        let start = std::time::Instant::now();
        let nanos = self.program.bench(self.entry, n)?;
        Ok(GpuTime { nanos, wall: start.elapsed() })
    }

    /// How long [`Session::wait`] waits before it gives up; ten minutes at the start.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.program.set_timeout(timeout);
    }
}

fn named_variant(device: &Device, bundle: &Bundle, target: &str) -> Result<usize> {
    let Some(index) = bundle.requirements().position(|r| r.target == target) else {
        let names: Vec<&str> = bundle.requirements().map(|r| r.target.as_str()).collect();
        let message = format!("the bundle has no such variant; it has: {}", names.join(", "));
        return Err(RuntimeError::Input { what: format!("variant {target:?}"), message });
    };
    let caps = device.capabilities();
    let unmet = bundle.variant(index).requirements.unmet(caps);
    if unmet.is_empty() {
        return Ok(index);
    }
    let variant =
        crate::UnmetVariant { device: caps.device_name.clone(), target: target.into(), unmet };
    Err(RuntimeError::Unmet { variants: vec![variant] })
}

fn find<'a>(ios: &'a [Io], role: &str, name: &str) -> Result<&'a Io> {
    ios.iter().find(|io| io.name == name).ok_or_else(|| {
        let names: Vec<&str> = ios.iter().map(|io| io.name.as_str()).collect();
        let message = format!("no such {role}; there are: {}", names.join(", "));
        RuntimeError::Input { what: format!("{role} {name:?}"), message }
    })
}

/// Bytes of a boundary tensor inside its object; the reader has checked that this fits.
pub(crate) fn device_bytes(io: &Io) -> u64 {
    io.device_bytes().unwrap_or(0)
}
