//! Device memory: few large blocks, each cut into places for many objects.

use super::{DeviceInner, error::VkResultExt};
use crate::error::{Result, RuntimeError};
use ash::vk;
use std::ptr::NonNull;

/// Blocks grow to this size, or to the size of a single larger object.
const BLOCK_BYTES: u64 = 256 << 20;

/// What memory is for; decides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryUse {
    /// Touched by shaders only. Host-visible all the same where memory is unified.
    Device,
    /// Written by the host, read by shaders.
    Input,
    /// Written by the host, read by copies.
    Staging,
    /// Written by copies, read by the host.
    Readback,
}

/// One object that wants memory.
pub(crate) struct Request {
    pub requirements: vk::MemoryRequirements,
    pub usage: MemoryUse,
    /// Optimally tiled images and buffers are kept in different blocks (bufferImageGranularity).
    pub image: bool,
}

/// Where an object's memory is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub memory: vk::DeviceMemory,
    pub offset: u64,
    /// The object's bytes, where the host sees them.
    pub host: Option<HostBytes>,
}

/// Mapped, coherent memory of one object.
#[derive(Clone, Copy)]
pub(crate) struct HostBytes {
    ptr: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a plain address; the owner of the object decides who may touch it.
unsafe impl Send for HostBytes {}
// SAFETY: as above; reading needs `&`, writing `&mut` of the owner.
unsafe impl Sync for HostBytes {}

impl HostBytes {
    /// # Safety
    /// The memory is alive, no one else writes it (host or device) while the slice lives.
    pub unsafe fn slice<'a>(self, offset: u64, bytes: u64) -> &'a [u8] {
        let (offset, bytes) = self.check(offset, bytes);
        // SAFETY: in range of the mapping, the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().add(offset), bytes) }
    }

    /// # Safety
    /// The memory is alive, no one else reads or writes it while the slice lives.
    pub unsafe fn slice_mut<'a>(self, offset: u64, bytes: u64) -> &'a mut [u8] {
        let (offset, bytes) = self.check(offset, bytes);
        // SAFETY: in range of the mapping, the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr().add(offset), bytes) }
    }

    fn check(self, offset: u64, bytes: u64) -> (usize, usize) {
        assert!(offset + bytes <= self.bytes as u64, "range outside of a mapped object");
        (offset as usize, bytes as usize)
    }
}

/// Owns memory blocks.
#[derive(Default)]
pub(crate) struct Blocks {
    blocks: Vec<Block>,
}

struct Block {
    memory: vk::DeviceMemory,
    type_index: u32,
    image: bool,
    bytes: u64,
    used: u64,
    host: Option<NonNull<u8>>,
}

// SAFETY: the mapped addresses are handed out as `HostBytes` only.
unsafe impl Send for Blocks {}
// SAFETY: as above.
unsafe impl Sync for Blocks {}

impl Blocks {
    /// Finds a place for each request, in order.
    pub fn place(
        &mut self,
        device: &DeviceInner,
        requests: &[Request],
        what: &str,
    ) -> Result<Vec<Place>> {
        let total = requests.iter().map(|r| r.requirements.size).sum::<u64>();
        let largest = device.physical.memory.memory_heaps_as_slice().iter().map(|h| h.size).max();
        if total > largest.unwrap_or(0) {
            return Err(RuntimeError::OutOfMemory { what: what.into(), bytes: total });
        }
        // Bytes still to come of each class; a new block makes room for them.
        let class = |r: &Request| r.usage as usize * 2 + usize::from(r.image);
        let mut left = [0u64; 8];
        requests.iter().for_each(|r| left[class(r)] += r.requirements.size);
        let mut places = Vec::with_capacity(requests.len());
        for request in requests {
            places.push(self.place_one(device, request, left[class(request)], what)?);
            left[class(request)] -= request.requirements.size;
        }
        Ok(places)
    }

    fn place_one(
        &mut self,
        device: &DeviceInner,
        request: &Request,
        left: u64,
        what: &str,
    ) -> Result<Place> {
        let need = request.requirements;
        for type_index in
            types_for(&device.physical.memory, need.memory_type_bits, request.usage, device)
        {
            let fits = |b: &&mut Block| {
                b.type_index == type_index
                    && b.image == request.image
                    && b.used.next_multiple_of(need.alignment) + need.size <= b.bytes
            };
            if let Some(block) = self.blocks.iter_mut().find(fits) {
                return Ok(block.take(need));
            }
            // Room for what is still to come, as far as one block goes.
            let slack = left.saturating_add(left / 16);
            let bytes = need
                .size
                .max(slack.min(BLOCK_BYTES))
                .min(device.physical.max_allocation.max(need.size));
            for bytes in [bytes, need.size] {
                if let Some(mut block) = Block::allocate(device, type_index, request.image, bytes)?
                {
                    let place = block.take(need);
                    self.blocks.push(block);
                    return Ok(place);
                }
            }
        }
        Err(RuntimeError::OutOfMemory { what: what.into(), bytes: need.size })
    }

