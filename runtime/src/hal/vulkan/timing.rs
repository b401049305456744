//! Time stamps: around each dispatch, or around whole replays.

use super::{error::VkResultExt, program::VulkanProgram};
use crate::{
    error::{Result, RuntimeError},
    hal::{Nanos, Program},
};
use ash::vk;
use drift_bundle::plan::Step;

/// Replays in one submit of `bench`.
const BATCH: u32 = 64;

/// Query pool and command buffers of one measurement, freed together.
struct Measurement {
    pool: vk::QueryPool,
    commands: Vec<vk::CommandBuffer>,
}

impl Measurement {
    fn new(program: &mut VulkanProgram, queries: u32, commands: u32) -> Result<Measurement> {
        program.wait()?;
        if program.device.physical.timestamp_period == 0.0 {
            let message = "the device has no time stamps on compute queues";
            return Err(RuntimeError::input("GPU time", message));
        }
        let info = vk::QueryPoolCreateInfo::default()
            .query_type(vk::QueryType::TIMESTAMP)
            .query_count(queries);
        let commands = program.allocate_commands(commands)?;
        // SAFETY: plain creation.
        match unsafe { program.device.raw.create_query_pool(&info, None) }
            .check("vkCreateQueryPool")
        {
            Ok(pool) => Ok(Measurement { pool, commands }),
            Err(e) => {
                // SAFETY: never submitted.
                unsafe { program.device.raw.free_command_buffers(program.pool, &commands) };
                Err(e)
            }
        }
    }

    /// All time stamps, in nanoseconds since some moment.
    fn read(&self, program: &VulkanProgram, queries: u32) -> Result<Vec<f64>> {
        let mut ticks = vec![0u64; queries as usize];
        let flags = vk::QueryResultFlags::TYPE_64 | vk::QueryResultFlags::WAIT;
        // SAFETY: the submit that wrote these queries has finished.
        unsafe { program.device.raw.get_query_pool_results(self.pool, 0, &mut ticks, flags) }
            .check("vkGetQueryPoolResults")?;
        let physical = &program.device.physical;
        Ok(ticks
            .iter()
            .map(|t| (t & physical.timestamp_mask) as f64 * physical.timestamp_period)
            .collect())
    }

    fn free(self, program: &VulkanProgram, finished: bool) {
        if finished {
            // SAFETY: nothing of it is in flight.
            unsafe {
                program.device.raw.free_command_buffers(program.pool, &self.commands);
                program.device.raw.destroy_query_pool(self.pool, None);
            }
        }
    }
}

fn between(start: f64, end: f64) -> Nanos {
    (end - start).max(0.0) as Nanos
}

pub(super) fn profile(program: &mut VulkanProgram, entry: usize) -> Result<Vec<(u32, Nanos)>> {
    let steps = &program.plan().entry_points[entry].steps;
    let dispatches = steps.iter().filter(|s| matches!(s, Step::Dispatch { .. })).count() as u32;
    if dispatches == 0 {
        return Ok(Vec::new());
    }
    let queries = dispatches * 2;
    let m = Measurement::new(program, queries, 1)?;
    let commands = m.commands[0];
    let mut labels = Vec::with_capacity(dispatches as usize);
    let measure = |program: &mut VulkanProgram, labels: &mut Vec<u32>| -> Result<Vec<f64>> {
        let recorder = program.recorder();
        let raw = &program.device.raw;
        recorder.begin(commands)?;
        // SAFETY: recording, outside of any render pass; every query is written once after this.
        unsafe { raw.cmd_reset_query_pool(commands, m.pool, 0, queries) };
        recorder.entry_barrier(commands);
        let mut query = 0;
        recorder.steps(commands, &program.plan().entry_points[entry], &mut |after, label| {
            if after {
                labels.push(label);
            }
            // SAFETY: recording, the query was reset.
            unsafe {
                raw.cmd_write_timestamp(
                    commands,
                    vk::PipelineStageFlags::BOTTOM_OF_PIPE,
                    m.pool,
                    query,
                );
            }
            query += 1;
            // Nothing of the next dispatch starts before this one has ended.
            if after {
                recorder.entry_barrier(commands);
            }
        });
        recorder.end(commands)?;
        program.run_now(&[commands])?;
        m.read(program, queries)
    };
    let measured = measure(program, &mut labels);
    m.free(program, !matches!(measured, Err(RuntimeError::Timeout { .. })));
    let stamps = measured?;
    Ok(labels
        .into_iter()
        .zip(stamps.as_chunks::<2>().0)
        .map(|(l, [a, b])| (l, between(*a, *b)))
        .collect())
}

pub(super) fn bench(program: &mut VulkanProgram, entry: usize, n: u32) -> Result<Vec<Nanos>> {
    if n == 0 {
        return Ok(Vec::new());
    }
    let batch = n.min(BATCH);
    let m = Measurement::new(program, batch * 2, batch)?;
    let measure = |program: &mut VulkanProgram| -> Result<Vec<Nanos>> {
        let recorder = program.recorder();
        let raw = &program.device.raw;
        for (i, commands) in (0u32..).zip(m.commands.iter().copied()) {
            recorder.begin(commands)?;
            // SAFETY: recording; each command buffer resets and writes its own two queries.
            unsafe { raw.cmd_reset_query_pool(commands, m.pool, i * 2, 2) };
            recorder.entry_barrier(commands);
            let stamp = |query| {
                // SAFETY: as above.
                unsafe {
                    raw.cmd_write_timestamp(
                        commands,
                        vk::PipelineStageFlags::BOTTOM_OF_PIPE,
                        m.pool,
                        query,
                    );
                }
            };
            stamp(i * 2);
            recorder.steps(commands, &program.plan().entry_points[entry], &mut |_, _| {});
            stamp(i * 2 + 1);
            recorder.end(commands)?;
        }
        let mut nanos = Vec::with_capacity(n as usize);
        let mut left = n;
        while left > 0 {
            let now = left.min(batch);
            program.run_now(&m.commands[..now as usize])?;
            let stamps = m.read(program, now * 2)?;
            nanos.extend(stamps.as_chunks::<2>().0.iter().map(|[a, b]| between(*a, *b)));
            left -= now;
        }
        Ok(nanos)
    };
    let measured = measure(program);
    m.free(program, !matches!(measured, Err(RuntimeError::Timeout { .. })));
    measured
}
