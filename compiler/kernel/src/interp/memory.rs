//! Memory of the interpreter: objects (buffers and images) that bindings refer to. Words are
//! relaxed atomics, so that workgroups may run on several threads and several bindings may lie in
//! one arena, without `unsafe`.

use super::InterpError;
use crate::ir::*;
use drift_bundle::caps::ImageKind;
use half::f16;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Index of an object of a [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

/// Part of an object that one binding sees. Images are bound whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    pub object: ObjectId,
    /// A multiple of 4.
    pub offset_bytes: u64,
    /// `None`: to the end of the object.
    pub len_bytes: Option<u64>,
}

impl Bind {
    pub const fn all(object: ObjectId) -> Bind {
        Bind { object, offset_bytes: 0, len_bytes: None }
    }
}

#[derive(Debug)]
enum Object {
    Buffer(Vec<AtomicU32>),
    /// Four f32 per texel.
    Image {
        kind: ImageKind,
        texel: Scalar,
        extent: [u32; 3],
        words: Vec<AtomicU32>,
    },
}

/// Buffers and images.
#[derive(Debug, Default)]
pub struct Memory {
    objects: Vec<Object>,
}

fn words(n: u64) -> Vec<AtomicU32> {
    (0..n).map(|_| AtomicU32::new(0)).collect()
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    fn add(&mut self, object: Object) -> ObjectId {
        self.objects.push(object);
        ObjectId(self.objects.len() as u32 - 1)
    }

    /// A zeroed buffer; bytes are rounded up to words.
    pub fn add_buffer(&mut self, bytes: u64) -> ObjectId {
        self.add(Object::Buffer(words(bytes.div_ceil(4))))
    }

    /// A buffer with contents.
    pub fn add_bytes(&mut self, bytes: &[u8]) -> ObjectId {
        let words = bytes.chunks(4).map(|c| {
            let mut w = [0; 4];
            w[..c.len()].copy_from_slice(c);
            AtomicU32::new(u32::from_le_bytes(w))
        });
        self.add(Object::Buffer(words.collect()))
    }

    pub fn add_f32s(&mut self, v: &[f32]) -> ObjectId {
        let words = v.iter().map(|x| AtomicU32::new(x.to_bits())).collect();
        self.add(Object::Buffer(words))
    }

    /// A zeroed image of f32 or f16 quads (the latter rounds what is written).
    pub fn add_image(&mut self, kind: ImageKind, texel: Scalar, extent: [u32; 3]) -> ObjectId {
        let n = extent.iter().map(|&x| u64::from(x)).product::<u64>() * 4;
        self.add(Object::Image { kind, texel, extent, words: words(n) })
    }

    fn all(&self, object: ObjectId) -> &[AtomicU32] {
        match &self.objects[object.0 as usize] {
            Object::Buffer(w) | Object::Image { words: w, .. } => w,
        }
    }

    /// Copies bytes into a buffer. Offset and length are multiples of 4 and inside it, or it
    /// panics.
    pub fn write(&self, object: ObjectId, offset_bytes: u64, bytes: &[u8]) {
        assert!(offset_bytes.is_multiple_of(4) && bytes.len().is_multiple_of(4), "whole words");
        let to = &self.all(object)[offset_bytes as usize / 4..][..bytes.len() / 4];
        for (w, c) in to.iter().zip(bytes.chunks_exact(4)) {
            w.store(u32::from_le_bytes([c[0], c[1], c[2], c[3]]), Relaxed);
        }
    }

    /// Bytes of a buffer (of an image: f32 quads). The range is inside the object, or it panics.
    pub fn read(&self, object: ObjectId, offset_bytes: u64, len_bytes: u64) -> Vec<u8> {
        let (from, to) = (offset_bytes as usize, (offset_bytes + len_bytes) as usize);
        let words = &self.all(object)[from / 4..to.div_ceil(4)];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.load(Relaxed).to_le_bytes()).collect();
        bytes[from % 4..from % 4 + to - from].to_vec()
    }

    /// Contents as f32; of an image, four per texel, x fastest.
    pub fn f32s(&self, object: ObjectId) -> Vec<f32> {
        self.all(object).iter().map(|w| f32::from_bits(w.load(Relaxed))).collect()
    }

    /// Fills an image with f32 quads, x fastest; f16 images round.
    pub fn write_image(&self, object: ObjectId, quads: &[f32]) {
        let half =
            matches!(self.objects[object.0 as usize], Object::Image { texel: Scalar::F16, .. });
        for (w, &v) in self.all(object).iter().zip(quads) {
            let v = if half { f16::from_f32(v).to_f32() } else { v };
            w.store(v.to_bits(), Relaxed);
        }
    }

    /// Bytes an object takes.
    pub fn len_bytes(&self, object: ObjectId) -> u64 {
        self.all(object).len() as u64 * 4
    }
}

