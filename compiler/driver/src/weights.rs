//! Constants in their final GPU layout, each stored once for all variants of a bundle.

use crate::error::{Result, StageError};
use drift_ir::{DType, LazyTensor, Shape, Tensor};
use drift_kernel::TensorArg;
use drift_kernel::tensor::{Elem, Layout};
use std::collections::HashMap;
use std::io::{self, Write};
use xxhash_rust::xxh3::xxh3_128;

/// Packed constants of a bundle: the WEIGHTS section in the making.
#[derive(Debug, Default)]
pub struct WeightPool {
    /// Offset in the section and contents of every packed constant.
    blobs: Vec<(u64, Blob)>,
    by_content: HashMap<u128, usize>,
    by_source: HashMap<(String, u64), usize>,
    by_key: HashMap<String, usize>,
    bytes: u64,
}

#[derive(Debug)]
enum Blob {
    Ready(Vec<u8>),
    /// Made while the section is written, and of so many bytes.
    Deferred(LazyTensor, u64),
}

impl Blob {
    /// Length rounded up to whole vectors of four words.
    fn bytes(&self) -> u64 {
        match self {
            Blob::Ready(data) => data.len() as u64,
            Blob::Deferred(_, bytes) => bytes.next_multiple_of(16),
        }
    }
}

/// Index of a packed constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Packed(pub usize);

impl WeightPool {
    /// Packs `tensor` as `arg` wants it (layout and element type), unless that was done before.
    pub fn pack(&mut self, tensor: &Tensor, arg: &TensorArg, what: &str) -> Result<Packed> {
        let source = (
            format!("{:?} {:?} {:?} {}", arg.layout, arg.elem, tensor.shape, tensor.dtype),
            tensor.bytes().as_ptr() as u64 ^ (tensor.bytes().len() as u64).rotate_left(32),
        );
        if let Some(&i) = self.by_source.get(&source) {
            return Ok(Packed(i));
        }
        let mut data = drift_kernel::tensor::pack(&arg.layout, arg.elem, tensor)
            .map_err(|e| StageError::internal("package", format!("packing {what}: {e}")))?;
        if arg.elem == Elem::F16 || arg.elem == Elem::F16Packed {
            check_f16(tensor, &data, what)?;
        }
        // bindings are whole 32-bit words, and vectors of four
        data.resize(data.len().next_multiple_of(16), 0);
        let hash = xxh3_128(&data);
        let index = match self.by_content.get(&hash) {
            Some(&i) => i,
            None => {
                let index = self.add(Blob::Ready(data));
                self.by_content.insert(hash, index);
                index
            }
        };
        self.by_source.insert(source, index);
        Ok(Packed(index))
    }

    fn add(&mut self, blob: Blob) -> usize {
        let offset = self.bytes;
        self.bytes += blob.bytes().next_multiple_of(256);
        self.blobs.push((offset, blob));
        self.blobs.len() - 1
    }

    /// Takes a constant whose bytes are made when the section is written, unless one of the same
    /// key is there.
    pub fn defer(
        &mut self,
        lazy: &LazyTensor,
        dtype: DType,
        shape: &Shape,
        arg: &TensorArg,
        what: &str,
    ) -> Result<Packed> {
        let same = match arg.elem {
            Elem::F32 => dtype == DType::F32,
            Elem::F16 | Elem::F16Packed => dtype == DType::F16,
            Elem::U32 => dtype == DType::U32,
            Elem::I32 => dtype == DType::I32,
        };
        if !same || arg.layout != Layout::RowMajor || arg.stored != *shape {
            let m = format!("{what} is made as {dtype}{shape}, and wanted as {arg:?}");
            return Err(StageError::internal("package", m));
        }
        if let Some(&i) = self.by_key.get(lazy.key()) {
            return Ok(Packed(i));
        }
        let bytes = (shape.elems() * dtype.bytes()) as u64;
        let index = self.add(Blob::Deferred(lazy.clone(), bytes));
        self.by_key.insert(lazy.key().to_owned(), index);
        Ok(Packed(index))
    }

    /// Bytes of the section.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Offset in the section and length in bytes.
    pub fn range(&self, packed: Packed) -> (u64, u64) {
        let (offset, blob) = &self.blobs[packed.0];
        (*offset, blob.bytes())
    }

    /// Streams the section; `progress` hears of the bytes written so far.
    pub fn write(&self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let zeros = [0u8; 256];
        for (offset, blob) in &self.blobs {
            let mut counted = Counted { out, bytes: 0, at: *offset, progress };
            match blob {
                Blob::Ready(data) => counted.write_all(data)?,
                Blob::Deferred(lazy, bytes) => {
                    lazy.write(&mut counted)?;
                    if counted.bytes != *bytes {
                        let m = format!("`{}`: {} bytes for {bytes}", lazy.key(), counted.bytes);
                        return Err(io::Error::new(io::ErrorKind::InvalidData, m));
                    }
                }
            }
            let pad = counted.bytes.next_multiple_of(256) - counted.bytes;
            out.write_all(&zeros[..pad as usize])?;
        }
        Ok(())
    }
}

/// Counts what passes through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    /// Offset of the first byte in the section.
    at: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.out.write(data)?;
        self.bytes += n as u64;
        (self.progress)(self.at + self.bytes);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A finite weight that f16 cannot hold is an error, never a silent infinity.
fn check_f16(tensor: &Tensor, packed: &[u8], what: &str) -> Result<()> {
    let infinite = packed.chunks_exact(2).any(|c| {
        let bits = u16::from_le_bytes([c[0], c[1]]);
        bits & 0x7fff == 0x7c00
    });
    if !infinite {
        return Ok(());
    }
    match tensor.to_f64s().iter().find(|v| v.is_finite() && v.abs() > 65504.0) {
        None => Ok(()),
        Some(v) => Err(StageError::new(
            "package",
            crate::error::ErrorKind::Unsupported,
            format!("{what}: the weight {v} does not fit into f16 (largest 65504)"),
        )
        .help("compile with --precision f32")),
    }
}
