//! Submits in flight: a ring of events, reads that travel with them, and writes that do not wait.
//!
//! Submits are numbered from 0; number `n` uses slot `n % RING`. The queue runs commands in their
//! order, so a submit sees what every earlier one wrote.

use super::{
    OpenClDevice,
    api::{Event, Mem, Queue, Wanted},
    error::ClResultExt,
};
use crate::{
    error::{Result, RuntimeError},
    hal::FETCH_BYTES,
};
use opencl_sys::{CL_MEM_ALLOC_HOST_PTR, CL_MEM_READ_WRITE};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Most submits in flight; one more waits for the oldest.
pub(crate) const RING: u64 = 8;
/// Most writes on their way.
const WRITES: usize = 64;
/// How long to look for the end of a command without a pause.
const SPIN: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_micros(500);

/// Memory of the host that the device copies to.
pub(crate) struct HostMemory {
    /// Keeps `at` valid.
    _buffer: Mem,
    at: *mut u8,
    bytes: u64,
}

// SAFETY: plain memory, reached through `&self` or `&mut self` of its owner.
unsafe impl Send for HostMemory {}

impl HostMemory {
    /// Zeros, in memory that the driver has allocated, which it copies to without a detour.
    pub fn new(device: &OpenClDevice, queue: &Queue, bytes: u64, what: &str) -> Result<HostMemory> {
        let flags = CL_MEM_ALLOC_HOST_PTR | CL_MEM_READ_WRITE;
        let failed = |_| RuntimeError::OutOfMemory { what: what.into(), bytes };
        let buffer = device.context.buffer(flags, bytes).map_err(failed)?;
        let at = queue.map(&buffer, bytes).map_err(failed)?;
        // SAFETY: mapped for writing just now, with this size; nobody else knows of it.
        unsafe { at.write_bytes(0, bytes as usize) };
        Ok(HostMemory { _buffer: buffer, at, bytes })
    }

    /// Starts copying from a buffer to offset `to` of this memory.
    pub fn read_into(
        &self,
        queue: &Queue,
        from: (&Mem, u64),
        to: u64,
        bytes: u64,
        event: &mut Wanted,
    ) -> Result<()> {
        debug_assert!(to + bytes <= self.bytes);
        // SAFETY: the place lies inside of this memory, which outlives what is in flight (see the
        // program's `drop`), and is looked at only when nothing that writes there is.
        unsafe { queue.read(from.0, from.1, self.at.add(to as usize), bytes, event) }
            .check("clEnqueueReadBuffer")
    }

    /// # Safety
    /// Nothing in flight writes to this range.
    pub unsafe fn slice(&self, offset: u64, bytes: u64) -> &[u8] {
        debug_assert!(offset + bytes <= self.bytes);
        // SAFETY: inside of the mapping; the caller's promise.
        unsafe { std::slice::from_raw_parts(self.at.add(offset as usize), bytes as usize) }
    }
}

