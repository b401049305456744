//! A loaded variant and its replays.

use super::{
    OpenClDevice,
    api::{Queue, Wanted},
    error::ClResultExt,
    flight::{Flight, HostMemory, wait},
    objects::Objects,
    programs::{Command, Dispatches, Programs},
    recorded::{Recorded, record},
    timing,
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
    hal::{Fetch, LoadRequest, Nanos, Program, SubmitNumber},
    session::device_bytes,
};
use drift_bundle::plan::Plan;
use std::{mem::ManuallyDrop, time::Duration};

/// Long enough for the largest models on a software device.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Writes of at most this size travel behind what is in flight; others wait for it.
const QUEUED_BYTES: u64 = 64 << 10;
/// Outputs start at multiples of this in the memory they are copied to.
const READBACK_ALIGN: u64 = 64;

pub(crate) struct OpenClProgram {
    pub(super) device: OpenClDevice,
    bundle: Bundle,
    variant: usize,
    /// The device was lost or has not finished in time: it may still use our objects.
    abandoned: bool,
    pub(super) timeout: Duration,
    pub(super) gpu: ManuallyDrop<Gpu>,
}

/// What the device uses, leaked when it cannot be known to have finished.
pub(super) struct Gpu {
    /// Of each entry point, where they could be recorded. Released first.
    recorded: Vec<Option<Recorded>>,
    pub queue: Queue,
    pub objects: Objects,
    pub dispatches: Dispatches,
    flight: Flight,
    /// The outputs of every entry point: (object, offset inside it, offset in `readback`, bytes).
    outputs: Vec<Vec<(u32, u64, u64, u64)>>,
    readback: Option<HostMemory>,
    /// Notes times; made at the first measurement.
    pub timed: Option<Queue>,
}

