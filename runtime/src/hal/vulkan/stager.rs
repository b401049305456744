//! Uploads through a small ring of staging memory, so that any amount of weights needs little of it.

use super::{
    VulkanDevice,
    error::VkResultExt,
    memory::{Blocks, HostBytes, MemoryUse, Request},
};
use crate::error::{Result, RuntimeError};
use ash::vk;
use std::time::Duration;

/// Bytes of one half of the ring: large enough to keep a PCIe link busy, and small enough that making
/// it costs little (an H200 pins 32 MiB in 10 ms, 8 MiB in 3.4 ms).
pub(crate) const HALF_BYTES: u64 = 4 << 20;
/// Uploads never take long; a device that does not finish one is gone.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Copies into images start at multiples of the texel size; 16 serves both formats.
const ALIGN: u64 = 16;

/// Two halves: the host fills one while the device copies from the other.
pub(crate) struct Stager {
    device: VulkanDevice,
    pool: vk::CommandPool,
    buffer: vk::Buffer,
    blocks: Blocks,
    host: Option<HostBytes>,
    half_bytes: u64,
    halves: [Half; 2],
    current: usize,
    /// How long to wait for a half.
    pub timeout: Duration,
}

#[derive(Default)]
struct Half {
    commands: vk::CommandBuffer,
    fence: vk::Fence,
    used: u64,
    recording: bool,
    in_flight: bool,
}

