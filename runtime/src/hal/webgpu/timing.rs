//! Times by the time stamps of compute passes, around each dispatch or around whole replays.

use super::{
    error::caught,
    flight::Readback,
    objects::buffer,
    pipelines::{Dispatch, Segment},
    program::WebGpuProgram,
};
use crate::{
    error::{Result, RuntimeError},
    hal::Nanos,
};
use wgpu::BufferUsages;

/// Replays in one submit of `bench`.
const BATCH: u32 = 64;
/// Dispatches in one submit of `profile`, with two queries each, of which a set has 4,096 at most.
const DISPATCHES: usize = 1024;

/// Queries, and where their results go.
struct Measurement {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: Readback,
    queries: u32,
}

impl Measurement {
    fn new(program: &WebGpuProgram, queries: u32) -> Result<Measurement> {
        let device = &program.device;
        if !device.raw.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let message = "the device has no time stamps";
            return Err(RuntimeError::input("GPU time", message));
        }
        let descriptor = wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: queries,
        };
        let set = caught(&device.raw, "time stamps", || device.raw.create_query_set(&descriptor))?;
        let bytes = u64::from(queries) * 8;
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let resolved = buffer(device, bytes, usage, "time stamps")?;
        let readback = Readback::new(device, bytes, "time stamps")?;
        Ok(Measurement { set, resolved, readback, queries })
    }

    /// Submits what `encode` adds to an encoder, and gives the nanoseconds between the two stamps
    /// of each of the first `pairs` pairs.
    fn run(
        &self,
        program: &WebGpuProgram,
        pairs: u32,
        encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>,
    ) -> Result<Vec<Nanos>> {
        let device = &program.device;
        let used = pairs * 2;
        debug_assert!(used <= self.queries);
        let bytes = u64::from(used) * 8;
        let submission = caught(&device.raw, "a measurement", || -> Result<_> {
            let mut encoder = device.raw.create_command_encoder(&Default::default());
            encode(&mut encoder)?;
            encoder.resolve_query_set(&self.set, 0..used, &self.resolved, 0);
            self.readback.copy(&mut encoder, (&self.resolved, 0, bytes), 0);
            Ok(device.queue.submit([encoder.finish()]))
        })??;
        self.readback.ask(bytes);
        let waited = device.wait(Some(submission), program.timeout);
        let period = f64::from(device.queue.get_timestamp_period());
        let ticks = self.readback.show(bytes, |data| {
            data.as_chunks::<8>().0.iter().map(|t| u64::from_le_bytes(*t)).collect::<Vec<u64>>()
        });
        waited?;
        let nanos = |[a, b]: &[u64; 2]| (b.saturating_sub(*a) as f64 * period) as Nanos;
        Ok(ticks?.as_chunks::<2>().0.iter().map(nanos).collect())
    }
}

pub(super) fn profile(program: &mut WebGpuProgram, entry: usize) -> Result<Vec<(u32, Nanos)>> {
    let gpu = &program.gpu;
    let dispatches: Vec<&Dispatch> = gpu.entries[entry]
        .iter()
        .flat_map(|s| match s {
            Segment::Pass(pass) => pass.as_slice(),
            Segment::Copy { .. } => &[],
        })
        .collect();
    let mut out = Vec::with_capacity(dispatches.len());
    if dispatches.is_empty() {
        return Ok(out);
    }
    let m = Measurement::new(program, 2 * dispatches.len().min(DISPATCHES) as u32)?;
    // copies are left out: what they would have copied does not change how long dispatches take
    for part in dispatches.chunks(DISPATCHES) {
        let nanos = m.run(program, part.len() as u32, |encoder| {
            for (i, d) in (0u32..).zip(part) {
                let stamps = wgpu::ComputePassTimestampWrites {
                    query_set: &m.set,
                    beginning_of_pass_write_index: Some(i * 2),
                    end_of_pass_write_index: Some(i * 2 + 1),
                };
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(stamps),
                });
                pass.set_pipeline(&d.pipeline);
                pass.set_bind_group(0, &d.group, &[]);
                let [x, y, z] = d.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
            Ok(())
        })?;
        out.extend(part.iter().zip(nanos).map(|(d, nanos)| (d.label, nanos)));
    }
    Ok(out)
}

pub(super) fn bench(program: &mut WebGpuProgram, entry: usize, n: u32) -> Result<Vec<Nanos>> {
    let mut nanos = Vec::with_capacity(n as usize);
    if n == 0 {
        return Ok(nanos);
    }
    if !program.gpu.entries[entry].iter().any(|s| matches!(s, Segment::Pass(_))) {
        // nothing to stamp
        return Ok(vec![0; n as usize]);
    }
    let batch = n.min(BATCH);
    let m = Measurement::new(program, batch * 2)?;
    while (nanos.len() as u32) < n {
        let now = batch.min(n - nanos.len() as u32);
        nanos.extend(m.run(program, now, |encoder| {
            (0..now).try_for_each(|i| program.gpu.encode(encoder, entry, Some((&m.set, i * 2))))
        })?);
    }
    Ok(nanos)
}
