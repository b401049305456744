//! What travels in the bundle of a language model beside its weights.

use crate::error::{CliError, Result, Status};
use drift_driver::pipeline::Module;
use drift_tokenizer::{Error, Tokenizer, folder};
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

/// Puts the folder's tokenizer, whatever its files, into the module. One of a kind that is not known is
/// a note: the model runs on token ids.
pub fn add(folder: &Path, module: &mut Module) -> Result {
    module.assets.retain(|(name, _)| !RAW.contains(&name.as_str()));
    match tokenizer(folder) {
        Ok(Some(t)) => {
            module.assets.push((folder::TOKENIZER.to_owned(), t.to_json().to_vec()));
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(e @ Error::Unsupported { .. }) => {
            module.notes.push(format!("{e}; the bundle takes token ids, not text"));
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

fn tokenizer(folder: &Path) -> Result<Option<Tokenizer>, Error> {
    folder::read(folder, &folder::Settings::read(folder)?)
}

/// What calibration reads where no other text is given: prose, numbers, code, other scripts.
const CALIBRATION: &str = "\
The lighthouse keeper counted 1,248 steps twice a day; in 1907 the lamp was electrified. \
for (i, x) in values.iter().enumerate() { sum += x * 2.5; } \
Größe und Gewicht: 3 m, 40 kg. Où est la gare ? Что это такое? 东京の天気は晴れです。";

/// Ids of the calibration prompt of `--calibrate`; none where there is nothing to read them with.
pub fn calibration(folder: &Path, calibrate: Option<&str>) -> Result<Vec<i32>> {
    let text = match calibrate {
        Some("none") => return Ok(Vec::new()),
        None => CALIBRATION.to_owned(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|e| CliError::bad(format!("--calibrate {file}: {e}")))?,
    };
    match (tokenizer(folder), calibrate) {
        (Ok(Some(t)), _) => {
            let ids = t.encode(&text, true)?;
            Ok(ids.into_iter().filter_map(|id| i32::try_from(id).ok()).collect())
        }
        // without being asked for it is left out
        (_, None) => Ok(Vec::new()),
        (Ok(None), Some(_)) => Err(CliError::bad("--calibrate: the folder has no tokenizer")),
        (Err(e), Some(_)) => Err(e.into()),
    }
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
