//! The GPU objects of a plan: created, placed, cleared and filled.

use super::{
    VulkanDevice,
    error::VkResultExt,
    memory::{Blocks, HostBytes, MemoryUse, Place, Request},
    stager::{HALF_BYTES, Stager},
    upload,
};
use crate::{bundle::Bundle, error::Result};
use ash::vk;
use drift_bundle::{
    caps::ImageKind,
    plan::{Object, ObjectKind, ObjectRole, Plan, TexelFormat},
};

/// One GPU object. Unused handles are null.
#[derive(Clone, Copy, Default)]
pub(crate) struct GpuObject {
    pub buffer: vk::Buffer,
    pub image: vk::Image,
    pub view: vk::ImageView,
    /// Where the host sees the contents.
    pub host: Option<HostBytes>,
}

/// All objects of a session, with their memory.
#[derive(Default)]
pub(crate) struct Objects {
    list: Vec<GpuObject>,
    blocks: Blocks,
}

impl std::ops::Index<u32> for Objects {
    type Output = GpuObject;
    fn index(&self, index: u32) -> &GpuObject {
        &self.list[index as usize]
    }
}

impl Objects {
    /// Creates every object and fills `self` as it goes, so that [`Objects::destroy`] finds all
    /// that exists when this fails.
    pub fn create(&mut self, device: &VulkanDevice, plan: &Plan) -> Result<()> {
        let mut requests = Vec::with_capacity(plan.objects.len());
        for object in &plan.objects {
            let (gpu, request) = create_unbound(device, object)?;
            self.list.push(gpu);
            requests.push(request);
        }
        let places = self.blocks.place(device, &requests, "the plan's objects")?;
        for ((gpu, object), place) in self.list.iter_mut().zip(&plan.objects).zip(places) {
            bind(device, gpu, object, place)?;
        }
        Ok(())
    }

