//! Tensors stored in files beside the model.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::error::{OnnxError, clip};
use crate::mmap::map_file;
use crate::pb;

/// Opens external data files, each once, and only inside the model's folder.
pub(crate) struct ExternalData {
    /// Folder that locations are relative to; `None` for a model that came as bytes.
    base: Option<PathBuf>,
    /// Real folders that a data file may lie in.
    roots: Vec<PathBuf>,
    files: HashMap<PathBuf, Bytes>,
}

impl ExternalData {
    /// For a model without a folder: every external tensor is an error.
    pub(crate) fn none() -> ExternalData {
        ExternalData { base: None, roots: Vec::new(), files: HashMap::new() }
    }

    /// For a model in the folder `base`.
    pub(crate) fn in_folder(base: &Path) -> ExternalData {
        ExternalData { base: Some(base.to_path_buf()), ..ExternalData::none() }
    }

    /// For the model file `path`. When it is a link, the folder it leads to is allowed too: caches
    /// of model hubs keep model and data as links to neighbours in a folder of blobs.
    pub(crate) fn beside(path: &Path) -> ExternalData {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut external = ExternalData::in_folder(folder);
        if let Ok(real) = path.canonicalize() {
            external.roots.extend(real.parent().map(Path::to_path_buf));
        }
        external
    }

    /// The bytes that `entries` (`TensorProto.external_data`) point to. `expected` is the size by
    /// dtype and dims; it also is the length when none is given.
    pub(crate) fn read(
        &mut self,
        tensor: &str,
        entries: &[pb::StringStringEntryProto],
        expected: u64,
    ) -> Result<Bytes, OnnxError> {
        let get = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = get("location").unwrap_or_default();
        let fail = |problem: String| OnnxError::External {
            tensor: tensor.to_string(),
            location: clip(location, 200),
            problem,
        };
        let number = |key: &str| match get(key) {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse::<u64>()
                .map(Some)
                .map_err(|_| fail(format!("{key} `{}` is not a number", clip(text, 40)))),
        };
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?;

        let file = self.file(location).map_err(&fail)?;
        let size = file.len() as u64;
        let length = length.unwrap_or(expected);
        if length != expected {
            return Err(fail(format!(
                "length is given as {length} bytes, but the tensor's shape takes {expected}"
            )));
        }
        let end = offset.checked_add(length).filter(|end| *end <= size).ok_or_else(|| {
            fail(format!("bytes {offset} + {length} lie beyond the file's end ({size} bytes)"))
        })?;
        // Both fit usize: they are at most the length of a mapped file.
        Ok(file.slice(offset as usize..end as usize))
    }

    fn file(&mut self, location: &str) -> Result<Bytes, String> {
        if location.is_empty() {
            return Err("no location is given".into());
        }
        let relative = Path::new(location);
        for part in relative.components() {
            match part {
                Component::Normal(_) | Component::CurDir => {}
                Component::ParentDir => return Err("the path holds `..`; refused".into()),
                Component::RootDir | Component::Prefix(_) => {
                    return Err("the path is absolute; refused".into());
                }
            }
        }
        // The same by the rules of the other operating system.
        let windows = location.split('\\').any(|part| part == "..");
        if windows || location.starts_with('\\') || location.as_bytes().get(1) == Some(&b':') {
            return Err("the path is absolute or holds `..`; refused".into());
        }
        let Some(base) = &self.base else {
            return Err("the model was given without a folder to find it in".into());
        };
        let cannot = |err: std::io::Error| match err.kind() {
            std::io::ErrorKind::NotFound => format!("not found in {}", base.display()),
            _ => err.to_string(),
        };
        let real = base.join(relative).canonicalize().map_err(cannot)?;
        if let Some(bytes) = self.files.get(&real) {
            return Ok(bytes.clone());
        }
        let home = base.canonicalize().map_err(cannot)?;
        if !real.starts_with(&home) && !self.roots.iter().any(|root| real.starts_with(root)) {
            return Err("the path is a link that leads out of the model's folder; refused".into());
        }
        let bytes = map_file(&real).map_err(cannot)?;
        self.files.insert(real, bytes.clone());
        Ok(bytes)
    }
}
