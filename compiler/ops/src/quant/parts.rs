//! A matrix as the operands of a node, written as streams: blocks of rows are read, quantized by
//! several threads and written in order, so no large matrix is ever whole in memory.

use super::{RowSource, Scheme};
use drift_ir::{DType, Shape};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Writes the bytes of an operand: row-major, little-endian.
pub type Writer = Arc<dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync>;

/// One operand.
#[derive(Clone)]
pub struct Part {
    pub dtype: DType,
    pub shape: Shape,
    pub write: Writer,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part {}{}", self.dtype, self.shape)
    }
}

/// The operands of a matrix.
#[derive(Clone, Debug)]
pub struct Parts {
    pub data: Part,
    pub scales: Option<Part>,
}

/// The operands of `source` in `scheme`. Scales are searched once, whichever part is written
/// first, and kept until both are written (at most 2 bytes per 32 weights).
pub fn parts(source: Arc<dyn RowSource>, scheme: Scheme) -> Parts {
    let (n, k) = (source.rows(), source.columns());
    let matrix = Arc::new(Matrix { source, scheme, found: Mutex::default() });
    let part = |(dtype, shape), which: Which| {
        let matrix = Arc::clone(&matrix);
        let write: Writer = Arc::new(move |out: &mut dyn Write| matrix.write(which, out));
        Part { dtype, shape, write }
    };
    Parts {
        data: part(scheme.data_type(n, k), Which::Data),
        scales: scheme.scales_type(n, k).map(|t| part(t, Which::Scales)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Data,
    Scales,
}

struct Matrix {
    source: Arc<dyn RowSource>,
    scheme: Scheme,
    /// Scales for the part that is not written yet.
    found: Mutex<Option<(Which, Arc<Vec<u8>>)>>,
}

/// Takes data and scales of a block of rows.
type Each<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'a;

/// Weights that a thread holds as f32 at a time: 4 MiB.
const BLOCK: usize = 1 << 20;

impl Matrix {
    fn write(&self, which: Which, out: &mut dyn Write) -> io::Result<()> {
        if self.scheme.is_float() {
            return self.blocks(None, &mut |data, _| out.write_all(data));
        }
        let waiting = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            match &*found {
                Some((whom, _)) if *whom == which => found.take().map(|f| f.1),
                _ => None,
            }
        };
        match (which, waiting) {
            (Which::Scales, Some(scales)) => return out.write_all(&scales),
            (Which::Data, Some(scales)) => {
                return self.blocks(Some(&scales), &mut |data, _| out.write_all(data));
            }
            _ => {}
        }
        let mut all = Vec::new();
        self.blocks(None, &mut |data, scales| {
            all.extend_from_slice(scales);
            if which == Which::Data { out.write_all(data) } else { Ok(()) }
        })?;
        let other = match which {
            Which::Data => Which::Scales,
            Which::Scales => {
                out.write_all(&all)?;
                Which::Data
            }
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found = Some((other, Arc::new(all)));
        Ok(())
    }

    /// Calls `each` with data and scales of every block of rows, in order. `known`: scales of all
    /// rows, instead of a search.
    fn blocks(&self, known: Option<&[u8]>, each: &mut Each<'_>) -> io::Result<()> {
        let (n, k) = (self.source.rows(), self.source.columns());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // small matrices are dealt to all threads too
        let rows = (BLOCK / k.max(1)).min(n.div_ceil(threads)).max(1);
        let mut first = 0;
        while first < n {
            let starts: Vec<usize> = (first..n).step_by(rows).take(threads).collect();
            let block = |&at: &usize| self.block(at, rows.min(n - at), known);
            let done: Vec<io::Result<Block>> = std::thread::scope(|s| {
                let (own, others) = starts.split_first().expect("at least one block");
                let running: Vec<_> = others.iter().map(|at| s.spawn(move || block(at))).collect();
                let own = block(own);
                let failed = || io::Error::other("a quantizing thread failed");
                let join = |t: std::thread::ScopedJoinHandle<'_, _>| {
                    t.join().unwrap_or_else(|_| Err(failed()))
                };
                std::iter::once(own).chain(running.into_iter().map(join)).collect()
            });
            for block in done {
                let block = block?;
                each(&block.data, &block.scales)?;
            }
            first += rows * starts.len();
        }
        Ok(())
    }

    fn block(&self, first: usize, rows: usize, known: Option<&[u8]>) -> io::Result<Block> {
        let k = self.source.columns();
        let (data_bytes, scale_bytes) =
            (self.scheme.data_row_bytes(k), self.scheme.scales_row_bytes(k));
        let mut w = vec![0.0; rows * k];
        self.source.read(first, &mut w)?;
        if let Some(i) = w.iter().position(|w| !w.is_finite()) {
            let what = format!(
                "weight [{}, {}] is {}: only finite weights can be packed",
                first + i / k,
                i % k,
                w[i]
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut block = Block { data: vec![0; rows * data_bytes], scales: Vec::new() };
        match known {
            Some(all) => {
                block.scales.extend_from_slice(&all[first * scale_bytes..][..rows * scale_bytes]);
            }
            None => block.scales.resize(rows * scale_bytes, 0),
        }
        for (i, row) in w.chunks_exact(k.max(1)).enumerate() {
            let scales = &mut block.scales[i * scale_bytes..][..scale_bytes];
            if known.is_none() {
                self.scheme.search_row(row, scales);
            }
            self.scheme.pack_row(row, scales, &mut block.data[i * data_bytes..][..data_bytes]);
        }
        Ok(block)
    }
}

struct Block {
    data: Vec<u8>,
    scales: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample_f32;
    use crate::quant::Dense;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn bytes(p: &Part) -> Vec<u8> {
        let mut out = Vec::new();
        (p.write)(&mut out).unwrap();
        assert_eq!(out.len(), p.shape.elems() * p.dtype.bytes());
        out
    }

    #[test]
    fn order_of_writing_does_not_matter() {
        let (n, k) = (37, 150);
        let w = sample_f32(3, [n, k]).to_f32s();
        for scheme in Scheme::ALL {
            let source = || Arc::new(Dense::new(k, w.clone()).unwrap());
            let a = parts(source(), scheme);
            let b = parts(source(), scheme);
            let data = bytes(&a.data);
            let scales = a.scales.as_ref().map(bytes);
            assert_eq!(b.scales.as_ref().map(bytes), scales, "{scheme}");
            assert_eq!(bytes(&b.data), data, "{scheme}");
            // and again
            assert_eq!(bytes(&b.data), data, "{scheme}");
            // row by row
            let mut row = vec![0; scheme.data_row_bytes(k)];
            let mut s = vec![0; scheme.scales_row_bytes(k)];
            scheme.search_row(&w[5 * k..6 * k], &mut s);
            scheme.pack_row(&w[5 * k..6 * k], &s, &mut row);
            assert_eq!(data[5 * row.len()..6 * row.len()], row, "{scheme}");
        }
    }

    /// Rows made up when asked for; counts the largest request.
    struct Big(AtomicUsize);

    impl RowSource for Big {
        fn rows(&self) -> usize {
            3000
        }
        fn columns(&self) -> usize {
            2048
        }
        fn read(&self, first: usize, out: &mut [f32]) -> io::Result<()> {
            self.0.fetch_max(out.len(), Ordering::Relaxed);
            for (i, w) in out.iter_mut().enumerate() {
                *w = ((first * 2048 + i) % 17) as f32 - 8.0;
            }
            Ok(())
        }
    }

    #[test]
    fn large_matrices_come_in_blocks() {
        let source = Arc::new(Big(AtomicUsize::new(0)));
        let p = parts(Arc::clone(&source) as Arc<dyn RowSource>, Scheme::F16);
        let data = bytes(&p.data);
        assert!(source.0.load(Ordering::Relaxed) <= BLOCK);
        let at = 2 * (2999 * 2048 + 7);
        let w = half::f16::from_le_bytes([data[at], data[at + 1]]).to_f32();
        assert_eq!(w, ((2999 * 2048 + 7) % 17) as f32 - 8.0);
    }

    #[test]
    fn infinite_weights_are_an_error() {
        let mut w = vec![1.0; 64];
        w[40] = f32::NAN;
        let p = parts(Arc::new(Dense::new(32, w).unwrap()), Scheme::Q4);
        let e = (p.data.write)(&mut Vec::new()).unwrap_err();
        assert!(e.to_string().contains("weight [1, 8] is NaN"), "{e}");
    }
}