    /// Gives images their layouts, clears state and inputs, and uploads the weights.
    pub fn fill(&self, device: &VulkanDevice, plan: &Plan, bundle: &Bundle) -> Result<()> {
        let parts = upload::parts(plan);
        // Objects that the host sees are written in place and need no staging.
        let staged: u64 =
            parts.iter().filter(|p| self[p.object].host.is_none()).map(|p| p.bytes).sum();
        let widest = plan.objects.iter().map(row_bytes).max().unwrap_or(0);
        let mut stager = Stager::new(device, staged.min(HALF_BYTES).max(widest))?;
        let commands = stager.commands()?;
        let poison = std::env::var_os("DRIFT_POISON").is_some_and(|v| v == "1");
        let (undefined, filling) =
            (vk::ImageLayout::UNDEFINED, vk::ImageLayout::TRANSFER_DST_OPTIMAL);
        self.transition(device, plan, commands, |_| Some((undefined, filling)));
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            match object.role {
                ObjectRole::State | ObjectRole::Input => clear(device, commands, gpu, 0),
                // NaN everywhere: a plan that reads what it never wrote becomes visible.
                ObjectRole::Arena if poison => clear(device, commands, gpu, u32::MAX),
                ObjectRole::Arena | ObjectRole::Output | ObjectRole::Weights => {}
            }
        }
        for upload in &plan.uploads {
            if let ObjectKind::Image { kind, format, extent } =
                &plan.objects[upload.object as usize].kind
            {
                let data = &bundle.weights()[upload.weights_offset as usize..];
                let data = &data[..upload.bytes as usize];
                let layers = *kind == ImageKind::Texture2dArray;
                let image = self[upload.object].image;
                stager.image(image, *extent, format.bytes(), layers, data)?;
                let end = upload.weights_offset + upload.bytes;
                bundle.release_weights(upload.weights_offset..end);
            }
        }
        let commands = stager.commands()?;
        self.transition(device, plan, commands, |role| Some((filling, image_layout(role))));
        upload::run(device, self, bundle, &parts, stager)
    }

    /// Zero-fills the state objects again.
    pub fn clear_state(&self, device: &VulkanDevice, plan: &Plan) -> Result<()> {
        let mut stager = Stager::new(device, 0)?;
        let commands = stager.commands()?;
        let is_state = |role| role == ObjectRole::State;
        let (normal, filling) =
            (image_layout(ObjectRole::State), vk::ImageLayout::TRANSFER_DST_OPTIMAL);
        self.transition(device, plan, commands, |role| is_state(role).then_some((normal, filling)));
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            if is_state(object.role) {
                clear(device, commands, gpu, 0);
            }
        }
        self.transition(device, plan, commands, |role| is_state(role).then_some((filling, normal)));
        stager.finish()
    }

    /// Records layout changes of images by role, with transfers before and everything after.
    fn transition(
        &self,
        device: &VulkanDevice,
        plan: &Plan,
        commands: vk::CommandBuffer,
        layouts: impl Fn(ObjectRole) -> Option<(vk::ImageLayout, vk::ImageLayout)>,
    ) {
        let mut barriers = Vec::new();
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            if gpu.image != vk::Image::null()
                && let Some((from, to)) = layouts(object.role)
            {
                let barrier = vk::ImageMemoryBarrier::default()
                    .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
                    .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE)
                    .old_layout(from)
                    .new_layout(to)
                    .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .image(gpu.image)
                    .subresource_range(whole_image());
                barriers.push(barrier);
            }
        }
        if barriers.is_empty() {
            return;
        }
        // SAFETY: the caller's commands are recording; the images are alive.
        unsafe {
            device.raw.cmd_pipeline_barrier(
                commands,
                vk::PipelineStageFlags::ALL_COMMANDS,
                vk::PipelineStageFlags::ALL_COMMANDS,
                vk::DependencyFlags::empty(),
                &[],
                &[],
                &barriers,
            );
        }
    }

    /// # Safety
    /// The device does not use the objects any more.
    pub unsafe fn destroy(&mut self, device: &VulkanDevice) {
        for o in self.list.drain(..) {
            // SAFETY: the caller's promise; destroying null handles is allowed.
            unsafe {
                device.raw.destroy_image_view(o.view, None);
                device.raw.destroy_image(o.image, None);
                device.raw.destroy_buffer(o.buffer, None);
            }
        }
        // SAFETY: all objects in these blocks are gone.
        unsafe { self.blocks.free(device) };
    }
}

/// Bytes of one row of an image: the least that the ring must hold at once.
fn row_bytes(object: &Object) -> u64 {
    match &object.kind {
        ObjectKind::Buffer { .. } => 0,
        ObjectKind::Image { format, extent, .. } => u64::from(extent[0]) * format.bytes(),
    }
}

fn whole_image() -> vk::ImageSubresourceRange {
    vk::ImageSubresourceRange {
        aspect_mask: vk::ImageAspectFlags::COLOR,
        base_mip_level: 0,
        level_count: 1,
        base_array_layer: 0,
        layer_count: vk::REMAINING_ARRAY_LAYERS,
    }
}

/// The layout in which shaders see an image.
pub(crate) fn image_layout(role: ObjectRole) -> vk::ImageLayout {
    match role {
        ObjectRole::Weights => vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL,
        _ => vk::ImageLayout::GENERAL,
    }
}

/// Records filling an object with one 32-bit pattern; images are in TRANSFER_DST_OPTIMAL.
fn clear(device: &VulkanDevice, commands: vk::CommandBuffer, gpu: &GpuObject, word: u32) {
    // SAFETY: the caller's commands are recording, the object is alive; buffers are whole words.
    unsafe {
        if gpu.image == vk::Image::null() {
            device.raw.cmd_fill_buffer(commands, gpu.buffer, 0, vk::WHOLE_SIZE, word);
        } else {
            let color = vk::ClearColorValue { float32: [f32::from_bits(word); 4] };
            let layout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
            device.raw.cmd_clear_color_image(commands, gpu.image, layout, &color, &[whole_image()]);
        }
    }
}

