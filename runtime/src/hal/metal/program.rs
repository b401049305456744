//! A loaded variant and its replays.

use super::{
    Buffer, Commands, Fence, MetalDevice, Queue,
    encode::Encoder,
    flight::{self, Flight, RING},
    objects::{self, Objects},
    pipelines::{self, Pipeline},
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
    hal::{FETCH_BYTES, Fetch, LoadRequest, Nanos, Program, SubmitNumber},
    session::device_bytes,
};
use drift_bundle::plan::{ObjectRole, Plan, Step};
use objc2::rc::autoreleasepool;
use objc2_metal::{MTLBuffer, MTLCommandBuffer, MTLCommandQueue, MTLDevice};
use std::{mem::ManuallyDrop, time::Duration};

/// Long enough for the largest models.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Outputs start at multiples of this in the memory they are copied to.
const READBACK_ALIGN: u64 = 64;
/// Replays in one go of `bench`.
const BATCH: u32 = 32;

pub(crate) struct MetalProgram {
    device: MetalDevice,
    /// Weights may lie in its mapped pages.
    bundle: ManuallyDrop<Bundle>,
    variant: usize,
    /// The device was lost or has not finished in time: it may still use our objects.
    abandoned: bool,
    timeout: Duration,
    gpu: ManuallyDrop<Gpu>,
}

/// What the device uses, leaked when it cannot be known to have finished.
struct Gpu {
    queue: Queue,
    fence: Fence,
    objects: Objects,
    pipelines: Vec<Pipeline>,
    flight: Flight,
    /// The outputs of every entry point: (object, offset inside it, offset in `readback`, bytes).
    outputs: Vec<Vec<(u32, u64, u64, u64)>>,
    readback: Buffer,
    /// [`FETCH_BYTES`] for each slot of the ring.
    fetches: Buffer,
}

// SAFETY: Metal's objects may be used from any thread, from one at a time unless it says more
// (Metal Programming Guide, "Multithreading"); a program is used through `&mut self`, or `&self` to
// look at memory that nothing in flight writes to.
unsafe impl Send for Gpu {}

impl MetalProgram {
    pub(crate) fn load(device: &MetalDevice, request: &LoadRequest<'_>) -> Result<MetalProgram> {
        let bundle = request.bundle.clone();
        let plan = &request.bundle.variant(request.variant).plan;
        let refused = |call| RuntimeError::Driver { call, code: 0 };
        let queue = device.device.newCommandQueue().ok_or_else(|| refused("newCommandQueue"))?;
        let fence = device.device.newFence().ok_or_else(|| refused("newFence"))?;
        let pipelines = pipelines::create(device, request)?;
        let mut objects = Objects::create(device, plan, &bundle)?;
        objects.fill(device, &queue, &fence, plan, &bundle)?;
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
        let readback = objects::shared_buffer(device, end, "outputs on the host")?;
        let fetches = objects::shared_buffer(device, FETCH_BYTES * RING, "reads of state")?;
        let flight = Flight::default();
        let gpu = Gpu { queue, fence, objects, pipelines, flight, outputs, readback, fetches };
        Ok(MetalProgram {
            device: device.clone(),
            bundle: ManuallyDrop::new(bundle),
            variant: request.variant,
            abandoned: false,
            timeout: DEFAULT_TIMEOUT,
            gpu: ManuallyDrop::new(gpu),
        })
    }

    /// Notes when the device is lost.
    fn watch<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if matches!(outcome, Err(RuntimeError::DeviceLost)) {
            self.gpu.flight.give_up();
            self.abandoned = true;
        }
        outcome
    }

    fn alive(&self) -> Result<()> {
        if self.abandoned { Err(RuntimeError::DeviceLost) } else { Ok(()) }
    }

    /// `f` with the plan and what the device uses, in a pool for what Metal gives on the way.
    fn with<T>(&mut self, f: impl FnOnce(&MetalDevice, &Plan, &mut Gpu) -> Result<T>) -> Result<T> {
        self.alive()?;
        let plan = &self.bundle.variant(self.variant).plan;
        let outcome = autoreleasepool(|_| f(&self.device, plan, &mut self.gpu));
        self.watch(outcome)
    }
}