    /// # Safety
    /// No object that lives in these blocks is in use.
    pub unsafe fn free(&mut self, device: &DeviceInner) {
        for block in self.blocks.drain(..) {
            // SAFETY: the caller's promise; freeing unmaps.
            unsafe { device.raw.free_memory(block.memory, None) };
        }
    }
}

impl Block {
    /// `None` when this memory type has no room.
    fn allocate(
        device: &DeviceInner,
        type_index: u32,
        image: bool,
        bytes: u64,
    ) -> Result<Option<Block>> {
        let memory_type = device.physical.memory.memory_types[type_index as usize];
        let heap = device.physical.memory.memory_heaps[memory_type.heap_index as usize];
        if bytes > heap.size {
            return Ok(None);
        }
        let info =
            vk::MemoryAllocateInfo::default().allocation_size(bytes).memory_type_index(type_index);
        // SAFETY: size within the heap, type index of this device.
        let memory = match unsafe { device.raw.allocate_memory(&info, None) } {
            Ok(memory) => memory,
            Err(vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY) => {
                return Ok(None);
            }
            Err(code) => return Err(super::error::driver("vkAllocateMemory", code)),
        };
        let visible = memory_type.property_flags.contains(
            vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT,
        );
        let mut host = None;
        if visible {
            // SAFETY: host-visible, not mapped before, whole range.
            let mapped = unsafe {
                device.raw.map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty())
            };
            match mapped.check("vkMapMemory") {
                Ok(ptr) => host = NonNull::new(ptr.cast()),
                Err(e) => {
                    // SAFETY: allocated above, nobody else knows it.
                    unsafe { device.raw.free_memory(memory, None) };
                    return Err(e);
                }
            }
        }
        Ok(Some(Block { memory, type_index, image, bytes, used: 0, host }))
    }

    /// Cuts off a place; the caller has checked that it fits.
    fn take(&mut self, need: vk::MemoryRequirements) -> Place {
        let offset = self.used.next_multiple_of(need.alignment);
        self.used = offset + need.size;
        let host = self.host.map(|base| HostBytes {
            // SAFETY: `offset` lies inside the mapping of `self.bytes` bytes.
            ptr: unsafe { base.add(offset as usize) },
            bytes: need.size as usize,
        });
        Place { memory: self.memory, offset, host }
    }
}

/// Memory types for a use, best first.
fn types_for(
    memory: &vk::PhysicalDeviceMemoryProperties,
    allowed: u32,
    usage: MemoryUse,
    device: &DeviceInner,
) -> Vec<u32> {
    use crate::device::DeviceKind;
    use vk::MemoryPropertyFlags as P;
    let none = P::empty();
    let host = P::HOST_VISIBLE | P::HOST_COHERENT;
    let both = P::DEVICE_LOCAL | host;
    let unified = matches!(device.physical.info.kind, DeviceKind::Integrated | DeviceKind::Cpu);
    // (flags it has, flags it lacks), best first.
    let wanted = match usage {
        // Where memory is unified, weights are written in place instead of through a copy.
        MemoryUse::Device if unified => [(both, none), (P::DEVICE_LOCAL, none)],
        // Windows of a discrete device into the host's address space are scarce: leave them alone.
        MemoryUse::Device => [(P::DEVICE_LOCAL, P::HOST_VISIBLE), (P::DEVICE_LOCAL, none)],
        MemoryUse::Input => [(both, none), (P::DEVICE_LOCAL, none)],
        MemoryUse::Staging => [(host, P::HOST_CACHED | P::DEVICE_LOCAL), (host, none)],
        MemoryUse::Readback => [(host | P::HOST_CACHED, none), (host, none)],
    };
    let mut order = Vec::new();
    // The empty last row admits any type (integrated devices without a DEVICE_LOCAL type for it).
    let last = if matches!(usage, MemoryUse::Device | MemoryUse::Input) { none } else { host };
    for (has, lacks) in wanted.into_iter().chain([(last, none)]) {
        for (i, t) in memory.memory_types_as_slice().iter().enumerate() {
            let special = P::PROTECTED
                | P::LAZILY_ALLOCATED
                | P::DEVICE_COHERENT_AMD
                | P::DEVICE_UNCACHED_AMD;
            let fits =
                t.property_flags.contains(has) && !t.property_flags.intersects(lacks | special);
            if allowed & 1 << i != 0 && fits && !order.contains(&(i as u32)) {
                order.push(i as u32);
            }
        }
    }
    order
}