fn create_unbound(device: &VulkanDevice, object: &Object) -> Result<(GpuObject, Request)> {
    let mut gpu = GpuObject::default();
    let usage = if object.role == ObjectRole::Input { MemoryUse::Input } else { MemoryUse::Device };
    match &object.kind {
        ObjectKind::Buffer { bytes } => {
            let info = vk::BufferCreateInfo::default().size(bytes.next_multiple_of(4)).usage(
                vk::BufferUsageFlags::STORAGE_BUFFER
                    | vk::BufferUsageFlags::TRANSFER_SRC
                    | vk::BufferUsageFlags::TRANSFER_DST,
            );
            // SAFETY: plain creation; the size is within the device's limit (requirements were met).
            let requirements = unsafe {
                gpu.buffer = device.raw.create_buffer(&info, None).check("vkCreateBuffer")?;
                device.raw.get_buffer_memory_requirements(gpu.buffer)
            };
            Ok((gpu, Request { requirements, usage, image: false }))
        }
        ObjectKind::Image { kind, format, extent } => {
            let [width, height, deep] = *extent;
            let (ty, depth, layers) = match kind {
                ImageKind::Texture3d => (vk::ImageType::TYPE_3D, deep, 1),
                ImageKind::Texture2dArray => (vk::ImageType::TYPE_2D, 1, deep),
                // Texel buffers never get here: no Vulkan device reports the feature.
                ImageKind::Texture2d | ImageKind::TexelBuffer => (vk::ImageType::TYPE_2D, 1, 1),
            };
            let mut usage_flags = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
            if object.role != ObjectRole::Weights {
                usage_flags |= vk::ImageUsageFlags::STORAGE;
            }
            let info = vk::ImageCreateInfo::default()
                .image_type(ty)
                .format(vk_format(*format))
                .extent(vk::Extent3D { width, height, depth })
                .mip_levels(1)
                .array_layers(layers)
                .samples(vk::SampleCountFlags::TYPE_1)
                .tiling(vk::ImageTiling::OPTIMAL)
                .usage(usage_flags)
                .initial_layout(vk::ImageLayout::UNDEFINED);
            // SAFETY: plain creation; extents are within the device's limits (requirements were met).
            let requirements = unsafe {
                gpu.image = device.raw.create_image(&info, None).check("vkCreateImage")?;
                device.raw.get_image_memory_requirements(gpu.image)
            };
            Ok((gpu, Request { requirements, usage: MemoryUse::Device, image: true }))
        }
    }
}

fn vk_format(format: TexelFormat) -> vk::Format {
    match format {
        TexelFormat::Rgba32Float => vk::Format::R32G32B32A32_SFLOAT,
        TexelFormat::Rgba16Float => vk::Format::R16G16B16A16_SFLOAT,
    }
}

/// Binds memory and, for images, makes the view that shaders see.
fn bind(device: &VulkanDevice, gpu: &mut GpuObject, object: &Object, place: Place) -> Result<()> {
    // SAFETY: the place was made for this object's requirements and is bound once.
    unsafe {
        match &object.kind {
            ObjectKind::Buffer { .. } => {
                gpu.host = place.host;
                device
                    .raw
                    .bind_buffer_memory(gpu.buffer, place.memory, place.offset)
                    .check("vkBindBufferMemory")
            }
            ObjectKind::Image { kind, format, .. } => {
                device
                    .raw
                    .bind_image_memory(gpu.image, place.memory, place.offset)
                    .check("vkBindImageMemory")?;
                let ty = match kind {
                    ImageKind::Texture3d => vk::ImageViewType::TYPE_3D,
                    ImageKind::Texture2dArray => vk::ImageViewType::TYPE_2D_ARRAY,
                    ImageKind::Texture2d | ImageKind::TexelBuffer => vk::ImageViewType::TYPE_2D,
                };
                let info = vk::ImageViewCreateInfo::default()
                    .image(gpu.image)
                    .view_type(ty)
                    .format(vk_format(*format))
                    .subresource_range(whole_image());
                gpu.view = device.raw.create_image_view(&info, None).check("vkCreateImageView")?;
                Ok(())
            }
        }
    }
}
