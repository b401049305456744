//! Submits in flight, numbered from 0. The queue and its fence let them run in their order.

use super::{Commands, error::outcome};
use crate::error::{Result, RuntimeError};
use objc2_metal::{MTLCommandBuffer, MTLCommandBufferStatus};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Most submits in flight; one more waits for the oldest.
pub(crate) const RING: u64 = 8;
/// How long to look for the end of commands without a pause.
const SPIN: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_micros(500);

/// Waits until commands have ended.
pub(crate) fn wait(commands: &Commands, timeout: Duration) -> Result<()> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(20);
    // waitUntilCompleted would know no time limit
    while commands.status() < MTLCommandBufferStatus::Completed {
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
    outcome(commands)
}

#[derive(Default)]
pub(crate) struct Flight {
    /// Command buffers that have not been waited for, in their order; those that belong to a submit
    /// with its number (others carry writes).
    running: VecDeque<(Option<u64>, Commands)>,
    next: u64,
    finished: u64,
    /// Bytes that each slot of the ring has fetched.
    fetched: [u64; RING as usize],
}

impl Flight {
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Number of the next submit.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Nothing will be waited for any more: the device is lost.
    pub fn give_up(&mut self) {
        self.finished = self.next;
        self.running.clear();
    }

    /// Waits until the slot of the next submit is free.
    pub fn make_room(&mut self, timeout: Duration) -> Result<()> {
        match self.next.checked_sub(RING) {
            Some(oldest) => self.wait(oldest, timeout),
            None => Ok(()),
        }
    }

    /// Notes commands that were committed as the next submit.
    pub fn started(&mut self, commands: Commands, fetched_bytes: u64) -> u64 {
        let number = self.next;
        self.fetched[(number % RING) as usize] = fetched_bytes;
        self.running.push_back((Some(number), commands));
        self.next += 1;
        number
    }

    /// Notes other commands that were committed.
    pub fn passing(&mut self, commands: Commands) {
        self.running.push_back((None, commands));
    }

    /// Waits until submit `number` and everything before it have ended.
    pub fn wait(&mut self, number: u64, timeout: Duration) -> Result<()> {
        while self.finished <= number
            && let Some((submit, commands)) = self.running.front()
        {
            let ended = wait(commands, timeout);
            if !matches!(ended, Err(RuntimeError::Timeout { .. }))
                || commands.status() >= MTLCommandBufferStatus::Completed
            {
                self.finished = submit.map_or(self.finished, |n| n + 1);
                self.running.pop_front();
            }
            ended?;
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn wait_all(&mut self, timeout: Duration) -> Result<()> {
        self.wait(u64::MAX, timeout)
    }

    /// Slot and bytes of what a finished submit fetched; `None` when the slot was used again since.
    pub fn fetched(&self, number: u64) -> Option<(u64, u64)> {
        let kept = number < self.finished && self.next <= number + RING;
        let slot = number % RING;
        kept.then(|| (slot, self.fetched[slot as usize]))
    }
}
