//! A loaded variant and its replays.

use super::{
    VulkanDevice,
    error::VkResultExt,
    flight::Flight,
    memory::{Blocks, HostBytes, MemoryUse, Request},
    objects::Objects,
    pipelines::Pipelines,
    record::{Readback, Recorder},
    stager::{HALF_BYTES, Stager},
    timing,
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
    hal::{FETCH_BYTES, Fetch, LoadRequest, Nanos, Program, SubmitNumber},
    session::device_bytes,
};
use ash::vk;
use drift_bundle::plan::Plan;
use std::time::Duration;

/// Long enough for the largest models on a software device.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// Writes of at most this size go through the queue while something is in flight; others wait.
const QUEUED_BYTES: u64 = 64 << 10;
/// Outputs start at multiples of this in the readback buffer.
const READBACK_ALIGN: u64 = 64;

pub(crate) struct VulkanProgram {
    pub(super) device: VulkanDevice,
    bundle: Bundle,
    variant: usize,
    objects: Objects,
    pipelines: Pipelines,
    pub(super) pool: vk::CommandPool,
    entries: Vec<Entry>,
    flight: Flight,
    /// Carries small writes to the device; made at the first one.
    stager: Option<Stager>,
    /// The device was lost or has not finished in time: it may still use our objects.
    abandoned: bool,
    pub(super) timeout: Duration,
    readback: vk::Buffer,
    readback_blocks: Blocks,
    readback_host: Option<HostBytes>,
}

#[derive(Default)]
struct Entry {
    commands: vk::CommandBuffer,
    outputs: Vec<Readback>,
}

impl VulkanProgram {
    pub(crate) fn load(device: &VulkanDevice, request: &LoadRequest<'_>) -> Result<VulkanProgram> {
        let mut p = VulkanProgram {
            device: device.clone(),
            bundle: request.bundle.clone(),
            variant: request.variant,
            objects: Objects::default(),
            pipelines: Pipelines::default(),
            pool: vk::CommandPool::null(),
            entries: Vec::new(),
            flight: Flight::default(),
            stager: None,
            abandoned: false,
            timeout: DEFAULT_TIMEOUT,
            readback: vk::Buffer::null(),
            readback_blocks: Blocks::default(),
            readback_host: None,
        };
        // From here on `drop` cleans up whatever exists.
        let plan = &request.bundle.variant(request.variant).plan;
        p.objects.create(device, plan)?;
        // Shaders compile while weights travel.
        let (objects, pipelines) = (&p.objects, &mut p.pipelines);
        std::thread::scope(|scope| {
            let uploads = scope.spawn(|| objects.fill(device, plan, request.bundle));
            let compiled = pipelines.create(device, request, objects);
            let uploaded = uploads.join().unwrap_or(Err(RuntimeError::DeviceLost));
            compiled.and(uploaded)
        })?;
        p.create_readback(plan)?;
        p.record(plan)?;
        Ok(p)
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.bundle.variant(self.variant).plan
    }

