//! Submits in flight: a ring of fences, and small reads that travel with them.
//!
//! Submits are numbered from 0; number `n` uses slot `n % RING`. All commands of a session go through
//! one queue and start with a barrier, so a submit sees what every earlier one wrote.

use super::{
    DeviceInner,
    error::VkResultExt,
    memory::{Blocks, HostBytes, MemoryUse, Request},
};
use crate::{
    error::{Result, RuntimeError},
    hal::FETCH_BYTES,
};
use ash::vk;
use std::time::Duration;

/// Most submits in flight; one more waits for the oldest.
pub(crate) const RING: u64 = 8;

#[derive(Default)]
pub(crate) struct Flight {
    pool: vk::CommandPool,
    slots: [Slot; RING as usize],
    /// Number of the next submit, and of the first that may not have finished.
    next: u64,
    finished: u64,
    /// A part of `FETCH_BYTES` for each slot; made at the first fetch.
    buffer: vk::Buffer,
    blocks: Blocks,
    host: Option<HostBytes>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    fence: vk::Fence,
    /// Copies into the slot's part of the buffer.
    commands: vk::CommandBuffer,
    fetched_bytes: u64,
}

const WORK: vk::PipelineStageFlags = vk::PipelineStageFlags::from_raw(
    vk::PipelineStageFlags::COMPUTE_SHADER.as_raw() | vk::PipelineStageFlags::TRANSFER.as_raw(),
);

