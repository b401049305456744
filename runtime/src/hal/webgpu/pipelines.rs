//! Pipelines, compiled on all cores, and the commands of every entry point: a bind group for every
//! distinct dispatch, so that a replay only encodes.

use super::{
    Opened, WebGpuDevice,
    error::caught,
    objects::{GpuObject, Objects, format, view_dimension},
};
use crate::{
    error::{Result, RuntimeError},
    hal::{LoadRequest, cache},
};
use drift_bundle::plan::{Bind, BindingKind, ObjectKind, Plan, Step};
use std::{
    collections::HashMap,
    num::NonZeroU64,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const MAGIC: cache::Magic = *b"DRFTWG01";

/// A binding as a bind group layout has it.
#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Buffer { read_only: bool },
    Sampled(wgpu::TextureViewDimension),
    Written(wgpu::TextureViewDimension, wgpu::TextureFormat),
}

impl Slot {
    fn ty(self) -> wgpu::BindingType {
        match self {
            Slot::Buffer { read_only } => wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            Slot::Sampled(view_dimension) => wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension,
                multisampled: false,
            },
            Slot::Written(view_dimension, format) => wgpu::BindingType::StorageTexture {
                access: wgpu::StorageTextureAccess::WriteOnly,
                format,
                view_dimension,
            },
        }
    }
}

/// A pipeline of the plan.
pub(crate) struct Pipeline {
    raw: wgpu::ComputePipeline,
    /// Index into [`Pipelines::layouts`].
    layout: usize,
}

/// The pipelines that some dispatch uses.
pub(crate) struct Pipelines {
    list: Vec<Option<Pipeline>>,
    layouts: Vec<wgpu::BindGroupLayout>,
}

/// What the bindings of each pipeline are, as its first dispatch has them: the plan tells the shape
/// of an image with the image. `None`: no dispatch uses it.
fn slots(plan: &Plan) -> Result<Vec<Option<Vec<Slot>>>> {
    let mut out = vec![None; plan.pipelines.len()];
    for step in plan.entry_points.iter().flat_map(|e| &e.steps) {
        let Step::Dispatch { pipeline, binds, .. } = step else { continue };
        let slots: &mut Option<Vec<Slot>> = &mut out[*pipeline as usize];
        if slots.is_some() {
            continue;
        }
        let kinds = &plan.pipelines[*pipeline as usize].bindings;
        let slot = |(kind, bind): (&BindingKind, &Bind)| -> Result<Slot> {
            match (kind, &plan.objects[object(bind) as usize].kind) {
                (BindingKind::StorageRead, _) => Ok(Slot::Buffer { read_only: true }),
                (BindingKind::StorageReadWrite, _) => Ok(Slot::Buffer { read_only: false }),
                (BindingKind::SampledImage, ObjectKind::Image { kind, .. }) => {
                    Ok(Slot::Sampled(view_dimension(*kind)?))
                }
                (BindingKind::StorageImageWrite, ObjectKind::Image { kind, format: f, .. }) => {
                    Ok(Slot::Written(view_dimension(*kind)?, format(*f)))
                }
                (_, ObjectKind::Buffer { .. }) => {
                    Err(RuntimeError::input("an image of the plan", "it is a buffer"))
                }
            }
        };
        *slots = Some(kinds.iter().zip(binds).map(slot).collect::<Result<_>>()?);
    }
    Ok(out)
}

