//! The GPU objects of a plan: created and filled.

use super::{Opened, error::caught};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
};
use drift_bundle::{
    caps::ImageKind,
    plan::{Object, ObjectKind, ObjectRole, Plan, TexelFormat},
};
use std::{ops::Range, time::Duration};
use wgpu::{BufferUsages, TextureUsages};

/// Bytes of weights that travel at once; the pages behind them are let go afterwards.
const PART_BYTES: u64 = 16 << 20;
/// Sizes and offsets of copies are multiples of this.
pub(crate) const COPY_ALIGNMENT: u64 = wgpu::COPY_BUFFER_ALIGNMENT;

/// One GPU object.
pub(crate) enum GpuObject {
    Buffer(wgpu::Buffer),
    Image(wgpu::Texture, wgpu::TextureView),
}

/// All objects of a session.
pub(crate) struct Objects {
    list: Vec<GpuObject>,
}

/// A format of textures.
pub(crate) const fn format(texel: TexelFormat) -> wgpu::TextureFormat {
    match texel {
        TexelFormat::Rgba32Float => wgpu::TextureFormat::Rgba32Float,
        TexelFormat::Rgba16Float => wgpu::TextureFormat::Rgba16Float,
    }
}

/// How shaders see an image; WebGPU has no texel buffers.
pub(crate) fn view_dimension(kind: ImageKind) -> Result<wgpu::TextureViewDimension> {
    match kind {
        ImageKind::Texture2d => Ok(wgpu::TextureViewDimension::D2),
        ImageKind::Texture2dArray => Ok(wgpu::TextureViewDimension::D2Array),
        ImageKind::Texture3d => Ok(wgpu::TextureViewDimension::D3),
        ImageKind::TexelBuffer => {
            Err(RuntimeError::input("an image of the plan", "WebGPU has no texel buffers"))
        }
    }
}

impl Objects {
    pub fn create(device: &Opened, plan: &Plan) -> Result<Objects> {
        let list = plan.objects.iter().map(|o| create(device, o)).collect::<Result<_>>()?;
        Ok(Objects { list })
    }

    pub fn get(&self, index: u32) -> &GpuObject {
        &self.list[index as usize]
    }

    pub fn buffer(&self, index: u32) -> Result<&wgpu::Buffer> {
        match self.get(index) {
            GpuObject::Buffer(buffer) => Ok(buffer),
            GpuObject::Image(..) => {
                let message = "it is an image, which has no bytes";
                Err(RuntimeError::input("a buffer of the plan", message))
            }
        }
    }

    /// Uploads the weights; returns when all of them have arrived. The rest is zero when it is made.
    pub fn fill(
        &self,
        device: &Opened,
        plan: &Plan,
        bundle: &Bundle,
        timeout: Duration,
    ) -> Result<()> {
        if std::env::var_os("DRIFT_POISON").is_some_and(|v| v == "1") {
            self.poison(device, plan)?;
        }
        let mut travelling = 0..0;
        for upload in &plan.uploads {
            let mut done = 0;
            while done < upload.bytes {
                let left = upload.bytes - done;
                let object = self.get(upload.object);
                let whole = matches!(object, GpuObject::Image(..));
                let bytes = if whole { left } else { left.min(PART_BYTES) };
                let from = upload.weights_offset + done;
                bundle.fetch_weights(from..from + bytes, 0..0);
                let data = &bundle.weights()[from as usize..][..bytes as usize];
                let to = upload.object_offset + done;
                caught(&device.raw, "an upload of weights", || match object {
                    GpuObject::Buffer(buffer) => write(&device.queue, buffer, to, data),
                    GpuObject::Image(texture, _) => write_image(
                        &device.queue,
                        texture,
                        &plan.objects[upload.object as usize],
                        data,
                    ),
                })?;
                travelling =
                    travelling_with(device, bundle, travelling, from..from + bytes, timeout)?;
                done += bytes;
            }
        }
        device.queue.submit([]);
        device.wait(None, timeout)?;
        bundle.release_weights(travelling);
        Ok(())
    }

    /// NaN everywhere: a plan that reads what it never wrote becomes visible.
    fn poison(&self, device: &Opened, plan: &Plan) -> Result<()> {
        let words = vec![0xff; PART_BYTES as usize];
        for (gpu, object) in self.list.iter().zip(&plan.objects) {
            let GpuObject::Buffer(buffer) = gpu else { continue };
            let mut at = 0;
            while object.role == ObjectRole::Arena && at < buffer.size() {
                let bytes = PART_BYTES.min(buffer.size() - at);
                let data = &words[..bytes as usize];
                caught(&device.raw, "poison", || device.queue.write_buffer(buffer, at, data))?;
                at += bytes;
            }
        }
        Ok(())
    }

