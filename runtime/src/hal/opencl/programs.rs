//! Kernels: compiled from their source, or by the driver's cache, on all cores.
//!
//! Every distinct dispatch has a kernel object of its own, whose arguments are set once: a replay
//! then is nothing but enqueueing.

use super::{
    OpenClDevice,
    api::{Kernel, Program},
    error::{ClResultExt, driver},
    objects::Objects,
};
use crate::{
    error::{Result, RuntimeError},
    hal::{LoadRequest, cache},
};
use drift_bundle::caps::Features;
use drift_bundle::plan::{Bind, BindingKind, Pipeline, Plan, Step};
use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Nothing that changes results: no relaxed arithmetic, denormals as the device has them.
const OPTIONS: &CStr = c"-cl-std=CL1.2";

const MAGIC: cache::Magic = *b"DRFTOC01";

/// The programs of a variant, by the number of their shader.
pub(crate) struct Programs(Vec<Program>);

impl Programs {
    pub fn create(device: &OpenClDevice, request: &LoadRequest<'_>) -> Result<Programs> {
        let count = request.bundle.variant(request.variant).shaders.len();
        let path = cache_path(device, request);
        let stored = path.as_ref().and_then(|p| cache::read(p, MAGIC)).unwrap_or_default();
        let stored = unpack(&stored, count);

        let done: Mutex<Vec<Option<Program>>> = Mutex::new((0..count).map(|_| None).collect());
        let failed = Mutex::new(None);
        let compiled = AtomicUsize::new(0);
        let next = AtomicUsize::new(0);
        let work = || loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let binary = stored.get(index).copied().unwrap_or_default();
            let program = match from_binary(device, binary) {
                Some(program) => Ok(program),
                None => {
                    compiled.fetch_add(1, Ordering::Relaxed);
                    from_source(device, request, index as u32)
                }
            };
            match program {
                Ok(program) => lock(&done)[index] = Some(program),
                Err(e) => {
                    lock(&failed).get_or_insert(e);
                    next.store(count, Ordering::Relaxed);
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 1..cores.min(count) {
                scope.spawn(work);
            }
            work();
        });
        if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
            return Err(e);
        }
        let programs = done.into_inner().unwrap_or_else(|e| e.into_inner());
        let programs = Programs(programs.into_iter().flatten().collect());
        if let Some(path) = path
            && compiled.into_inner() > 0
            && let Some(data) = programs.pack()
        {
            cache::write(&path, MAGIC, &data);
        }
        Ok(programs)
    }

    /// The length of each program's binary, and then its bytes.
    fn pack(&self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        for program in &self.0 {
            let binary = program.binary()?;
            data.extend((binary.len() as u64).to_le_bytes());
            data.extend(binary);
        }
        Some(data)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The file for this device, its driver, our options and these shaders.
fn cache_path(device: &OpenClDevice, request: &LoadRequest<'_>) -> Option<PathBuf> {
    let mut identity = device.physical.identity.clone();
    identity.push_str(&OPTIONS.to_string_lossy());
    let device = cache::hex(drift_bundle::hash64(identity.as_bytes()), 16);
    let shaders = cache::hex(request.bundle.shaders_hash(request.variant), 16);
    Some(cache::folder(request.cache)?.join(format!("opencl-{device}-{shaders}.bin")))
}

/// The binaries in a cache file; none when there are not exactly `count`.
fn unpack(data: &[u8], count: usize) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut rest = data;
    while let Some((bytes, after)) = rest.split_first_chunk::<8>() {
        let bytes = usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(usize::MAX);
        let Some((binary, after)) = after.split_at_checked(bytes) else { return Vec::new() };
        out.push(binary);
        rest = after;
    }
    if out.len() == count && rest.is_empty() { out } else { Vec::new() }
}

fn from_binary(device: &OpenClDevice, binary: &[u8]) -> Option<Program> {
    if binary.is_empty() {
        return None;
    }
    let program = device.context.program_of_binary(device.physical.id, binary).ok()?;
    program.build(device.physical.id, OPTIONS).ok()?;
    Some(program)
}

fn from_source(device: &OpenClDevice, request: &LoadRequest<'_>, shader: u32) -> Result<Program> {
    let source = request.bundle.shader(request.variant, shader);
    let program = device.context.program(source).check("clCreateProgramWithSource")?;
    match program.build(device.physical.id, OPTIONS) {
        Ok(()) => Ok(program),
        Err(code) => Err(match driver("clBuildProgram", code) {
            RuntimeError::Driver { .. } => {
                let user = user(&request.bundle.variant(request.variant).plan, shader);
                let said = program.log(device.physical.id);
                // some drivers print what they have to say, and log nothing
                let said = if said.trim().is_empty() { "its log is empty" } else { said.trim() };
                RuntimeError::Compiler { log: format!("shader {shader}, of {user}: {said}") }
            }
            other => other,
        }),
    }
}

/// The first node that a shader is used for.
fn user(plan: &Plan, shader: u32) -> &str {
    let steps = plan.entry_points.iter().flat_map(|entry| &entry.steps);
    let labels = steps.filter_map(|step| match step {
        Step::Dispatch { pipeline, label, .. } => Some((*pipeline, *label)),
        _ => None,
    });
    let uses = |pipeline: u32| plan.pipelines[pipeline as usize].shader == shader;
    let mut labels = labels.filter(|(pipeline, _)| uses(*pipeline)).map(|(_, label)| label);
    labels.next().map_or("no node", |label| &plan.labels[label as usize])
}

