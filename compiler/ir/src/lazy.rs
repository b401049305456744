//! Constants whose bytes are made when they are written: the weights of large models.

use crate::{DType, Shape, Tensor};
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

type Make = dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync;

/// Row-major little-endian bytes of a constant, streamed on demand and never kept.
///
/// The dtype and shape are those of the value that holds it. Two of equal `key` have equal bytes: the
/// key names the source and everything done to it.
#[derive(Clone)]
pub struct LazyTensor {
    key: Arc<str>,
    make: Arc<Make>,
}

impl LazyTensor {
    pub fn new(
        key: impl Into<Arc<str>>,
        make: impl Fn(&mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> LazyTensor {
        LazyTensor { key: key.into(), make: Arc::new(make) }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Streams the bytes.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.make)(out)
    }

    /// The whole tensor in memory, for evaluators and tests.
    pub fn tensor(&self, dtype: DType, shape: &Shape) -> io::Result<Tensor> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        let len = bytes.len();
        Tensor::from_bytes(dtype, shape.clone(), bytes.into()).ok_or_else(|| {
            let message = format!("`{}` gave {len} bytes for {dtype}{shape}", self.key);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }
}

impl PartialEq for LazyTensor {
    fn eq(&self, other: &LazyTensor) -> bool {
        self.key == other.key
    }
}

impl fmt::Debug for LazyTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyTensor({})", self.key)
    }
}
