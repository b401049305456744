//! Times by the events of a queue that notes them, around each dispatch or around whole replays.

use super::{
    api::{Event, Queue, Wanted},
    error::ClResultExt,
    flight::wait,
    program::{Gpu, OpenClProgram},
    programs::Command,
};
use crate::{error::Result, hal::Nanos};

/// Replays in one go of `bench`.
const BATCH: u32 = 64;

/// The queue that notes times. Nothing is in flight on the other one meanwhile.
fn timed(program: &mut OpenClProgram) -> Result<&Gpu> {
    if program.gpu.timed.is_none() {
        let device = &program.device;
        let queue = device.context.queue(device.physical.id, true).check("clCreateCommandQueue")?;
        program.gpu.timed = Some(queue);
    }
    Ok(&program.gpu)
}

fn finish(queue: &Queue, timeout: std::time::Duration) -> Result<()> {
    let end = queue.marker().check("clEnqueueMarkerWithWaitList")?;
    queue.flush().check("clFlush")?;
    wait(&end, timeout)
}

pub(super) fn profile(program: &mut OpenClProgram, entry: usize) -> Result<Vec<(u32, Nanos)>> {
    let timeout = program.timeout;
    let gpu = timed(program)?;
    let Some(queue) = &gpu.timed else { return Ok(Vec::new()) };
    let (mut labels, mut events) = (Vec::new(), Vec::new());
    let wanted = |_, label| {
        labels.push(label);
        Wanted::yes()
    };
    gpu.replay(queue, entry, wanted, |event| events.extend(event.take()))?;
    finish(queue, timeout)?;
    let time = |event: &Event| event.times().map(|(start, end)| end.saturating_sub(start));
    labels.into_iter().zip(&events).map(|(label, e)| Ok((label, time(e)?))).collect()
}

pub(super) fn bench(program: &mut OpenClProgram, entry: usize, n: u32) -> Result<Vec<Nanos>> {
    let timeout = program.timeout;
    let gpu = timed(program)?;
    let Some(queue) = &gpu.timed else { return Ok(Vec::new()) };
    let commands = &gpu.dispatches.entries[entry];
    let is_dispatch = |c: &Command| matches!(c, Command::Dispatch(_));
    let (first, last) =
        (commands.iter().position(is_dispatch), commands.iter().rposition(is_dispatch));
    let mut nanos = Vec::with_capacity(n as usize);
    while (nanos.len() as u32) < n {
        let batch = BATCH.min(n - nanos.len() as u32);
        let mut ends = Vec::with_capacity(batch as usize);
        for _ in 0..batch {
            let mut pair: Vec<Event> = Vec::with_capacity(2);
            let wanted = |index: usize, _| match Some(index) == first || Some(index) == last {
                true => Wanted::yes(),
                false => Wanted::default(),
            };
            gpu.replay(queue, entry, wanted, |event| pair.extend(event.take()))?;
            ends.push(pair);
        }
        finish(queue, timeout)?;
        for pair in ends {
            let (Some(first), Some(last)) = (pair.first(), pair.last()) else {
                nanos.push(0);
                continue;
            };
            nanos.push(last.times()?.1.saturating_sub(first.times()?.0));
        }
    }
    Ok(nanos)
}