/// What a binding is at run time.
#[derive(Debug)]
pub(super) enum Bound<'m> {
    Buffer { words: &'m [AtomicU32], elem: Vector, len: u64 },
    Image { words: &'m [AtomicU32], extent: [u32; 3], half: bool },
}

pub(super) fn bind<'m>(
    kernel: &Kernel,
    memory: &'m Memory,
    binds: &[Bind],
) -> Result<Vec<Bound<'m>>, InterpError> {
    if binds.len() != kernel.bindings.len() {
        let what = format!("{} bindings given, it has {}", binds.len(), kernel.bindings.len());
        return Err(InterpError::new(kernel, what));
    }
    binds
        .iter()
        .zip(&kernel.bindings)
        .map(|(bind, binding)| {
            let fail = |what: String| {
                Err(InterpError::new(kernel, format!("binding `{}`: {what}", binding.name)))
            };
            let Some(object) = memory.objects.get(bind.object.0 as usize) else {
                return fail(format!("object {} does not exist", bind.object.0));
            };
            match (object, &binding.ty) {
                (Object::Buffer(words), &BindingType::Buffer { elem, len }) => {
                    let have = words.len() as u64 * 4;
                    let from = bind.offset_bytes;
                    let to = match bind.len_bytes {
                        Some(n) => from.saturating_add(n),
                        None => have,
                    };
                    if from % 4 != 0 || from > to || to > have {
                        return fail(format!("range {from}..{to} of an object of {have} bytes"));
                    }
                    let need = len * elem.scalar.bytes() * u64::from(elem.width);
                    let to = to.next_multiple_of(4);
                    if (to - from) < need {
                        return fail(format!("{} bytes given, it has {need}", to - from));
                    }
                    let words = &words[from as usize / 4..to as usize / 4];
                    Ok(Bound::Buffer { words, elem, len })
                }
                (
                    Object::Image { kind, texel, extent, words },
                    BindingType::Image { kind: want, texel: want_texel, extent: want_extent },
                ) => {
                    if (kind, texel, extent) != (want, want_texel, want_extent) {
                        return fail(format!(
                            "an image {want:?} {want_texel:?} {want_extent:?} is needed, \
                             {kind:?} {texel:?} {extent:?} given"
                        ));
                    }
                    let half = *texel == Scalar::F16;
                    Ok(Bound::Image { words, extent: *extent, half })
                }
                (Object::Buffer(_), _) => fail("a buffer given for an image".into()),
                (Object::Image { .. }, _) => fail("an image given for a buffer".into()),
            }
        })
        .collect()
}

/// Writes one half of a word, leaving the other as it is.
pub(super) fn store_half(words: &[AtomicU32], index: usize, bits: u16) {
    let shift = 16 * (index as u32 % 2);
    let keep = !(0xffff << shift);
    let new = u32::from(bits) << shift;
    // the closure always gives a value
    let _ = words[index / 2].fetch_update(Relaxed, Relaxed, |w| Some(w & keep | new));
}