/// A part of a buffer that host and device share.
///
/// # Safety
/// The part is inside of the buffer, and nothing in flight writes there.
unsafe fn slice(buffer: &Buffer, offset: u64, bytes: u64) -> &[u8] {
    let start = buffer.contents().cast::<u8>();
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start.as_ptr().add(offset as usize), bytes as usize) }
}

impl Gpu {
    /// A command buffer that keeps no references: what it uses lives in here.
    fn commands(&self) -> Result<Commands> {
        let call = "commandBufferWithUnretainedReferences";
        let made = self.queue.commandBufferWithUnretainedReferences();
        made.ok_or(RuntimeError::Driver { call, code: 0 })
    }

    fn replay(&self, encoder: &mut Encoder<'_>, plan: &Plan, entry: usize) -> Result<()> {
        for step in &plan.entry_points[entry].steps {
            encoder.step(plan, &self.pipelines, &self.objects, step)?;
        }
        // the next replay, or whoever reads, comes after all of it
        encoder.barrier();
        Ok(())
    }

    fn submit(
        &mut self,
        plan: &Plan,
        entry: usize,
        times: u32,
        fetch: Option<Fetch>,
        timeout: Duration,
    ) -> Result<SubmitNumber> {
        self.flight.make_room(timeout)?;
        let commands = self.commands()?;
        let mut encoder = Encoder::new(&commands, &self.fence);
        for _ in 0..times {
            self.replay(&mut encoder, plan, entry)?;
        }
        if times > 0 {
            for (object, offset, to, bytes) in &self.outputs[entry] {
                if *bytes > 0 {
                    let from = self.objects.buffer(*object, *offset)?;
                    encoder.copy(from, (&self.readback, *to), *bytes)?;
                }
            }
        }
        if let Some(f) = fetch {
            let from = self.objects.buffer(f.object, f.offset)?;
            let slot = self.flight.next() % RING * FETCH_BYTES;
            encoder.copy(from, (&self.fetches, slot), f.bytes)?;
        }
        drop(encoder);
        commands.commit();
        Ok(self.flight.started(commands, fetch.map_or(0, |f| f.bytes)))
    }

    /// GPU time of commands that have run.
    fn nanos(commands: &Commands) -> Nanos {
        let seconds = commands.GPUEndTime() - commands.GPUStartTime();
        (seconds.max(0.0) * 1e9) as Nanos
    }
}