impl OpenClProgram {
    pub(crate) fn load(device: &OpenClDevice, request: &LoadRequest<'_>) -> Result<OpenClProgram> {
        let plan = &request.bundle.variant(request.variant).plan;
        let id = device.physical.id;
        let queue = device.context.queue(id, false).check("clCreateCommandQueue")?;
        let objects = Objects::create(device, plan)?;
        // Kernels compile while weights travel.
        let programs = std::thread::scope(|scope| {
            let uploads = scope.spawn(|| objects.fill(&queue, plan, request.bundle));
            let programs = Programs::create(device, request);
            let uploaded = uploads.join().unwrap_or(Err(RuntimeError::DeviceLost));
            programs.and_then(|programs| uploaded.map(|()| programs))
        })?;
        let dispatches = Dispatches::create(device, plan, &programs, &objects)?;
        let mut end = 0u64;
        let mut outputs = Vec::with_capacity(plan.entry_points.len());
        for entry in &plan.entry_points {
            let mut list = Vec::with_capacity(entry.outputs.len());
            for io in &entry.outputs {
                let bytes = device_bytes(io);
                list.push((io.object, io.offset, end, bytes));
                end = (end + bytes).next_multiple_of(READBACK_ALIGN);
            }
            outputs.push(list);
        }
        let readback = match end {
            0 => None,
            end => Some(HostMemory::new(device, &queue, end, "outputs on the host")?),
        };
        let flight = Flight::default();
        let recorded = record(device.physical.platform, id, &queue, &dispatches);
        let gpu =
            Gpu { recorded, queue, objects, dispatches, flight, outputs, readback, timed: None };
        Ok(OpenClProgram {
            device: device.clone(),
            bundle: request.bundle.clone(),
            variant: request.variant,
            abandoned: false,
            timeout: DEFAULT_TIMEOUT,
            gpu: ManuallyDrop::new(gpu),
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.bundle.variant(self.variant).plan
    }

    /// Notes when the device is lost.
    fn watch<T>(&mut self, outcome: Result<T>) -> Result<T> {
        // After any other failure a later call may succeed.
        if matches!(outcome, Err(RuntimeError::DeviceLost)) {
            self.gpu.flight.give_up();
            self.abandoned = true;
        }
        outcome
    }

    /// Stands for a lost device in tests.
    #[cfg(test)]
    pub(crate) fn simulate_loss(&mut self) {
        let lost: Result<()> = Err(RuntimeError::DeviceLost);
        let _ = self.watch(lost);
    }

    fn alive(&self) -> Result<()> {
        if self.abandoned { Err(RuntimeError::DeviceLost) } else { Ok(()) }
    }
}

impl Gpu {
    /// Enqueues the commands of an entry point; `events` gets one of each dispatch when it is there.
    pub fn replay(
        &self,
        queue: &Queue,
        entry: usize,
        mut timed: impl FnMut(usize, u32) -> Wanted,
        mut started: impl FnMut(Wanted),
    ) -> Result<()> {
        for (index, command) in self.dispatches.entries[entry].iter().enumerate() {
            match command {
                Command::Dispatch(d) => {
                    let mut event = timed(index, d.label);
                    queue
                        .dispatch(
                            &self.dispatches.kernels[d.kernel],
                            &d.global,
                            &d.local,
                            &mut event,
                        )
                        .check("clEnqueueNDRangeKernel")?;
                    started(event);
                }
                Command::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    let from = (self.objects.buffer(*src)?, *src_offset);
                    let to = (self.objects.buffer(*dst)?, *dst_offset);
                    queue.copy(from, to, *bytes).check("clEnqueueCopyBuffer")?;
                }
            }
        }
        Ok(())
    }

    fn run(&self, entry: usize, times: u32) -> Result<()> {
        for _ in 0..times {
            match &self.recorded[entry] {
                Some(recorded) => recorded.replay().check("clEnqueueCommandBufferKHR")?,
                None => self.replay(&self.queue, entry, |_, _| Wanted::default(), drop)?,
            }
        }
        if let (Some(readback), true) = (&self.readback, times > 0) {
            for (object, offset, to, bytes) in &self.outputs[entry] {
                if *bytes > 0 {
                    let from = (self.objects.buffer(*object)?, *offset);
                    let event = &mut Wanted::default();
                    readback.read_into(&self.queue, from, *to, *bytes, event)?;
                }
            }
        }
        Ok(())
    }
}

impl Program for OpenClProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.alive()?;
        let mut data = vec![0; bytes as usize];
        fill(&mut data)?;
        let timeout = self.timeout;
        let gpu = &mut *self.gpu;
        let write = || -> Result<()> {
            let buffer = gpu.objects.buffer(object)?;
            gpu.flight.write(&gpu.queue, buffer, offset, data, timeout)?;
            if bytes > QUEUED_BYTES {
                gpu.flight.wait_all(timeout)?;
            }
            Ok(())
        };
        let written = write();
        self.watch(written)
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        self.alive()?;
        if out.is_empty() {
            return Ok(());
        }
        let timeout = self.timeout;
        let gpu = &mut *self.gpu;
        let mut read = || -> Result<()> {
            let mut data = vec![0u8; out.len()];
            let mut event = Wanted::yes();
            let (to, bytes) = (data.as_mut_ptr(), data.len() as u64);
            // SAFETY: `data` stays until the command has run, or for good.
            unsafe { gpu.queue.read(gpu.objects.buffer(object)?, offset, to, bytes, &mut event) }
                .check("clEnqueueReadBuffer")?;
            gpu.queue.flush().check("clFlush")?;
            if let Some(event) = event.take()
                && let Err(e) = wait(&event, timeout)
            {
                // the device may write there yet
                std::mem::forget(data);
                return Err(e);
            }
            out.copy_from_slice(&data);
            Ok(())
        };
        let outcome = read();
        self.watch(outcome)
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        self.alive()?;
        let (timeout, device) = (self.timeout, &self.device);
        let mut flight = std::mem::take(&mut self.gpu.flight);
        let gpu = &*self.gpu;
        let fetch = match fetch {
            Some(f) => gpu.objects.buffer(f.object).map(|b| Some((b, f.offset, f.bytes))),
            None => Ok(None),
        };
        let started = fetch.and_then(|fetch| {
            flight.start(device, &gpu.queue, || gpu.run(entry, times), fetch, timeout)
        });
        self.gpu.flight = flight;
        self.watch(started)
    }

    fn wait(&mut self) -> Result<()> {
        let waited = self.gpu.flight.wait_all(self.timeout);
        self.watch(waited)
    }

    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()> {
        self.alive()?;
        let waited = self.gpu.flight.wait(submit, self.timeout);
        self.watch(waited)
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        self.gpu.flight.fetched(submit)
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        let (_, _, offset, bytes) = self.gpu.outputs[entry][output];
        match &self.gpu.readback {
            // SAFETY: nothing is in flight, and the device writes there only then.
            Some(host) if self.gpu.flight.is_idle() => unsafe { host.slice(offset, bytes) },
            _ => &[],
        }
    }

    fn reset_state(&mut self) -> Result<()> {
        self.alive()?;
        self.wait()?;
        self.gpu.objects.clear_state(&self.gpu.queue, self.plan())
    }

    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>> {
        self.alive()?;
        self.wait()?;
        let profiled = timing::profile(self, entry);
        self.watch(profiled)
    }

    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        self.alive()?;
        self.wait()?;
        let measured = timing::bench(self, entry, n);
        self.watch(measured)
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }
}

