//! A loaded variant and its replays.

use super::{
    Opened, WebGpuDevice,
    error::caught,
    flight::{Flight, Readback, words},
    objects::{COPY_ALIGNMENT, Objects, buffer},
    physical::Needs,
    pipelines::{Pipelines, Segment, commands},
    timing,
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
    hal::{Fetch, LoadRequest, Nanos, Program, SubmitNumber},
    session::device_bytes,
};
use drift_bundle::plan::Plan;
use std::time::Duration;
use wgpu::BufferUsages;

/// Long enough for the largest models on a software device.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) struct WebGpuProgram {
    pub(super) device: Opened,
    bundle: Bundle,
    variant: usize,
    pub(super) timeout: Duration,
    pub(super) gpu: Gpu,
    flight: Flight,
    /// The outputs of every entry point.
    outputs: Vec<Vec<Output>>,
    /// Where replays leave their outputs, and as much of it on the host.
    readback: Option<Readback>,
    host: Vec<u8>,
    /// `readback` is newer than `host`.
    newer: bool,
    /// For [`Program::read`].
    reading: Option<Readback>,
}

/// What replays are made of.
pub(super) struct Gpu {
    pub objects: Objects,
    pub entries: Vec<Vec<Segment>>,
    /// Copies within a buffer go through this one.
    scratch: Option<wgpu::Buffer>,
}

/// An output of an entry point.
struct Output {
    object: u32,
    /// Inside the object.
    offset: u64,
    bytes: u64,
    /// Of its first word in the memory that it is copied to.
    at: u64,
}

impl Output {
    /// Of its first byte there.
    fn start(&self) -> u64 {
        self.at + self.offset % COPY_ALIGNMENT
    }
}

/// Where every entry point's outputs go, and the bytes of all of them.
fn outputs(plan: &Plan) -> (Vec<Vec<Output>>, u64) {
    let mut at = 0;
    let mut all = Vec::with_capacity(plan.entry_points.len());
    for entry in &plan.entry_points {
        let mut list = Vec::with_capacity(entry.outputs.len());
        for io in &entry.outputs {
            let bytes = device_bytes(io);
            let (first, last) = words(io.offset, bytes);
            list.push(Output { object: io.object, offset: io.offset, bytes, at });
            at += last - first;
        }
        all.push(list);
    }
    (all, at)
}

/// Bytes of the largest copy within one buffer.
fn scratch_bytes(entries: &[Vec<Segment>]) -> u64 {
    let bytes = |s: &Segment| match s {
        Segment::Copy { src, dst, bytes, .. } if src == dst => *bytes,
        _ => 0,
    };
    entries.iter().flatten().map(bytes).max().unwrap_or(0)
}

