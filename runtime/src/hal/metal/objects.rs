//! The GPU objects of a plan. Weights of a mapped bundle are used where they lie, if the host shares
//! the device's memory; everything else has its place in one heap.

use super::flight;
use super::{
    Buffer, Commands, Fence, MetalDevice, Queue, Texture, encode::Encoder, error::no_memory,
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
};
use drift_bundle::{
    caps::ImageKind,
    plan::{Object, ObjectKind, ObjectRole, Plan, TexelFormat, Upload},
};
use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_foundation::NSRange;
use objc2_metal::{
    MTLBlitCommandEncoder, MTLBuffer, MTLCommandBuffer, MTLCommandQueue, MTLDevice,
    MTLHazardTrackingMode, MTLHeap, MTLHeapDescriptor, MTLHeapType, MTLOrigin, MTLPixelFormat,
    MTLResourceOptions, MTLSize, MTLSizeAndAlign, MTLStorageMode, MTLTextureDescriptor,
    MTLTextureType, MTLTextureUsage,
};
use std::{ptr::NonNull, time::Duration};

/// Pages of the system: memory that Metal is to use in place starts and ends with them.
const PAGE: usize = if cfg!(target_arch = "aarch64") { 16 << 10 } else { 4 << 10 };
/// Bytes of weights that travel at once.
const PART_BYTES: u64 = 32 << 20;
/// Long enough for a part.
const PART_TIMEOUT: Duration = Duration::from_secs(60);

/// Where an object is.
pub(crate) enum Place {
    /// In a buffer, from this offset on.
    Buffer(Buffer, u64),
    Texture(Texture),
}

/// All objects of a session.
pub(crate) struct Objects {
    list: Vec<Place>,
    /// The host reads and writes the buffers.
    shared: bool,
    _heap: Option<Retained<ProtocolObject<dyn MTLHeap>>>,
}

fn options(shared: bool) -> MTLResourceOptions {
    let storage = match shared {
        true => MTLResourceOptions::StorageModeShared,
        false => MTLResourceOptions::StorageModePrivate,
    };
    storage | MTLResourceOptions::HazardTrackingModeUntracked
}

/// Memory that host and device share, for what travels between them.
pub(crate) fn shared_buffer(device: &MetalDevice, bytes: u64, what: &str) -> Result<Buffer> {
    let made = device.device.newBufferWithLength_options(bytes.max(4) as usize, options(true));
    made.ok_or_else(|| no_memory(what, bytes))
}

/// The whole WEIGHTS section as a buffer over its mapped pages, and its offset in there.
fn weights_in_place(device: &MetalDevice, bundle: &Bundle) -> Option<(Buffer, u64)> {
    let weights = bundle.weights();
    if !device.unified || !bundle.is_mapped() || weights.is_empty() {
        return None;
    }
    let start = weights.as_ptr() as usize;
    let first = start / PAGE * PAGE;
    let bytes = (start + weights.len()).next_multiple_of(PAGE) - first;
    if bytes > device.device.maxBufferLength() {
        return None;
    }
    let pointer = NonNull::new(first as *mut _)?;
    // SAFETY: the map starts at a page and its last page is whole, so all of this is mapped; the
    // session's bundle keeps it until the session ends. Weights are only read.
    let made = unsafe {
        device.device.newBufferWithBytesNoCopy_length_options_deallocator(
            pointer,
            bytes,
            options(true),
            None,
        )
    };
    Some((made?, (start - first) as u64))
}

/// The only upload of an object, if it fills all of it and starts where a binding may.
fn only_upload(plan: &Plan, index: u32, alignment: u64) -> Option<&Upload> {
    let object = &plan.objects[index as usize];
    let ObjectKind::Buffer { bytes } = object.kind else { return None };
    let mut uploads = plan.uploads.iter().filter(|u| u.object == index);
    let first = uploads.next()?;
    let suits = object.role == ObjectRole::Weights
        && uploads.next().is_none()
        && (first.object_offset, first.bytes) == (0, bytes)
        && first.weights_offset % alignment == 0;
    suits.then_some(first)
}

