//! Submits in flight, and reads that travel with them.
//!
//! Submits are numbered from 0; number `n` uses slot `n % RING`. The queue runs submits in their
//! order, so each sees what every earlier one wrote.

use super::{
    Opened,
    error::caught,
    objects::{COPY_ALIGNMENT, buffer},
};
use crate::{
    error::{Result, RuntimeError},
    hal::FETCH_BYTES,
};
use std::time::Duration;
use wgpu::BufferUsages;

/// Most submits in flight; one more waits for the oldest.
pub(crate) const RING: u64 = 8;

/// A buffer that the host reads: mapped while it does, and by no command in flight then.
pub(crate) struct Readback {
    raw: wgpu::Buffer,
}

impl Readback {
    pub fn new(device: &Opened, bytes: u64, what: &'static str) -> Result<Readback> {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        Ok(Readback { raw: buffer(device, bytes, usage, what)? })
    }

    pub fn bytes(&self) -> u64 {
        self.raw.size()
    }

    /// Copies a part of a buffer to offset `to`, a multiple of [`COPY_ALIGNMENT`], with what lies
    /// around it up to whole words; gives the place of its first byte.
    pub fn copy(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        (from, offset, bytes): (&wgpu::Buffer, u64, u64),
        to: u64,
    ) -> u64 {
        let (start, end) = words(offset, bytes);
        if start < end {
            encoder.copy_buffer_to_buffer(from, start, &self.raw, to, end - start);
        }
        to + (offset - start)
    }

    /// Asks for the first `bytes` to be mapped once what was submitted has run.
    pub fn ask(&self, bytes: u64) {
        // what goes wrong is found when the range is asked for
        self.raw.map_async(wgpu::MapMode::Read, ..round_up(bytes), |_| {});
    }

    /// Shows the first `bytes`, which were asked for and waited for, and ends the mapping.
    pub fn show<T>(&self, bytes: u64, show: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let shown = match self.raw.get_mapped_range(..round_up(bytes)) {
            Ok(view) => Ok(show(&view)),
            Err(e) => Err(RuntimeError::Refused { what: "a mapping", message: e.to_string() }),
        };
        self.raw.unmap();
        shown
    }
}

fn round_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(COPY_ALIGNMENT).max(COPY_ALIGNMENT)
}

/// The whole words around a range of bytes: start and end.
pub(crate) fn words(offset: u64, bytes: u64) -> (u64, u64) {
    if bytes == 0 {
        return (offset, offset);
    }
    (offset - offset % COPY_ALIGNMENT, (offset + bytes).next_multiple_of(COPY_ALIGNMENT))
}

#[derive(Default)]
pub(crate) struct Flight {
    slots: [Slot; RING as usize],
    /// Number of the next submit, and of the first that may not have finished.
    next: u64,
    finished: u64,
}

#[derive(Default)]
struct Slot {
    submission: Option<wgpu::SubmissionIndex>,
    /// Made at the first fetch.
    readback: Option<Readback>,
    /// Where the bytes fetched start in `readback`, and how many they are; `None`: none were.
    fetching: Option<(u64, u64)>,
    fetched: Vec<u8>,
}

impl Flight {
    pub fn is_idle(&self) -> bool {
        self.finished == self.next
    }

    /// Nothing will be waited for any more: the device is lost.
    pub fn give_up(&mut self) {
        self.finished = self.next;
        self.slots = Default::default();
    }

    /// Submits what `encode` adds to an encoder, then a copy of `fetch` (buffer, offset, bytes: at
    /// most [`FETCH_BYTES`]) for [`Flight::fetched`]; gives the submit's number.
    pub fn start(
        &mut self,
        device: &Opened,
        encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>,
        fetch: Option<(&wgpu::Buffer, u64, u64)>,
        timeout: Duration,
    ) -> Result<u64> {
        let number = self.next;
        if let Some(oldest) = number.checked_sub(RING) {
            self.wait(device, oldest, timeout)?;
        }
        let slot = &mut self.slots[(number % RING) as usize];
        (slot.fetching, slot.submission) = (None, None);
        slot.fetched.clear();
        if fetch.is_some() && slot.readback.is_none() {
            // a byte range need not start at a word
            let bytes = FETCH_BYTES + 2 * COPY_ALIGNMENT;
            slot.readback = Some(Readback::new(device, bytes, "reads of state")?);
        }
        let submission = caught(&device.raw, "a submit", || -> Result<_> {
            let mut encoder = device.raw.create_command_encoder(&Default::default());
            encode(&mut encoder)?;
            if let (Some((from, offset, bytes)), Some(readback)) = (fetch, &slot.readback) {
                let at = readback.copy(&mut encoder, (from, offset, bytes), 0);
                slot.fetching = Some((at, bytes));
            }
            Ok(device.queue.submit([encoder.finish()]))
        })??;
        if let (Some((at, bytes)), Some(readback)) = (slot.fetching, &slot.readback) {
            readback.ask(at + bytes);
        }
        slot.submission = Some(submission);
        self.next += 1;
        Ok(number)
    }

    /// Waits until submit `number` and all before it have finished.
    pub fn wait(&mut self, device: &Opened, number: u64, timeout: Duration) -> Result<()> {
        let end = self.next.min(number.saturating_add(1));
        if self.finished >= end {
            return Ok(());
        }
        // in order: when the last of them has run, all have
        let last = self.slots[((end - 1) % RING) as usize].submission.clone();
        device.wait(last, timeout)?;
        while self.finished < end {
            let slot = &mut self.slots[(self.finished % RING) as usize];
            self.finished += 1;
            if let (Some((at, bytes)), Some(readback)) = (slot.fetching.take(), &slot.readback) {
                let (start, end) = (at as usize, (at + bytes) as usize);
                slot.fetched = readback.show(at + bytes, |data| data[start..end].to_vec())?;
            }
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn wait_all(&mut self, device: &Opened, timeout: Duration) -> Result<()> {
        self.wait(device, u64::MAX, timeout)
    }

    /// What a finished submit fetched; `None` when its slot has been used again since.
    pub fn fetched(&self, number: u64) -> Option<&[u8]> {
        if number >= self.finished || self.next > number + RING {
            return None;
        }
        Some(&self.slots[(number % RING) as usize].fetched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_to_whole_words() {
        assert_eq!(words(0, 8), (0, 8));
        assert_eq!(words(2, 2), (0, 4));
        assert_eq!(words(6, 4), (4, 12));
        assert_eq!(words(6, 0), (6, 6));
    }
}
