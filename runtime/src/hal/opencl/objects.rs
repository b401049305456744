//! The GPU objects of a plan: created, cleared and filled.

use super::{
    OpenClDevice,
    api::{Mem, Queue, Wanted},
    error::ClResultExt,
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
};
use drift_bundle::{
    caps::ImageKind,
    plan::{Object, ObjectKind, ObjectRole, Plan, TexelFormat},
};
use opencl_sys::{
    CL_FLOAT, CL_HALF_FLOAT, CL_MEM_OBJECT_IMAGE1D_BUFFER, CL_MEM_OBJECT_IMAGE2D,
    CL_MEM_OBJECT_IMAGE2D_ARRAY, CL_MEM_OBJECT_IMAGE3D, CL_MEM_READ_WRITE, CL_RGBA, cl_image_desc,
    cl_image_format,
};

/// Bytes of weights that travel at once; the pages behind them are let go afterwards.
const PART_BYTES: u64 = 32 << 20;

/// One GPU object. A texel buffer is both: an image over a buffer.
pub(crate) struct GpuObject {
    pub buffer: Option<Mem>,
    pub image: Option<Mem>,
}

impl GpuObject {
    /// What a kernel gets as its argument.
    pub fn argument(&self) -> Option<&Mem> {
        self.image.as_ref().or(self.buffer.as_ref())
    }
}

/// All objects of a session.
pub(crate) struct Objects {
    list: Vec<GpuObject>,
}

impl Objects {
    pub fn create(device: &OpenClDevice, plan: &Plan) -> Result<Objects> {
        let list = plan.objects.iter().map(|o| create(device, o)).collect::<Result<_>>()?;
        Ok(Objects { list })
    }

    pub fn get(&self, index: u32) -> &GpuObject {
        &self.list[index as usize]
    }

    /// The buffer that is, or lies behind, an object.
    pub fn buffer(&self, index: u32) -> Result<&Mem> {
        self.get(index).buffer.as_ref().ok_or_else(|| {
            RuntimeError::input("a buffer of the plan", "it is an image, which has no bytes")
        })
    }

    /// Clears state and inputs, and uploads the weights; returns when all of it is done.
    pub fn fill(&self, queue: &Queue, plan: &Plan, bundle: &Bundle) -> Result<()> {
        let poison = std::env::var_os("DRIFT_POISON").is_some_and(|v| v == "1");
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            match object.role {
                ObjectRole::State | ObjectRole::Input => clear(queue, gpu, object, 0)?,
                // NaN everywhere: a plan that reads what it never wrote becomes visible.
                ObjectRole::Arena if poison => clear(queue, gpu, object, u32::MAX)?,
                ObjectRole::Arena | ObjectRole::Output | ObjectRole::Weights => {}
            }
        }
        let mut travelling = 0..0;
        for upload in &plan.uploads {
            let mut done = 0;
            while done < upload.bytes {
                let whole = matches!(
                    plan.objects[upload.object as usize].kind,
                    ObjectKind::Image { kind, .. } if kind != ImageKind::TexelBuffer
                );
                let left = upload.bytes - done;
                let bytes = if whole { left } else { left.min(PART_BYTES) };
                let from = upload.weights_offset + done;
                bundle.fetch_weights(from..from + bytes, 0..0);
                let data = &bundle.weights()[from as usize..][..bytes as usize];
                let gpu = self.get(upload.object);
                match (&plan.objects[upload.object as usize].kind, &gpu.image, &gpu.buffer) {
                    (ObjectKind::Image { extent, .. }, Some(image), None) => {
                        let extent = extent.map(|n| n as usize);
                        queue.write_image(image, &extent, data).check("clEnqueueWriteImage")?;
                    }
                    (_, _, Some(buffer)) => {
                        let (at, event) = (upload.object_offset + done, &mut Wanted::default());
                        // SAFETY: the bundle outlives this call, which ends when all has arrived.
                        unsafe { queue.write(buffer, at, data, event) }
                            .check("clEnqueueWriteBuffer")?;
                    }
                    _ => {}
                }
                travelling = travelling_with(queue, bundle, travelling, from..from + bytes)?;
                done += bytes;
            }
        }
        queue.finish().check("clFinish")?;
        bundle.release_weights(travelling);
        Ok(())
    }

    /// Zero-fills the state objects again; returns when it is done.
    pub fn clear_state(&self, queue: &Queue, plan: &Plan) -> Result<()> {
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            if object.role == ObjectRole::State {
                clear(queue, gpu, object, 0)?;
            }
        }
        queue.finish().check("clFinish")
    }
}