/// What has yet to be given a place in the heap.
enum Wanted {
    Buffer(u64),
    Texture(Retained<MTLTextureDescriptor>),
}

fn texture(
    shared: bool,
    kind: ImageKind,
    format: TexelFormat,
    extent: [u32; 3],
) -> Retained<MTLTextureDescriptor> {
    let d = MTLTextureDescriptor::new();
    let [width, height, depth] = extent.map(|n| n as usize);
    let (ty, deep, layers) = match kind {
        ImageKind::Texture2dArray => (MTLTextureType::Type2DArray, 1, depth),
        ImageKind::Texture3d => (MTLTextureType::Type3D, depth, 1),
        ImageKind::Texture2d | ImageKind::TexelBuffer => (MTLTextureType::Type2D, 1, 1),
    };
    d.setTextureType(ty);
    d.setPixelFormat(match format {
        TexelFormat::Rgba32Float => MTLPixelFormat::RGBA32Float,
        TexelFormat::Rgba16Float => MTLPixelFormat::RGBA16Float,
    });
    // SAFETY: the requirements that the device meets cover these extents.
    unsafe {
        d.setWidth(width);
        d.setHeight(height);
        d.setDepth(deep);
        d.setArrayLength(layers);
    }
    d.setStorageMode(if shared { MTLStorageMode::Shared } else { MTLStorageMode::Private });
    d.setHazardTrackingMode(MTLHazardTrackingMode::Untracked);
    d.setUsage(MTLTextureUsage::ShaderRead | MTLTextureUsage::ShaderWrite);
    d
}

impl Objects {
    pub fn create(device: &MetalDevice, plan: &Plan, bundle: &Bundle) -> Result<Objects> {
        let shared = device.unified;
        let in_place = weights_in_place(device, bundle);
        let alignment = device.info.capabilities.storage_offset_alignment;
        // sizes and places first: one heap is made for all
        let mut wanted: Vec<Option<(Wanted, usize)>> = Vec::with_capacity(plan.objects.len());
        let mut end = 0usize;
        for (index, object) in (0u32..).zip(&plan.objects) {
            if in_place.is_some() && only_upload(plan, index, alignment).is_some() {
                wanted.push(None);
                continue;
            }
            let (what, need): (Wanted, MTLSizeAndAlign) = match object.kind {
                ObjectKind::Buffer { bytes } => {
                    let bytes = bytes.next_multiple_of(4).max(4);
                    let need = device
                        .device
                        .heapBufferSizeAndAlignWithLength_options(bytes as usize, options(shared));
                    (Wanted::Buffer(bytes), need)
                }
                ObjectKind::Image { kind, format, extent } => {
                    let d = texture(shared, kind, format, extent);
                    let need = device.device.heapTextureSizeAndAlignWithDescriptor(&d);
                    (Wanted::Texture(d), need)
                }
            };
            let at = end.next_multiple_of(need.align.max(1));
            end = at + need.size;
            wanted.push(Some((what, at)));
        }
        let heap = match end {
            0 => None,
            end => Some(heap(device, shared, end)?),
        };
        let mut list = Vec::with_capacity(wanted.len());
        for (index, wanted) in (0u32..).zip(wanted) {
            let missing = || no_memory("an object of the plan", 0);
            list.push(match (wanted, &heap, &in_place) {
                (None, _, Some((buffer, start))) => {
                    let upload = only_upload(plan, index, alignment).ok_or_else(missing)?;
                    Place::Buffer(buffer.clone(), start + upload.weights_offset)
                }
                (Some((Wanted::Buffer(bytes), at)), Some(heap), _) => {
                    // SAFETY: size and alignment are what the device asked for, the place is free.
                    let made = unsafe {
                        heap.newBufferWithLength_options_offset(bytes as usize, options(shared), at)
                    };
                    Place::Buffer(made.ok_or_else(missing)?, 0)
                }
                (Some((Wanted::Texture(d), at)), Some(heap), _) => {
                    // SAFETY: as above.
                    let made = unsafe { heap.newTextureWithDescriptor_offset(&d, at) };
                    Place::Texture(made.ok_or_else(missing)?)
                }
                _ => return Err(missing()),
            });
        }
        Ok(Objects { list, shared, _heap: heap })
    }