impl Flight {
    /// Fills `self` as it goes, so that [`Flight::destroy`] finds all that exists when this fails.
    pub fn create(&mut self, device: &DeviceInner) -> Result<()> {
        let info = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER)
            .queue_family_index(device.physical.queue_family);
        // SAFETY: plain creations.
        unsafe {
            self.pool = device.raw.create_command_pool(&info, None).check("vkCreateCommandPool")?;
            let allocate = vk::CommandBufferAllocateInfo::default()
                .command_pool(self.pool)
                .command_buffer_count(RING as u32);
            let commands =
                device.raw.allocate_command_buffers(&allocate).check("vkAllocateCommandBuffers")?;
            for (slot, commands) in self.slots.iter_mut().zip(commands) {
                slot.commands = commands;
                let info = vk::FenceCreateInfo::default();
                slot.fence = device.raw.create_fence(&info, None).check("vkCreateFence")?;
            }
        }
        Ok(())
    }

    pub fn is_idle(&self) -> bool {
        self.finished == self.next
    }

    /// Nothing will be waited for any more: the device is lost.
    pub fn give_up(&mut self) {
        self.finished = self.next;
    }

    /// Submits `commands`, then a copy of `fetch` (buffer, offset, bytes: at most [`FETCH_BYTES`])
    /// for [`Flight::fetched`]; gives the submit's number.
    pub fn start(
        &mut self,
        device: &DeviceInner,
        mut commands: Vec<vk::CommandBuffer>,
        fetch: Option<(vk::Buffer, u64, u64)>,
        timeout: Duration,
    ) -> Result<u64> {
        let number = self.next;
        if let Some(oldest) = number.checked_sub(RING) {
            self.wait(device, oldest, timeout)?;
        }
        let index = (number % RING) as usize;
        self.slots[index].fetched_bytes = 0;
        if let Some((source, offset, bytes)) = fetch {
            self.create_buffer(device)?;
            self.record_fetch(device, index, source, offset, bytes)?;
            self.slots[index].fetched_bytes = bytes;
            commands.push(self.slots[index].commands);
        }
        device.submit(&commands, self.slots[index].fence)?;
        self.next += 1;
        Ok(number)
    }

    /// Waits until submit `number` and all before it have finished.
    pub fn wait(&mut self, device: &DeviceInner, number: u64, timeout: Duration) -> Result<()> {
        let end = self.next.min(number.saturating_add(1));
        while self.finished < end {
            device.wait(self.slots[(self.finished % RING) as usize].fence, timeout)?;
            self.finished += 1;
        }
        Ok(())
    }

    /// Waits for everything.
    pub fn wait_all(&mut self, device: &DeviceInner, timeout: Duration) -> Result<()> {
        self.wait(device, u64::MAX, timeout)
    }

    /// What a finished submit fetched; `None` when its slot has been used again since.
    pub fn fetched(&self, number: u64) -> Option<&[u8]> {
        if number >= self.finished || self.next > number + RING {
            return None;
        }
        let index = number % RING;
        let bytes = self.slots[index as usize].fetched_bytes;
        match self.host {
            // SAFETY: the buffer lives as long as `self`. The device writes this part only while a
            // submit of this slot is in flight, and the last one has finished.
            Some(host) => Some(unsafe { host.slice(index * FETCH_BYTES, bytes) }),
            None => Some(&[]),
        }
    }

    fn create_buffer(&mut self, device: &DeviceInner) -> Result<()> {
        if self.host.is_some() {
            return Ok(());
        }
        let info = vk::BufferCreateInfo::default()
            .size(FETCH_BYTES * RING)
            .usage(vk::BufferUsageFlags::TRANSFER_DST);
        // SAFETY: plain creation; the place fits the requirements and is bound once. A buffer left
        // behind by a failure is replaced only after it was destroyed.
        unsafe {
            device.raw.destroy_buffer(self.buffer, None);
            self.buffer = vk::Buffer::null();
            self.buffer = device.raw.create_buffer(&info, None).check("vkCreateBuffer")?;
            let requirements = device.raw.get_buffer_memory_requirements(self.buffer);
            let request = Request { requirements, usage: MemoryUse::Readback, image: false };
            let place = self.blocks.place(device, &[request], "reads of state")?[0];
            device
                .raw
                .bind_buffer_memory(self.buffer, place.memory, place.offset)
                .check("vkBindBufferMemory")?;
            self.host = place.host;
        }
        if self.host.is_none() {
            let what = "mapped memory for reads of state".into();
            return Err(RuntimeError::OutOfMemory { what, bytes: FETCH_BYTES * RING });
        }
        Ok(())
    }

    fn record_fetch(
        &self,
        device: &DeviceInner,
        index: usize,
        source: vk::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<()> {
        use vk::{AccessFlags as A, PipelineStageFlags as Stages};
        let commands = self.slots[index].commands;
        let begin = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        let region = vk::BufferCopy {
            src_offset: offset,
            dst_offset: index as u64 * FETCH_BYTES,
            size: bytes,
        };
        let barrier = |from, to, written, read| {
            let barrier =
                vk::MemoryBarrier::default().src_access_mask(written).dst_access_mask(read);
            let flags = vk::DependencyFlags::empty();
            // SAFETY: recording.
            unsafe {
                device.raw.cmd_pipeline_barrier(commands, from, to, flags, &[barrier], &[], &[]);
            }
        };
        // SAFETY: the slot's last submit has finished, so its commands may be recorded again (the
        // pool allows that); the caller's range lies inside its buffer, ours inside the slot's part.
        unsafe {
            device.raw.begin_command_buffer(commands, &begin).check("vkBeginCommandBuffer")?;
            barrier(WORK, Stages::TRANSFER, A::SHADER_WRITE | A::TRANSFER_WRITE, A::TRANSFER_READ);
            device.raw.cmd_copy_buffer(commands, source, self.buffer, &[region]);
            barrier(Stages::TRANSFER, Stages::HOST, A::TRANSFER_WRITE, A::HOST_READ);
            device.raw.end_command_buffer(commands).check("vkEndCommandBuffer")
        }
    }

    /// # Safety
    /// Nothing is in flight.
    pub unsafe fn destroy(&mut self, device: &DeviceInner) {
        // SAFETY: the caller's promise; null handles are allowed.
        unsafe {
            for slot in &self.slots {
                device.raw.destroy_fence(slot.fence, None);
            }
            device.raw.destroy_command_pool(self.pool, None);
            device.raw.destroy_buffer(self.buffer, None);
            self.blocks.free(device);
        }
    }
}
