//! Shader modules, layouts, pipelines (created on all cores) and descriptor sets.

use super::{
    VulkanDevice, cache,
    error::VkResultExt,
    instance::lock,
    objects::{Objects, image_layout},
};
use crate::{error::Result, hal::LoadRequest};
use ash::vk;
use drift_bundle::plan::{Bind, BindingKind, Pipeline, Plan, Step};
use std::{
    ffi::CString,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Everything between shaders and a bound dispatch.
#[derive(Default)]
pub(crate) struct Pipelines {
    /// Few: a linear search is enough.
    set_layouts: Vec<(Vec<BindingKindKey>, Layout)>,
    modules: Vec<vk::ShaderModule>,
    pub pipelines: Vec<vk::Pipeline>,
    cache: vk::PipelineCache,
    descriptor_pool: vk::DescriptorPool,
    /// Sorted by key.
    sets: Vec<(SetKey, vk::DescriptorSet)>,
}

type BindingKindKey = u8;

/// Layout and contents of a descriptor set, as numbers: equal sets are shared.
type SetKey = Vec<u64>;

#[derive(Clone, Copy, Default)]
pub(crate) struct Layout {
    set: vk::DescriptorSetLayout,
    pub pipeline: vk::PipelineLayout,
}

fn layout_key(bindings: &[BindingKind]) -> Vec<BindingKindKey> {
    // Both kinds of storage buffer are the same descriptor type.
    let class = |b: &BindingKind| match b {
        BindingKind::StorageRead | BindingKind::StorageReadWrite => 0,
        BindingKind::SampledImage => 1,
        BindingKind::StorageImageWrite => 2,
    };
    bindings.iter().map(class).collect()
}

fn descriptor_type(class: BindingKindKey) -> vk::DescriptorType {
    match class {
        0 => vk::DescriptorType::STORAGE_BUFFER,
        1 => vk::DescriptorType::SAMPLED_IMAGE,
        _ => vk::DescriptorType::STORAGE_IMAGE,
    }
}

/// Threads that create pipelines when the driver cache holds them.
const WARM_THREADS: usize = 4;

impl Pipelines {
    /// Creates everything and fills `self` as it goes, so that [`Pipelines::destroy`] finds all
    /// that exists when this fails.
    pub fn create(
        &mut self,
        device: &VulkanDevice,
        request: &LoadRequest<'_>,
        objects: &Objects,
    ) -> Result<()> {
        let plan = &request.bundle.variant(request.variant).plan;
        for pipeline in &plan.pipelines {
            self.add_layout(device, &pipeline.bindings)?;
        }
        self.create_modules(device, request)?;
        self.create_pipelines(device, request, plan)?;
        self.create_sets(device, plan, objects)
    }

    /// Layout of a pipeline with these bindings.
    pub fn layout(&self, pipeline: &Pipeline) -> Layout {
        let key = layout_key(&pipeline.bindings);
        // `create` has made one for every pipeline of the plan.
        self.set_layouts.iter().find(|(k, _)| *k == key).map_or_else(Layout::default, |(_, l)| *l)
    }

    /// The descriptor set of a dispatch.
    pub fn set(&self, pipeline: &Pipeline, binds: &[Bind]) -> vk::DescriptorSet {
        // `create` has made one for every dispatch of the plan.
        self.find_set(&set_key(pipeline, binds))
            .map_or_else(|_| vk::DescriptorSet::null(), |i| self.sets[i].1)
    }

    /// Where a set is, or belongs.
    fn find_set(&self, key: &SetKey) -> std::result::Result<usize, usize> {
        self.sets.binary_search_by(|(k, _)| k.cmp(key))
    }

    fn add_layout(&mut self, device: &VulkanDevice, bindings: &[BindingKind]) -> Result<()> {
        let key = layout_key(bindings);
        if self.set_layouts.iter().any(|(k, _)| *k == key) {
            return Ok(());
        }
        let rows: Vec<_> = (0u32..)
            .zip(&key)
            .map(|(i, class)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(i)
                    .descriptor_type(descriptor_type(*class))
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set_info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&rows);
        // SAFETY: plain creations; the set layout goes again if the second one fails.
        let layout = unsafe {
            let set = device
                .raw
                .create_descriptor_set_layout(&set_info, None)
                .check("vkCreateDescriptorSetLayout")?;
            let sets = [set];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            match device.raw.create_pipeline_layout(&info, None).check("vkCreatePipelineLayout") {
                Ok(pipeline) => Layout { set, pipeline },
                Err(e) => {
                    device.raw.destroy_descriptor_set_layout(set, None);
                    return Err(e);
                }
            }
        };
        self.set_layouts.push((key, layout));
        Ok(())
    }

    fn create_modules(&mut self, device: &VulkanDevice, request: &LoadRequest<'_>) -> Result<()> {
        let count = request.bundle.variant(request.variant).shaders.len() as u32;
        for index in 0..count {
            let bytes = request.bundle.shader(request.variant, index);
            let words: Vec<u32> =
                bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
            let info = vk::ShaderModuleCreateInfo::default().code(&words);
            // SAFETY: the shader is handed to the driver as it is; the crate's documentation says
            // whose shaders to run. The container has checked magic and size.
            let module = unsafe { device.raw.create_shader_module(&info, None) }
                .check("vkCreateShaderModule")?;
            self.modules.push(module);
        }
        Ok(())
    }

    fn create_pipelines(
        &mut self,
        device: &VulkanDevice,
        request: &LoadRequest<'_>,
        plan: &Plan,
    ) -> Result<()> {
        let path = cache::path(device, request.cache, request.bundle.shaders_hash(request.variant));
        let stored = path
            .as_ref()
            .and_then(|p| cache::read(p, &device.physical.properties))
            .unwrap_or_default();
        let info = vk::PipelineCacheCreateInfo::default().initial_data(&stored);
        // SAFETY: the data is what this driver wrote (checksum and header were compared) or empty.
        self.cache = unsafe { device.raw.create_pipeline_cache(&info, None) }
            .check("vkCreatePipelineCache")?;

        let done = Mutex::new(vec![vk::Pipeline::null(); plan.pipelines.len()]);
        let failed = Mutex::new(None);
        let next = AtomicUsize::new(0);
        let this = &*self;
        let work = || loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(pipeline) = plan.pipelines.get(index) else { break };
            match this.create_pipeline(device, pipeline) {
                Ok(handle) => lock(&done)[index] = handle,
                Err(e) => {
                    lock(&failed).get_or_insert(e);
                    next.store(plan.pipelines.len(), Ordering::Relaxed);
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Compiling scales with cores; looking up in a warm cache waits for the driver's locks
        // (45 pipelines on an H200: 26 ms with 16 threads, 6 ms with 4).
        let threads = if stored.is_empty() { cores } else { cores.min(WARM_THREADS) };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(plan.pipelines.len()) {
                scope.spawn(work);
            }
            work();
        });
        self.pipelines = done.into_inner().unwrap_or_else(|e| e.into_inner());
        if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
            return Err(e);
        }
        if let Some(path) = path {
            // SAFETY: a plain query of a live cache that no thread uses any more.
            let data = unsafe { device.raw.get_pipeline_cache_data(self.cache) };
            if let Ok(data) = data
                && data != stored
            {
                cache::write(&path, &data);
            }
        }
        Ok(())
    }

    fn create_pipeline(&self, device: &VulkanDevice, pipeline: &Pipeline) -> Result<vk::Pipeline> {
        let caps = &device.physical.info.capabilities;
        let controls = &device.physical.features.size_control;
        // The reader has excluded NUL bytes.
        let name = CString::new(pipeline.shader_entry.as_str()).unwrap_or_default();
        let mut size_info = vk::PipelineShaderStageRequiredSubgroupSizeCreateInfo::default()
            .required_subgroup_size(pipeline.subgroup_size);
        let mut stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(self.modules[pipeline.shader as usize])
            .name(&name);
        let choice = caps.subgroup_size_min != caps.subgroup_size_max;
        if pipeline.subgroup_size != 0 && choice && controls.subgroup_size_control != 0 {
            stage = stage.push_next(&mut size_info);
            let full = pipeline.workgroup_size[0].is_multiple_of(pipeline.subgroup_size);
            if full && controls.compute_full_subgroups != 0 {
                stage = stage.flags(vk::PipelineShaderStageCreateFlags::REQUIRE_FULL_SUBGROUPS);
            }
        }
        let info = vk::ComputePipelineCreateInfo::default()
            .stage(stage)
            .layout(self.layout(pipeline).pipeline);
        // SAFETY: module, layout and cache are alive; the cache synchronizes itself.
        let created = unsafe { device.raw.create_compute_pipelines(self.cache, &[info], None) };
        created.map(|p| p[0]).map_err(|(_, code)| code).check("vkCreateComputePipelines")
    }

    fn create_sets(&mut self, device: &VulkanDevice, plan: &Plan, objects: &Objects) -> Result<()> {
        let dispatches = || {
            plan.entry_points.iter().flat_map(|e| &e.steps).filter_map(|s| match s {
                Step::Dispatch { pipeline, binds, .. } => {
                    Some((&plan.pipelines[*pipeline as usize], binds))
                }
                Step::Barrier | Step::Copy { .. } => None,
            })
        };
        let mut counts = [0u32; 3];
        for (pipeline, binds) in dispatches() {
            let key = set_key(pipeline, binds);
            if let Err(at) = self.find_set(&key) {
                self.sets.insert(at, (key, vk::DescriptorSet::null()));
                layout_key(&pipeline.bindings)
                    .iter()
                    .for_each(|class| counts[*class as usize] += 1);
            }
        }
        if self.sets.is_empty() {
            return Ok(());
        }
        let sizes: Vec<_> = (0u8..)
            .zip(counts)
            .filter(|(_, n)| *n > 0)
            .map(|(class, n)| vk::DescriptorPoolSize {
                ty: descriptor_type(class),
                descriptor_count: n,
            })
            .collect();
        let info = vk::DescriptorPoolCreateInfo::default()
            .max_sets(self.sets.len() as u32)
            .pool_sizes(&sizes);
        // SAFETY: plain creation with sizes above zero.
        self.descriptor_pool = unsafe { device.raw.create_descriptor_pool(&info, None) }
            .check("vkCreateDescriptorPool")?;
        for (pipeline, binds) in dispatches() {
            let layouts = [self.layout(pipeline).set];
            let Ok(at) = self.find_set(&set_key(pipeline, binds)) else { continue };
            let slot = &mut self.sets[at].1;
            if *slot != vk::DescriptorSet::null() {
                continue;
            }
            let info = vk::DescriptorSetAllocateInfo::default()
                .descriptor_pool(self.descriptor_pool)
                .set_layouts(&layouts);
            // SAFETY: the pool was sized for all sets; this session alone uses it.
            *slot = unsafe { device.raw.allocate_descriptor_sets(&info) }
                .check("vkAllocateDescriptorSets")?[0];
            write_set(device, *slot, plan, &pipeline.bindings, binds, objects);
        }
        Ok(())
    }

    /// # Safety
    /// The device does not use any of it any more.
    pub unsafe fn destroy(&mut self, device: &VulkanDevice) {
        // SAFETY: the caller's promise; destroying null handles is allowed.
        unsafe {
            device.raw.destroy_descriptor_pool(self.descriptor_pool, None);
            self.pipelines.drain(..).for_each(|p| device.raw.destroy_pipeline(p, None));
            self.modules.drain(..).for_each(|m| device.raw.destroy_shader_module(m, None));
            device.raw.destroy_pipeline_cache(self.cache, None);
            for (_, layout) in self.set_layouts.drain(..) {
                device.raw.destroy_pipeline_layout(layout.pipeline, None);
                device.raw.destroy_descriptor_set_layout(layout.set, None);
            }
        }
    }
}