/// One dispatch, ready to be enqueued.
pub(crate) struct Dispatch {
    /// Index into [`Dispatches::kernels`].
    pub kernel: usize,
    pub global: [usize; 3],
    pub local: [usize; 3],
    pub label: u32,
}

/// A step of an entry point that is a command.
pub(crate) enum Command {
    Dispatch(Dispatch),
    Copy { src: u32, src_offset: u64, dst: u32, dst_offset: u64, bytes: u64 },
}

/// The commands of every entry point. The queue keeps their order, so barriers are no commands.
pub(crate) struct Dispatches {
    pub kernels: Vec<Kernel>,
    pub entries: Vec<Vec<Command>>,
}

impl Dispatches {
    pub fn create(
        device: &OpenClDevice,
        plan: &Plan,
        programs: &Programs,
        objects: &Objects,
    ) -> Result<Dispatches> {
        let mut kernels = Vec::new();
        let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
        let mut entries = Vec::with_capacity(plan.entry_points.len());
        for entry in &plan.entry_points {
            let mut commands = Vec::with_capacity(entry.steps.len());
            for step in &entry.steps {
                match step {
                    Step::Dispatch { pipeline, workgroups, binds, label } => {
                        let signature = &plan.pipelines[*pipeline as usize];
                        let local = signature.workgroup_size.map(|n| n as usize);
                        let kernel = match known.get(&key(*pipeline, binds)) {
                            Some(kernel) => *kernel,
                            None => {
                                kernels.push(kernel(
                                    device,
                                    plan,
                                    (signature, binds),
                                    programs,
                                    objects,
                                )?);
                                known.insert(key(*pipeline, binds), kernels.len() - 1);
                                kernels.len() - 1
                            }
                        };
                        let global = [0, 1, 2].map(|axis| workgroups[axis] as usize * local[axis]);
                        let label = *label;
                        commands.push(Command::Dispatch(Dispatch { kernel, global, local, label }));
                    }
                    Step::Barrier => {}
                    Step::Copy { src, src_offset, dst, dst_offset, bytes } => {
                        commands.push(Command::Copy {
                            src: *src,
                            src_offset: *src_offset,
                            dst: *dst,
                            dst_offset: *dst_offset,
                            bytes: *bytes,
                        });
                    }
                }
            }
            entries.push(commands);
        }
        Ok(Dispatches { kernels, entries })
    }
}

/// What a kernel object depends on.
fn key(pipeline: u32, binds: &[Bind]) -> Vec<u64> {
    let mut key = vec![u64::from(pipeline)];
    for bind in binds {
        key.extend(match bind {
            Bind::Buffer { object, offset, .. } => [u64::from(*object), *offset],
            Bind::Image { object } => [u64::from(*object), 0],
        });
    }
    key
}

/// A kernel with its arguments: a pointer and an offset for a buffer, an image for an image.
fn kernel(
    device: &OpenClDevice,
    plan: &Plan,
    (pipeline, binds): (&Pipeline, &[Bind]),
    programs: &Programs,
    objects: &Objects,
) -> Result<Kernel> {
    // The reader has excluded NUL bytes.
    let name = CString::new(pipeline.shader_entry.as_str()).unwrap_or_default();
    let mut kernel = programs.0[pipeline.shader as usize].kernel(&name).check("clCreateKernel")?;
    let caps = &device.physical.info.capabilities;
    let invocations: u64 = pipeline.workgroup_size.iter().map(|n| u64::from(*n)).product();
    // NVIDIA's driver says 256 of every kernel, also of those that it compiled for more
    let says_it = !caps.features.contains(Features::INLINE_PTX);
    let most = if says_it { kernel.most_invocations(device.physical.id) } else { 0 };
    if most != 0 && invocations > most {
        let shader = pipeline.shader;
        let user = user(plan, shader);
        let log = format!(
            "shader {shader}, of {user}: it has {invocations} invocations to a workgroup, of which the device \
             runs {most}"
        );
        return Err(RuntimeError::Compiler { log });
    }
    let mut index = 0;
    for (kind, bind) in pipeline.bindings.iter().zip(binds) {
        match (kind, bind) {
            (
                BindingKind::StorageRead | BindingKind::StorageReadWrite,
                Bind::Buffer { object, offset, .. },
            ) => {
                kernel.set_mem(index, objects.buffer(*object)?).check("clSetKernelArg")?;
                kernel.set_u64(index + 1, *offset).check("clSetKernelArg")?;
                index += 2;
            }
            (_, Bind::Image { object } | Bind::Buffer { object, .. }) => {
                if let Some(image) = objects.get(*object).argument() {
                    kernel.set_mem(index, image).check("clSetKernelArg")?;
                }
                index += 1;
            }
        }
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_cache_files_hold_nothing() {
        let mut data = 3u64.to_le_bytes().to_vec();
        data.extend(b"abc");
        data.extend(0u64.to_le_bytes());
        assert_eq!(unpack(&data, 2), [&b"abc"[..], b""]);
        assert!(unpack(&data, 1).is_empty(), "of other shaders");
        assert!(unpack(&data[..data.len() - 1], 2).is_empty(), "cut off");
        data[0] = 200;
        assert!(unpack(&data, 2).is_empty(), "a length beyond the end");
        assert!(unpack(&[0xff; 8], 1).is_empty());
        assert!(unpack(&[], 1).is_empty());
    }
}
