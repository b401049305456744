//! What travels in the bundle of a language model beside its weights.

use crate::error::{CliError, Result, Status};
use drift_driver::pipeline::Module;
use drift_tokenizer::{Error, folder};
use std::path::Path;

/// Files of tokenizers as they lie in folders; a bundle carries one `tokenizer.json` instead.
const RAW: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
];

/// Puts the folder's tokenizer, whatever its files, and its chat template into the module. A tokenizer
/// of a kind that is not known is a note: the model runs on token ids.
pub fn add(folder: &Path, module: &mut Module) -> Result {
    module.assets.retain(|(name, _)| !RAW.contains(&name.as_str()));
    match folder::assets(folder) {
        Ok(list) => {
            module.assets.extend(list.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
        }
        Err(e @ Error::Unsupported { .. }) => {
            module.notes.push(format!("{e}; the bundle takes token ids, not text"));
        }
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

impl From<Error> for CliError {
    fn from(e: Error) -> CliError {
        let status = match e {
            Error::Unsupported { .. } => Status::Unsupported,
            _ => Status::BadInput,
        };
        CliError::new(status, e.to_string())
    }
}