impl Pipelines {
    pub fn create(
        device: &WebGpuDevice,
        opened: &Opened,
        request: &LoadRequest<'_>,
    ) -> Result<Pipelines> {
        let contents = request.bundle.variant(request.variant);
        let plan = &contents.plan;
        let slots = slots(plan)?;
        let mut known: Vec<&[Slot]> = Vec::new();
        let mut layouts = Vec::new();
        let mut pipeline_layouts = Vec::new();
        // layout of each pipeline, and the pipelines of each shader
        let mut layout_of = vec![0; slots.len()];
        let mut of_shader: Vec<Vec<usize>> = vec![Vec::new(); contents.shaders.len()];
        for (i, slots) in slots.iter().enumerate() {
            let Some(slots) = slots else { continue };
            of_shader[plan.pipelines[i].shader as usize].push(i);
            layout_of[i] = match known.iter().position(|k| k == slots) {
                Some(at) => at,
                None => {
                    known.push(slots);
                    let (group, layout) =
                        caught(&opened.raw, "a bind group layout", || layout(opened, slots))?;
                    layouts.push(group);
                    pipeline_layouts.push(layout);
                    known.len() - 1
                }
            };
        }
        let stored = Stored::open(device, opened, request);
        let done: Mutex<Vec<Option<Pipeline>>> = Mutex::new(slots.iter().map(|_| None).collect());
        let failed = Mutex::new(None);
        let next = AtomicUsize::new(0);
        let work = || loop {
            let shader = next.fetch_add(1, Ordering::Relaxed);
            let Some(pipelines) = of_shader.get(shader) else { break };
            if pipelines.is_empty() {
                continue;
            }
            let text = request.bundle.shader(request.variant, shader as u32);
            let compiled = module(opened, text).and_then(|module| {
                for &i in pipelines {
                    let entry = &plan.pipelines[i].shader_entry;
                    let layout = &pipeline_layouts[layout_of[i]];
                    let raw = pipeline(opened, &module, entry, layout, stored.cache.as_ref())?;
                    lock(&done)[i] = Some(Pipeline { raw, layout: layout_of[i] });
                }
                Ok(())
            });
            if let Err(e) = compiled {
                lock(&failed).get_or_insert(e);
                next.store(of_shader.len(), Ordering::Relaxed);
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..cores.min(of_shader.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
            return Err(e);
        }
        stored.close();
        let list = done.into_inner().unwrap_or_else(|e| e.into_inner());
        Ok(Pipelines { list, layouts })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn layout(device: &Opened, slots: &[Slot]) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entries: Vec<_> = (0u32..)
        .zip(slots)
        .map(|(binding, slot)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: slot.ty(),
            count: None,
        })
        .collect();
    let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
    let group = device.raw.create_bind_group_layout(&descriptor);
    let descriptor = wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    };
    let pipeline = device.raw.create_pipeline_layout(&descriptor);
    (group, pipeline)
}

/// What refuses a shader has a name for such errors.
fn compiler(e: RuntimeError) -> RuntimeError {
    match e {
        RuntimeError::Refused { message, .. } => RuntimeError::Compiler { log: message },
        other => other,
    }
}

/// A validated shader without the checks that wgpu would otherwise put into it.
fn module(device: &Opened, text: &[u8]) -> Result<wgpu::ShaderModule> {
    let text = std::str::from_utf8(text)
        .map_err(|_| RuntimeError::input("a shader of the bundle", "it is no text, and WGSL is"))?;
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(text.into()) };
    let checks = wgpu::ShaderRuntimeChecks::unchecked();
    // SAFETY: indices are in bounds, divisors are not zero and loops end in what the compiler
    // writes (see the crate's *Trust*); wgpu still validates the text.
    let module = || unsafe { device.raw.create_shader_module_trusted(descriptor, checks) };
    caught(&device.raw, "a shader", module).map_err(compiler)
}

fn pipeline(
    device: &Opened,
    module: &wgpu::ShaderModule,
    entry: &str,
    layout: &wgpu::PipelineLayout,
    cache: Option<&wgpu::PipelineCache>,
) -> Result<wgpu::ComputePipeline> {
    let descriptor = wgpu::ComputePipelineDescriptor {
        label: None,
        layout: Some(layout),
        module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[],
            // kernels write before they read
            zero_initialize_workgroup_memory: false,
        },
        cache,
    };
    let created = || device.raw.create_compute_pipeline(&descriptor);
    caught(&device.raw, "a pipeline", created).map_err(compiler)
}

/// The driver's pipeline cache and its file, where the platform has one.
struct Stored {
    cache: Option<wgpu::PipelineCache>,
    path: Option<PathBuf>,
    before: Vec<u8>,
}