    /// Zero-fills the state objects behind everything submitted so far.
    pub fn clear_state(&self, device: &Opened, plan: &Plan) -> Result<()> {
        caught(&device.raw, "clearing the state", || {
            let mut encoder = device.raw.create_command_encoder(&Default::default());
            for (gpu, object) in self.list.iter().zip(&plan.objects) {
                if let (GpuObject::Buffer(buffer), ObjectRole::State) = (gpu, object.role) {
                    encoder.clear_buffer(buffer, 0, None);
                }
            }
            device.queue.submit([encoder.finish()]);
        })
    }
}

/// Writes bytes at a multiple of [`COPY_ALIGNMENT`]; behind bytes that are no multiple of it, the
/// padding of the object is overwritten.
fn write(queue: &wgpu::Queue, buffer: &wgpu::Buffer, to: u64, data: &[u8]) {
    if (data.len() as u64).is_multiple_of(COPY_ALIGNMENT) {
        queue.write_buffer(buffer, to, data);
    } else {
        let mut padded = data.to_vec();
        padded.resize(data.len().next_multiple_of(COPY_ALIGNMENT as usize), 0);
        queue.write_buffer(buffer, to, &padded);
    }
}

fn write_image(queue: &wgpu::Queue, texture: &wgpu::Texture, object: &Object, data: &[u8]) {
    let ObjectKind::Image { format, extent: [width, height, deep], .. } = object.kind else {
        return;
    };
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(width * format.bytes() as u32),
        rows_per_image: Some(height),
    };
    let size = wgpu::Extent3d { width, height, depth_or_array_layers: deep };
    queue.write_texture(texture.as_image_copy(), data, layout, size);
}

/// Adds a range to those whose bytes are under way; waits, and lets the host's pages go, when they
/// are many.
fn travelling_with(
    device: &Opened,
    bundle: &Bundle,
    so_far: Range<u64>,
    next: Range<u64>,
    timeout: Duration,
) -> Result<Range<u64>> {
    let all = match so_far.is_empty() {
        true => next,
        false => so_far.start.min(next.start)..so_far.end.max(next.end),
    };
    if all.end - all.start < 4 * PART_BYTES {
        return Ok(all);
    }
    device.queue.submit([]);
    device.wait(None, timeout)?;
    bundle.release_weights(all);
    Ok(0..0)
}

/// A buffer; `what` it is for is named when there is no memory for it.
pub(crate) fn buffer(
    device: &Opened,
    bytes: u64,
    usage: BufferUsages,
    what: &'static str,
) -> Result<wgpu::Buffer> {
    let size = bytes.next_multiple_of(COPY_ALIGNMENT).max(COPY_ALIGNMENT);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let created = caught(&device.raw, what, || device.raw.create_buffer(&descriptor));
    created.map_err(|e| match e {
        RuntimeError::OutOfMemory { what, .. } => RuntimeError::OutOfMemory { what, bytes },
        other => other,
    })
}

fn create(device: &Opened, object: &Object) -> Result<GpuObject> {
    match object.kind {
        ObjectKind::Buffer { bytes } => {
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
            Ok(GpuObject::Buffer(buffer(device, bytes, usage, "an object of the plan")?))
        }
        ObjectKind::Image { kind, format: texel, extent: [width, height, deep] } => {
            let dimension = view_dimension(kind)?;
            let descriptor = wgpu::TextureDescriptor {
                label: None,
                size: wgpu::Extent3d { width, height, depth_or_array_layers: deep },
                mip_level_count: 1,
                sample_count: 1,
                dimension: match kind {
                    ImageKind::Texture3d => wgpu::TextureDimension::D3,
                    _ => wgpu::TextureDimension::D2,
                },
                format: format(texel),
                usage: TextureUsages::TEXTURE_BINDING
                    | TextureUsages::STORAGE_BINDING
                    | TextureUsages::COPY_DST,
                view_formats: &[],
            };
            let view =
                wgpu::TextureViewDescriptor { dimension: Some(dimension), ..Default::default() };
            let texels = u64::from(width) * u64::from(height) * u64::from(deep);
            let created = caught(&device.raw, "an image of the plan", || {
                let texture = device.raw.create_texture(&descriptor);
                let view = texture.create_view(&view);
                GpuObject::Image(texture, view)
            });
            created.map_err(|e| match e {
                RuntimeError::OutOfMemory { what, .. } => {
                    RuntimeError::OutOfMemory { what, bytes: texels * texel.bytes() }
                }
                other => other,
            })
        }
    }
}