impl Program for MetalProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.with(|device, _, gpu| {
            if gpu.flight.is_idle()
                // SAFETY: nothing is in flight; callers write inside of objects.
                && let Some(target) = unsafe { gpu.objects.bytes_mut(object, offset, bytes) }
            {
                return fill(target);
            }
            let mut data = vec![0; bytes as usize];
            fill(&mut data)?;
            // behind what is in flight; the command buffer keeps the staged bytes
            let staged = objects::staged(device, &data)?;
            let commands = objects::commands(&gpu.queue)?;
            let mut encoder = Encoder::new(&commands, &gpu.fence);
            encoder.copy((&staged, 0), gpu.objects.buffer(object, offset)?, bytes)?;
            drop(encoder);
            commands.commit();
            gpu.flight.passing(commands);
            Ok(())
        })
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let (timeout, bytes) = (self.timeout, out.len() as u64);
        self.with(|device, _, gpu| {
            gpu.flight.wait_all(timeout)?;
            // SAFETY: nothing is in flight; callers read inside of objects.
            if let Some(from) = unsafe { gpu.objects.bytes_mut(object, offset, bytes) } {
                out.copy_from_slice(from);
                return Ok(());
            }
            let host = objects::shared_buffer(device, bytes, "a read of state")?;
            let commands = objects::commands(&gpu.queue)?;
            let mut encoder = Encoder::new(&commands, &gpu.fence);
            encoder.copy(gpu.objects.buffer(object, offset)?, (&host, 0), bytes)?;
            drop(encoder);
            commands.commit();
            flight::wait(&commands, timeout)?;
            // SAFETY: the copy has ended, and nobody else knows of the buffer.
            out.copy_from_slice(unsafe { slice(&host, 0, bytes) });
            Ok(())
        })
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        let timeout = self.timeout;
        self.with(|_, plan, gpu| gpu.submit(plan, entry, times, fetch, timeout))
    }

    fn wait(&mut self) -> Result<()> {
        let waited = self.gpu.flight.wait_all(self.timeout);
        self.watch(waited)
    }

    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()> {
        let timeout = self.timeout;
        self.with(|_, _, gpu| gpu.flight.wait(submit, timeout))
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        let (slot, bytes) = self.gpu.flight.fetched(submit)?;
        // SAFETY: the device writes this part only while a submit of this slot is in flight, and the
        // last one has ended.
        Some(unsafe { slice(&self.gpu.fetches, slot * FETCH_BYTES, bytes) })
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        let (_, _, offset, bytes) = self.gpu.outputs[entry][output];
        match self.gpu.flight.is_idle() {
            // SAFETY: nothing is in flight, and the device writes there only then.
            true => unsafe { slice(&self.gpu.readback, offset, bytes) },
            false => &[],
        }
    }

    fn reset_state(&mut self) -> Result<()> {
        let timeout = self.timeout;
        self.with(|_, plan, gpu| {
            gpu.flight.wait_all(timeout)?;
            let of = |role| (role == ObjectRole::State).then_some(0);
            gpu.objects.clear(&gpu.queue, &gpu.fence, plan, of)
        })
    }

    /// A command buffer for each dispatch: GPUs of Apple take time stamps between encoders only.
    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>> {
        let timeout = self.timeout;
        self.with(|_, plan, gpu| {
            gpu.flight.wait_all(timeout)?;
            let mut rows = Vec::new();
            for step in &plan.entry_points[entry].steps {
                let commands = gpu.commands()?;
                let mut encoder = Encoder::new(&commands, &gpu.fence);
                encoder.step(plan, &gpu.pipelines, &gpu.objects, step)?;
                drop(encoder);
                commands.commit();
                flight::wait(&commands, timeout)?;
                if let Step::Dispatch { label, .. } = step {
                    rows.push((*label, Gpu::nanos(&commands)));
                }
            }
            Ok(rows)
        })
    }

    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        let timeout = self.timeout;
        self.with(|_, plan, gpu| {
            gpu.flight.wait_all(timeout)?;
            let mut nanos = Vec::with_capacity(n as usize);
            while (nanos.len() as u32) < n {
                let batch = BATCH.min(n - nanos.len() as u32);
                let mut running = Vec::with_capacity(batch as usize);
                for _ in 0..batch {
                    let commands = gpu.commands()?;
                    let mut encoder = Encoder::new(&commands, &gpu.fence);
                    gpu.replay(&mut encoder, plan, entry)?;
                    drop(encoder);
                    commands.commit();
                    running.push(commands);
                }
                for commands in &running {
                    flight::wait(commands, timeout)?;
                    nanos.push(Gpu::nanos(commands));
                }
            }
            Ok(nanos)
        })
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }
}

impl Drop for MetalProgram {
    fn drop(&mut self) {
        let _ = self.wait();
        if self.abandoned || !self.gpu.flight.is_idle() {
            // The device has not answered in time and may still use everything: leak it.
            return;
        }
        // SAFETY: each dropped once, here, and not used afterwards; the objects before the pages that
        // they may lie in.
        unsafe {
            ManuallyDrop::drop(&mut self.gpu);
            ManuallyDrop::drop(&mut self.bundle);
        }
    }
}