    pub fn get(&self, index: u32) -> &Place {
        &self.list[index as usize]
    }

    /// The buffer that holds an object, and where `offset` of the object is in there.
    pub fn buffer(&self, index: u32, offset: u64) -> Result<(&Buffer, u64)> {
        match self.get(index) {
            Place::Buffer(buffer, start) => Ok((buffer, start + offset)),
            Place::Texture(_) => {
                Err(RuntimeError::input("a buffer of the plan", "it is an image, without bytes"))
            }
        }
    }

    /// A part of a buffer object, where the host shares the memory.
    ///
    /// # Safety
    /// The part is inside of the object, and no command in flight uses it.
    pub unsafe fn bytes_mut(&mut self, index: u32, offset: u64, bytes: u64) -> Option<&mut [u8]> {
        let (buffer, at) = match (self.shared, self.get(index)) {
            (true, Place::Buffer(buffer, start)) => (buffer, start + offset),
            _ => return None,
        };
        let start = buffer.contents().cast::<u8>();
        // SAFETY: inside of the buffer's memory; the caller's promise.
        Some(unsafe {
            std::slice::from_raw_parts_mut(start.as_ptr().add(at as usize), bytes as usize)
        })
    }

    /// Clears states and inputs, and brings the weights that are not in place; returns when all is
    /// done.
    pub fn fill(
        &mut self,
        device: &MetalDevice,
        queue: &Queue,
        fence: &Fence,
        plan: &Plan,
        bundle: &Bundle,
    ) -> Result<()> {
        let poison = std::env::var_os("DRIFT_POISON").is_some_and(|v| v == "1");
        self.clear(queue, fence, plan, |role| match role {
            ObjectRole::State | ObjectRole::Input => Some(0),
            // NaN everywhere: a plan that reads what it never wrote becomes visible
            ObjectRole::Arena if poison => Some(0xff),
            _ => None,
        })?;
        let alignment = device.info.capabilities.storage_offset_alignment;
        let in_place = device.unified && bundle.is_mapped();
        for upload in &plan.uploads {
            let placed = in_place && only_upload(plan, upload.object, alignment).is_some();
            // a section too large for one buffer is not in place
            if placed && matches!(self.get(upload.object), Place::Buffer(_, start) if *start > 0) {
                continue;
            }
            self.upload(
                device,
                queue,
                fence,
                &plan.objects[upload.object as usize],
                upload,
                bundle,
            )?;
        }
        Ok(())
    }

    fn upload(
        &mut self,
        device: &MetalDevice,
        queue: &Queue,
        fence: &Fence,
        object: &Object,
        upload: &Upload,
        bundle: &Bundle,
    ) -> Result<()> {
        let whole = matches!(object.kind, ObjectKind::Image { .. });
        let mut done = 0;
        while done < upload.bytes {
            let left = upload.bytes - done;
            let bytes = if whole { left } else { left.min(PART_BYTES) };
            let from = upload.weights_offset + done;
            bundle.fetch_weights(from..from + bytes, 0..0);
            let data = &bundle.weights()[from as usize..][..bytes as usize];
            let at = upload.object_offset + done;
            // SAFETY: nothing is in flight while objects are filled, and the plan was checked.
            if let Some(target) = unsafe { self.bytes_mut(upload.object, at, bytes) } {
                target.copy_from_slice(data);
            } else {
                let staged = staged(device, data)?;
                let commands = commands(queue)?;
                let mut encoder = Encoder::new(&commands, fence);
                match (self.get(upload.object), &object.kind) {
                    (Place::Buffer(buffer, start), _) => {
                        encoder.copy((&staged, 0), (buffer, start + at), bytes)?;
                    }
                    (Place::Texture(texture), ObjectKind::Image { kind, format, extent }) => {
                        fill_texture(&mut encoder, &staged, texture, *kind, *format, *extent)?;
                    }
                    (Place::Texture(_), ObjectKind::Buffer { .. }) => {}
                }
                drop(encoder);
                commands.commit();
                flight::wait(&commands, PART_TIMEOUT)?;
            }
            bundle.release_weights(from..from + bytes);
            done += bytes;
        }
        Ok(())
    }