fn set_key(pipeline: &Pipeline, binds: &[Bind]) -> SetKey {
    let mut key = Vec::with_capacity(binds.len() * 4);
    for (class, bind) in layout_key(&pipeline.bindings).into_iter().zip(binds) {
        let (object, offset, bytes) = match bind {
            Bind::Buffer { object, offset, bytes } => (*object, *offset, *bytes),
            Bind::Image { object } => (*object, 0, 0),
        };
        key.extend([u64::from(class), u64::from(object), offset, bytes]);
    }
    key
}

fn write_set(
    device: &VulkanDevice,
    set: vk::DescriptorSet,
    plan: &Plan,
    kinds: &[BindingKind],
    binds: &[Bind],
    objects: &Objects,
) {
    for (i, (class, bind)) in (0u32..).zip(layout_key(kinds).into_iter().zip(binds)) {
        let write = vk::WriteDescriptorSet::default()
            .dst_set(set)
            .dst_binding(i)
            .descriptor_type(descriptor_type(class));
        let (buffer, image);
        let write = match bind {
            Bind::Buffer { object, offset, bytes } => {
                buffer = [vk::DescriptorBufferInfo {
                    buffer: objects[*object].buffer,
                    offset: *offset,
                    range: *bytes,
                }];
                write.buffer_info(&buffer)
            }
            Bind::Image { object } => {
                image = [vk::DescriptorImageInfo {
                    sampler: vk::Sampler::null(),
                    image_view: objects[*object].view,
                    image_layout: image_layout(plan.objects[*object as usize].role),
                }];
                write.image_info(&image)
            }
        };
        // SAFETY: set and objects are alive, kinds match and ranges are inside (the plan is checked).
        unsafe { device.raw.update_descriptor_sets(&[write], &[]) };
    }
}
