//! All tensors of a checkpoint under their names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::DType;
use crate::error::{WeightError, clip};
use crate::header::{self, Entry, File};
use crate::mmap::{Mapped, map_file};
use crate::shards::{Index, Source, find};

/// A checkpoint: named tensors in one or several mapped files.
#[derive(Clone)]
pub struct WeightStore {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    files: Vec<PathBuf>,
    /// The file of each tensor that has one.
    maps: BTreeMap<String, Mapped>,
}

/// A tensor's bytes, which keep their file mapped, for reading piece by piece.
#[derive(Clone)]
pub struct Pages {
    bytes: Bytes,
    map: Option<Mapped>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({} bytes)", self.bytes.len())
    }
}

impl std::ops::Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pages {
    /// Lets go of the memory behind a piece that is not needed any more; it is read from the file
    /// again when somebody looks. So a checkpoint larger than memory passes through a small part of
    /// it. Pieces out of range and tensors in memory are left alone.
    pub fn release(&self, piece: Range<usize>) {
        if let (Some(map), Some(piece)) = (&self.map, self.bytes.get(piece)) {
            map.release(piece);
        }
    }
}

impl std::fmt::Debug for WeightStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (files, count) = (&self.files, self.tensors.len());
        write!(f, "WeightStore({count} tensors, {} bytes in {files:?})", self.total_bytes())
    }
}

/// One tensor of a store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorView<'a> {
    pub name: &'a str,
    pub dtype: DType,
    /// Outermost axis first; empty for a scalar.
    pub shape: &'a [u64],
    /// Elements in row-major order, little-endian; not aligned to anything.
    pub data: &'a [u8],
}

impl TensorView<'_> {
    /// Number of elements.
    pub fn elems(&self) -> u64 {
        self.data.len() as u64 / self.dtype.bytes()
    }
}

impl WeightStore {
    /// Opens a `.safetensors` file, a `*.safetensors.index.json`, or a folder with one of them
    /// (`model.safetensors[.index.json]` is preferred, a single other one is taken).
    ///
    /// The files must not be changed or truncated while the store, or bytes taken from it, live.
    ///
    /// # Errors
    /// See [`WeightError`].
    pub fn open(path: impl AsRef<Path>) -> Result<WeightStore, WeightError> {
        match find(path.as_ref())? {
            Source::Single(path) => {
                let (File { tensors, metadata }, map) = read_file(&path)?;
                let maps = tensors.keys().map(|name| (name.clone(), map.clone())).collect();
                Ok(WeightStore { tensors, metadata, files: vec![path], maps })
            }
            Source::Sharded(index) => open_shards(&index),
        }
    }

    /// Reads one safetensors file that is in memory already.
    ///
    /// # Errors
    /// See [`WeightError`]; the path in messages is `memory`.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<WeightStore, WeightError> {
        let File { tensors, metadata } = header::read(&bytes.into(), Path::new("memory"))?;
        Ok(WeightStore { tensors, metadata, files: Vec::new(), maps: BTreeMap::new() })
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// [`WeightError::NoTensor`], with the nearest name that exists.
    pub fn get(&self, name: &str) -> Result<TensorView<'_>, WeightError> {
        match self.tensors.get_key_value(name) {
            Some((name, entry)) => Ok(view(name, entry)),
            None => Err(self.no_tensor(name)),
        }
    }

    /// The bytes of the tensor `name` as a slice that keeps its file mapped.
    ///
    /// # Errors
    /// Like [`WeightStore::get`].
    pub fn bytes(&self, name: &str) -> Result<Bytes, WeightError> {
        match self.tensors.get(name) {
            Some(entry) => Ok(entry.data.clone()),
            None => Err(self.no_tensor(name)),
        }
    }

    /// The bytes of the tensor `name` for reading piece by piece.
    ///
    /// # Errors
    /// Like [`WeightStore::get`].
    pub fn pages(&self, name: &str) -> Result<Pages, WeightError> {
        Ok(Pages { bytes: self.bytes(name)?, map: self.maps.get(name).cloned() })
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|(name, entry)| view(name, entry))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Bytes of all tensors together.
    pub fn total_bytes(&self) -> u64 {
        // Views of mapped files: the sum is less than the address space.
        self.tensors.values().map(|entry| entry.data.len() as u64).sum()
    }

    /// The `__metadata__` of the header; of several shards, all together, the first one winning.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The safetensors files; empty for a store from memory.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn no_tensor(&self, name: &str) -> WeightError {
        // The longest common end decides first (prefixes such as `model.` come and go), then the
        // longest common start.
        let same = |a: &mut dyn Iterator<Item = u8>, b: &mut dyn Iterator<Item = u8>| {
            a.zip(b).take_while(|(a, b)| a == b).count()
        };
        let likeness = |other: &&String| {
            let end = same(&mut name.bytes().rev(), &mut other.bytes().rev());
            (end, same(&mut name.bytes(), &mut other.bytes()))
        };
        let nearest = self.tensors.keys().max_by_key(likeness).filter(|n| likeness(n).0 >= 4);
        WeightError::NoTensor { name: clip(name, 200), nearest: nearest.map(|n| clip(n, 200)) }
    }
}

fn view<'a>(name: &'a str, entry: &'a Entry) -> TensorView<'a> {
    TensorView { name, dtype: entry.dtype, shape: &entry.shape, data: &entry.data }
}

/// A file's tensors; a file that has any is mapped.
fn read_file(path: &Path) -> Result<(File, Mapped), WeightError> {
    let map =
        map_file(path).map_err(|source| WeightError::Io { path: path.to_path_buf(), source })?;
    let bytes = map.as_ref().map_or_else(Bytes::new, Mapped::bytes);
    let file = header::read(&bytes, path)?;
    let map = map.ok_or_else(|| WeightError::Header {
        path: path.to_path_buf(),
        problem: "it is empty".into(),
    })?;
    Ok((file, map))
}

fn open_shards(index: &Index) -> Result<WeightStore, WeightError> {
    let fail = |problem: String| WeightError::Index { path: index.path.clone(), problem };
    let folder = index.path.parent().unwrap_or(Path::new(""));
    let shards: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    let missing: Vec<&str> =
        shards.iter().filter(|shard| !folder.join(shard).exists()).copied().collect();
    if let Some(first) = missing.first() {
        return Err(fail(format!(
            "{} of {} shards are missing, the first is {}",
            missing.len(),
            shards.len(),
            clip(first, 200)
        )));
    }

    let mut store = WeightStore {
        tensors: BTreeMap::new(),
        metadata: BTreeMap::new(),
        files: Vec::new(),
        maps: BTreeMap::new(),
    };
    let mut owner: BTreeMap<String, &str> = BTreeMap::new();
    for shard in shards {
        let path = folder.join(shard);
        let (file, map) = read_file(&path)?;
        store.files.push(path);
        for (key, value) in file.metadata {
            store.metadata.entry(key).or_insert(value);
        }
        for (name, entry) in file.tensors {
            if let Some(first) = owner.insert(name.clone(), shard) {
                return Err(fail(format!(
                    "tensor `{}` is in two shards, {} and {}",
                    clip(&name, 200),
                    clip(first, 100),
                    clip(shard, 100)
                )));
            }
            store.maps.insert(name.clone(), map.clone());
            store.tensors.insert(name, entry);
        }
    }
    for (name, shard) in &index.weight_map {
        if owner.get(name) != Some(&shard.as_str()) {
            return Err(fail(format!(
                "tensor `{}` is not in {}, where the index puts it",
                clip(name, 200),
                clip(shard, 100)
            )));
        }
    }
    Ok(store)
}