    pub(super) fn recorder(&self) -> Recorder<'_> {
        Recorder {
            device: &self.device,
            plan: self.plan(),
            objects: &self.objects,
            pipelines: &self.pipelines,
        }
    }

    /// One host-visible buffer with a place for each output of each entry point.
    fn create_readback(&mut self, plan: &Plan) -> Result<()> {
        let mut end = 0u64;
        for entry in &plan.entry_points {
            let mut outputs = Vec::with_capacity(entry.outputs.len());
            for io in &entry.outputs {
                let bytes = device_bytes(io);
                outputs.push((io.object, io.offset, end, bytes));
                end = (end + bytes).next_multiple_of(READBACK_ALIGN);
            }
            self.entries.push(Entry { outputs, ..Entry::default() });
        }
        if end == 0 {
            return Ok(());
        }
        let info =
            vk::BufferCreateInfo::default().size(end).usage(vk::BufferUsageFlags::TRANSFER_DST);
        // SAFETY: plain creation; the place fits the requirements and is bound once.
        unsafe {
            self.readback = self.device.raw.create_buffer(&info, None).check("vkCreateBuffer")?;
            let requirements = self.device.raw.get_buffer_memory_requirements(self.readback);
            let request = Request { requirements, usage: MemoryUse::Readback, image: false };
            let place =
                self.readback_blocks.place(&self.device, &[request], "outputs on the host")?[0];
            self.device
                .raw
                .bind_buffer_memory(self.readback, place.memory, place.offset)
                .check("vkBindBufferMemory")?;
            if let Some(host) = place.host {
                // Before the first run outputs read as zeros.
                host.slice_mut(0, end).fill(0);
            }
            self.readback_host = place.host;
        }
        Ok(())
    }

    fn record(&mut self, plan: &Plan) -> Result<()> {
        let info = vk::CommandPoolCreateInfo::default()
            .queue_family_index(self.device.physical.queue_family);
        // SAFETY: plain creation.
        self.pool = unsafe { self.device.raw.create_command_pool(&info, None) }
            .check("vkCreateCommandPool")?;
        self.flight.create(&self.device)?;
        let commands = self.allocate_commands(self.entries.len() as u32)?;
        for (entry, commands) in self.entries.iter_mut().zip(commands) {
            entry.commands = commands;
        }
        let recorder = self.recorder();
        for (entry, steps) in self.entries.iter().zip(&plan.entry_points) {
            recorder.entry(entry.commands, steps, self.readback, &entry.outputs)?;
        }
        Ok(())
    }

    /// Command buffers of the session's pool; they go with the pool or with `free_commands`.
    pub(super) fn allocate_commands(&self, count: u32) -> Result<Vec<vk::CommandBuffer>> {
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .command_buffer_count(count);
        // SAFETY: `&mut` methods and `load` call this, so no other thread uses the pool.
        unsafe { self.device.raw.allocate_command_buffers(&info) }.check("vkAllocateCommandBuffers")
    }

    /// Submits and waits.
    pub(super) fn run_now(&mut self, commands: &[vk::CommandBuffer]) -> Result<()> {
        self.start(commands.to_vec(), None)?;
        self.wait()
    }

    fn start(
        &mut self,
        commands: Vec<vk::CommandBuffer>,
        fetch: Option<Fetch>,
    ) -> Result<SubmitNumber> {
        if self.abandoned {
            return Err(RuntimeError::DeviceLost);
        }
        let fetch = fetch.map(|f| (self.objects[f.object].buffer, f.offset, f.bytes));
        let started = self.flight.start(&self.device, commands, fetch, self.timeout);
        self.watch(started)
    }

    /// Notes when the device is lost.
    fn watch<T>(&mut self, outcome: Result<T>) -> Result<T> {
        // After any other failure a later call may succeed.
        if matches!(outcome, Err(RuntimeError::DeviceLost)) {
            self.flight.give_up();
            self.abandoned = true;
        }
        outcome
    }

    /// Writes through the queue, behind everything submitted so far, without waiting for it.
    fn write_queued(&mut self, buffer: vk::Buffer, offset: u64, data: &[u8]) -> Result<()> {
        if self.abandoned {
            return Err(RuntimeError::DeviceLost);
        }
        let stager = match &mut self.stager {
            Some(stager) => stager,
            None => self.stager.insert(Stager::new(&self.device, QUEUED_BYTES)?),
        };
        stager.timeout = self.timeout;
        let written = stager.buffer(buffer, offset, data).and_then(|()| stager.flush());
        self.watch(written)
    }

    /// Stands for a lost device in tests.
    #[cfg(test)]
    pub(crate) fn simulate_loss(&mut self) {
        self.abandoned = true;
    }
}