/// Waits until a command has run.
pub(crate) fn wait(event: &Event, timeout: Duration) -> Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(20);
    loop {
        if event.is_done()? {
            return Ok(());
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(RuntimeError::Timeout { seconds: timeout.as_secs() });
        }
        if waited < SPIN {
            std::thread::yield_now();
        } else {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[derive(Default)]
pub(crate) struct Flight {
    slots: [Slot; RING as usize],
    /// Number of the next submit, and of the first that may not have finished.
    next: u64,
    finished: u64,
    /// A part of `FETCH_BYTES` for each slot; made at the first fetch.
    host: Option<HostMemory>,
    /// Data on its way to the device.
    writes: VecDeque<(Event, Vec<u8>)>,
}

#[derive(Default)]
struct Slot {
    event: Option<Event>,
    fetched_bytes: u64,
}

impl Flight {
    pub fn is_idle(&self) -> bool {
        self.finished == self.next && self.writes.is_empty()
    }

    /// Nothing will be waited for any more: the device is lost.
    pub fn give_up(&mut self) {
        self.finished = self.next;
        // the driver may still read from them
        std::mem::forget(std::mem::take(&mut self.writes));
    }

    /// Lets `commands` enqueue what belongs to a submit, then a copy of `fetch` (buffer, offset,
    /// bytes: at most [`FETCH_BYTES`]) for [`Flight::fetched`]; gives the submit's number.
    pub fn start(
        &mut self,
        device: &OpenClDevice,
        queue: &Queue,
        commands: impl FnOnce() -> Result<()>,
        fetch: Option<(&Mem, u64, u64)>,
        timeout: Duration,
    ) -> Result<u64> {
        let number = self.next;
        if let Some(oldest) = number.checked_sub(RING) {
            self.wait(oldest, timeout)?;
        }
        let started = self.enqueue(device, queue, number % RING, commands, fetch);
        if started.is_err() {
            // what was enqueued before it failed copies to our memory, which no event tells of
            let _ = queue.finish();
        }
        started?;
        self.next += 1;
        Ok(number)
    }

    fn enqueue(
        &mut self,
        device: &OpenClDevice,
        queue: &Queue,
        slot: u64,
        commands: impl FnOnce() -> Result<()>,
        fetch: Option<(&Mem, u64, u64)>,
    ) -> Result<()> {
        commands()?;
        let mut fetched_bytes = 0;
        if let Some((buffer, offset, bytes)) = fetch {
            if self.host.is_none() {
                let all = FETCH_BYTES * RING;
                self.host = Some(HostMemory::new(device, queue, all, "reads of state")?);
            }
            if let Some(host) = &self.host {
                let to = slot * FETCH_BYTES;
                host.read_into(queue, (buffer, offset), to, bytes, &mut Wanted::default())?;
            }
            fetched_bytes = bytes;
        }
        let event = queue.marker().check("clEnqueueMarkerWithWaitList")?;
        queue.flush().check("clFlush")?;
        self.slots[slot as usize] = Slot { event: Some(event), fetched_bytes };
        Ok(())
    }

    /// Waits until submit `number` and all before it have finished.
    pub fn wait(&mut self, number: u64, timeout: Duration) -> Result<()> {
        let end = self.next.min(number.saturating_add(1));
        if self.finished >= end {
            return Ok(());
        }
        // in order: when the last of them has run, all have
        if let Some(event) = &self.slots[((end - 1) % RING) as usize].event {
            wait(event, timeout)?;
        }
        self.finished = end;
        Ok(())
    }

    /// Waits for everything.
    pub fn wait_all(&mut self, timeout: Duration) -> Result<()> {
        self.wait(u64::MAX, timeout)?;
        while let Some((event, _)) = self.writes.front() {
            wait(event, timeout)?;
            self.writes.pop_front();
        }
        Ok(())
    }

    /// What a finished submit fetched; `None` when its slot has been used again since.
    pub fn fetched(&self, number: u64) -> Option<&[u8]> {
        if number >= self.finished || self.next > number + RING {
            return None;
        }
        let slot = number % RING;
        let bytes = self.slots[slot as usize].fetched_bytes;
        match &self.host {
            // SAFETY: the device writes this part only while a submit of this slot is in flight, and
            // the last one has finished.
            Some(host) => Some(unsafe { host.slice(slot * FETCH_BYTES, bytes) }),
            None => Some(&[]),
        }
    }

    /// Writes behind everything submitted so far, without waiting for it.
    pub fn write(
        &mut self,
        queue: &Queue,
        buffer: &Mem,
        offset: u64,
        data: Vec<u8>,
        timeout: Duration,
    ) -> Result<()> {
        while let Some((event, _)) = self.writes.front() {
            if !event.is_done()? {
                if self.writes.len() < WRITES {
                    break;
                }
                wait(event, timeout)?;
            }
            self.writes.pop_front();
        }
        let mut event = Wanted::yes();
        // SAFETY: the data stay in `writes`, unchanged, until the command has run.
        unsafe { queue.write(buffer, offset, &data, &mut event) }.check("clEnqueueWriteBuffer")?;
        if let Some(event) = event.take() {
            self.writes.push_back((event, data));
        }
        queue.flush().check("clFlush")
    }
}