    /// Fills buffer objects with a byte that their role asks for; returns when it is done.
    pub fn clear(
        &self,
        queue: &Queue,
        fence: &Fence,
        plan: &Plan,
        with: impl Fn(ObjectRole) -> Option<u8>,
    ) -> Result<()> {
        let commands = commands(queue)?;
        let mut encoder = Encoder::new(&commands, fence);
        for (place, object) in self.list.iter().zip(&plan.objects) {
            if let (Place::Buffer(buffer, start), Some(byte), ObjectKind::Buffer { bytes }) =
                (place, with(object.role), &object.kind)
            {
                let length = bytes.next_multiple_of(4).max(4) as usize;
                let range = NSRange { location: *start as usize, length };
                encoder.blit()?.fillBuffer_range_value(buffer, range, byte);
            }
        }
        drop(encoder);
        commands.commit();
        flight::wait(&commands, PART_TIMEOUT)
    }
}

fn heap(
    device: &MetalDevice,
    shared: bool,
    bytes: usize,
) -> Result<Retained<ProtocolObject<dyn MTLHeap>>> {
    let d = MTLHeapDescriptor::new();
    d.setSize(bytes);
    d.setType(MTLHeapType::Placement);
    d.setStorageMode(if shared { MTLStorageMode::Shared } else { MTLStorageMode::Private });
    d.setHazardTrackingMode(MTLHazardTrackingMode::Untracked);
    let made = device.device.newHeapWithDescriptor(&d);
    made.ok_or_else(|| no_memory("the objects of the plan", bytes as u64))
}

/// A command buffer that keeps what it uses.
pub(crate) fn commands(queue: &Queue) -> Result<Commands> {
    let call = "commandBuffer";
    queue.commandBuffer().ok_or(RuntimeError::Driver { call, code: 0 })
}

/// A copy of these bytes that the device can read.
pub(crate) fn staged(device: &MetalDevice, data: &[u8]) -> Result<Buffer> {
    let buffer = shared_buffer(device, data.len() as u64, "data on its way")?;
    // SAFETY: new, at least this long, and nobody else knows of it.
    unsafe {
        let to = buffer.contents().cast::<u8>().as_ptr();
        to.copy_from_nonoverlapping(data.as_ptr(), data.len());
    }
    Ok(buffer)
}

/// Copies texels, tightly packed in x, y, z order, into an image.
fn fill_texture(
    encoder: &mut Encoder<'_>,
    from: &Buffer,
    to: &Texture,
    kind: ImageKind,
    format: TexelFormat,
    extent: [u32; 3],
) -> Result<()> {
    let [width, height, depth] = extent.map(|n| n as usize);
    let row = width * format.bytes() as usize;
    let blit = encoder.blit()?;
    let (deep, slices) = match kind {
        ImageKind::Texture2dArray => (1, depth),
        _ => (depth, 1),
    };
    for slice in 0..slices {
        let size = MTLSize { width, height, depth: deep };
        let origin = MTLOrigin { x: 0, y: 0, z: 0 };
        // SAFETY: the upload covers the whole image, and the staged bytes are those of the upload.
        unsafe {
            blit.copyFromBuffer_sourceOffset_sourceBytesPerRow_sourceBytesPerImage_sourceSize_toTexture_destinationSlice_destinationLevel_destinationOrigin(
                from,
                slice * row * height,
                row,
                row * height,
                size,
                to,
                slice,
                0,
                origin,
            );
        }
    }
    Ok(())
}
