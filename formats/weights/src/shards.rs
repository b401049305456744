//! Finds the files of a checkpoint: one file, an index with shards, or a folder of either.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::{WeightError, clip};
use crate::mmap::map_file;

/// Longest index that is read: 100 bytes for each of a million tensors.
const MAX_INDEX_BYTES: usize = 100_000_000;

#[derive(Debug)]
pub(crate) enum Source {
    Single(PathBuf),
    Sharded(Index),
}

/// `*.safetensors.index.json`, checked by itself.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) path: PathBuf,
    /// Tensor name to the name of its shard, a file beside the index.
    pub(crate) weight_map: BTreeMap<String, String>,
}

/// Decides what `path` is.
pub(crate) fn find(path: &Path) -> Result<Source, WeightError> {
    let meta = std::fs::metadata(path)
        .map_err(|source| WeightError::Io { path: path.to_path_buf(), source })?;
    if meta.is_dir() {
        return find_in_folder(path);
    }
    if path.extension().is_some_and(|ext| ext == "json") {
        return read_index(path).map(Source::Sharded);
    }
    Ok(Source::Single(path.to_path_buf()))
}

fn find_in_folder(folder: &Path) -> Result<Source, WeightError> {
    // The two standard names first: folders often hold further variants beside them.
    let index = folder.join("model.safetensors.index.json");
    if index.exists() {
        return read_index(&index).map(Source::Sharded);
    }
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(Source::Single(single));
    }
    let mut names = Vec::new();
    let cannot = |source| WeightError::Io { path: folder.to_path_buf(), source };
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let with_end = |end: &str| -> Vec<String> {
        names.iter().filter(|name| name.ends_with(end)).cloned().collect()
    };
    let fail = |problem: String, help: String| WeightError::Folder {
        path: folder.to_path_buf(),
        problem,
        help,
    };
    let indices = with_end(".safetensors.index.json");
    let files = with_end(".safetensors");
    let choose = "give the file that you mean instead of the folder".to_string();
    match (&indices[..], &files[..]) {
        ([index], _) => read_index(&folder.join(index)).map(Source::Sharded),
        ([], [file]) => Ok(Source::Single(folder.join(file))),
        ([_, ..], _) => {
            Err(fail(format!("several checkpoints are here: {}", some(&indices)), choose))
        }
        ([], [_, ..]) => Err(fail(
            format!("several safetensors files are here, and no index: {}", some(&files)),
            choose,
        )),
        ([], []) => {
            let torch = names
                .iter()
                .any(|name| [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end)));
            let help = if torch {
                "only PyTorch files are here; convert them: \
                 model.save_pretrained(dir, safe_serialization=True)"
            } else {
                "give the folder that holds model.safetensors"
            };
            Err(fail("no safetensors file is here".into(), help.into()))
        }
    }
}

fn some(names: &[String]) -> String {
    let mut text = names.iter().take(5).map(|n| clip(n, 100)).collect::<Vec<_>>().join(", ");
    if names.len() > 5 {
        text += ", …";
    }
    text
}

fn read_index(path: &Path) -> Result<Index, WeightError> {
    #[derive(Deserialize)]
    struct Json {
        weight_map: BTreeMap<String, String>,
    }
    let fail = |problem: String| WeightError::Index { path: path.to_path_buf(), problem };
    let map =
        map_file(path).map_err(|source| WeightError::Io { path: path.to_path_buf(), source })?;
    let bytes = map.map_or_else(Default::default, |map| map.bytes());
    if bytes.len() > MAX_INDEX_BYTES {
        return Err(fail(format!("{} bytes are too many for an index", bytes.len())));
    }
    let json: Json = serde_json::from_slice(&bytes)
        .map_err(|err| fail(format!("this is not the index of a checkpoint in shards: {err}")))?;
    if json.weight_map.is_empty() {
        return Err(fail("it lists no tensors".into()));
    }
    for shard in json.weight_map.values() {
        let mut parts = Path::new(shard).components();
        let plain = matches!(parts.next(), Some(Component::Normal(_)))
            && parts.all(|part| matches!(part, Component::Normal(_)));
        if !plain || shard.contains(['\\', ':', '\0']) {
            return Err(fail(format!(
                "the shard path `{}` is absolute or leads out of the folder; refused",
                clip(shard, 200)
            )));
        }
    }
    Ok(Index { path: path.to_path_buf(), weight_map: json.weight_map })
}
