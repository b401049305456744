//! Kernels: compiled from their text on all cores, or taken from the archive that a start before has
//! left outside of the bundle.

use super::{Device, MetalDevice};
use crate::{
    error::{Result, RuntimeError},
    hal::{LoadRequest, cache},
};
use drift_bundle::plan;
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{NSArray, NSError, NSString, NSURL};
use objc2_metal::{
    MTLBinaryArchive, MTLBinaryArchiveDescriptor, MTLCompileOptions, MTLComputePipelineDescriptor,
    MTLComputePipelineState, MTLDevice, MTLFunction, MTLLanguageVersion, MTLLibrary,
    MTLPipelineOption,
};
use std::path::{Path, PathBuf};
use std::thread;

pub(crate) type Pipeline = Retained<ProtocolObject<dyn MTLComputePipelineState>>;
type Function = Retained<ProtocolObject<dyn MTLFunction>>;
type Archive = Retained<ProtocolObject<dyn MTLBinaryArchive>>;

fn refused(kernel: &str, error: &NSError) -> RuntimeError {
    RuntimeError::Compiler { log: format!("{kernel}: {}", error.localizedDescription()) }
}

/// The pipelines of a variant, in the plan's order.
pub(crate) fn create(device: &MetalDevice, request: &LoadRequest<'_>) -> Result<Vec<Pipeline>> {
    let list = &request.bundle.variant(request.variant).plan.pipelines;
    let texts: Vec<&str> = (list.iter())
        .map(|p| std::str::from_utf8(request.bundle.shader(request.variant, p.shader)))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| RuntimeError::Compiler { log: e.to_string() })?;
    let jobs: Vec<(&plan::Pipeline, &str)> = list.iter().zip(texts).collect();
    let functions = in_parallel(&jobs, |(p, text)| function(&device.device, p, text))?;

    let path = archive_path(device, request);
    let archive = path.as_deref().and_then(|path| open_archive(&device.device, path));
    let jobs: Vec<(&plan::Pipeline, &Function)> = list.iter().zip(&functions).collect();
    match archive {
        // what is in the archive takes no time, and archives stay on one thread
        Some(archive) => {
            jobs.iter().map(|(p, f)| pipeline(&device.device, p, f, Some(&archive))).collect()
        }
        None => {
            let pipelines = in_parallel(&jobs, |(p, f)| pipeline(&device.device, p, f, None))?;
            if let Some(path) = path {
                save_archive(&device.device, &jobs, &path);
            }
            Ok(pipelines)
        }
    }
}

