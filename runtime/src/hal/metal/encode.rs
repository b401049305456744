//! From the steps of a plan to commands.

use super::{
    Buffer, Commands, Fence,
    objects::{Objects, Place},
    pipelines::Pipeline,
};
use crate::error::{Result, RuntimeError};
use drift_bundle::plan::{Bind, Plan, Step};
use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_metal::{
    MTLBarrierScope, MTLBlitCommandEncoder, MTLCommandBuffer, MTLCommandEncoder,
    MTLComputeCommandEncoder, MTLDispatchType, MTLSize,
};

type Compute = Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>;
type Blit = Retained<ProtocolObject<dyn MTLBlitCommandEncoder>>;

enum Current {
    Nothing,
    Compute(Compute),
    Blit(Blit),
}

/// Writes commands into a command buffer, through encoders that follow one another.
pub(crate) struct Encoder<'a> {
    commands: &'a Commands,
    /// Each encoder waits for the one before, in whatever command buffer of the queue that was.
    fence: &'a Fence,
    current: Current,
    /// What the compute encoder has bound, by slot, so that nothing is bound twice.
    pipeline: Option<u32>,
    bound: Vec<Option<Bind>>,
}

fn refused(call: &'static str) -> RuntimeError {
    RuntimeError::Driver { call, code: 0 }
}

fn size(n: [u32; 3]) -> MTLSize {
    MTLSize { width: n[0] as usize, height: n[1] as usize, depth: n[2] as usize }
}

impl<'a> Encoder<'a> {
    pub fn new(commands: &'a Commands, fence: &'a Fence) -> Encoder<'a> {
        Encoder { commands, fence, current: Current::Nothing, pipeline: None, bound: Vec::new() }
    }

    fn compute(&mut self) -> Result<Compute> {
        if let Current::Compute(encoder) = &self.current {
            return Ok(encoder.clone());
        }
        self.end();
        let encoder = self
            .commands
            .computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent)
            .ok_or_else(|| refused("computeCommandEncoderWithDispatchType"))?;
        encoder.waitForFence(self.fence);
        (self.pipeline, self.bound) = (None, Vec::new());
        self.current = Current::Compute(encoder.clone());
        Ok(encoder)
    }

    pub fn blit(&mut self) -> Result<Blit> {
        if let Current::Blit(encoder) = &self.current {
            return Ok(encoder.clone());
        }
        self.end();
        let encoder = self.commands.blitCommandEncoder();
        let encoder = encoder.ok_or_else(|| refused("blitCommandEncoder"))?;
        encoder.waitForFence(self.fence);
        self.current = Current::Blit(encoder.clone());
        Ok(encoder)
    }

    /// Copies between buffers, each a buffer and an offset.
    pub fn copy(&mut self, from: (&Buffer, u64), to: (&Buffer, u64), bytes: u64) -> Result<()> {
        let blit = self.blit()?;
        let (source, target) = (from.1 as usize, to.1 as usize);
        // SAFETY: callers copy inside of both buffers: parsed plans are checked for it.
        unsafe {
            blit.copyFromBuffer_sourceOffset_toBuffer_destinationOffset_size(
                from.0,
                source,
                to.0,
                target,
                bytes as usize,
            );
        }
        Ok(())
    }

    /// Ends the encoder that is open.
    pub fn end(&mut self) {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Compute(encoder) => {
                encoder.updateFence(self.fence);
                encoder.endEncoding();
            }
            Current::Blit(encoder) => {
                encoder.updateFence(self.fence);
                encoder.endEncoding();
            }
        }
    }

    /// What follows waits for what came before.
    pub fn barrier(&mut self) {
        // between encoders there is the fence
        if let Current::Compute(encoder) = &self.current {
            encoder.memoryBarrierWithScope(MTLBarrierScope::Buffers | MTLBarrierScope::Textures);
        }
    }

    pub fn step(
        &mut self,
        plan: &Plan,
        pipelines: &[Pipeline],
        objects: &Objects,
        step: &Step,
    ) -> Result<()> {
        match step {
            Step::Barrier => self.barrier(),
            Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                let from = objects.buffer(*src, *src_offset)?;
                let to = objects.buffer(*dst, *dst_offset)?;
                self.copy(from, to, *bytes)?;
            }
            Step::Dispatch { pipeline, workgroups, binds, .. } => {
                let encoder = self.compute()?;
                if self.pipeline != Some(*pipeline) {
                    encoder.setComputePipelineState(&pipelines[*pipeline as usize]);
                    self.pipeline = Some(*pipeline);
                }
                for (slot, bind) in binds.iter().enumerate() {
                    self.bind(&encoder, objects, slot, bind)?;
                }
                let threads = plan.pipelines[*pipeline as usize].workgroup_size;
                encoder
                    .dispatchThreadgroups_threadsPerThreadgroup(size(*workgroups), size(threads));
            }
        }
        Ok(())
    }

    fn bind(&mut self, to: &Compute, objects: &Objects, slot: usize, bind: &Bind) -> Result<()> {
        if self.bound.get(slot).is_some_and(|b| b.as_ref() == Some(bind)) {
            return Ok(());
        }
        if self.bound.len() <= slot {
            self.bound.resize(slot + 1, None);
        }
        self.bound[slot] = Some(bind.clone());
        match *bind {
            Bind::Buffer { object, offset, .. } => {
                let (buffer, offset) = objects.buffer(object, offset)?;
                // SAFETY: the offset is inside of the buffer and the slot inside of the argument
                // table: the plan was checked, the requirements are met. The program keeps the buffer
                // until the commands have run.
                unsafe { to.setBuffer_offset_atIndex(Some(buffer), offset as usize, slot) };
            }
            Bind::Image { object } => match objects.get(object) {
                // SAFETY: as above.
                Place::Texture(texture) => unsafe { to.setTexture_atIndex(Some(texture), slot) },
                Place::Buffer(..) => return Err(refused("setTexture of a buffer")),
            },
        }
        Ok(())
    }
}

impl Drop for Encoder<'_> {
    fn drop(&mut self) {
        // Metal wants every encoder ended, also when what follows failed.
        self.end();
    }
}