impl WebGpuProgram {
    pub(crate) fn load(device: &WebGpuDevice, request: &LoadRequest<'_>) -> Result<WebGpuProgram> {
        let plan = &request.bundle.variant(request.variant).plan;
        let (outputs, bytes) = outputs(plan);
        let needs = Needs::of(&device.physical, request.bundle, request.variant, bytes);
        let opened = device.opened_with(&needs)?;
        let loaded = (|| {
            let objects = Objects::create(&opened, plan)?;
            // Kernels compile while weights travel.
            let pipelines = std::thread::scope(|scope| {
                let fill = || objects.fill(&opened, plan, request.bundle, DEFAULT_TIMEOUT);
                let uploads = scope.spawn(fill);
                let pipelines = Pipelines::create(device, &opened, request);
                let uploaded = uploads.join().unwrap_or(Err(RuntimeError::DeviceLost));
                pipelines.and_then(|pipelines| uploaded.map(|()| pipelines))
            })?;
            let entries = commands(&opened, plan, &pipelines, &objects)?;
            let scratch = match scratch_bytes(&entries) {
                0 => None,
                bytes => {
                    let usage = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
                    Some(buffer(&opened, bytes, usage, "copies")?)
                }
            };
            let readback = match bytes {
                0 => None,
                bytes => Some(Readback::new(&opened, bytes, "outputs on the host")?),
            };
            Ok((Gpu { objects, entries, scratch }, readback))
        })();
        let (gpu, readback) = opened.check(loaded)?;
        Ok(WebGpuProgram {
            device: opened,
            bundle: request.bundle.clone(),
            variant: request.variant,
            timeout: DEFAULT_TIMEOUT,
            gpu,
            flight: Flight::default(),
            outputs,
            readback,
            host: vec![0; bytes as usize],
            newer: false,
            reading: None,
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.bundle.variant(self.variant).plan
    }

    fn alive(&self) -> Result<()> {
        self.device.check(Ok(()))
    }

    /// Notes when the device is lost.
    fn watch<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let outcome = self.device.check(outcome);
        // after any other failure a later call may succeed
        if matches!(outcome, Err(RuntimeError::DeviceLost)) {
            self.flight.give_up();
        }
        outcome
    }

    /// Waits for everything, and brings the outputs to the host.
    fn settle(&mut self) -> Result<()> {
        if let (true, Some(readback)) = (self.newer, &self.readback) {
            let bytes = self.host.len() as u64;
            readback.ask(bytes);
            let waited = self.flight.wait_all(&self.device, self.timeout);
            let host = &mut self.host;
            // ends the mapping that was asked for, also when the wait has failed
            let shown = readback.show(bytes, |data| host.copy_from_slice(&data[..bytes as usize]));
            waited.and(shown)?;
            self.newer = false;
        }
        self.flight.wait_all(&self.device, self.timeout)
    }

    fn read_now(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        let source = self.gpu.objects.buffer(object)?;
        let (start, end) = words(offset, out.len() as u64);
        if self.reading.as_ref().is_none_or(|r| r.bytes() < end - start) {
            self.reading = Some(Readback::new(&self.device, end - start, "a read")?);
        }
        let Some(reading) = &self.reading else { return Ok(()) };
        let device = &self.device;
        let (submission, at) = caught(&device.raw, "a read", || {
            let mut encoder = device.raw.create_command_encoder(&Default::default());
            let at = reading.copy(&mut encoder, (source, offset, out.len() as u64), 0);
            (device.queue.submit([encoder.finish()]), at)
        })?;
        reading.ask(end - start);
        let waited = device.wait(Some(submission), self.timeout);
        let at = at as usize;
        let shown =
            reading.show(end - start, |data| out.copy_from_slice(&data[at..at + out.len()]));
        waited.and(shown)
    }

    fn write_now(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let (start, end) = words(offset, bytes);
        let mut data = vec![0; (end - start) as usize];
        if (start, end) != (offset, offset + bytes) {
            // what lies around it stays
            self.read_now(object, start, &mut data)?;
        }
        let at = (offset - start) as usize;
        fill(&mut data[at..at + bytes as usize])?;
        let buffer = self.gpu.objects.buffer(object)?;
        caught(&self.device.raw, "a write", || self.device.queue.write_buffer(buffer, start, &data))
    }
}

impl Gpu {
    /// Encodes the commands of an entry point; `timed` has the queries of its begin and its end.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        entry: usize,
        timed: Option<(&wgpu::QuerySet, u32)>,
    ) -> Result<()> {
        let segments = &self.entries[entry];
        let is_pass = |s: &Segment| matches!(s, Segment::Pass(_));
        let (first, last) = (segments.iter().position(is_pass), segments.iter().rposition(is_pass));
        for (i, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Pass(dispatches) => {
                    let mut stamps = None;
                    if let Some((query_set, begin)) = timed {
                        let begins = (Some(i) == first).then_some(begin);
                        let ends = (Some(i) == last).then_some(begin + 1);
                        if begins.is_some() || ends.is_some() {
                            stamps = Some(wgpu::ComputePassTimestampWrites {
                                query_set,
                                beginning_of_pass_write_index: begins,
                                end_of_pass_write_index: ends,
                            });
                        }
                    }
                    let descriptor =
                        wgpu::ComputePassDescriptor { label: None, timestamp_writes: stamps };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    let mut current = None;
                    for d in dispatches {
                        if current != Some(d.number) {
                            pass.set_pipeline(&d.pipeline);
                            current = Some(d.number);
                        }
                        pass.set_bind_group(0, &d.group, &[]);
                        let [x, y, z] = d.workgroups;
                        pass.dispatch_workgroups(x, y, z);
                    }
                }
                Segment::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    let (from, to) = (self.objects.buffer(*src)?, self.objects.buffer(*dst)?);
                    match &self.scratch {
                        // WebGPU does not copy within a buffer
                        Some(scratch) if src == dst => {
                            encoder.copy_buffer_to_buffer(from, *src_offset, scratch, 0, *bytes);
                            encoder.copy_buffer_to_buffer(scratch, 0, to, *dst_offset, *bytes);
                        }
                        _ => encoder.copy_buffer_to_buffer(
                            from,
                            *src_offset,
                            to,
                            *dst_offset,
                            *bytes,
                        ),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Program for WebGpuProgram {
    fn write(
        &mut self,
        object: u32,
        offset: u64,
        bytes: u64,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        self.alive()?;
        let written = self.write_now(object, offset, bytes, fill);
        self.watch(written)
    }

    fn read(&mut self, object: u32, offset: u64, out: &mut [u8]) -> Result<()> {
        self.alive()?;
        if out.is_empty() {
            return Ok(());
        }
        let read = self.read_now(object, offset, out);
        self.watch(read)
    }

    fn submit(&mut self, entry: usize, times: u32, fetch: Option<Fetch>) -> Result<SubmitNumber> {
        self.alive()?;
        let (gpu, outputs, readback) = (&self.gpu, &self.outputs[entry], &self.readback);
        let encode = |encoder: &mut wgpu::CommandEncoder| {
            for _ in 0..times {
                gpu.encode(encoder, entry, None)?;
            }
            if let (Some(readback), true) = (readback, times > 0) {
                for o in outputs {
                    let from = (gpu.objects.buffer(o.object)?, o.offset, o.bytes);
                    readback.copy(encoder, from, o.at);
                }
            }
            Ok(())
        };
        let fetch = match fetch {
            Some(f) => gpu.objects.buffer(f.object).map(|b| Some((b, f.offset, f.bytes))),
            None => Ok(None),
        };
        let started =
            fetch.and_then(|fetch| self.flight.start(&self.device, encode, fetch, self.timeout));
        self.newer |= times > 0 && started.is_ok() && !outputs.is_empty();
        self.watch(started)
    }

    fn wait(&mut self) -> Result<()> {
        if self.device.is_lost() && self.flight.is_idle() {
            return Ok(());
        }
        let waited = self.settle();
        self.watch(waited)
    }

    fn wait_for(&mut self, submit: SubmitNumber) -> Result<()> {
        self.alive()?;
        let waited = self.flight.wait(&self.device, submit, self.timeout);
        self.watch(waited)
    }

    fn fetched(&self, submit: SubmitNumber) -> Option<&[u8]> {
        self.flight.fetched(submit)
    }

    fn output(&self, entry: usize, output: usize) -> &[u8] {
        let o = &self.outputs[entry][output];
        match self.flight.is_idle() {
            true => self.host.get(o.start() as usize..).map_or(&[], |d| &d[..o.bytes as usize]),
            false => &[],
        }
    }

    fn reset_state(&mut self) -> Result<()> {
        self.alive()?;
        let cleared = self.gpu.objects.clear_state(&self.device, self.plan());
        self.watch(cleared)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::RuntimeErrorKind, hal::Hal, session::DriverCache};
    use drift_bundle::{BundleWriter, Meta, ShaderSet, caps::*, plan::*};

    #[test]
    fn a_lost_device_stays_lost_and_is_opened_anew() {
        let Ok(device) = WebGpuDevice::open(0) else {
            println!("skipped: no WebGPU adapter");
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
        let requirements = Requirements::new(Api::WebGpu, Dialect::Wgsl, "test");
        writer.add_variant(requirements, plan, ShaderSet::new());
        let bundle = Bundle::from_vec(writer.to_vec(&[]).unwrap()).unwrap();
        let request = LoadRequest { bundle: &bundle, variant: 0, cache: &DriverCache::Off };
        let mut program = device.load(&request).unwrap();
        program.submit(0, 1, None).unwrap();
        program.wait().unwrap();
        assert_eq!(program.output(0, 0), [0; 8]);
        program.device.raw.destroy();
        // wgpu tells of it when it is asked next
        let _ = program.device.wait(None, DEFAULT_TIMEOUT);
        let fill = &mut |_: &mut [u8]| Ok(());
        for e in [
            program.submit(0, 1, None).map(|_| ()).unwrap_err(),
            program.profile(0).map(|_| ()).unwrap_err(),
            program.write(0, 0, 4, fill).unwrap_err(),
            program.read(0, 0, &mut [0; 4]).unwrap_err(),
            program.wait_for(7).unwrap_err(),
        ] {
            assert_eq!(e.kind(), RuntimeErrorKind::DeviceLost, "{e}");
        }
        program.wait().unwrap();
        drop(program);
        // a new session opens the device again
        device.load(&request).unwrap().submit(0, 1, None).unwrap();
    }
}
