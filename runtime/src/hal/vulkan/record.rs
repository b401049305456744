//! Steps become commands.

use super::{VulkanDevice, error::VkResultExt, objects::Objects, pipelines::Pipelines};
use crate::error::Result;
use ash::vk;
use drift_bundle::plan::{EntryPoint, Plan, Step};

/// What recording needs to see of a session.
pub(crate) struct Recorder<'a> {
    pub device: &'a VulkanDevice,
    pub plan: &'a Plan,
    pub objects: &'a Objects,
    pub pipelines: &'a Pipelines,
}

/// Where an output goes: (object, offset inside it, offset in the readback buffer, bytes).
pub(crate) type Readback = (u32, u64, u64, u64);

const WORK: vk::PipelineStageFlags = vk::PipelineStageFlags::from_raw(
    vk::PipelineStageFlags::COMPUTE_SHADER.as_raw() | vk::PipelineStageFlags::TRANSFER.as_raw(),
);

impl Recorder<'_> {
    pub fn begin(&self, commands: vk::CommandBuffer) -> Result<()> {
        // Several replays of the same commands may be in flight.
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE);
        // SAFETY: the caller's command buffer is not in flight.
        unsafe { self.device.raw.begin_command_buffer(commands, &info) }
            .check("vkBeginCommandBuffer")
    }

    pub fn end(&self, commands: vk::CommandBuffer) -> Result<()> {
        // SAFETY: recording since `begin`.
        unsafe { self.device.raw.end_command_buffer(commands) }.check("vkEndCommandBuffer")
    }

    /// Waits for everything before: the previous replay, uploads, clears.
    pub fn entry_barrier(&self, commands: vk::CommandBuffer) {
        use vk::AccessFlags as A;
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(A::SHADER_WRITE | A::TRANSFER_WRITE)
            .dst_access_mask(
                A::SHADER_READ | A::SHADER_WRITE | A::TRANSFER_READ | A::TRANSFER_WRITE,
            );
        self.barrier(commands, WORK, WORK, barrier);
    }

    /// The whole entry point: steps, then outputs into the readback buffer.
    pub fn entry(
        &self,
        commands: vk::CommandBuffer,
        entry: &EntryPoint,
        readback: vk::Buffer,
        outputs: &[Readback],
    ) -> Result<()> {
        self.begin(commands)?;
        self.entry_barrier(commands);
        self.steps(commands, entry, &mut |_, _| {});
        use vk::AccessFlags as A;
        let outputs: Vec<&Readback> = outputs.iter().filter(|o| o.3 > 0).collect();
        if !outputs.is_empty() {
            let barrier = vk::MemoryBarrier::default()
                .src_access_mask(A::SHADER_WRITE | A::TRANSFER_WRITE)
                .dst_access_mask(A::TRANSFER_READ);
            self.barrier(commands, WORK, vk::PipelineStageFlags::TRANSFER, barrier);
            for (object, src_offset, dst_offset, size) in outputs {
                let region = vk::BufferCopy {
                    src_offset: *src_offset,
                    dst_offset: *dst_offset,
                    size: *size,
                };
                let src = self.objects[*object].buffer;
                // SAFETY: recording; ranges were checked by the reader and sized by the session.
                unsafe { self.device.raw.cmd_copy_buffer(commands, src, readback, &[region]) };
            }
            let barrier = vk::MemoryBarrier::default()
                .src_access_mask(A::TRANSFER_WRITE)
                .dst_access_mask(A::HOST_READ);
            self.barrier(
                commands,
                vk::PipelineStageFlags::TRANSFER,
                vk::PipelineStageFlags::HOST,
                barrier,
            );
        }
        self.end(commands)
    }

    /// Records the steps; `around` is called before (false) and after (true) each dispatch.
    pub fn steps(
        &self,
        commands: vk::CommandBuffer,
        entry: &EntryPoint,
        around: &mut dyn FnMut(bool, u32),
    ) {
        let raw = &self.device.raw;
        // Copies need the transfer stage in every barrier; plans without them wait for less.
        let copies = entry.steps.iter().any(|s| matches!(s, Step::Copy { .. }));
        let stages = if copies { WORK } else { vk::PipelineStageFlags::COMPUTE_SHADER };
        use vk::AccessFlags as A;
        let (written, used) = if copies {
            (
                A::SHADER_WRITE | A::TRANSFER_WRITE,
                A::SHADER_READ | A::SHADER_WRITE | A::TRANSFER_READ | A::TRANSFER_WRITE,
            )
        } else {
            (A::SHADER_WRITE, A::SHADER_READ | A::SHADER_WRITE)
        };
        let mut bound = vk::Pipeline::null();
        for step in &entry.steps {
            match step {
                Step::Dispatch { pipeline, workgroups, binds, label } => {
                    let signature = &self.plan.pipelines[*pipeline as usize];
                    let handle = self.pipelines.pipelines[*pipeline as usize];
                    around(false, *label);
                    // SAFETY: recording; pipeline, layout and set belong together and are alive;
                    // workgroup counts are within the device's limits (requirements were met).
                    unsafe {
                        if handle != bound {
                            raw.cmd_bind_pipeline(commands, vk::PipelineBindPoint::COMPUTE, handle);
                            bound = handle;
                        }
                        raw.cmd_bind_descriptor_sets(
                            commands,
                            vk::PipelineBindPoint::COMPUTE,
                            self.pipelines.layout(signature).pipeline,
                            0,
                            &[self.pipelines.set(signature, binds)],
                            &[],
                        );
                        raw.cmd_dispatch(commands, workgroups[0], workgroups[1], workgroups[2]);
                    }
                    around(true, *label);
                }
                Step::Barrier => {
                    let barrier =
                        vk::MemoryBarrier::default().src_access_mask(written).dst_access_mask(used);
                    self.barrier(commands, stages, stages, barrier);
                }
                Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    let region = vk::BufferCopy {
                        src_offset: *src_offset,
                        dst_offset: *dst_offset,
                        size: *bytes,
                    };
                    let (src, dst) = (self.objects[*src].buffer, self.objects[*dst].buffer);
                    // SAFETY: recording; ranges lie inside and do not overlap (the plan is checked).
                    unsafe { raw.cmd_copy_buffer(commands, src, dst, &[region]) };
                }
            }
        }
    }

    fn barrier(
        &self,
        commands: vk::CommandBuffer,
        from: vk::PipelineStageFlags,
        to: vk::PipelineStageFlags,
        barrier: vk::MemoryBarrier<'_>,
    ) {
        // SAFETY: recording.
        unsafe {
            self.device.raw.cmd_pipeline_barrier(
                commands,
                from,
                to,
                vk::DependencyFlags::empty(),
                &[barrier],
                &[],
                &[],
            );
        }
    }
}
