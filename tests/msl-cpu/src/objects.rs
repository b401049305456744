//! The objects of a plan, in memory of the host.

use crate::library::Slot;
use drift_bundle::plan::{Bind, Object, ObjectKind, ObjectRole, Plan, TexelFormat};
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// As that of Metal's buffers.
const ALIGNMENT: usize = 4096;

/// Bytes that start at a page.
struct Memory {
    at: *mut u8,
    layout: Layout,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Memory {}

impl Memory {
    fn new(bytes: u64) -> Option<Memory> {
        let layout = Layout::from_size_align((bytes as usize).max(1), ALIGNMENT).ok()?;
        // SAFETY: the layout has a size.
        let at = unsafe { alloc_zeroed(layout) };
        (!at.is_null()).then_some(Memory { at, layout })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size, and initialized by zeros.
        unsafe { std::slice::from_raw_parts(self.at, self.layout.size()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.layout.size()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.at, self.layout) };
    }
}

/// All objects of a session.
pub struct Objects(Vec<Memory>);

/// Bytes that an object takes.
fn size(object: &Object) -> u64 {
    match object.kind {
        ObjectKind::Buffer { bytes } => bytes,
        ObjectKind::Image { format, extent, .. } => {
            extent.iter().map(|n| u64::from(*n)).product::<u64>() * format.bytes()
        }
    }
}

impl Objects {
    /// Weights in place, states and inputs zero, the rest garbage: a plan that reads what it never
    /// wrote becomes visible. `None` without memory.
    pub fn new(plan: &Plan, weights: &[u8]) -> Option<Objects> {
        let mut list = Vec::with_capacity(plan.objects.len());
        for object in &plan.objects {
            let mut memory = Memory::new(size(object))?;
            if matches!(object.role, ObjectRole::Arena | ObjectRole::Output) {
                memory.bytes_mut().fill(0xff);
            }
            list.push(memory);
        }
        for u in &plan.uploads {
            let from = &weights[u.weights_offset as usize..][..u.bytes as usize];
            let to = list[u.object as usize].bytes_mut();
            to[u.object_offset as usize..][..u.bytes as usize].copy_from_slice(from);
        }
        Some(Objects(list))
    }

    pub fn bytes(&self, object: u32) -> &[u8] {
        self.0[object as usize].bytes()
    }

    pub fn bytes_mut(&mut self, object: u32) -> &mut [u8] {
        self.0[object as usize].bytes_mut()
    }

    pub fn copy(&mut self, from: (u32, u64), to: (u32, u64), bytes: u64) {
        let data = self.bytes(from.0)[from.1 as usize..][..bytes as usize].to_vec();
        self.bytes_mut(to.0)[to.1 as usize..][..bytes as usize].copy_from_slice(&data);
    }

    /// What a kernel sees of a binding. Metal knows where a buffer starts and where its object ends.
    pub fn slot(&mut self, plan: &Plan, bind: &Bind) -> Slot {
        match *bind {
            Bind::Buffer { object, offset, .. } => {
                let bytes = self.bytes_mut(object);
                let part = &mut bytes[offset as usize..];
                Slot {
                    at: part.as_mut_ptr().cast(),
                    bytes: part.len() as u64,
                    extent: [0; 3],
                    is_half: 0,
                }
            }
            Bind::Image { object } => {
                let ObjectKind::Image { format, extent, .. } = plan.objects[object as usize].kind
                else {
                    unreachable!("a checked plan binds images as images")
                };
                let bytes = self.bytes_mut(object);
                Slot {
                    at: bytes.as_mut_ptr().cast(),
                    bytes: bytes.len() as u64,
                    extent,
                    is_half: u32::from(format == TexelFormat::Rgba16Float),
                }
            }
        }
    }
}