impl Program for VulkanProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let gpu = self.objects[object];
        let queued = bytes <= QUEUED_BYTES && (gpu.host.is_none() || !self.flight.is_idle());
        if !queued {
            self.wait()?;
            if let Some(stager) = &mut self.stager {
                stager.wait_all()?;
            }
            if let Some(host) = gpu.host {
                // SAFETY: the object lives as long as `self`, nothing is in flight, `&mut self`.
                return fill(unsafe { host.slice_mut(offset, bytes) });
            }
        }
        let mut data = vec![0; bytes as usize];
        fill(&mut data)?;
        if queued {
            return self.write_queued(gpu.buffer, offset, &data);
        }
        let mut stager = Stager::new(&self.device, bytes.min(HALF_BYTES))?;
        stager.buffer(gpu.buffer, offset, &data)?;
        stager.finish()
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        // As many parts in flight as the ring has slots: copying out overlaps with copying in.
        let mut started = 0;
        let mut numbers = std::collections::VecDeque::new();
        let mut done = 0;
        while done < out.len() {
            while started < out.len() && (numbers.len() as u64) < super::flight::RING {
                let bytes = (out.len() - started).min(FETCH_BYTES as usize);
                let fetch = Fetch { object, offset: offset + started as u64, bytes: bytes as u64 };
                numbers.push_back(self.start(Vec::new(), Some(fetch))?);
                started += bytes;
            }
            let Some(number) = numbers.pop_front() else { break };
            self.wait_for(number)?;
            let part = self.flight.fetched(number).unwrap_or_default();
            out[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        }
        Ok(())
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        let commands = self.entries[entry].commands;
        self.start(vec![commands; times as usize], fetch)
    }

    fn wait(&mut self) -> Result<()> {
        let waited = self.flight.wait_all(&self.device, self.timeout);
        self.watch(waited)
    }

    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()> {
        if self.abandoned {
            return Err(RuntimeError::DeviceLost);
        }
        let waited = self.flight.wait(&self.device, submit, self.timeout);
        self.watch(waited)
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        self.flight.fetched(submit)
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        let (_, _, offset, bytes) = self.entries[entry].outputs[output];
        match self.readback_host {
            // SAFETY: the buffer lives as long as `self`; the device writes it only between
            // `submit` and `wait`, and `Session` waits before it reads.
            Some(host) if self.flight.is_idle() => unsafe { host.slice(offset, bytes) },
            _ => &[],
        }
    }

    fn reset_state(&mut self) -> Result<()> {
        self.wait()?;
        self.objects.clear_state(&self.device, self.plan())
    }

    fn profile(&mut self, entry: usize) -> Result<Vec<(u32, Nanos)>> {
        timing::profile(self, entry)
    }

    fn bench(&mut self, entry: usize, n: u32) -> Result<Vec<Nanos>> {
        timing::bench(self, entry, n)
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }
}

impl Drop for VulkanProgram {
    fn drop(&mut self) {
        let _ = self.wait();
        let staged = self.stager.as_mut().is_none_or(|s| s.wait_all().is_ok());
        if !(self.flight.is_idle() && (staged || self.abandoned)) {
            // The device has not answered in time and may still use everything: leak it.
            return;
        }
        // SAFETY: nothing is in flight; null handles are allowed. After a lost device, objects may
        // be destroyed at any time.
        unsafe {
            self.flight.destroy(&self.device);
            self.device.raw.destroy_command_pool(self.pool, None);
            self.device.raw.destroy_buffer(self.readback, None);
            self.readback_blocks.free(&self.device);
            self.pipelines.destroy(&self.device);
            self.objects.destroy(&self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::RuntimeErrorKind, hal::Hal, session::DriverCache};
    use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};

    /// One buffer, cleared at the start and given as the only output.
    fn state_bundle() -> Bundle {
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
        let requirements = Requirements::new(Api::Vulkan, Dialect::SpirV, "test");
        writer.add_variant(requirements, plan, ShaderSet::new());
        Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap()
    }

    #[test]
    fn a_lost_device_stays_lost_and_cleans_up() {
        let Ok(device) = VulkanDevice::open(0) else {
            println!("skipped: no Vulkan device");
            return;
        };
        let bundle = state_bundle();
        let request = LoadRequest { bundle: &bundle, variant: 0, cache: &DriverCache::Off };
        let mut program = device.load(&request).unwrap();
        program.submit(0, 1, None).unwrap();
        program.wait().unwrap();
        assert_eq!(program.output(0, 0), [0; 8]);
        program.simulate_loss();
        for e in [
            program.submit(0, 1, None).unwrap_err(),
            program
                .profile(0)
                .map(|rows| assert!(rows.is_empty()))
                .and(program.submit(0, 1, None).map(|_| ()))
                .unwrap_err(),
        ] {
            assert_eq!(e.kind(), RuntimeErrorKind::DeviceLost, "{e}");
        }
        program.wait().unwrap();
        drop(program);
        // Another session on a fresh device is not affected.
        let again = VulkanDevice::open(0).unwrap();
        again.load(&request).unwrap().submit(0, 1, None).unwrap();
    }
}
