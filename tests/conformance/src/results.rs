//! What the suites found, as files: the source of docs/backends.md.
//!
//! With `DRIFT_RESULTS=FOLDER` each suite of operators and each test of a model ([`Tally`]) writes one
//! file, a JSON object per line and operator or model ([`Row`]). `cargo xtask backends` runs the suites
//! so, sums their lines up to `docs/backends/<driver>.json` ([`Summary`]) and renders the page from all
//! summaries ([`page`]).

mod page;
mod summary;
mod tally;

pub use page::page;
pub use summary::{Counts, Summary, read_all};
pub use tally::Tally;

use crate::network;
use drift_runtime::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What ran the kernels.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// `vulkan`, `opencl`, ...
    pub api: String,
    /// As the driver names the device.
    pub device: String,
    /// Name and version of the driver, and of the API it implements.
    pub version: String,
    /// What kernels were compiled for, but for setups and models that are for devices with few features.
    pub target: String,
}

impl Driver {
    pub fn of(device: &Device) -> Driver {
        let info = device.info();
        Driver {
            api: info.capabilities.api.to_string(),
            device: info.capabilities.device_name.clone(),
            version: format!("{}; API {}", info.driver, info.api_version),
            target: network::target_for(device).to_owned(),
        }
    }
}

/// Whose results a line has.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    #[default]
    Operators,
    Networks,
    LanguageModels,
}

/// What came of the cases of one operator in one setup, or of one model compiled in one way. Cases
/// that the setup does not change are not counted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Row {
    #[serde(default)]
    pub suite: Suite,
    /// Or the model's name.
    pub operator: String,
    /// `storage, element type`; of a model, what it was compiled to.
    pub setup: String,
    pub passed: usize,
    /// Of those, with values moved to f32 or to buffers.
    pub moved: usize,
    /// Reason -> cases. Drift says that it does not do this.
    pub unsupported: BTreeMap<String, usize>,
    /// Reason -> cases that fail, and are listed as failing.
    pub expected: BTreeMap<String, usize>,
    /// Cases that fail and are not listed, or are listed and pass.
    pub failed: usize,
}

/// Lines of a results file.
#[derive(Deserialize, Serialize)]
struct Line {
    driver: Driver,
    #[serde(flatten)]
    row: Row,
}

/// Writes the rows of a whole suite where `DRIFT_RESULTS` says; does nothing without it. A suite
/// that was narrowed (`DRIFT_OP`, `DRIFT_CASE`) is no result.
pub fn record(driver: &Driver, name: &str, rows: &[Row]) {
    let Some(folder) = std::env::var_os("DRIFT_RESULTS").map(PathBuf::from) else { return };
    if ["DRIFT_OP", "DRIFT_CASE"].iter().any(|name| std::env::var_os(name).is_some()) {
        return println!("no results written: only a part of the suite ran");
    }
    let mut text = String::new();
    for row in rows {
        let line = Line { driver: driver.clone(), row: row.clone() };
        text += &serde_json::to_string(&line).expect("plain data");
        text.push('\n');
    }
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let path = folder.join(format!("{}-{name}.jsonl", driver.api));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
    written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
