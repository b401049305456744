//! What can be wrong with a checkpoint.

use std::path::PathBuf;

/// Why a checkpoint was refused. The text names the file and the tensor; [`WeightError::help`]
/// gives the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },

    /// The first bytes, or the name, belong to another kind of file.
    #[error("{}: this is not a safetensors file but {what}", path.display())]
    NotSafetensors { path: PathBuf, what: &'static str, help: &'static str },

    /// The header is broken.
    #[error("{}: {problem}", path.display())]
    Header { path: PathBuf, problem: String },

    /// One tensor's entry is broken.
    #[error("{}: tensor `{tensor}`: {problem}", path.display())]
    Tensor { path: PathBuf, tensor: String, problem: String },

    /// An element type that is not handled.
    #[error("{}: tensor `{tensor}`: elements of type {dtype} are not supported", path.display())]
    DType { path: PathBuf, tensor: String, dtype: String },

    /// The shard index is broken, or does not fit the shards.
    #[error("{}: {problem}", path.display())]
    Index { path: PathBuf, problem: String },

    /// A folder without a checkpoint, or with several.
    #[error("{}: {problem}", path.display())]
    Folder { path: PathBuf, problem: String, help: String },

    /// A tensor that the checkpoint does not have.
    #[error("the checkpoint has no tensor `{name}`{}", near(nearest))]
    NoTensor { name: String, nearest: Option<String> },
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; the nearest name is `{name}`"))
}

impl WeightError {
    /// True when the checkpoint may be right and this reader is the limit (exit code 3), false when
    /// the files are wrong or unreadable (exit code 2).
    pub fn is_unsupported(&self) -> bool {
        matches!(self, WeightError::DType { .. })
    }

    /// What to do about it, where there is something to do.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            WeightError::NotSafetensors { help, .. } => (*help).to_string(),
            WeightError::Folder { help, .. } => help.clone(),
            WeightError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "check the path; it is relative to the current folder".into()
            }
            WeightError::Header { .. } | WeightError::Tensor { .. } => {
                "compare the file's size and checksum with its source: downloads often stop early"
                    .into()
            }
            WeightError::Index { .. } => {
                "download the checkpoint again, all shards and the index together".into()
            }
            WeightError::DType { .. } => {
                "convert the checkpoint to f16 or bf16: model.to(torch.float16).save_pretrained(dir)"
                    .into()
            }
            _ => return None,
        })
    }
}

/// At most about `max` bytes of a name that comes from a file.
pub(crate) fn clip(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_string();
    }
    let mut end = max;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &name[..end])
}
