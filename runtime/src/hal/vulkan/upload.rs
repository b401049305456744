//! Weights on their way into buffers: in parts, by several threads where there is much to do.
//!
//! A part's pages are mapped in right before it is copied and let go right after, so that loading
//! keeps no copy of the weights on the host, however large they are.

use super::{
    VulkanDevice,
    objects::Objects,
    stager::{HALF_BYTES, Stager},
};
use crate::{
    bundle::Bundle,
    error::{Result, RuntimeError},
};
use drift_bundle::plan::{ObjectKind, Plan, Upload};
use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bytes of one part.
const PART_BYTES: u64 = 16 << 20;
/// A further thread for each of so many bytes: one copies 10 GB/s or so, and a link takes 50.
const THREAD_BYTES: u64 = 128 << 20;
const MOST_THREADS: usize = 4;
/// Parts that the system is told of ahead of their use.
const AHEAD: usize = 2 * MOST_THREADS;

/// The uploads into buffers, cut into parts of at most `PART_BYTES`.
pub(crate) fn parts(plan: &Plan) -> Vec<Upload> {
    let mut parts = Vec::new();
    for upload in &plan.uploads {
        if !matches!(plan.objects[upload.object as usize].kind, ObjectKind::Buffer { .. }) {
            continue;
        }
        let mut done = 0;
        while done < upload.bytes {
            let bytes = PART_BYTES.min(upload.bytes - done);
            parts.push(Upload {
                object: upload.object,
                object_offset: upload.object_offset + done,
                weights_offset: upload.weights_offset + done,
                bytes,
            });
            done += bytes;
        }
    }
    parts
}

/// Copies all parts; `stager` goes first with what it has recorded already.
pub(crate) fn run(
    device: &VulkanDevice,
    objects: &Objects,
    bundle: &Bundle,
    parts: &[Upload],
    mut stager: Stager,
) -> Result<()> {
    let total: u64 = parts.iter().map(|p| p.bytes).sum();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = match apart(parts) {
        true => (1 + (total / THREAD_BYTES) as usize).min(MOST_THREADS).min(cores),
        // Where parts may write the same bytes, the last one wins.
        false => 1,
    };
    let staged = parts.iter().any(|p| objects[p.object].host.is_none());
    stager.flush()?;
    let next = AtomicUsize::new(0);
    let work = |stager: Option<Stager>| -> Result<()> {
        let mut stager = stager;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(index) else { break };
            let soon = parts.get(index + AHEAD).map_or(0..0, range);
            bundle.fetch_weights(range(part), soon);
            let data = &bundle.weights()[part.weights_offset as usize..][..part.bytes as usize];
            let gpu = &objects[part.object];
            if let Some(host) = gpu.host {
                // SAFETY: the session is being built: neither device nor host uses the object, and
                // parts on other threads lie elsewhere.
                let place = unsafe { host.slice_mut(part.object_offset, part.bytes) };
                place.copy_from_slice(data);
            } else if let Some(stager) = &mut stager {
                stager.buffer(gpu.buffer, part.object_offset, data)?;
            }
            bundle.release_weights(range(part));
        }
        stager.map_or(Ok(()), Stager::finish)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| {
                let work = || work(staged.then(|| Stager::new(device, HALF_BYTES)).transpose()?);
                // Without the thread, the others have more to do.
                std::thread::Builder::new().spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut outcome = work(Some(stager));
        for other in others {
            outcome = outcome.and(other.join().unwrap_or(Err(RuntimeError::DeviceLost)));
        }
        outcome
    })
}

fn range(part: &Upload) -> Range<u64> {
    part.weights_offset..part.weights_offset + part.bytes
}

/// Whether it is plain to see that no two parts write the same bytes: they ascend by object and
/// offset, as the compiler writes them.
fn apart(parts: &[Upload]) -> bool {
    parts.windows(2).all(|w| {
        let (a, b) = (&w[0], &w[1]);
        a.object < b.object || a.object == b.object && a.object_offset + a.bytes <= b.object_offset
    })
}