impl Drop for OpenClProgram {
    fn drop(&mut self) {
        let _ = self.wait();
        if self.abandoned || !self.gpu.flight.is_idle() {
            // The device has not answered in time and may still use everything: leak it.
            return;
        }
        // SAFETY: dropped once, here, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.gpu) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::RuntimeErrorKind, hal::Hal, session::DriverCache};
    use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};

    #[test]
    fn a_lost_device_stays_lost_and_cleans_up() {
        let Ok(device) = OpenClDevice::open(0) else {
            println!("skipped: no OpenCL device");
            return;
        };
        let io = Io {
            name: "y".into(),
            elem: ElemType::F32,
            device_elem: ElemType::F32,
            shape: vec![2],
            object: 0,
            offset: 0,
        };
        let object = Object { role: ObjectRole::State, kind: ObjectKind::Buffer { bytes: 8 } };
        let entry =
            EntryPoint { name: "main".into(), inputs: vec![], outputs: vec![io], steps: vec![] };
        let plan = Plan { objects: vec![object], entry_points: vec![entry], ..Plan::default() };
        let mut writer = BundleWriter::new(Meta::new("state", "test", "0"));
        let requirements = Requirements::new(Api::OpenCl, Dialect::OpenClC, "test");
        writer.add_variant(requirements, plan, ShaderSet::new());
        let bundle = Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap();
        let request = LoadRequest { bundle: &bundle, variant: 0, cache: &DriverCache::Off };
        let mut program = device.load(&request).unwrap();
        program.submit(0, 1, None).unwrap();
        program.wait().unwrap();
        assert_eq!(program.output(0, 0), [0; 8]);
        program.simulate_loss();
        let fill = &mut |_: &mut [u8]| Ok(());
        for e in [
            program.submit(0, 1, None).map(|_| ()).unwrap_err(),
            program.profile(0).map(|_| ()).unwrap_err(),
            program.write(0, 0, 4, fill).unwrap_err(),
            program.read(0, 0, &mut [0; 4]).unwrap_err(),
            program.wait_for(0).unwrap_err(),
        ] {
            assert_eq!(e.kind(), RuntimeErrorKind::DeviceLost, "{e}");
        }
        program.wait().unwrap();
        drop(program);
        // another session is not affected
        device.load(&request).unwrap().submit(0, 1, None).unwrap();
    }
}