impl Stager {
    /// A ring with halves of at most `half_bytes` (rounded up to 64 KiB).
    pub fn new(device: &VulkanDevice, half_bytes: u64) -> Result<Stager> {
        let half_bytes = half_bytes.max(1).next_multiple_of(64 << 10);
        let mut s = Stager {
            device: device.clone(),
            pool: vk::CommandPool::null(),
            buffer: vk::Buffer::null(),
            blocks: Blocks::default(),
            host: None,
            half_bytes,
            halves: Default::default(),
            current: 0,
            timeout: TIMEOUT,
        };
        let pool_info = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER)
            .queue_family_index(device.physical.queue_family);
        let buffer_info = vk::BufferCreateInfo::default()
            .size(half_bytes * 2)
            .usage(vk::BufferUsageFlags::TRANSFER_SRC);
        // SAFETY: plain creations on a live device; what exists when one fails, `drop` destroys.
        unsafe {
            s.pool =
                device.raw.create_command_pool(&pool_info, None).check("vkCreateCommandPool")?;
            let allocate = vk::CommandBufferAllocateInfo::default()
                .command_pool(s.pool)
                .command_buffer_count(2);
            let commands =
                device.raw.allocate_command_buffers(&allocate).check("vkAllocateCommandBuffers")?;
            for (half, commands) in s.halves.iter_mut().zip(commands) {
                half.commands = commands;
                half.fence = device
                    .raw
                    .create_fence(&vk::FenceCreateInfo::default(), None)
                    .check("vkCreateFence")?;
            }
            s.buffer = device.raw.create_buffer(&buffer_info, None).check("vkCreateBuffer")?;
            let requirements = device.raw.get_buffer_memory_requirements(s.buffer);
            let request = Request { requirements, usage: MemoryUse::Staging, image: false };
            let place = s.blocks.place(device, &[request], "staging memory")?[0];
            device
                .raw
                .bind_buffer_memory(s.buffer, place.memory, place.offset)
                .check("vkBindBufferMemory")?;
            s.host = place.host;
        }
        Ok(s)
    }

    /// Command buffer that runs in order with the uploads (fills, layout changes).
    pub fn commands(&mut self) -> Result<vk::CommandBuffer> {
        self.begin()?;
        Ok(self.halves[self.current].commands)
    }

    /// Copies `data` into a buffer.
    pub fn buffer(&mut self, dst: vk::Buffer, mut offset: u64, data: &[u8]) -> Result<()> {
        for chunk in data.chunks(self.half_bytes as usize) {
            let (source, commands) = self.stage(chunk)?;
            let region =
                vk::BufferCopy { src_offset: source, dst_offset: offset, size: chunk.len() as u64 };
            // SAFETY: recording; the caller's object is alive and large enough (the plan is checked).
            unsafe { self.device.raw.cmd_copy_buffer(commands, self.buffer, dst, &[region]) };
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Copies tightly packed texels into a whole image in TRANSFER_DST_OPTIMAL layout, as many rows at a time as
    /// fit. `layers`: depth is array layers rather than z.
    pub fn image(
        &mut self,
        dst: vk::Image,
        extent: [u32; 3],
        texel_bytes: u64,
        layers: bool,
        data: &[u8],
    ) -> Result<()> {
        let [width, height, depth] = extent;
        let row_bytes = u64::from(width) * texel_bytes;
        let rows_at_once = (self.half_bytes / row_bytes).clamp(1, u64::from(height)) as u32;
        let mut rest = data;
        for z in 0..depth {
            let mut y = 0;
            while y < height {
                let rows = rows_at_once.min(height - y);
                let (chunk, after) = rest.split_at((row_bytes * u64::from(rows)) as usize);
                rest = after;
                let (source, commands) = self.stage(chunk)?;
                let (layer, plane) = if layers { (z, 0) } else { (0, z) };
                let region = vk::BufferImageCopy::default()
                    .buffer_offset(source)
                    .image_subresource(vk::ImageSubresourceLayers {
                        aspect_mask: vk::ImageAspectFlags::COLOR,
                        mip_level: 0,
                        base_array_layer: layer,
                        layer_count: 1,
                    })
                    .image_offset(vk::Offset3D { x: 0, y: y as i32, z: plane as i32 })
                    .image_extent(vk::Extent3D { width, height: rows, depth: 1 });
                // SAFETY: recording; the image is alive, in this layout and has this extent.
                unsafe {
                    self.device.raw.cmd_copy_buffer_to_image(
                        commands,
                        self.buffer,
                        dst,
                        vk::ImageLayout::TRANSFER_DST_OPTIMAL,
                        &[region],
                    );
                }
                y += rows;
            }
        }
        Ok(())
    }

    /// Submits what is recorded and waits for all of it.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.wait_all()
    }

    /// Waits for all that was flushed.
    pub fn wait_all(&mut self) -> Result<()> {
        self.wait(0)?;
        self.wait(1)
    }

    /// Copies bytes into the ring; gives their offset and the commands to record the copy in.
    fn stage(&mut self, chunk: &[u8]) -> Result<(u64, vk::CommandBuffer)> {
        let bytes = chunk.len() as u64;
        let start = |half: &Half| half.used.next_multiple_of(ALIGN);
        if start(&self.halves[self.current]) + bytes > self.half_bytes {
            self.flush()?;
        }
        self.begin()?;
        let half = &mut self.halves[self.current];
        let inside = start(half);
        half.used = inside + bytes;
        let commands = half.commands;
        let offset = inside + self.current as u64 * self.half_bytes;
        let Some(host) = self.host else {
            return Err(RuntimeError::OutOfMemory { what: "mapped staging memory".into(), bytes });
        };
        // SAFETY: this half is not in flight (`begin` waited), and only this method writes to it.
        unsafe { host.slice_mut(offset, bytes) }.copy_from_slice(chunk);
        Ok((offset, commands))
    }

    fn begin(&mut self) -> Result<()> {
        if self.halves[self.current].recording {
            return Ok(());
        }
        self.wait(self.current)?;
        let half = &mut self.halves[self.current];
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: not in flight; beginning resets it (the pool allows that).
        unsafe { self.device.raw.begin_command_buffer(half.commands, &info) }
            .check("vkBeginCommandBuffer")?;
        half.recording = true;
        half.used = 0;
        // Copies wait for everything before: replays that use the destination, earlier copies.
        use vk::{AccessFlags as A, PipelineStageFlags as Stages};
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(A::SHADER_WRITE | A::TRANSFER_WRITE)
            .dst_access_mask(A::TRANSFER_WRITE);
        let from = Stages::COMPUTE_SHADER | Stages::TRANSFER;
        let flags = vk::DependencyFlags::empty();
        // SAFETY: recording.
        unsafe {
            self.device.raw.cmd_pipeline_barrier(
                half.commands,
                from,
                Stages::TRANSFER,
                flags,
                &[barrier],
                &[],
                &[],
            );
        }
        Ok(())
    }

    /// Submits the current half and turns to the other one.
    pub fn flush(&mut self) -> Result<()> {
        let half = &mut self.halves[self.current];
        if half.recording {
            // SAFETY: recording since `begin`.
            unsafe { self.device.raw.end_command_buffer(half.commands) }
                .check("vkEndCommandBuffer")?;
            half.recording = false;
            self.device.submit(&[half.commands], half.fence)?;
            half.in_flight = true;
        }
        self.current ^= 1;
        Ok(())
    }

    fn wait(&mut self, index: usize) -> Result<()> {
        let half = &mut self.halves[index];
        if half.in_flight {
            self.device.wait(half.fence, self.timeout)?;
            half.in_flight = false;
        }
        Ok(())
    }
}

impl Drop for Stager {
    fn drop(&mut self) {
        let idle = self.wait(0).is_ok() && self.wait(1).is_ok();
        if !idle {
            // The device may still read from here: leaking is the safe choice.
            return;
        }
        // SAFETY: nothing is in flight; destroying null handles is allowed.
        unsafe {
            for half in &self.halves {
                self.device.raw.destroy_fence(half.fence, None);
            }
            self.device.raw.destroy_command_pool(self.pool, None);
            self.device.raw.destroy_buffer(self.buffer, None);
            self.blocks.free(&self.device);
        }
    }
}