/// `f` of each, in order, shared out over the cores.
fn in_parallel<T: Sync, R: Send>(jobs: &[T], f: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let part = jobs.len().div_ceil(cores).max(1);
    let all = |part: &[T]| autoreleasepool(|_| part.iter().map(&f).collect::<Result<Vec<R>>>());
    let parts: Vec<Result<Vec<R>>> = thread::scope(|scope| {
        let running: Vec<_> = jobs.chunks(part).map(|part| scope.spawn(|| all(part))).collect();
        let lost = |_| Err(RuntimeError::Compiler { log: "a compiling thread panicked".into() });
        running.into_iter().map(|r| r.join().unwrap_or_else(lost)).collect()
    });
    Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The version that a text asks for in its first line: `// language: metal2.4`.
fn language(text: &str) -> MTLLanguageVersion {
    let version = text.strip_prefix("// language: metal").and_then(|t| t.lines().next());
    match version {
        Some("3.0") => MTLLanguageVersion::Version3_0,
        Some("3.1") => MTLLanguageVersion::Version3_1,
        _ => MTLLanguageVersion::Version2_4,
    }
}

fn function(device: &Device, p: &plan::Pipeline, text: &str) -> Result<Function> {
    let options = MTLCompileOptions::new();
    options.setLanguageVersion(language(text));
    // Kernels test for NaN and infinity, and their sums are written in the order that is wanted. (Its
    // successor, mathMode, is no older than macOS 15.)
    #[allow(deprecated)]
    options.setFastMathEnabled(false);
    let library = device
        .newLibraryWithSource_options_error(&NSString::from_str(text), Some(&options))
        .map_err(|e| refused(&p.shader_entry, &e))?;
    library.newFunctionWithName(&NSString::from_str(&p.shader_entry)).ok_or_else(|| {
        RuntimeError::Compiler { log: format!("there is no kernel {}", p.shader_entry) }
    })
}

fn descriptor(
    p: &plan::Pipeline,
    function: &Function,
    archive: Option<&Archive>,
) -> Retained<MTLComputePipelineDescriptor> {
    let descriptor = MTLComputePipelineDescriptor::new();
    descriptor.setComputeFunction(Some(function));
    descriptor.setMaxTotalThreadsPerThreadgroup(invocations(p));
    if let Some(archive) = archive {
        descriptor.setBinaryArchives(Some(&NSArray::from_slice(&[&**archive])));
    }
    descriptor
}

fn invocations(p: &plan::Pipeline) -> usize {
    p.workgroup_size.iter().map(|n| *n as usize).product()
}

fn pipeline(
    device: &Device,
    p: &plan::Pipeline,
    function: &Function,
    archive: Option<&Archive>,
) -> Result<Pipeline> {
    let descriptor = descriptor(p, function, archive);
    let made = device
        .newComputePipelineStateWithDescriptor_options_reflection_error(
            &descriptor,
            MTLPipelineOption::empty(),
            None,
        )
        .map_err(|e| refused(&p.shader_entry, &e))?;
    // What registers leave, and the size the driver has chosen: known only now.
    let most = made.maxTotalThreadsPerThreadgroup();
    if invocations(p) > most {
        let log = format!("a workgroup of {} invocations, at most {most}", invocations(p));
        return Err(RuntimeError::Compiler { log });
    }
    let width = made.threadExecutionWidth();
    if p.subgroup_size != 0 && width != p.subgroup_size as usize {
        let log = format!("made for subgroups of {}, the device has {width}", p.subgroup_size);
        return Err(RuntimeError::Compiler { log });
    }
    Ok(made)
}

/// One archive for each variant, device and version of the system.
fn archive_path(device: &MetalDevice, request: &LoadRequest<'_>) -> Option<PathBuf> {
    let shaders = cache::hex(request.bundle.shaders_hash(request.variant), 16);
    let system = cache::hex(drift_bundle::hash64(device.identity.as_bytes()), 16);
    Some(cache::folder(request.cache)?.join(format!("{shaders}-{system}.metalar")))
}

fn url(path: &Path) -> Retained<NSURL> {
    NSURL::fileURLWithPath(&NSString::from_str(&path.to_string_lossy()))
}

/// `None` where there is none, or none that this system takes.
fn open_archive(device: &Device, path: &Path) -> Option<Archive> {
    if !path.exists() {
        return None;
    }
    let descriptor = MTLBinaryArchiveDescriptor::new();
    descriptor.setUrl(Some(&url(path)));
    let opened = device.newBinaryArchiveWithDescriptor_error(&descriptor).ok();
    if opened.is_none() {
        let _ = std::fs::remove_file(path);
    }
    opened
}

/// Never fatal: the next start compiles again.
fn save_archive(device: &Device, jobs: &[(&plan::Pipeline, &Function)], path: &Path) {
    let save = || -> Option<()> {
        let empty = MTLBinaryArchiveDescriptor::new();
        let archive = device.newBinaryArchiveWithDescriptor_error(&empty).ok()?;
        for (p, function) in jobs {
            let descriptor = descriptor(p, function, None);
            archive.addComputePipelineFunctionsWithDescriptor_error(&descriptor).ok()?;
        }
        std::fs::create_dir_all(path.parent()?).ok()?;
        let beside = path.with_extension(cache::hex(std::process::id().into(), 8));
        archive.serializeToURL_error(&url(&beside)).ok()?;
        // readers see the old or the new one
        std::fs::rename(&beside, path).ok()
    };
    let _ = save();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_version() {
        assert_eq!(language("// language: metal3.0\nkernel"), MTLLanguageVersion::Version3_0);
        assert_eq!(language("// language: metal2.4\nkernel"), MTLLanguageVersion::Version2_4);
        assert_eq!(language("kernel"), MTLLanguageVersion::Version2_4);
    }
}
