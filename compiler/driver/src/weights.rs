//! Constants in their final GPU layout, each stored once for all variants of a bundle.

use crate::error::{Result, StageError};
use drift_ir::Tensor;
use drift_kernel::TensorArg;
use drift_kernel::tensor::Elem;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// Packed constants of a bundle: the WEIGHTS section in the making.
#[derive(Debug, Default)]
pub struct WeightPool {
    /// Offset in the section and contents of every packed constant.
    blobs: Vec<(u64, Vec<u8>)>,
    by_content: HashMap<u128, usize>,
    by_source: HashMap<(String, u64), usize>,
    bytes: u64,
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
                let offset = self.bytes;
                self.bytes += (data.len() as u64).next_multiple_of(256);
                self.blobs.push((offset, data));
                self.by_content.insert(hash, self.blobs.len() - 1);
                self.blobs.len() - 1
            }
        };
        self.by_source.insert(source, index);
        Ok(Packed(index))
    }

    /// Bytes of the section.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Offset in the section and length in bytes.
    pub fn range(&self, packed: Packed) -> (u64, u64) {
        let (offset, data) = &self.blobs[packed.0];
        (*offset, data.len() as u64)
    }

    pub fn data(&self, packed: Packed) -> &[u8] {
        &self.blobs[packed.0].1
    }

    /// Streams the section.
    pub fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let zeros = [0u8; 256];
        for (_, data) in &self.blobs {
            out.write_all(data)?;
            let pad = data.len().next_multiple_of(256) - data.len();
            out.write_all(&zeros[..pad])?;
        }
        Ok(())
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