/// Adds a range to those whose bytes are under way; waits, and lets the host's pages go, when they
/// are many.
fn travelling_with(
    queue: &Queue,
    bundle: &Bundle,
    so_far: std::ops::Range<u64>,
    next: std::ops::Range<u64>,
) -> Result<std::ops::Range<u64>> {
    let all = match so_far.is_empty() {
        true => next,
        false => so_far.start.min(next.start)..so_far.end.max(next.end),
    };
    if all.end - all.start < 2 * PART_BYTES {
        return Ok(all);
    }
    queue.finish().check("clFinish")?;
    bundle.release_weights(all);
    Ok(0..0)
}

fn create(device: &OpenClDevice, object: &Object) -> Result<GpuObject> {
    let context = &device.context;
    let flags = CL_MEM_READ_WRITE;
    let buffer = |bytes: u64| {
        let bytes = bytes.next_multiple_of(4).max(4);
        context.buffer(flags, bytes).map_err(|code| match super::error::driver("", code) {
            RuntimeError::OutOfMemory { .. } => {
                RuntimeError::OutOfMemory { what: "an object of the plan".into(), bytes }
            }
            _ => super::error::driver("clCreateBuffer", code),
        })
    };
    match &object.kind {
        ObjectKind::Buffer { bytes } => {
            Ok(GpuObject { buffer: Some(buffer(*bytes)?), image: None })
        }
        ObjectKind::Image { kind, format, extent } => {
            let [width, height, deep] = extent.map(|n| n as usize);
            let behind = match kind {
                ImageKind::TexelBuffer => Some(buffer(u64::from(extent[0]) * format.bytes())?),
                _ => None,
            };
            let (ty, depth, layers) = match kind {
                ImageKind::TexelBuffer => (CL_MEM_OBJECT_IMAGE1D_BUFFER, 1, 1),
                ImageKind::Texture2d => (CL_MEM_OBJECT_IMAGE2D, 1, 1),
                ImageKind::Texture2dArray => (CL_MEM_OBJECT_IMAGE2D_ARRAY, 1, deep),
                ImageKind::Texture3d => (CL_MEM_OBJECT_IMAGE3D, deep, 1),
            };
            let texel = cl_image_format {
                image_channel_order: CL_RGBA,
                image_channel_data_type: match format {
                    TexelFormat::Rgba32Float => CL_FLOAT,
                    TexelFormat::Rgba16Float => CL_HALF_FLOAT,
                },
            };
            let description = cl_image_desc {
                image_type: ty,
                image_width: width,
                image_height: height,
                image_depth: depth,
                image_array_size: layers,
                image_row_pitch: 0,
                image_slice_pitch: 0,
                num_mip_levels: 0,
                num_samples: 0,
                buffer: behind.as_ref().map_or(std::ptr::null_mut(), Mem::raw),
            };
            let image =
                context.image(flags, &texel, &description).check("clCreateImage").map_err(|e| {
                    match e {
                        RuntimeError::OutOfMemory { .. } => RuntimeError::OutOfMemory {
                            what: "an image of the plan".into(),
                            bytes: (width * height * deep) as u64 * format.bytes(),
                        },
                        other => other,
                    }
                })?;
            Ok(GpuObject { buffer: behind, image: Some(image) })
        }
    }
}

/// Starts filling an object with one 32-bit pattern.
fn clear(queue: &Queue, gpu: &GpuObject, object: &Object, word: u32) -> Result<()> {
    match (&object.kind, &gpu.buffer, &gpu.image) {
        (ObjectKind::Buffer { bytes }, Some(buffer), _) => {
            let bytes = bytes.next_multiple_of(4).max(4);
            queue.fill(buffer, word, bytes).check("clEnqueueFillBuffer")
        }
        (ObjectKind::Image { format, extent, .. }, Some(buffer), _) => {
            let bytes = u64::from(extent[0]) * format.bytes();
            queue.fill(buffer, word, bytes).check("clEnqueueFillBuffer")
        }
        (ObjectKind::Image { extent, .. }, None, Some(image)) => {
            let extent = extent.map(|n| n as usize);
            queue.fill_image(image, f32::from_bits(word), &extent).check("clEnqueueFillImage")
        }
        _ => Ok(()),
    }
}
