//! Files that texts are compared with.

use crate::first_difference;
use std::fs;
use std::path::{Path, PathBuf};

/// Set to `1`, differences are written instead of reported.
const BLESS: &str = "DRIFT_BLESS";

/// A folder of goldens.
#[derive(Clone, Debug)]
pub struct Snapshots {
    root: PathBuf,
    bless: bool,
}

impl Snapshots {
    /// The goldens of this repository: `tests/golden/out`.
    pub fn committed() -> Snapshots {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
        let bless = std::env::var_os(BLESS).is_some_and(|value| value == "1");
        Snapshots { root, bless }
    }

    /// Goldens in another folder; `bless`: write instead of compare.
    pub fn new(root: impl Into<PathBuf>, bless: bool) -> Snapshots {
        Snapshots { root: root.into(), bless }
    }

    /// Compares `text` with the file `name`, or writes it.
    ///
    /// # Errors
    /// The first difference, a missing golden, or a failure to write.
    pub fn check(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.root.join(name);
        let old = fs::read_to_string(&path);
        if old.as_deref().is_ok_and(|old| old == text) {
            return Ok(());
        }
        if self.bless {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|e| format!("golden {name}: {e}"))?;
            }
            return fs::write(&path, text).map_err(|e| format!("golden {name}: {e}"));
        }
        let how = format!("look at it, then accept it with {BLESS}=1");
        match old {
            Ok(old) => {
                let difference = first_difference(&old, text)
                    .unwrap_or_else(|| "line endings differ\n".to_owned());
                Err(format!("golden {name} has changed, {difference}{how}"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("golden {name} does not exist ({} lines); {how}", text.lines().count()))
            }
            Err(error) => Err(format!("golden {name}: {error}")),
        }
    }

    /// Holds a folder to exactly these files.
    ///
    /// # Errors
    /// Names the files that are not among `expected`.
    pub fn only(&self, dir: &str, expected: &[String]) -> Result<(), String> {
        let folder = self.root.join(dir);
        let entries = fs::read_dir(&folder).map_err(|e| format!("{dir}: {e}"))?;
        let mut stale = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| format!("{dir}: {e}"))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if expected.contains(&name) {
                continue;
            }
            if self.bless {
                fs::remove_file(folder.join(&name)).map_err(|e| format!("{dir}/{name}: {e}"))?;
            } else {
                stale.push(name);
            }
        }
        stale.sort();
        match stale.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "golden folder {dir}: no kernel has {} any more; {BLESS}=1 removes them",
                stale.join(", ")
            )),
        }
    }

    /// Bytes of all goldens.
    ///
    /// # Errors
    /// What the file system says.
    pub fn total_bytes(&self) -> std::io::Result<u64> {
        fn sum(folder: &Path) -> std::io::Result<u64> {
            fs::read_dir(folder)?.try_fold(0, |total, entry| {
                let entry = entry?;
                let meta = entry.metadata()?;
                Ok(total + if meta.is_dir() { sum(&entry.path())? } else { meta.len() })
            })
        }
        sum(&self.root)
    }
}