impl Stored {
    fn open(device: &WebGpuDevice, opened: &Opened, request: &LoadRequest<'_>) -> Stored {
        let none = Stored { cache: None, path: None, before: Vec::new() };
        if !opened.raw.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return none;
        }
        let Some(folder) = cache::folder(request.cache) else { return none };
        let identity = cache::hex(drift_bundle::hash64(device.physical.identity.as_bytes()), 16);
        let shaders = cache::hex(request.bundle.shaders_hash(request.variant), 16);
        let path = folder.join(format!("webgpu-{identity}-{shaders}.bin"));
        let before = cache::read(&path, MAGIC).unwrap_or_default();
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: None,
            data: (!before.is_empty()).then_some(before.as_slice()),
            fallback: true,
        };
        // SAFETY: what `close` wrote, by its magic and its checksum, for this driver and adapter.
        let create = || unsafe { opened.raw.create_pipeline_cache(&descriptor) };
        match caught(&opened.raw, "a pipeline cache", create) {
            Ok(cache) => Stored { cache: Some(cache), path: Some(path), before },
            // it costs time only
            Err(_) => none,
        }
    }

    fn close(self) {
        if let (Some(cache), Some(path)) = (self.cache, self.path)
            && let Some(data) = cache.get_data()
            && data != self.before
        {
            cache::write(&path, MAGIC, &data);
        }
    }
}

/// One dispatch, ready to be encoded.
pub(crate) struct Dispatch {
    pub pipeline: wgpu::ComputePipeline,
    /// Index of the pipeline in the plan.
    pub number: u32,
    pub group: wgpu::BindGroup,
    pub workgroups: [u32; 3],
    pub label: u32,
}

/// Steps that are encoded together.
pub(crate) enum Segment {
    Pass(Vec<Dispatch>),
    Copy { src: u32, src_offset: u64, dst: u32, dst_offset: u64, bytes: u64 },
}

/// The commands of every entry point. WebGPU finds hazards itself, so barriers are no commands.
pub(crate) fn commands(
    device: &Opened,
    plan: &Plan,
    pipelines: &Pipelines,
    objects: &Objects,
) -> Result<Vec<Vec<Segment>>> {
    let mut groups: HashMap<Vec<u64>, wgpu::BindGroup> = HashMap::new();
    let mut entries = Vec::with_capacity(plan.entry_points.len());
    for entry in &plan.entry_points {
        let mut segments: Vec<Segment> = Vec::new();
        for step in &entry.steps {
            match step {
                Step::Dispatch { pipeline: number, workgroups, binds, label } => {
                    let Some(pipeline) = &pipelines.list[*number as usize] else { continue };
                    let key = key(pipeline.layout, binds);
                    let group = match groups.get(&key) {
                        Some(group) => group.clone(),
                        None => {
                            let layout = &pipelines.layouts[pipeline.layout];
                            let group = caught(&device.raw, "a bind group", || {
                                group(device, layout, binds, objects)
                            })?;
                            groups.insert(key, group.clone());
                            group
                        }
                    };
                    let dispatch = Dispatch {
                        pipeline: pipeline.raw.clone(),
                        number: *number,
                        group,
                        workgroups: *workgroups,
                        label: *label,
                    };
                    match segments.last_mut() {
                        Some(Segment::Pass(pass)) => pass.push(dispatch),
                        _ => segments.push(Segment::Pass(vec![dispatch])),
                    }
                }
                Step::Barrier => {}
                &Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                    segments.push(Segment::Copy { src, src_offset, dst, dst_offset, bytes });
                }
            }
        }
        entries.push(segments);
    }
    Ok(entries)
}

/// What a bind group depends on.
fn key(layout: usize, binds: &[Bind]) -> Vec<u64> {
    let mut key = vec![layout as u64];
    for bind in binds {
        key.extend(match bind {
            Bind::Buffer { object, offset, bytes } => [u64::from(*object), *offset, *bytes],
            Bind::Image { object } => [u64::from(*object), 0, 0],
        });
    }
    key
}

fn group(
    device: &Opened,
    layout: &wgpu::BindGroupLayout,
    binds: &[Bind],
    objects: &Objects,
) -> wgpu::BindGroup {
    let resource = |bind: &Bind| match (bind, objects.get(object(bind))) {
        (Bind::Buffer { offset, bytes, .. }, GpuObject::Buffer(buffer)) => {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: *offset,
                size: NonZeroU64::new(*bytes),
            })
        }
        (_, GpuObject::Buffer(buffer)) => buffer.as_entire_binding(),
        (_, GpuObject::Image(_, view)) => wgpu::BindingResource::TextureView(view),
    };
    let entries: Vec<_> = (0u32..)
        .zip(binds)
        .map(|(binding, bind)| wgpu::BindGroupEntry { binding, resource: resource(bind) })
        .collect();
    device.raw.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout,
        entries: &entries,
    })
}

const fn object(bind: &Bind) -> u32 {
    match bind {
        Bind::Image { object } | Bind::Buffer { object, .. } => *object,
    }
}
